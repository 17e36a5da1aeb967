import { matchesPattern } from '../plan/unit-pattern.ts';
import type { UnitLimit } from '../snapshot/limits.ts';
import { compareTaskCount, type TaskCount } from '../systemd/tasks-max.ts';

export interface UnitFilter {
  /** Inactive units and bare cgroups without a limit of their own, too. */
  readonly all: boolean;
  /** Names or patterns of units, as a policy has them; empty: every unit. */
  readonly globs: readonly string[];
  /** Only units that use at least this share (0 to 1) of their tightest limit; null: any. */
  readonly over: number | null;
}

/** The rows a filter lets through, in the order they came. */
export function selectUnits(units: readonly UnitLimit[], filter: UnitFilter): UnitLimit[] {
  const { globs } = filter;
  return units.filter((unit) => {
    if (globs.length > 0 && !globs.some((glob) => matchesPattern(glob, unit.name))) return false;
    if (filter.over !== null && (unit.utilization === null || unit.utilization < filter.over)) return false;
    // Who asks for a name wants that row, whatever its state.
    return filter.all || globs.length > 0 || isOfInterest(unit);
  });
}

/**
 * Slices, services and scopes that hold tasks or may, and anything else that does under a limit of its own or was
 * refused. A service that has done its work and has no cgroup (`active (exited)`) can hit no limit.
 */
function isOfInterest(unit: UnitLimit): boolean {
  if (!unit.active || unit.cgroup === null) return false;
  if (unit.type === 'slice' || unit.type === 'service' || unit.type === 'scope') return true;
  if ((unit.rejections ?? 0) > 0) return true;
  const limited = unit.live !== null && unit.live !== 'infinity';
  return limited && (unit.type === 'cgroup' || (unit.current ?? 0) > 0);
}

/**
 * Least headroom first: by the share of the tightest limit in use, then by the tasks that can still be created. Rows
 * that share both (a slice and the sessions under its limit) keep their order; those without any limit come last.
 */
export function byLeastHeadroom(units: readonly UnitLimit[]): UnitLimit[] {
  const left = (unit: UnitLimit): TaskCount => unit.headroom?.tasks ?? 'infinity';
  return [...units].sort(
    (a, b) => (b.utilization ?? -1) - (a.utilization ?? -1) || compareTaskCount(left(a), left(b)),
  );
}
