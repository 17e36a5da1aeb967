import { describe, expect, it } from 'vitest';
import type { Profile } from '../../../src/measure/profile.ts';
import { hostUses, thin } from '../../../src/report/host-use.ts';
import { exampleHost } from './a-report.ts';

const unit = (name: string, peak: number): Profile['hosts'][number]['units'][number] => ({
  unit: name,
  histogram: [[peak, 1000]],
  peak,
  peakByKernel: true,
  rejections: 0,
  reached: null,
  burst: 0,
  instances: 1,
});

const profile = (machineId: string | null): Profile => ({
  schema: 'tasksctl/profile/1',
  hosts: [
    {
      hostname: 'web1',
      machineId,
      boots: [],
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-01-02T00:00:00.000Z',
      measuredMs: 1000,
      samples: 1,
      intervalMs: 1000,
      kernel: { pidMax: null, threadsMax: null, peak: null },
      units: [unit('gone.service', 900), unit('nginx.service', 2000), unit('user-.slice', 490)],
    },
  ],
});

describe('hostUses', () => {
  it('has the limits of the host, and first the units nearest to theirs', () => {
    const [use] = hostUses(profile(null), [], [exampleHost]);
    expect(use?.units.map(({ unit: name, limit }) => [name, limit])).toEqual([
      ['user-.slice', 500],
      ['nginx.service', 4650],
      ['gone.service', null],
    ]);
  });

  it('knows a host by its machine id where there is one, not by a name that another may have', () => {
    const limits = (machineId: string) =>
      hostUses(profile('a'), [], [{ ...exampleHost, machineId }])[0]?.units.map(({ limit }) => limit);
    expect(limits('a')).toContain(500);
    expect(limits('b')).toEqual([null, null, null]);
  });
});

describe('thin', () => {
  it('keeps peaks, order and at most so many points', () => {
    const points = Array.from({ length: 1000 }, (_, i): [number, number] => [i * 10, i === 503 ? 99 : i % 7]);
    const kept = thin(points, 50);
    expect(kept.length).toBeLessThanOrEqual(50);
    expect(kept).toContainEqual([5030, 99]);
    expect(kept.map(([at]) => at)).toEqual(kept.map(([at]) => at).sort((a, b) => a - b));
    expect(thin(points.slice(0, 3), 50)).toEqual(points.slice(0, 3));
  });
});
