import type { LimitRef, Provenance, UnitLimit } from '../snapshot/limits.ts';
import type { SystemdCapabilities, TasksMaxKey } from '../systemd/capabilities.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { FileEdit } from '../systemd/file-tree.ts';
import {
  compareTaskCount,
  formatTasksMax,
  parseTasksMax,
  resolveTasksMax,
  type TaskCount,
  type TasksMax,
} from '../systemd/tasks-max.ts';
import { enforcedOfLogind } from './activation.ts';
import type { UserException } from './host-view.ts';
import { growBy, growthText, type Need, roundUp } from './need.ts';
import type { Rule } from './policy.ts';

/** One limit that the policy has a rule for, with what is known of it on this host. */
export interface Wish {
  readonly limit: LimitRef;
  readonly title: string;
  readonly rule: Rule;
  readonly where: Where;
  /** The units the limit holds for, each on its own. */
  readonly rows: readonly UnitLimit[];
  readonly need: Need | null;
  /** A login may depend on one of the rows. */
  readonly login: boolean;
  /** Edits of files that are not ours, once the limit is written: the setting it takes the place of goes. */
  readonly moved?: readonly FileEdit[];
}

/** Where a limit is written. */
export type Where =
  | { readonly kind: 'unit'; readonly unit: string; readonly section: string }
  /** Drop-ins of every user's slice. `exceptions` have limits of their own, which stay; `named` are planned apart. */
  | {
      readonly kind: 'user-slice';
      readonly exceptions: readonly UserException[];
      readonly named: ReadonlySet<string>;
    }
  | { readonly kind: 'logind.conf' }
  | { readonly kind: 'system.conf' };

/** The key that holds the limit. */
export function keyOf({ kind }: Where): TasksMaxKey {
  if (kind === 'logind.conf') return 'UserTasksMax';
  return kind === 'system.conf' ? 'DefaultTasksMax' : 'TasksMax';
}

/** The section the key belongs in. */
export function sectionOf(where: Where): string {
  switch (where.kind) {
    case 'unit':
      return where.section;
    case 'user-slice':
      return 'Slice';
    case 'logind.conf':
      return 'Login';
    case 'system.conf':
      return 'Manager';
  }
}

/** The directory of our file. */
export function directoryOf(where: Where): string {
  switch (where.kind) {
    case 'unit':
      return `/etc/systemd/system/${where.unit}.d`;
    case 'user-slice':
      return '/etc/systemd/system/user-.slice.d';
    default:
      return `/etc/systemd/${where.kind}.d`;
  }
}

/** What the files say of a wish's limit. */
export interface Have {
  /** Its own files say it, or a default holds because they say nothing. */
  readonly of: 'unit' | 'user-default' | 'manager-default';
  /** What systemd makes of all files, those below /run included. */
  readonly value: TasksMax;
  readonly provenance: Provenance;
  /** What remains of it after a reboot. */
  readonly persistent: TasksMax;
}

/** What bounds and measures limits on this host once the plan's sysctls are set. */
export interface HostBounds {
  readonly capabilities: SystemdCapabilities;
  /** What percentages are of. */
  readonly base: bigint;
  /** As `base`, for percentages that stand in files now. */
  readonly baseOfHave: bigint;
  /** The most tasks the kernel can have at once, and what says so. */
  readonly capacity: { readonly tasks: bigint; readonly by: string };
  /**
   * Only rejected forks tell here which limits were reached (before Linux 6.1 no peak does), and some were not answered
   * yet: what is done about them has to be written down, or they would be counted again.
   */
  readonly recordRejections: boolean;
}

/** A limit further down that needs this one to be at least as high. */
export interface Demand {
  readonly tasks: bigint;
  readonly by: string;
}

export type Decision =
  /** Files and kernel are as wanted. */
  | { readonly kind: 'enough'; readonly reason: string }
  /** Files are as wanted, but the kernel enforces less at `lagging`. `value` is that of the files. */
  | ({ readonly kind: 'activate'; readonly lagging: readonly UnitLimit[] } & Wanted)
  | ({ readonly kind: 'write' } & Wanted)
  | { readonly kind: 'refused'; readonly wanted: string; readonly diagnostic: Diagnostic };

export interface Wanted {
  /** As it is written. */
  readonly value: TasksMax;
  readonly count: TaskCount;
  /** The reason with its arithmetic, one step per line. */
  readonly lines: readonly string[];
}

/**
 * Tasks that must be left for an operator under every limit a login depends on: enough for a few logins with a user
 * manager, sudo, a pager and an editor each (a login over SSH with a user manager was measured at 10 tasks).
 */
export const LOGIN_RESERVE = 64n;

/** What a rule makes of a limit. */
export function decide(wish: Wish, have: Have, host: HostBounds, demand: Demand | null): Decision {
  return wish.rule.value === null
    ? decideByNeed(wish, have, host, demand)
    : decideFixed(wish, wish.rule.value, have, host);
}

function decideFixed(wish: Wish, fixed: TasksMax, have: Have, host: HostBounds): Decision {
  const { rule, rows } = wish;
  const lines = [
    `fixed by the policy (${rule.label}): ${valueText(fixed, resolveTasksMax(fixed, host.base))}`,
  ];
  let value = fixed;
  if (
    compareTaskCount(resolveTasksMax(fixed, host.base), host.capacity.tasks) > 0 &&
    fixed.kind !== 'infinity'
  ) {
    value = countOf(host.capacity.tasks);
    lines.push(atCapacity(host));
  }
  const written = writable(value, keyOf(wish.where), host, lines);
  const count = resolveTasksMax(written, host.base);
  if (haveCounts(have, host).every((haveCount) => haveCount === count)) {
    const lagging = rows.filter(({ active, live }) => active && live !== null && live !== count);
    if (lagging.length === 0) return { kind: 'enough', reason: `${lines.join('; ')}, as it is` };
    if (belowUse(wish, count) === null) return { kind: 'activate', lagging, value: have.value, count, lines };
  }
  if (count === 0n) {
    const message = `${wish.title}: ${formatTasksMax(fixed)} comes to no task at all on this host`;
    return refuse('0', { code: 'zero', message, help: 'Give a number of tasks.' });
  }
  const low = belowUse(wish, count);
  if (low !== null) return refuse(String(count), low);
  return { kind: 'write', value: written, count, lines };
}

function decideByNeed(wish: Wish, have: Have, host: HostBounds, demand: Demand | null): Decision {
  const { rule, need, rows } = wish;
  const lines: string[] = [];
  let wanted = 0n;
  if (need !== null) {
    const grown = growBy(need.tasks, rule.headroom);
    wanted = roundUp(grown);
    const rounded = wanted === grown ? '' : `, rounded up to ${wanted}`;
    lines.push(...need.lines, `${need.tasks} ${growthText(rule.headroom, 'headroom')} = ${grown}${rounded}`);
  }
  const raise = (to: bigint, why: string): void => {
    if (to <= wanted) return;
    wanted = to;
    lines.push(why);
  };
  // A percentile, or one unit that needs more and another that used more, may leave the need below the peak.
  if (need !== null) raise(need.used, `${need.used}, for no limit is to be below what was used`);
  if (rule.floor !== null) {
    const floor = amountCount(rule.floor, host.base);
    raise(floor, `floor of the policy (${rule.label}): ${valueText(rule.floor, floor)}`);
  }
  if (wanted === 0n && demand === null) {
    return {
      kind: 'enough',
      reason: 'nothing runs under it that could be measured, and the policy sets no floor',
    };
  }
  if (wish.login) {
    const least = (need?.used ?? 0n) + LOGIN_RESERVE;
    raise(least, `${least}, so that ${LOGIN_RESERVE} tasks are left to log in with`);
  }
  if (demand !== null) raise(demand.tasks, `${demand.by} below it is to have ${demand.tasks}`);
  const lower = (to: bigint, why: string): void => {
    if (to >= wanted) return;
    wanted = to;
    lines.push(why);
  };
  if (rule.ceiling !== null) {
    const ceiling = amountCount(rule.ceiling, host.base);
    lower(ceiling, `ceiling of the policy (${rule.label}): ${valueText(rule.ceiling, ceiling)}`);
  }
  lower(host.capacity.tasks, atCapacity(host));

  if (haveCounts(have, host).every((haveCount) => compareTaskCount(haveCount, wanted) >= 0)) {
    const count = resolveTasksMax(have.value, host.base);
    const byLogind = have.of === 'user-default' && host.capabilities.perUserLimit === 'logind';
    const lagging = rows.filter((row) => {
      const enforced = byLogind ? enforcedOfLogind(row) : row.live;
      return row.active && enforced !== null && compareTaskCount(enforced, wanted) < 0;
    });
    if (lagging.length > 0) {
      if (!host.recordRejections) return { kind: 'activate', lagging, value: have.value, count, lines };
      lines.push(
        `${valueText(have.value, count)} is enough, and written down with the rejected forks, so that they count once`,
      );
      const value = writable(have.value, keyOf(wish.where), { ...host, base: host.baseOfHave }, lines);
      return { kind: 'write', value, count: resolveTasksMax(value, host.base), lines };
    }
    const limit = count === 'infinity' ? 'no limit' : count;
    return { kind: 'enough', reason: `${limit} is enough (${lines.join('; ')})` };
  }
  const low = belowUse(wish, wanted);
  if (low !== null) return refuse(String(wanted), low);
  return { kind: 'write', value: countOf(wanted), count: wanted, lines };
}

/** What the files come to now, after a reboot, and with the sysctls of the plan. */
function haveCounts({ value, persistent }: Have, { base, baseOfHave }: HostBounds): TaskCount[] {
  return [value, persistent].flatMap((one) => [resolveTasksMax(one, base), resolveTasksMax(one, baseOfHave)]);
}

function refuse(wanted: string, diagnostic: Omit<Diagnostic, 'severity'>): Decision {
  return { kind: 'refused', wanted, diagnostic: { severity: 'error', ...diagnostic } };
}

/** Why a limit would be too low for what runs under it, unless the rule forces it by name. */
function belowUse({ rule, need, login, title }: Wish, count: TaskCount): Omit<Diagnostic, 'severity'> | null {
  if (rule.force || count === 'infinity') return null;
  const used = need?.used ?? 0n;
  const least = used + (login ? LOGIN_RESERVE : 0n);
  if (count >= least) return null;
  const forLogin = login ? `, and ${LOGIN_RESERVE} more are kept to log in with` : '';
  return {
    code: 'below-use',
    message: `${title}: ${count} is too low, ${used} tasks were in use at once${forLogin}`,
    help: `Allow at least ${least}; or, for a single unit or user by exact name, force: true.`,
  };
}

/** The value as this systemd takes it for the key, the same number of tasks where it does not take it as it is. */
function writable(value: TasksMax, key: TasksMaxKey, host: HostBounds, lines: string[]): TasksMax {
  const { capabilities, base } = host;
  const text = formatTasksMax(value);
  const parsed = parseTasksMax(text, key, capabilities);
  const taken = parsed.ok && parsed.value !== 'unset' && formatTasksMax(parsed.value) === text;
  if (value.kind === 'infinity') {
    if (taken) return value;
    lines.push(
      `${key}= of systemd ${capabilities.version} knows no word for no limit: ${MOST_TASKS} is all Linux can have`,
    );
    return countOf(MOST_TASKS);
  }
  if (value.kind === 'count') return value;
  const count = amountCount(value, base);
  if (taken && capabilities.fractionResolved === 'at-use') return value;
  lines.push(
    taken
      ? `written as ${count}: systemd ${capabilities.version} would take ${text} of what the kernel allows when it reads the file, which at boot may be before sysctls are set`
      : `written as ${count}: systemd ${capabilities.version} does not take ${text}`,
  );
  return countOf(count);
}

/** The largest number pids.max takes (PIDS_MAX of kernel/cgroup/pids.c). */
const MOST_TASKS = 4_194_304n;

function atCapacity({ capacity }: HostBounds): string {
  return `the kernel can have ${capacity.tasks} tasks at once (${capacity.by}), so no more than that`;
}

function countOf(count: bigint): TasksMax {
  return { kind: 'count', count };
}

function amountCount(amount: TasksMax, base: bigint): bigint {
  const count = resolveTasksMax(amount, base);
  return count === 'infinity' ? MOST_TASKS : count;
}

/** `33% = 10813`, or `4096`. */
export function valueText(value: TasksMax, count: TaskCount): string {
  const text = formatTasksMax(value);
  return text === String(count) ? text : `${text} = ${count}`;
}
