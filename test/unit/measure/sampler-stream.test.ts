import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type SamplerEvent, SamplerStream } from '../../../src/measure/sampler-stream.ts';

function frame(name: string, payload: string): string {
  return `@${name} ${Buffer.byteLength(payload)}\n${payload}\n`;
}

const OUTPUT = Buffer.from(
  [
    'Welcome!\ntasksctl-sampler 1\n',
    frame('facts', '/proc/sys/kernel/hostname:web1\n/proc/sys/kernel/pid_max:4194304'),
    frame('clock', '1000 100 2026-01-01T00:00:00Z'),
    frame('mounts', '1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw'),
    frame('pids-root', '/sys/fs/cgroup'),
    frame('group', '1 .'),
    frame('counters', '1000\n./system.slice/ä.service/pids.max:20'),
    frame('list', '1\n./init.scope/pids.current\n./system.slice/pids.current'),
    frame('group', '2 ./system.slice'),
    frame('list', '2\n./system.slice/a.service/pids.current'),
    frame('s', '1000 3/120\n1 a - 1 .\n2 a 5 5'),
    frame('s', '1100 3/121\n2 h 6 1:6'),
    frame('gone', '2'),
    frame('s', '1200 3/121\n1 a - - .'),
    frame('end', ''),
  ].join(''),
);

function read(chunks: readonly Buffer[]): SamplerEvent[] {
  const stream = new SamplerStream();
  return chunks.flatMap((chunk) => stream.push(chunk));
}

describe('SamplerStream', () => {
  it('tells what was sampled', () => {
    const events = read([OUTPUT]);
    expect(events.map(({ kind }) => kind)).toEqual(['host', 'counters', 'sample', 'sample', 'sample', 'end']);
    const [host, , ...samples] = events;
    expect(host).toMatchObject({
      facts: { hostname: 'web1', pidMax: 4194304, threadsMax: null, intervalMs: 1000, bootMs: 10_000 },
    });
    expect(samples.slice(0, 3).map((event) => (event.kind === 'sample' ? event.changes : null))).toEqual([
      [
        ['/init.scope', 1],
        ['/system.slice', 5],
        ['/system.slice/a.service', 5],
      ],
      [
        ['/system.slice', 6],
        ['/system.slice/a.service', 6],
      ],
      [
        ['/system.slice', null],
        ['/system.slice/a.service', null],
        ['/init.scope', null],
      ],
    ]);
  });

  it('does so however the bytes arrive', () => {
    const whole = read([OUTPUT]);
    fc.assert(
      fc.property(fc.array(fc.nat({ max: OUTPUT.length }), { maxLength: 20 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), OUTPUT.length];
        const chunks = at.slice(1).map((end, i) => OUTPUT.subarray(at[i], end));
        expect(read(chunks)).toEqual(whole);
      }),
    );
  });

  it('takes anything a host may send, and what came before it counts', () => {
    fc.assert(
      fc.property(fc.nat({ max: OUTPUT.length }), fc.uint8Array({ maxLength: 200 }), (cut, junk) => {
        const stream = new SamplerStream();
        const before = stream.push(OUTPUT.subarray(0, cut));
        const after = stream.push(Buffer.from(junk));
        expect(read([OUTPUT]).slice(0, before.length)).toEqual(before);
        expect(after.every(({ kind }) => kind !== undefined)).toBe(true);
      }),
    );
    const stream = new SamplerStream();
    stream.push(Buffer.from('tasksctl-sampler 1\n@s 3\nabcd\n'));
    expect(stream.malformed).toBe(true);
    const endless = new SamplerStream();
    endless.push(Buffer.alloc(100_000, 'x'));
    expect(endless.malformed).toBe(true);
    const huge = new SamplerStream();
    huge.push(Buffer.from('tasksctl-sampler 1\n@s 9999999999\n'));
    expect(huge.malformed).toBe(true);
  });
});
