import { MOST_MEMBERS } from '../measure/members.ts';
import { patternOf } from '../measure/pattern-of.ts';
import { growBy, growthText } from '../needs/arithmetic.ts';
import { type NeedPolicy, needOfUse } from '../needs/need-of-use.ts';
import type { HostUse, UnitUse } from '../needs/use.ts';
import type { HostLimits, LimitRef, UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { PlanLimit } from './plan.ts';

export { growBy, growthText, roundUp } from '../needs/arithmetic.ts';

/** What the processes under a limit need, as far as one look at the host and a profile of it can tell. */
export interface Need {
  readonly tasks: bigint;
  /** The most tasks seen at once under any one of the rows: no limit may be set below it. */
  readonly used: bigint;
  /** How the number came about, one step per line. */
  readonly lines: readonly string[];
}

/**
 * The need under one limit that holds for each of `rows` on its own: the most any of them used. Where a row ran into
 * the limit, what it would have used is not known, so the limit grown by `growth` stands for it. null: nothing was
 * measured.
 */
export function needOf(
  rows: readonly UnitLimit[],
  growth: bigint,
  /** New rejected forks that a row's limit is to blame for. */
  rejectionsOf: (row: UnitLimit) => number,
): Need | null {
  let most: Need | null = null;
  let used = 0n;
  for (const row of rows) {
    const own = needOfRow(row, growth, rejectionsOf(row));
    if (own === null) continue;
    if (most === null || own.tasks > most.tasks) most = own;
    if (own.used > used) used = own.used;
  }
  return most === null ? null : { ...most, used };
}

function needOfRow(row: UnitLimit, growth: bigint, rejected: number): Need | null {
  if (row.current === null && row.peak === null) return null;
  const used = BigInt(Math.max(row.current ?? 0, row.peak ?? 0));
  const measured =
    row.peak !== null && row.peak >= (row.current ?? 0)
      ? `peak ${row.peak} of ${row.name}`
      : `${row.current} tasks of ${row.name} now`;
  const { live } = row;
  if (live === null || live === 'infinity') return { tasks: used, used, lines: [measured] };
  // Where the kernel keeps a peak (Linux 6.1) it tells whether this limit, and not a former one, was reached. Else a
  // rejected fork does, for as long as it has not been answered by a new limit.
  const reached = row.peak === null ? used >= live || rejected > 0 : used >= live;
  if (!reached) return { tasks: used, used, lines: [measured] };
  const forks =
    rejected === 0 ? '' : ` and ${rejected} ${rejected === 1 ? 'fork was' : 'forks were'} rejected`;
  // A peak above the limit is from before the limit was lowered: room must be left above the peak, or the new limit
  // would look reached as soon as it is set.
  const most = used > live ? used : live;
  const tasks = growBy(most, growth);
  return {
    tasks,
    used,
    lines: [
      `${row.name} reached its limit of ${live}${forks}: what it would have used is not known`,
      `so at least ${most} ${growthText(growth, 'growth')} = ${tasks}`,
    ],
  };
}

/**
 * The need under one limit that holds for each of `names` on its own, by what was measured: units, or a pattern such as
 * `user-.slice`. `except` names units of a pattern that have limits of their own. null: none of them was measured.
 */
export function needOfProfile(
  host: HostUse,
  names: readonly string[],
  policy: NeedPolicy,
  except: ReadonlySet<string> = new Set(),
): Need | null {
  const entries = new Map(host.units.map((use) => [use.unit, use]));
  return names
    .map((name) => useOf(entries, name, except))
    .map((use) => (use === null ? null : needOfUse(use, host, policy)))
    .reduce<Need | null>(largerNeed, null);
}

/** Of two needs the one that asks for more, with the most that was used by either. */
export function largerNeed(a: Need | null, b: Need | null): Need | null {
  if (a === null || b === null) return a ?? b;
  const { tasks, lines } = b.tasks > a.tasks ? b : a;
  return { tasks, lines, used: b.used > a.used ? b.used : a.used };
}

function useOf(
  entries: ReadonlyMap<string, UnitUse>,
  name: string,
  except: ReadonlySet<string>,
): UnitUse | null {
  const own = entries.get(name);
  if (own !== undefined) return except.size === 0 ? own : withoutMembers(own, except);
  const pattern = entries.get(patternOf(name) ?? '');
  const members = pattern?.members ?? [];
  // Of those that are not listed it is only known that they had no more than the last one that is.
  const unlisted = members.length < MOST_MEMBERS ? undefined : members.at(-1);
  const peak = (members.find(([unit]) => unit === name) ?? unlisted)?.[1];
  return pattern === undefined || peak === undefined ? null : ofPeak(pattern, name, peak);
}

function withoutMembers(use: UnitUse, except: ReadonlySet<string>): UnitUse | null {
  const { members } = use;
  if (members?.[0] === undefined || !except.has(members[0][0])) return use;
  const peak = members.find(([unit]) => !except.has(unit))?.[1];
  return peak === undefined ? null : { ...ofPeak(use, use.unit, peak), members };
}

/** Only the peak is known of single members of a pattern. */
function ofPeak(pattern: UnitUse, unit: string, peak: number): UnitUse {
  const { reached } = pattern;
  return {
    ...pattern,
    unit,
    peak,
    histogram: pattern.histogram.filter(([tasks]) => tasks <= peak),
    rejections: reached !== null && peak >= reached ? pattern.rejections : 0,
    reached: reached !== null && peak >= reached ? reached : null,
    members: undefined,
  };
}

/**
 * Rejected forks by the limit that was hit. Where the kernel counts them at the cgroup that forked, the limit is not
 * told: then the lowest on the way up is taken to be it. The kernel's own ceilings are not counted there at all.
 */
export function rejectionsByLimit(snapshot: Snapshot, limits: HostLimits): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const add = (ref: LimitRef, count: number): void => {
    counts.set(limitKey(ref), (counts.get(limitKey(ref)) ?? 0) + count);
  };
  const byPath = new Map(
    limits.units.flatMap((row) => (row.cgroup === null ? [] : [[row.cgroup, row] as const])),
  );
  for (const { path, events = 0, eventsLocal } of snapshot.cgroups.tree) {
    if (snapshot.cgroups.eventsScope === 'limiting') {
      const row = byPath.get(path);
      if (row !== undefined) add(row.ref, eventsLocal ?? events);
    } else if (events > 0) {
      const lowest = lowestAbove(byPath, path);
      if (lowest !== null) add(lowest.ref, events);
    }
  }
  return counts;
}

/** The lowest limit of a cgroup and all above it, the nearest of equal ones. */
function lowestAbove(byPath: ReadonlyMap<string, UnitLimit>, path: string): UnitLimit | null {
  let lowest: UnitLimit | null = null;
  for (let at = path; at !== ''; at = at.slice(0, Math.max(at.lastIndexOf('/'), 0))) {
    const row = byPath.get(at);
    const live = row?.live ?? 'infinity';
    if (row === undefined || live === 'infinity') continue;
    if (lowest?.live == null || lowest.live === 'infinity' || live < lowest.live) lowest = row;
  }
  return lowest;
}

/** All forks that were rejected at the rows or below, whatever limit was to blame; null: on the whole host. */
export function rejectionsBelow({ cgroups }: Snapshot, rows: readonly UnitLimit[] | null): number {
  let sum = 0;
  for (const { path, events = 0, eventsLocal } of cgroups.tree) {
    const count = cgroups.eventsScope === 'limiting' ? (eventsLocal ?? events) : events;
    if (count === 0) continue;
    const isBelow = ({ cgroup }: UnitLimit): boolean =>
      cgroup !== null && (path === cgroup || path.startsWith(`${cgroup}/`));
    if (rows === null || rows.some(isBelow)) sum += count;
  }
  return sum;
}

/** Equal for references to one limit. */
export function limitKey(ref: PlanLimit): string {
  switch (ref.kind) {
    case 'unit':
      return ref.unit;
    case 'cgroup':
      return ref.path;
    case 'user-default':
    case 'recorder':
      return ref.kind;
    case 'manager-default':
      return `${ref.kind} ${ref.manager}`;
    case 'sysctl':
      return ref.name;
  }
}
