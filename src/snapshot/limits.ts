import type { Diagnostic } from '../systemd/diagnostic.ts';
import { compareBytes } from '../systemd/file-tree.ts';
import { lint } from '../systemd/lint.ts';
import type { UnitIndex } from '../systemd/load-path.ts';
import {
  type ResolveContext,
  type ResolvedLimit,
  resolveUnit,
  unitIndex,
  unitTasksMax,
} from '../systemd/resolve.ts';
import { resolveManagerConf } from '../systemd/resolve-manager-conf.ts';
import {
  compareTaskCount,
  resolveTasksMax,
  systemTasksMax,
  type TaskCount,
  type TasksMax,
} from '../systemd/tasks-max.ts';
import { sliceParents, unitOfCgroup, userSlice } from '../systemd/unit-name.ts';
import { limitDisagreements } from './limit-disagreements.ts';
import { describeProvenance, type Provenance, provenancePlace } from './provenance.ts';
import { resolveContextOf } from './resolve-context.ts';
import type { Snapshot, SnapshotCgroup, SnapshotUnit } from './snapshot.ts';

export type { Provenance } from './provenance.ts';

/** Which ceiling it is: one of a unit, of a bare cgroup below a unit (containers, user managers), of the kernel. */
export type LimitRef =
  | { readonly kind: 'unit'; readonly unit: string }
  | { readonly kind: 'cgroup'; readonly path: string }
  /** What new user slices get: UserTasksMax= of logind or TasksMax= in user-.slice.d, by systemd version. */
  | { readonly kind: 'user-default' }
  | { readonly kind: 'manager-default'; readonly manager: 'system' | 'user' }
  | { readonly kind: 'sysctl'; readonly name: 'kernel.pid_max' | 'kernel.threads-max' };

/** One unit or cgroup with its limits and use. Counts that could not be read are null, never zero. */
export interface UnitLimit {
  readonly ref: LimitRef;
  /** Unit name, or the last component of a bare cgroup's path. */
  readonly name: string;
  /** slice, service, scope, socket, mount, swap; cgroup for a bare one. */
  readonly type: string;
  readonly active: boolean;
  /** Path below systemd's root cgroup; null where the unit has none now. */
  readonly cgroup: string | null;
  /** Name of the row above in the tree; null for the root slice. */
  readonly parent: string | null;
  /** What the files say: the chain of assignments, and the count it comes to on this host. */
  readonly configured: {
    readonly limit: ResolvedLimit;
    readonly value: TasksMax;
    readonly count: TaskCount;
    readonly provenance: Provenance;
    /** Files that may say more and could not be read, with why; left out where there are none. */
    readonly unread?: readonly Diagnostic[];
  } | null;
  /** What `systemctl show` says; not evidence of what is enforced. */
  readonly manager: TaskCount | null;
  /** What the kernel enforces at this cgroup (pids.max); null where there is no cgroup or no pids controller. */
  readonly live: TaskCount | null;
  readonly current: number | null;
  readonly peak: number | null;
  /** Rejected forks counted at this cgroup; see `cgroups.eventsScope` of the snapshot for what it counts. */
  readonly rejections: number | null;
  /** Min over this cgroup, its ancestors and the kernel's ceilings; `by` is the binding limit. */
  readonly effective: { readonly count: TaskCount; readonly by: LimitRef | null };
  /** Tasks that can still be created here: min over the chain of (limit - current); `at` is where it is least. */
  readonly headroom: { readonly tasks: TaskCount; readonly at: LimitRef | null } | null;
  /** Use of the tightest limit in the chain, 0 to 1; null where nothing limits or nothing was read. */
  readonly utilization: number | null;
}

/** Every task limit of a host. */
export interface HostLimits {
  /** Depth-first order of the cgroup tree, inactive units last by name. */
  readonly units: readonly UnitLimit[];
  readonly userDefault: {
    readonly where: 'logind' | 'user-slice-drop-in' | 'suse-generator' | 'none';
    readonly limit: ResolvedLimit;
    readonly value: TasksMax;
    readonly count: TaskCount;
    readonly provenance: Provenance;
  };
  readonly managerDefault: {
    readonly limit: ResolvedLimit;
    readonly value: TasksMax;
    readonly count: TaskCount;
    readonly provenance: Provenance;
    /** What the running manager says. */
    readonly manager: TaskCount | null;
  };
  readonly kernel: {
    readonly pidMax: number | null;
    readonly threadsMax: number | null;
    readonly tasks: number | null;
    /** Base of percentages on this host and systemd version. */
    readonly systemTasksMax: bigint | null;
  };
  readonly diagnostics: readonly Diagnostic[];
}

/** What percentages are taken of where the kernel's ceilings were not read: pid_max's default on small machines. */
export const FALLBACK_SYSTEM_TASKS_MAX = 32_767n;

/** Types of unit that have a cgroup, and with it a task limit. */
const CGROUP_TYPES: ReadonlySet<string> = new Set(['slice', 'service', 'scope', 'socket', 'mount', 'swap']);

/**
 * Every task limit of a host, with where it comes from and how much of it is used. Pure; a snapshot without systemd
 * gives its cgroups and kernel ceilings alone. `ctx` is `resolveContextOf(snapshot)`, for callers that have it.
 */
export function hostLimits(
  snapshot: Snapshot,
  ctx: ResolveContext | null = resolveContextOf(snapshot),
): HostLimits {
  const diagnostics: Diagnostic[] = [];
  const kernel = kernelLimits(snapshot, ctx);
  const base = kernel.systemTasksMax ?? fallbackBase(ctx, diagnostics);
  const managerDefault = managerDefaultOf(snapshot, ctx, base, diagnostics);
  const userDefault = userDefaultOf(ctx, base, managerDefault);
  const rows = unitRows(snapshot, ctx, base, managerDefault);
  const units = withUse(snapshot, kernel, rows);
  if (ctx !== null) {
    diagnostics.push(...lint(ctx, { units: snapshot.units.map(({ id }) => id).sort() }));
    diagnostics.push(...limitDisagreements(snapshot, units));
  }
  return { units, userDefault, managerDefault, kernel, diagnostics };
}

/** A user whose slice has no file of its own: what a user nobody has named gets. */
export function unnamedUserSlice(ctx: ResolveContext): string {
  const taken = new Set(namedUserSlices(ctx));
  // Above every range that systemd's uid allocation documents, and below the 2^31 some programs stop at.
  let uid = 2_147_483_000;
  while (taken.has(userSlice(uid))) uid -= 1;
  return userSlice(uid);
}

const named = new WeakMap<UnitIndex, readonly string[]>();

/** Slices of single users that have a file or a drop-in directory of their own, be it for something else. */
export function namedUserSlices(ctx: ResolveContext): readonly string[] {
  const index = unitIndex(ctx);
  let slices = named.get(index);
  if (slices === undefined) {
    const names = ctx.unitPath.flatMap((directory) =>
      ctx.tree.list(directory).filter((name) => name.startsWith('user-')),
    );
    slices = [
      ...new Set(names.flatMap((name) => /^(user-[0-9]{1,10}\.slice)(?:\.d)?$/.exec(name)?.[1] ?? [])),
    ];
    named.set(index, slices);
  }
  return slices;
}

function kernelLimits(snapshot: Snapshot, ctx: ResolveContext | null): HostLimits['kernel'] {
  const { pidMax, threadsMax, tasks } = snapshot.kernel;
  const root = snapshot.cgroups.tree.find(({ path }) => path === '/')?.max;
  const known = pidMax !== null && threadsMax !== null && ctx !== null;
  return {
    pidMax,
    threadsMax,
    tasks,
    systemTasksMax: known
      ? systemTasksMax(
          {
            pidMax: BigInt(pidMax),
            threadsMax: BigInt(threadsMax),
            ...(root === undefined ? {} : { rootPidsMax: liveCount(root) }),
          },
          ctx.capabilities,
        )
      : null,
  };
}

function fallbackBase(ctx: ResolveContext | null, diagnostics: Diagnostic[]): bigint {
  if (ctx !== null) {
    diagnostics.push({
      code: 'kernel-limits-unknown',
      severity: 'warning',
      message: `kernel.pid_max or kernel.threads-max was not read: percentages are taken of ${FALLBACK_SYSTEM_TASKS_MAX}, which may be far off`,
      help: 'Take a new snapshot of the running host.',
    });
  }
  return FALLBACK_SYSTEM_TASKS_MAX;
}

const INFINITY: TasksMax = { kind: 'infinity' };
const NOTHING_SET: ResolvedLimit = { value: null, winner: null, assignments: [] };

function managerDefaultOf(
  snapshot: Snapshot,
  ctx: ResolveContext | null,
  base: bigint,
  diagnostics: Diagnostic[],
): HostLimits['managerDefault'] {
  const manager = parseCount(snapshot.systemd?.defaultTasksMax);
  if (ctx === null) {
    const provenance: Provenance = { kind: 'default', text: 'systemd is not installed' };
    return { limit: NOTHING_SET, value: INFINITY, count: 'infinity', provenance, manager };
  }
  const { version, defaultTasksMax } = ctx.capabilities;
  const limit = resolveManagerConf(ctx, { file: 'system.conf', section: 'Manager', key: 'DefaultTasksMax' });
  const value = limit.value ?? defaultTasksMax ?? INFINITY;
  const count = resolveTasksMax(value, base);
  const provenance =
    fileProvenance(limit) ??
    byDefault(
      defaultTasksMax === null
        ? `systemd ${version} has no DefaultTasksMax=`
        : `built-in default of systemd ${version}`,
    );
  if (manager !== null && manager !== count && ctx.capabilities.fractionResolved === 'at-use') {
    diagnostics.push({
      code: 'manager-differs',
      severity: 'warning',
      message: `The running manager has DefaultTasksMax=${manager}, its files come to ${count} (${describeProvenance(provenance)})`,
      ...provenancePlace(provenance),
      help: 'Run systemctl daemon-reload; if it stays, this systemd was built with another default.',
    });
  }
  return { limit, value, count, provenance, manager };
}

function userDefaultOf(
  ctx: ResolveContext | null,
  base: bigint,
  managerDefault: HostLimits['managerDefault'],
): HostLimits['userDefault'] {
  const where = ctx?.capabilities.perUserLimit ?? 'none';
  const given = (limit: ResolvedLimit, value: TasksMax, provenance: Provenance) => {
    return { where, limit, value, count: resolveTasksMax(value, base), provenance };
  };
  if (ctx === null) return given(NOTHING_SET, INFINITY, byDefault('systemd is not installed'));
  const { version, userTasksMax } = ctx.capabilities;
  switch (where) {
    case 'none':
      return given(NOTHING_SET, INFINITY, byDefault(`systemd ${version} has no limit per user`));
    case 'logind': {
      const limit = resolveManagerConf(ctx, { file: 'logind.conf', section: 'Login', key: 'UserTasksMax' });
      const builtIn = byDefault(`built-in default of logind ${version}`);
      return given(limit, limit.value ?? userTasksMax ?? INFINITY, fileProvenance(limit) ?? builtIn);
    }
    case 'user-slice-drop-in':
    case 'suse-generator': {
      const resolved = resolveUnit(ctx, unnamedUserSlice(ctx));
      const value = unitTasksMax(resolved, managerDefault.value) ?? INFINITY;
      return given(resolved.tasksMax, value, unitProvenance(resolved.tasksMax, 'slice', managerDefault));
    }
  }
}

/** Where the value of a unit of `type` comes from, seen from its files alone. */
function unitProvenance(
  limit: ResolvedLimit,
  type: string,
  managerDefault: HostLimits['managerDefault'],
): Provenance {
  const file = fileProvenance(limit);
  if (file !== null) return file;
  if (limit.winner !== null) {
    // An empty value, which brings the manager's default back.
    const { file: path, line } = limit.winner;
    return byDefault(
      `DefaultTasksMax=, ${describeProvenance(managerDefault.provenance)}, by the empty value at ${path}:${line}`,
    );
  }
  if (type === 'slice') return byDefault('slices have no limit unless a file sets one');
  return byDefault(`DefaultTasksMax=, ${describeProvenance(managerDefault.provenance)}`);
}

function fileProvenance({ value, winner }: ResolvedLimit): Provenance | null {
  if (winner === null || value === null) return null;
  const { file, line, section, key, raw } = winner;
  return { kind: 'file', file, line, section, key, raw };
}

function byDefault(text: string): Provenance {
  return { kind: 'default', text };
}

/** What is known of a unit or cgroup before its place in the tree is looked at. */
type Row = Omit<UnitLimit, 'parent' | 'effective' | 'headroom' | 'utilization'> & {
  /** Slice the unit is in, where it has no cgroup to tell. */
  readonly slice: string | null;
};

function unitRows(
  snapshot: Snapshot,
  ctx: ResolveContext | null,
  base: bigint,
  managerDefault: HostLimits['managerDefault'],
): Row[] {
  const cgroups = new Map(snapshot.cgroups.tree.map((cgroup) => [cgroup.path, cgroup]));
  const rows: Row[] = [];
  const taken = new Set<string>();
  for (const unit of snapshot.units) {
    const type = typeOf(unit.id);
    if (!CGROUP_TYPES.has(type)) continue;
    const active = unit.active !== 'inactive' && unit.active !== 'failed';
    if (!active && unit.load !== 'loaded') continue;
    const path = unit.cgroup ?? null;
    if (path !== null) taken.add(path);
    rows.push({
      ref: { kind: 'unit', unit: unit.id },
      name: unit.id,
      type,
      active,
      cgroup: path,
      slice: unit.slice ?? null,
      configured: ctx === null ? null : configuredOf(ctx, unit, base, managerDefault),
      manager: parseCount(unit.tasksMax),
      ...usage(path === null ? undefined : cgroups.get(path)),
    });
  }
  for (const cgroup of snapshot.cgroups.tree) {
    const limited = cgroup.max !== undefined && cgroup.max !== 'max';
    // Below a unit most cgroups only sort processes; those count that limit them, or where forks were refused.
    if (taken.has(cgroup.path) || (!limited && (cgroup.events ?? 0) === 0)) continue;
    const component = cgroup.path.slice(cgroup.path.lastIndexOf('/') + 1);
    // Not every unit with a cgroup is among those that were asked for: sockets and mounts are told by their cgroup.
    const unit = unitOfCgroup(cgroup.path);
    const isUnit =
      unit !== null && CGROUP_TYPES.has(typeOf(unit)) && (component === unit || component === `_${unit}`);
    rows.push({
      ref: isUnit ? { kind: 'unit', unit } : { kind: 'cgroup', path: cgroup.path },
      name: isUnit ? unit : component,
      type: isUnit ? typeOf(unit) : 'cgroup',
      active: true,
      cgroup: cgroup.path,
      slice: null,
      configured: isUnit && ctx !== null ? configuredOf(ctx, { id: unit }, base, managerDefault) : null,
      manager: null,
      ...usage(cgroup),
    });
  }
  return rows;
}

function typeOf(unit: string): string {
  return unit.slice(unit.lastIndexOf('.') + 1);
}

function usage(
  cgroup: SnapshotCgroup | undefined,
): Pick<UnitLimit, 'live' | 'current' | 'peak' | 'rejections'> {
  return {
    live: cgroup?.max === undefined ? null : liveCount(cgroup.max),
    current: cgroup?.current ?? null,
    peak: cgroup?.peak ?? null,
    rejections: cgroup?.events ?? null,
  };
}

function configuredOf(
  ctx: ResolveContext,
  unit: Pick<SnapshotUnit, 'id' | 'tasksMax' | 'transient'>,
  base: bigint,
  managerDefault: HostLimits['managerDefault'],
): UnitLimit['configured'] {
  const resolved = resolveUnit(ctx, unit.id);
  const value = unitTasksMax(resolved, managerDefault.value);
  if (value === null) return null;
  const limit = resolved.tasksMax;
  const count = resolveTasksMax(value, base);
  const manager = parseCount(unit.tasksMax);
  const missing = resolved.diagnostics.filter(({ code }) => code === 'file-not-available');
  const unread = missing.length === 0 ? {} : { unread: missing };
  const noFile = limit.winner === null && (unit.transient === true || resolved.load === 'not-found');
  if (noFile && manager !== null && manager !== count) {
    const text = 'systemctl show says so, no file does: set by whoever made the unit';
    return {
      limit,
      value: tasksMaxOf(manager),
      count: manager,
      provenance: { kind: 'live', text },
      ...unread,
    };
  }
  const provenance = unitProvenance(limit, typeOf(unit.id), managerDefault);
  return { limit, value, count, provenance, ...unread };
}

/** One level of the hierarchy: what it and all above it leave. */
interface Level {
  readonly effective: UnitLimit['effective'];
  readonly headroom: UnitLimit['headroom'];
  readonly utilization: number | null;
}

/** Adds to each row what all levels above it make of it, and puts them in the order of the tree. */
function withUse(snapshot: Snapshot, kernel: HostLimits['kernel'], rows: readonly Row[]): UnitLimit[] {
  const byPath = new Map<string, Row>();
  const byName = new Map<string, Row>();
  for (const row of rows) {
    if (row.cgroup !== null) byPath.set(row.cgroup, row);
    if (row.type !== 'cgroup') byName.set(row.name, row);
  }
  const treeRead = snapshot.cgroups.pidsRoot === null || snapshot.cgroups.tree.length > 0;
  const top = kernelLevel(kernel);
  const levels = new Map<Row, Level>();
  const rowAbove = (row: Row): Row | null => {
    if (row.cgroup !== null) return nearestAbove(byPath, row.cgroup);
    const slice = row.slice ?? (row.type === 'slice' ? (sliceParents(row.name)?.[0] ?? null) : null);
    return slice === null || slice === row.name ? null : (byName.get(slice) ?? null);
  };
  const levelOf = (row: Row): Level => {
    // Upwards to the first level that is known, then down again: names come from a file, so no recursion.
    const pending: Row[] = [];
    const seen = new Set<Row>();
    let at: Row | null = row;
    while (at !== null && !levels.has(at) && !seen.has(at)) {
      pending.push(at);
      seen.add(at);
      at = rowAbove(at);
    }
    let level = (at === null ? undefined : levels.get(at)) ?? top;
    for (const next of pending.reverse()) {
      level = below(level, next, treeRead);
      levels.set(next, level);
    }
    return level;
  };
  return rows
    .map((row) => {
      const { slice: _, ...rest } = row;
      const parent = rowAbove(row);
      const named = { parent: parent === null || parent === row ? null : parent.name };
      return { unit: { ...rest, ...named, ...levelOf(row) }, key: treeKey(row.cgroup) };
    })
    .sort(inTreeOrder)
    .map(({ unit }) => unit);
}

function kernelLevel({ pidMax, threadsMax, tasks }: HostLimits['kernel']): Level {
  let level: Level = { effective: { count: 'infinity', by: null }, headroom: null, utilization: null };
  // Process id 0 is never given out, so pid_max ids make for one task less.
  const ceilings = [
    { name: 'kernel.threads-max', limit: threadsMax },
    { name: 'kernel.pid_max', limit: pidMax === null ? null : pidMax - 1 },
  ] as const;
  for (const { name, limit } of ceilings) {
    if (limit !== null) level = tighten(level, { kind: 'sysctl', name }, BigInt(limit), tasks);
  }
  return level;
}

function below(above: Level, row: Row, treeRead: boolean): Level {
  if (row.cgroup !== null) {
    // Where the controller is off at this level the kernel enforces nothing, whatever files say.
    const limit = row.live ?? (treeRead ? 'infinity' : (row.manager ?? row.configured?.count ?? 'infinity'));
    return tighten(above, row.ref, limit, row.current);
  }
  return tighten(above, row.ref, row.configured?.count ?? row.manager ?? 'infinity', row.active ? null : 0);
}

function tighten(above: Level, ref: LimitRef, limit: TaskCount, current: number | null): Level {
  if (limit === 'infinity') return above;
  // Of equal limits the kernel meets the lower level's first (pids_try_charge() goes upwards).
  const effective =
    compareTaskCount(limit, above.effective.count) <= 0 ? { count: limit, by: ref } : above.effective;
  if (current === null) return { ...above, effective };
  const used = BigInt(current);
  const tasks = used >= limit ? 0n : limit - used;
  if (above.headroom !== null && compareTaskCount(above.headroom.tasks, tasks) < 0) {
    return { ...above, effective };
  }
  const utilization = limit === 0n ? 1 : Math.min(1, current / Number(limit));
  return { effective, headroom: { tasks, at: ref }, utilization };
}

function nearestAbove(byPath: ReadonlyMap<string, Row>, path: string): Row | null {
  for (let at = path; at !== '/' && at !== ''; ) {
    at = at.slice(0, Math.max(at.lastIndexOf('/'), 0));
    const found = byPath.get(at === '' ? '/' : at);
    if (found !== undefined) return found;
  }
  return null;
}

/** Depth first along the cgroup tree; units without a cgroup after it, by name. */
function inTreeOrder(a: InTree, b: InTree): number {
  if (a.key !== null && b.key !== null) return compareBytes(a.key, b.key);
  if (a.key !== null) return -1;
  return b.key !== null ? 1 : compareBytes(a.unit.name, b.unit.name);
}

interface InTree {
  readonly unit: UnitLimit;
  /** null: the unit has no cgroup. */
  readonly key: string | null;
}

/** A path that sorts right before everything below it. */
function treeKey(path: string | null): string | null {
  if (path === null) return null;
  return path === '/' ? '' : path.replaceAll('/', '\0');
}

function liveCount(max: number | 'max'): TaskCount {
  return max === 'max' ? 'infinity' : BigInt(max);
}

/** A count as systemctl prints it; up to 228 it prints no limit as 2^64-1. */
function parseCount(text: string | null | undefined): TaskCount | null {
  if (text === null || text === undefined) return null;
  return text === 'infinity' || text === '18446744073709551615' ? 'infinity' : BigInt(text);
}

function tasksMaxOf(count: TaskCount): TasksMax {
  return count === 'infinity' ? INFINITY : { kind: 'count', count };
}
