import { describe, expect, it } from 'vitest';
import type { UnitProfile } from '../../../src/measure/profile.ts';
import { profileSchema } from '../../../src/measure/profile.ts';
import { Recorder } from '../../../src/measure/recorder.ts';
import type { SamplerEvent } from '../../../src/measure/sampler-stream.ts';
import type { SnapshotCgroup } from '../../../src/snapshot/snapshot.ts';

const HOST: SamplerEvent = {
  kind: 'host',
  facts: {
    hostname: 'web1',
    machineId: null,
    bootId: 'b1',
    pidMax: 32_768,
    threadsMax: 100_000,
    intervalMs: 1000,
    clockMs: Date.parse('2026-01-01T00:00:00Z'),
    bootMs: 5000,
    pidsRoot: '/sys/fs/cgroup',
  },
};
const sample = (at: number, counts: Readonly<Record<string, number | null>>): SamplerEvent => ({
  kind: 'sample',
  at,
  changes: Object.entries(counts),
  kernelTasks: 100 + at / 1000,
});
const counters = (
  at: number,
  cgroups: readonly SnapshotCgroup[],
  eventsScope: 'forking' | 'limiting' = 'forking',
): SamplerEvent => ({ kind: 'counters', at, cgroups, eventsScope });

function record(...events: readonly SamplerEvent[]): Map<string, UnitProfile> {
  const recorder = new Recorder();
  for (const event of [HOST, ...events]) recorder.take(event);
  const profile = recorder.profile();
  return new Map(profile?.units.map((use) => [use.unit, use]));
}

describe('Recorder', () => {
  it('counts the time until the next sample, and the last one for an interval', () => {
    const recorder = new Recorder();
    for (const event of [
      HOST,
      sample(5000, { '/a.service': 3 }),
      sample(6000, { '/a.service': 5 }),
      // Late: what was there before held until then.
      sample(9000, {}),
      sample(10_000, { '/a.service': 3 }),
    ]) {
      recorder.take(event);
    }
    const profile = recorder.profile();
    expect(profile).toMatchObject({
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-01-01T00:00:05.000Z',
      measuredMs: 6000,
      samples: 4,
      kernel: { peak: 110 },
    });
    expect(profile?.units).toMatchObject([
      {
        unit: 'a.service',
        histogram: [
          [3, 2000],
          [5, 4000],
        ],
        burst: 2,
      },
    ]);
    // Asked again, as the live view does, nothing is counted twice.
    expect(recorder.profile()).toEqual(profile);
  });

  it('takes cgroups of units, and none that are below or no unit', () => {
    const units = record(
      sample(5000, {
        '/': 9,
        '/system.slice/_a.service': 1,
        '/system.slice/b.service/inner': 2,
        '/x/y': 3,
        '/z': 4,
      }),
    );
    expect([...units.keys()]).toEqual(['a.service']);
  });

  it('takes the rise of what starts meanwhile, not that of what was there', () => {
    const units = record(
      sample(5000, { '/a.service': 30, '/b@1.service': 2 }),
      sample(5500, { '/b@2.service': 20 }),
      sample(7500, { '/b@2.service': null, '/b@1.service': 1, '/a.service': 33 }),
    );
    expect(units.get('a.service')?.burst).toBe(2);
    expect(units.get('b@.service')).toMatchObject({ burst: 40, instances: 2, peak: 20, peakByKernel: false });
  });

  it('knows nothing of rejected forks before it has looked twice', () => {
    const before = [{ path: '/a.service', events: 7, max: 20 }];
    expect(
      record(counters(5000, before), sample(5000, { '/a.service': 3 })).get('a.service')?.rejections,
    ).toBeNull();
    const after = [{ path: '/a.service', events: 9, max: 20 }];
    const units = record(counters(5000, before), sample(5000, { '/a.service': 3 }), counters(6000, after));
    expect(units.get('a.service')).toMatchObject({ rejections: 2, reached: 20 });
    // The unit was started anew in between.
    const anew = [{ path: '/a.service', events: 1, max: 20 }];
    expect(
      record(counters(5000, before), sample(5000, { '/a.service': 3 }), counters(6000, anew)).get(
        'a.service',
      ),
    ).toMatchObject({ rejections: 1 });
  });

  it('finds the limit that refused, and who could not fork for it', () => {
    const tree = (events: number): SnapshotCgroup[] => [
      { path: '/user.slice', max: 'max', events: 0 },
      { path: '/user.slice/user-1.slice', max: 60, events: 0 },
      { path: '/user.slice/user-1.slice/session-3.scope', max: 'max', events },
    ];
    const counts = {
      '/user.slice': 60,
      '/user.slice/user-1.slice': 60,
      '/user.slice/user-1.slice/session-3.scope': 58,
    };
    const forking = record(counters(5000, tree(0)), sample(5000, counts), counters(6000, tree(4)));
    expect(forking.get('user-.slice')).toMatchObject({ rejections: 4, reached: 60 });
    expect(forking.get('session-.scope')).toMatchObject({ rejections: 4, reached: null });
    expect(forking.get('user.slice')).toMatchObject({ rejections: 0, reached: null });
    // Linux 6.11 counts at the limit that was hit, and sums up above it.
    const limiting = (events: number): SnapshotCgroup[] => [
      { path: '/user.slice', max: 'max', events, eventsLocal: 0 },
      { path: '/user.slice/user-1.slice', max: 60, events, eventsLocal: events },
    ];
    const newer = record(
      counters(5000, limiting(0), 'limiting'),
      sample(5000, counts),
      counters(6000, limiting(4), 'limiting'),
    );
    expect(newer.get('user-.slice')).toMatchObject({ rejections: 4, reached: 60 });
    expect(newer.get('user.slice')).toMatchObject({ rejections: 0 });
  });

  it("takes the kernel's peak for whole only where it was read at the end", () => {
    const tree = (peak: number): SnapshotCgroup[] => [{ path: '/a.service', max: 'max', events: 0, peak }];
    const counts = { '/a.service': 3 };
    const read = record(
      counters(5000, tree(9)),
      sample(5000, counts),
      sample(30_000, {}),
      counters(31_000, tree(12)),
    );
    expect(read.get('a.service')).toMatchObject({ peak: 12, peakByKernel: true });
    const cut = record(counters(5000, tree(9)), sample(5000, counts), sample(30_000, {}));
    expect(cut.get('a.service')).toMatchObject({ peak: 9, peakByKernel: false });
  });

  it('keeps a week of a busy host under a megabyte', () => {
    const recorder = new Recorder();
    recorder.take(HOST);
    // 200 services, 50 users with three sessions each time, whose counts wander over a wide range for a week.
    let seed = 1;
    const random = (): number => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    let at = 5000;
    for (let round = 0; round < 700; round++) {
      const counts: Record<string, number | null> = {};
      for (let i = 0; i < 200; i++)
        counts[`/system.slice/service-${i}.service`] = Math.floor(10 ** (random() * 3.5));
      for (let i = 0; i < 50; i++) {
        const slice = `/user.slice/user-${1000 + i}.slice`;
        counts[slice] = Math.floor(random() * 500);
        counts[`${slice}/session-${round * 50 + i}.scope`] = Math.floor(random() * 500);
        counts[`${slice}/session-${(round - 3) * 50 + i}.scope`] = null;
      }
      recorder.take(sample(at, counts));
      at += (7 * 86_400_000) / 700;
    }
    const host = recorder.profile();
    if (host === null) throw new Error('nothing was recorded');
    const text = JSON.stringify(profileSchema.parse({ schema: 'tasksctl/profile/1', hosts: [host] }));
    expect(host.units.find(({ unit }) => unit === 'session-.scope')?.instances).toBeGreaterThanOrEqual(100);
    expect(text.length).toBeLessThan(1_000_000);
    // What a real week comes close to is far below: a service has a handful of counts, not hundreds.
    expect(text.length).toBeGreaterThan(100_000);
  });
});
