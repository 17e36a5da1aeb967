import type { HostLimits, LimitRef, UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Rejections } from './own-file.ts';

/** What the running processes under a limit need, as far as one look at the host can tell. */
export interface Need {
  readonly tasks: bigint;
  /** The most tasks seen at once under any one of the rows: no limit may be set below it. */
  readonly used: bigint;
  /** How the number came about, one step per line. */
  readonly lines: readonly string[];
}

/** Rejected forks: how many were counted against a row's limit, and which of them an earlier plan has answered. */
export interface RejectionEvidence {
  readonly of: (row: UnitLimit) => number;
  readonly known: Rejections | null;
  readonly bootId: string | null;
}

/** Hundredths of a percent in one. */
const ONE = 10_000n;

/** `tasks` x (1 + `share`), rounded up. */
export function growBy(tasks: bigint, share: bigint): bigint {
  return (tasks * (ONE + share) + ONE - 1n) / ONE;
}

/** `x 1.5 (headroom 50%)` */
export function growthText(share: bigint, name: string): string {
  const factor = Number(ONE + share) / Number(ONE);
  return `x ${factor} (${name} ${Number(share) / 100}%)`;
}

/**
 * The need under one limit that holds for each of `rows` on its own: the most any of them used. Where a row ran into
 * the limit, what it would have used is not known, so the limit grown by `growth` stands for it. null: nothing was
 * measured.
 */
export function needOf(
  rows: readonly UnitLimit[],
  growth: bigint,
  rejections: {
    readonly of: (row: UnitLimit) => number;
    readonly known: Rejections | null;
    readonly bootId: string | null;
  },
): Need | null {
  const counted = rows.reduce((sum, row) => sum + rejections.of(row), 0);
  const known = rejections.known?.bootId === rejections.bootId ? (rejections.known?.count ?? 0) : 0;
  let most: Need | null = null;
  let used = 0n;
  for (const row of rows) {
    const own = needOfRow(row, growth, counted > known ? rejections.of(row) : 0);
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
  const grown = growBy(live, growth);
  const tasks = grown > used ? grown : used;
  return {
    tasks,
    used,
    lines: [
      `${row.name} reached its limit of ${live}${forks}: what it would have used is not known`,
      `so at least ${live} ${growthText(growth, 'growth')} = ${grown}`,
    ],
  };
}

/**
 * Rejected forks by the limit that was hit. Where the kernel counts them at the cgroup that forked, the limit is not
 * told: then it is taken to be the binding one of that cgroup.
 */
export function rejectionsByLimit(snapshot: Snapshot, limits: HostLimits): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const add = (ref: LimitRef, count: number): void => {
    counts.set(limitKey(ref), (counts.get(limitKey(ref)) ?? 0) + count);
  };
  if (snapshot.cgroups.eventsScope === 'limiting') {
    const own = new Map(
      snapshot.cgroups.tree.map(({ path, events, eventsLocal }) => [path, eventsLocal ?? events ?? 0]),
    );
    for (const { cgroup, ref } of limits.units) if (cgroup !== null) add(ref, own.get(cgroup) ?? 0);
    return counts;
  }
  for (const { rejections, effective } of limits.units) {
    if (rejections !== null && rejections > 0 && effective.by !== null) add(effective.by, rejections);
  }
  return counts;
}

/** Equal for references to one limit. */
export function limitKey(ref: LimitRef): string {
  switch (ref.kind) {
    case 'unit':
      return ref.unit;
    case 'cgroup':
      return ref.path;
    case 'user-default':
      return ref.kind;
    case 'manager-default':
      return `${ref.kind} ${ref.manager}`;
    case 'sysctl':
      return ref.name;
  }
}

/** Steps that limits are rounded up to, so that they look chosen and small changes of use change nothing. */
export function roundUp(tasks: bigint): bigint {
  const step = tasks < 1024n ? 64n : tasks < 16_384n ? 256n : 1024n;
  return ((tasks + step - 1n) / step) * step;
}
