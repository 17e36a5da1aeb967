import { describe, expect, it } from 'vitest';
import { byRoom } from '../../../src/measure/headroom.ts';
import type { LiveUnit } from '../../../src/measure/recorder.ts';
import { clock, type LiveHost, measureLive, sparkline } from '../../../src/report/measure-live.ts';
import { createStyle, PLAIN } from '../../../src/report/style.ts';

const unit = (path: string, tasks: number, limit: number | null): LiveUnit => ({
  path,
  unit: path.slice(path.lastIndexOf('/') + 1),
  tasks,
  peak: tasks + 1,
  limit,
});
const UNITS = [
  unit('/init.scope', 1, null),
  unit('/user.slice', 70, null),
  unit('/user.slice/user-1.slice', 54, 60),
  unit('/user.slice/user-1.slice/session-3.scope', 50, null),
  unit('/system.slice', 40, null),
  unit('/system.slice/a.service', 40, 50),
];

describe('byRoom', () => {
  it('has the unit with the least room first, the limits above it counted', () => {
    expect(byRoom(UNITS).map(({ unit, left }) => [unit.unit, left])).toEqual([
      ['user-1.slice', 6],
      ['session-3.scope', 6],
      ['a.service', 10],
      ['user.slice', null],
      ['system.slice', null],
      ['init.scope', null],
    ]);
  });
});

describe('measureLive', () => {
  const host = (fields: Partial<LiveHost> = {}): LiveHost => ({
    target: 'web1',
    state: 'measuring',
    samples: 12,
    leftMs: 61_000,
    rooms: byRoom(UNITS),
    history: new Map([['/system.slice/a.service', [0, 20, 40]]]),
    interrupt: 'keeps',
    ...fields,
  });

  it('shows for how long yet, who has the least room, and how it went', () => {
    const lines = measureLive([host()], 20, PLAIN);
    expect(lines[0]).toBe('web1: 12 samples of 6 units, 1:01 left (Ctrl-C keeps what there is)');
    expect(lines[1]).toMatch(/^UNIT +USED +TASKS +PEAK +LEFT +LATELY$/);
    expect(lines[2]).toMatch(/^user-1\.slice +\[###\.\] 90% +54 +55 +6$/);
    expect(lines[4]).toMatch(/^a\.service +\[###\.\] 80% +40 +41 +10 +_=#$/);
    expect(lines).toHaveLength(8);
  });

  it('fits into the terminal, whatever hosts and names there are', () => {
    const style = createStyle({ color: false, unicode: true, width: 60 });
    const rooms = byRoom([unit('/a\x1b[2J.service', 9, 10), unit(`/${'x'.repeat(200)}.service`, 8, 10)]);
    const hosts = ['a', 'b', 'c'].map((target) => host({ target, rooms }));
    const lines = measureLive([...hosts, host({ state: 'connecting' })], 12, style);
    expect(lines.length).toBeLessThanOrEqual(12);
    for (const line of lines) {
      expect(line).not.toContain('\x1b');
      expect([...line].length).toBeLessThanOrEqual(60);
    }
    expect(measureLive(hosts, 3, style)).toHaveLength(3);
  });
});

it('draws nothing lowest and the most highest', () => {
  expect(sparkline([0, 1, 7], createStyle({ color: false, unicode: true, width: 80 }))).toBe('▁▂█');
  expect(sparkline([0, 0], PLAIN)).toBe('__');
});

it.each([
  [0, '0:00'],
  [59_001, '1:00'],
  [3_725_000, '1:02:05'],
])('%d ms are %s', (ms, text) => {
  expect(clock(ms)).toBe(text);
});
