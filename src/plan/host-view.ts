import {
  FALLBACK_SYSTEM_TASKS_MAX,
  type HostLimits,
  namedUserSlices,
  type UnitLimit,
} from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { type ResolveContext, type ResolvedUnit, resolveUnit } from '../systemd/resolve.ts';
import { sliceParents, userSlice } from '../systemd/unit-name.ts';
import { limitKey, rejectionsBelow, rejectionsByLimit } from './need.ts';
import { answeredOnHost } from './own-file.ts';

/** A host as the planner looks at it: the snapshot, its limits, and what is asked of them again and again. */
export interface HostView {
  readonly snapshot: Snapshot;
  readonly ctx: ResolveContext;
  /** As `ctx`, without the directories that a reboot empties. */
  readonly persistent: ResolveContext;
  readonly limits: HostLimits;
  /** What percentages are of now. */
  readonly base: bigint;
  /** Rows of units by name. */
  readonly rows: ReadonlyMap<string, UnitLimit>;
  /** Rejected forks that a row's own limit is to blame for. */
  readonly rejectionsOf: (row: UnitLimit) => number;
  /** All rejected forks of the host, and how many of them limits of ours answered. */
  readonly rejections: { readonly total: number; readonly answered: number };
  /** Names of units that have to have room, or nobody logs in any more. */
  readonly isLoginUnit: (name: string) => boolean;
}

export function viewHost(snapshot: Snapshot, ctx: ResolveContext, limits: HostLimits): HostView {
  const byLimit = rejectionsByLimit(snapshot, limits);
  const operators = new Set(operatorUids(snapshot).map(userSlice));
  return {
    snapshot,
    ctx,
    persistent: persistentContext(ctx),
    limits,
    base: limits.kernel.systemTasksMax ?? FALLBACK_SYSTEM_TASKS_MAX,
    rows: new Map(limits.units.filter(({ type }) => type !== 'cgroup').map((row) => [row.name, row])),
    rejectionsOf: ({ ref }) => byLimit.get(limitKey(ref)) ?? 0,
    rejections: {
      total: rejectionsBelow(snapshot, null),
      answered: answeredOnHost(ctx.tree, snapshot.host.bootId),
    },
    isLoginUnit: (name) => operators.has(name) || LOGIN_UNIT.test(name),
  };
}

const persistent = new WeakMap<ResolveContext, ResolveContext>();

/** The context without the directories that a reboot empties, made once. */
function persistentContext(ctx: ResolveContext): ResolveContext {
  let found = persistent.get(ctx);
  if (found === undefined) {
    const unitPath = ctx.unitPath.filter((directory) => !RUNTIME.includes(`${directory}/`));
    found = { ...ctx, unitPath };
    persistent.set(ctx, found);
  }
  return found;
}

/** What a login runs through or below, whoever logs in. */
const LOGIN_UNIT =
  /^(?:-\.slice|(?:user|system)\.slice|init\.scope|user@.*\.service|(?:sshd?|dropbear)(?:@.*)?\.(?:service|socket)|(?:systemd-logind|dbus|dbus-broker|polkit)\.service)$/;

/** Root, and whoever reads and will change the host. */
function operatorUids({ probe, users, sessions }: Snapshot): number[] {
  const names = new Set([probe.user, probe.sudoUser]);
  const known = [...users, ...sessions.map(({ uid, user }) => ({ uid, name: user }))];
  return [0, probe.uid, ...known.filter(({ name }) => names.has(name)).map(({ uid }) => uid)];
}

/** The uid of a user as a policy names one; null where the snapshot knows nobody of that name. */
export function uidOf({ users, sessions, probe }: Snapshot, user: string): number | null {
  if (/^[0-9]+$/.test(user)) return Number(user);
  if (user === 'root') return 0;
  if (user === probe.user) return probe.uid;
  const named = users.find(({ name }) => name === user) ?? sessions.find((session) => session.user === user);
  return named?.uid ?? null;
}

/** Names of the units above a unit, nearest first, whether or not they are in the snapshot. */
export function ancestorsOf({ rows, snapshot }: HostView, name: string): string[] {
  const chain: string[] = [];
  const seen = new Set([name]);
  for (let at = parentOf(name); at !== null && !seen.has(at); at = parentOf(at)) {
    chain.push(at);
    seen.add(at);
  }
  return chain;

  function parentOf(unit: string): string | null {
    const row = rows.get(unit);
    if (row !== undefined) return row.parent;
    if (unit.endsWith('.slice')) return sliceParents(unit)?.[0] ?? null;
    const known = snapshot.units.find(({ id }) => id === unit)?.slice;
    return known ?? (unit.startsWith('user@') ? null : 'system.slice');
  }
}

/** Directories whose content is gone after a reboot and that no generator fills again. */
const RUNTIME = ['/run/systemd/system.control/', '/run/systemd/transient/', '/run/systemd/system/'];

/**
 * What the files that outlast a reboot make of a unit. A unit that is itself only there until the next boot is taken
 * as it is.
 */
export function resolvePersistent({ ctx, persistent }: HostView, name: string): ResolvedUnit {
  const resolved = resolveUnit(ctx, name);
  const winner = resolved.tasksMax.winner?.file;
  if (winner === undefined || !RUNTIME.some((directory) => winner.startsWith(directory))) return resolved;
  // A user's slice is there again at the next login, whatever made it this time.
  const isFragment = winner === resolved.fragmentPath && !isUserSlice(name);
  if (isFragment) return resolved;
  return resolveUnit(persistent, name);
}

/** The uid of a user's slice; null for other units. */
export function uidOfSlice(name: string): number | null {
  const digits = /^user-([0-9]{1,10})\.slice$/.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

export function isUserSlice(name: string): boolean {
  return uidOfSlice(name) !== null;
}

/** A user whose slice has a limit of its own, set by somebody on purpose. */
export interface UserException {
  readonly slice: string;
  readonly file: string;
  readonly line: number;
  readonly raw: string;
}

/** Users, seen on the host or in its files, of whom a file says something that it does not say of every user. */
export function userExceptions({ ctx, snapshot, limits }: HostView): UserException[] {
  const slices = new Set(namedUserSlices(ctx));
  for (const { name } of limits.units) if (isUserSlice(name)) slices.add(name);
  for (const { uid } of snapshot.users) slices.add(userSlice(uid));
  return [...slices].flatMap((slice) => {
    const { winner } = resolveUnit(ctx, slice).tasksMax;
    if (winner === null || !isOfOneUser(winner.file, slice, ctx)) return [];
    return [{ slice, file: winner.file, line: winner.line, raw: winner.raw }];
  });
}

/** A file that is for that one user, and was put there by somebody rather than by logind. */
export function isOfOneUser(file: string, slice: string, ctx: ResolveContext): boolean {
  // Before 239 logind makes the slices; what it gave them, or set-property later, is in these files.
  if (file.startsWith('/run/systemd/transient/')) return false;
  const byLogind = ctx.capabilities.perUserLimit === 'logind';
  if (byLogind && file === `/run/systemd/system/${slice}.d/50-TasksMax.conf`) return false;
  return file.includes(`/${slice}.d/`) || file.endsWith(`/${slice}`);
}
