import type { UnitLimit } from '../snapshot/limits.ts';

/** For every row the row above it in the tree, by cgroup path, or by name where a unit has no cgroup now. */
export function parentsOf(units: readonly UnitLimit[]): Map<UnitLimit, UnitLimit | null> {
  const byCgroup = new Map<string, UnitLimit>();
  const byName = new Map<string, UnitLimit>();
  for (const unit of units) {
    if (unit.cgroup !== null) byCgroup.set(unit.cgroup, unit);
    // Names of bare cgroups are not unique, and no unit is below one.
    if (unit.type !== 'cgroup') byName.set(unit.name, unit);
  }
  return new Map(
    units.map((unit) => {
      const above = unit.cgroup === null ? undefined : nearest(byCgroup, unit.cgroup);
      const named = unit.parent === null ? undefined : byName.get(unit.parent);
      const parent = above ?? named;
      return [unit, parent === undefined || parent === unit ? null : parent];
    }),
  );
}

function nearest(byCgroup: ReadonlyMap<string, UnitLimit>, path: string): UnitLimit | undefined {
  let at = path;
  while (at !== '/' && at !== '') {
    at = at.slice(0, Math.max(at.lastIndexOf('/'), 0));
    const found = byCgroup.get(at === '' ? '/' : at);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The rows from `unit` up to the root, itself first. */
export function chainOf(
  unit: UnitLimit,
  parents: ReadonlyMap<UnitLimit, UnitLimit | null>,
): readonly UnitLimit[] {
  const chain = new Set<UnitLimit>();
  let at: UnitLimit | null = unit;
  while (at !== null && !chain.has(at)) {
    chain.add(at);
    at = parents.get(at) ?? null;
  }
  return [...chain];
}

export interface TreeRow {
  readonly unit: UnitLimit;
  /** For each level above: whether more rows follow on it. The last is the row's own level. */
  readonly more: readonly boolean[];
}

/** The selected rows and those above them, depth first, children in the order given. */
export function treeRows(units: readonly UnitLimit[], selected: readonly UnitLimit[]): TreeRow[] {
  const parents = parentsOf(units);
  const wanted = new Set(selected.flatMap((unit) => chainOf(unit, parents)));
  const children = new Map<UnitLimit | null, UnitLimit[]>();
  for (const unit of units) {
    if (!wanted.has(unit)) continue;
    const parent = parents.get(unit) ?? null;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [unit]);
    else siblings.push(unit);
  }
  const rows: TreeRow[] = [];
  // A stack, not recursion: how deep a saved tree is, is up to who wrote it.
  const pending: TreeRow[] = [];
  const push = (parent: UnitLimit | null, above: readonly boolean[]) => {
    const siblings = children.get(parent) ?? [];
    for (const [i, unit] of [...siblings.entries()].reverse()) {
      pending.push({ unit, more: [...above, i < siblings.length - 1] });
    }
  };
  push(null, []);
  for (let row = pending.pop(); row !== undefined; row = pending.pop()) {
    rows.push(row);
    push(row.unit, row.more);
  }
  return rows;
}
