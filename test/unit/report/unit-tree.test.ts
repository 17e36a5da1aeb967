import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chainOf, parentsOf, treeRows } from '../../../src/report/unit-tree.ts';
import type { UnitLimit } from '../../../src/snapshot/limits.ts';
import { exampleUnits, unitRow } from './example-host.ts';

const chain = (units: readonly UnitLimit[], name: string) => {
  const unit = units.find((row) => row.name === name);
  if (unit === undefined) throw new Error(`no ${name}`);
  return chainOf(unit, parentsOf(units)).map((row) => row.name);
};

describe('chainOf', () => {
  it('goes up the cgroups, over gaps, and by name from a unit that has none', () => {
    expect(chain(exampleUnits, 'session-7.scope')).toEqual([
      'session-7.scope',
      'user-1000.slice',
      'user.slice',
      '-.slice',
    ]);
    expect(chain(exampleUnits, 'box')).toEqual(['box', 'system.slice', '-.slice']);
    expect(chain(exampleUnits, 'backup.service')).toEqual(['backup.service', 'system.slice', '-.slice']);
  });

  it('ends where a saved snapshot says that two are above each other', () => {
    const a = unitRow('a.slice', { cgroup: null, parent: 'b.slice' });
    const b = unitRow('b.slice', { cgroup: null, parent: 'a.slice' });
    expect(chain([a, b], 'a.slice')).toEqual(['a.slice', 'b.slice']);
  });
});

describe('treeRows', () => {
  it('has every row once, each after the one above it', () => {
    const names = fc.constantFrom('a', 'b', 'c');
    const path = fc.array(names, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(path), (paths) => {
        const unique = [...new Set(paths.map((parts) => `/${parts.join('/')}`))];
        const units = unique.map((cgroup) => unitRow(cgroup, { type: 'cgroup', cgroup, parent: null }));
        const rows = treeRows(units, units);
        expect(new Set(rows.map(({ unit }) => unit))).toEqual(new Set(units));
        expect(rows).toHaveLength(units.length);
        const parents = parentsOf(units);
        const seen = new Set<UnitLimit>();
        for (const { unit, more } of rows) {
          const above = parents.get(unit) ?? null;
          expect(above === null || seen.has(above)).toBe(true);
          expect(more).toHaveLength(chainOf(unit, parents).length);
          seen.add(unit);
        }
      }),
    );
  });

  it('takes a tree of any depth', () => {
    let cgroup = '';
    const units = Array.from({ length: 3000 }, () => {
      cgroup += '/x';
      return unitRow('x', { type: 'cgroup', cgroup, parent: null });
    });
    expect(treeRows(units, units)).toHaveLength(3000);
  });
});
