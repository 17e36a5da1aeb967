import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byLeastHeadroom, matchesGlob, selectUnits } from '../../../src/report/select-units.ts';
import { exampleUnits, unitRow } from './example-host.ts';

const ANY = { all: false, globs: [], over: null };
const names = (units: readonly { name: string }[]) => units.map(({ name }) => name);

describe('selectUnits', () => {
  it('leaves out what is inactive, and cgroups without a limit', () => {
    expect(names(selectUnits(exampleUnits, ANY))).toEqual([
      '-.slice',
      'system.slice',
      'nginx.service',
      'user.slice',
      'user-1000.slice',
      'session-7.scope',
    ]);
    expect(selectUnits(exampleUnits, { ...ANY, all: true })).toEqual(exampleUnits);
  });

  it('keeps a bare cgroup that has a limit or refused a fork, and drops a service that has no cgroup', () => {
    const bare = { type: 'cgroup', ref: { kind: 'cgroup', path: '/a' } } as const;
    const limited = unitRow('limited', { ...bare, live: 10n });
    const refused = unitRow('refused', { ...bare, rejections: 1 });
    const free = unitRow('free', { ...bare, live: 'infinity', rejections: 0 });
    const exited = unitRow('done.service', { cgroup: null });
    expect(names(selectUnits([limited, refused, free, exited], ANY))).toEqual(['limited', 'refused']);
  });

  it('finds by name whatever state the unit is in', () => {
    expect(names(selectUnits(exampleUnits, { ...ANY, globs: ['backup.*', 'nginx.service'] }))).toEqual([
      'nginx.service',
      'backup.service',
    ]);
  });

  it('finds what uses at least a share of its limit', () => {
    const found = names(selectUnits(exampleUnits, { ...ANY, over: 0.98 }));
    expect(found).toEqual(['user-1000.slice', 'session-7.scope']);
    expect(selectUnits(exampleUnits, { ...ANY, over: 0.981 })).toEqual([]);
  });
});

describe('byLeastHeadroom', () => {
  it('puts the fullest first, of equals the one with fewer tasks left, and the unlimited last', () => {
    const units = [
      unitRow('free.service'),
      unitRow('roomy.service', { utilization: 0.5, headroom: { tasks: 500n, at: null } }),
      unitRow('tight.service', { utilization: 0.5, headroom: { tasks: 5n, at: null } }),
      unitRow('full.slice', { utilization: 1, headroom: { tasks: 0n, at: null } }),
      unitRow('full.scope', { utilization: 1, headroom: { tasks: 0n, at: null } }),
    ];
    expect(names(byLeastHeadroom(units))).toEqual([
      'full.slice',
      'full.scope',
      'tight.service',
      'roomy.service',
      'free.service',
    ]);
  });
});

describe('matchesGlob', () => {
  it.each([
    ['user-1000.slice', 'user-*.slice', true],
    ['user.slice', 'user-*.slice', false],
    ['getty@tty1.service', 'getty@tty[1-3].service', true],
    ['getty@tty1.service', 'getty@tty[!1].service', false],
    ['a.service', '?.service', true],
    ['dev-a\\x2db.swap', 'dev-a\\x2db.swap', true],
    ['a]b', 'a[]]b', true],
    ['a^b', 'a[x^]b', true],
    ['a[b', 'a[b', true],
    ['a+b', 'a+b', true],
    ['ab', 'a[z-a]b', false],
    ['a\nb', 'a*b', true],
    ['\u{1f600}', '?', true],
  ])('%j by %j: %j', (name, glob, matches) => {
    expect(matchesGlob(name, glob)).toBe(matches);
  });

  it('agrees with what a shell makes of the pattern', () => {
    const part = fc.constantFrom(
      '*',
      '?',
      'a',
      'b',
      '-',
      '.',
      '[ab]',
      '[!a]',
      '[a-c]',
      '\\*',
      '+',
      '(',
      '|',
      '^',
      '$',
    );
    const cases = fc.sample(
      fc.tuple(
        fc.array(fc.constantFrom('a', 'b', 'c', '-', '.', '*', '+', '(', '|', '^', '$'), { maxLength: 6 }),
        fc.array(part, { maxLength: 6 }),
      ),
      1000,
    );
    const pairs = cases.map(([name, glob]) => [name.join(''), glob.join('')] as const);
    const script =
      'while IFS= read -r name && IFS= read -r glob; do case $name in $glob) echo y;; *) echo n;; esac; done';
    const input = pairs.map(([name, glob]) => `${name}\n${glob}\n`).join('');
    const { stdout } = spawnSync('bash', ['-c', script], { input });
    const shell = stdout.toString().trim().split('\n');
    for (const [i, [name, glob]] of pairs.entries()) {
      // A pattern that is the name itself matches in any case here: unit names contain backslashes.
      if (name === glob) continue;
      expect([name, glob, matchesGlob(name, glob)]).toEqual([name, glob, shell[i] === 'y']);
    }
  });
});
