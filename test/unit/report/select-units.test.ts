import { describe, expect, it } from 'vitest';
import { byLeastHeadroom, selectUnits } from '../../../src/report/select-units.ts';
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
