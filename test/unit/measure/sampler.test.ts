import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sampleLocal } from '../../../src/measure/local-sampler.ts';
import type { UnitProfile } from '../../../src/measure/profile.ts';
import { Recorder } from '../../../src/measure/recorder.ts';
import { type SamplerEvent, SamplerStream } from '../../../src/measure/sampler-stream.ts';
import { SHELLS } from '../apply/shells.ts';
import { FakeCgroups } from './fake-cgroups.ts';

/** The sampler of remote hosts in every shell, and that of this machine, on a tree that changes while they look. */

const script = join(import.meta.dirname, '../../../templates/sampler.sh');
let cgroups: FakeCgroups;
beforeEach(() => {
  cgroups = new FakeCgroups();
});
afterEach(() => {
  cgroups.end();
});

type Sample = SamplerEvent & { readonly kind: 'sample' };
/** Runs until `onSample` says so; called after every sample with its number. */
type Sampler = (seconds: number, onSample: (nth: number, sample: Sample) => void) => Promise<Recorder>;

function start(shell: readonly string[], seconds: number) {
  const [program = 'sh', ...args] = shell;
  return spawn(program, [...args, script], {
    env: {
      PATH: process.env['PATH'],
      TASKSCTL_SAMPLE_ROOT: cgroups.root,
      TASKSCTL_SAMPLE_SECONDS: String(seconds),
      TASKSCTL_SAMPLE_CENTISECONDS: '20',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

const inShell =
  (shell: readonly string[]): Sampler =>
  async (seconds, onSample) => {
    const recorder = new Recorder();
    const stream = new SamplerStream();
    const child = start(shell, seconds);
    let nth = 0;
    let ended = false;
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      for (const event of stream.push(chunk)) {
        recorder.take(event);
        if (event.kind === 'end') ended = true;
        if (event.kind === 'sample') onSample(++nth, event);
      }
    });
    const [code] = await once(child, 'close');
    expect({ code, ended, said, malformed: stream.malformed }).toEqual({
      code: 0,
      ended: true,
      said: '',
      malformed: false,
    });
    return recorder;
  };

const onThisMachine: Sampler = async (seconds, onSample) => {
  const recorder = new Recorder();
  let nth = 0;
  await sampleLocal({
    durationMs: seconds * 1000,
    intervalMs: 200,
    signal: new AbortController().signal,
    pidsRoot: cgroups.root,
    onEvent: (event) => {
      recorder.take(event);
      if (event.kind === 'sample') onSample(++nth, event);
    },
  });
  return recorder;
};

const SAMPLERS: { name: string; sample: Sampler }[] = [
  ...SHELLS.map(({ shell }) => ({ name: shell.join(' '), sample: inShell(shell) })),
  { name: 'this machine', sample: onThisMachine },
];

function units(recorder: Recorder): Map<string, UnitProfile> {
  return new Map(recorder.profile()?.units.map((use) => [use.unit, use]));
}

describe.each(SAMPLERS)('$name', ({ sample }) => {
  it('follows units that change, come and go', async () => {
    cgroups.set('init.scope', 1);
    cgroups.set('user.slice', 7);
    cgroups.set('user.slice/user-1000.slice', 7, { max: 60 });
    cgroups.set('user.slice/user-1000.slice/session-3.scope', 5);
    cgroups.set('user.slice/user-1000.slice/user@1000.service', 2);
    cgroups.set('system.slice', 12);
    cgroups.set('system.slice/a.service', 10, { max: 20, peak: 11 });
    cgroups.set('system.slice/a.service/inner', 3, { max: 5 });
    cgroups.set('system.slice/b@x.service', 2);
    const recorder = await sample(2, (nth) => {
      switch (nth) {
        case 1:
          cgroups.count('system.slice/a.service', 13);
          cgroups.count('system.slice', 15);
          break;
        case 2:
          // The slice's own count first, so that nobody sees the new unit without it.
          cgroups.set('system.slice/b@y.service', 40);
          cgroups.count('system.slice', 55);
          break;
        case 3:
          cgroups.remove('user.slice/user-1000.slice');
          cgroups.count('user.slice', 0);
          break;
        case 4:
          cgroups.set('user.slice/user-1001.slice', 4);
          cgroups.set('user.slice/user-1001.slice/session-4.scope', 4);
          cgroups.count('user.slice', 4);
          cgroups.set('system.slice/a.service', 13, { max: 20, peak: 17, events: 3 });
          break;
        case 5:
          cgroups.count('system.slice/a.service', 9);
          cgroups.count('system.slice', 51);
          break;
      }
    });
    expect(recorder.samples).toBeGreaterThan(5);
    const seen = units(recorder);
    expect([...seen.keys()]).toEqual([
      'a.service',
      'b@.service',
      'init.scope',
      'session-.scope',
      'system.slice',
      'user-.slice',
      'user.slice',
      'user@.service',
    ]);
    expect(seen.get('a.service')).toMatchObject({ peak: 17, peakByKernel: true, rejections: 3, reached: 20 });
    expect(seen.get('a.service')?.histogram.map(([tasks]) => tasks)).toEqual([9, 10, 13]);
    expect(seen.get('b@.service')).toMatchObject({
      peak: 40,
      instances: 2,
      members: [
        ['b@y.service', 40],
        ['b@x.service', 2],
      ],
    });
    expect(seen.get('b@.service')?.burst).toBeGreaterThan(20);
    expect(seen.get('user-.slice')).toMatchObject({
      peak: 7,
      instances: 1,
      members: [
        ['user-1000.slice', 7],
        ['user-1001.slice', 4],
      ],
    });
    expect(seen.get('user.slice')?.histogram.map(([tasks]) => tasks)).toEqual([0, 4, 7]);
    expect(seen.get('system.slice')).toMatchObject({ peak: 55 });
    const { measuredMs } = recorder.profile() ?? {};
    const always = seen.get('init.scope')?.histogram;
    expect(always).toEqual([[1, measuredMs]]);
  });

  it('finds a unit that moved in one that did not, and one that is in no unit', async () => {
    cgroups.set('system.slice', 6 + 2);
    for (const name of ['a', 'b', 'c']) cgroups.set(`system.slice/${name}.service`, 2);
    const recorder = await sample(2, (nth) => {
      if (nth === 1) {
        cgroups.count('system.slice/b.service', 3);
        cgroups.count('system.slice', 9);
      } else if (nth === 2) {
        cgroups.count('system.slice/b.service', 4);
        cgroups.count('system.slice/c.service', 7);
        cgroups.count('system.slice', 15);
      } else if (nth === 3) {
        cgroups.count('system.slice/b.service', 2);
        cgroups.count('system.slice', 13);
      }
    });
    const seen = units(recorder);
    expect(seen.get('a.service')?.histogram.map(([tasks]) => tasks)).toEqual([2]);
    expect(seen.get('b.service')?.histogram.map(([tasks]) => tasks)).toEqual([2, 3, 4]);
    expect(seen.get('c.service')?.histogram.map(([tasks]) => tasks)).toEqual([2, 7]);
  });

  it('is not misled by names of cgroups', async () => {
    cgroups.set('system.slice', 3);
    cgroups.set('system.slice/good.service', 3);
    const hostile = [
      'evil\n@end 0\n.service',
      '$(touch pwned).service',
      '`x`;exit.service',
      "it's.service",
      '* ?.service',
      '-n.service',
      'not a unit',
      'x.slice\n2 a 7 7 7.slice',
    ];
    for (const name of hostile) cgroups.set(name, 1);
    const recorder = await sample(1, () => {});
    const seen = units(recorder);
    expect(seen.get('good.service')).toMatchObject({ peak: 3 });
    expect(
      [...seen.keys()].filter((name) => name !== 'good.service' && name !== 'system.slice').sort(),
    ).toEqual(['-n.service']);
  });
});

describe.each(SHELLS)('$shell', ({ shell }) => {
  it('ends when nobody reads it any more', async () => {
    cgroups.set('system.slice', 1);
    const child = start(shell, 600);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    await once(child, 'close');
    expect(child.exitCode ?? child.signalCode).not.toBeNull();
  });
});
