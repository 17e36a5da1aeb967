import type { UnitLimit } from '../snapshot/limits.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { compareTaskCount, formatTasksMax } from '../systemd/tasks-max.ts';
import { ancestorsOf, type HostView } from './host-view.ts';
import { rejectionsBelow } from './need.ts';
import type { Target } from './placement.ts';
import { boundsAfter, planSysctl, type SysctlPlan, TASK_SYSCTLS } from './plan-kernel.ts';
import type { Policy } from './policy.ts';
import type { TaskSysctl } from './sysctl-conf.ts';
import { limitTarget, sysctlTarget } from './targets.ts';
import { type Decision, type Demand, decide, type Have, type HostBounds, type Wish } from './wish.ts';
import { defaultsNow, haveOf, type Wishes } from './wishes.ts';

/** A file to be written for a wish, or for a sysctl by its name. */
export type PlannedTarget = Target & { readonly of: Wish | TaskSysctl };

/** What is to be changed, before it is known whether a place for it can be found. */
export interface Draft {
  readonly sysctls: readonly SysctlPlan[];
  readonly bounds: HostBounds;
  readonly decided: readonly Decided[];
  readonly targets: readonly PlannedTarget[];
}

export interface Decided {
  readonly wish: Wish;
  /** What the files say now. */
  readonly from: Have;
  /** The same, once the defaults are as planned. */
  readonly have: Have;
  readonly decision: Decision;
  /** For a default that is written: units with a rule of their own for which the new default is enough. */
  readonly alsoFor: readonly UnitLimit[];
}

/** Decides on every limit. What `failed` names had no place to be written to in an earlier draft. */
export function draftPlan(
  view: HostView,
  policy: Policy,
  wishes: Wishes,
  failed: ReadonlyMap<Wish | TaskSysctl, Diagnostic>,
): Draft {
  const { snapshot, ctx, limits } = view;
  const sysctlsFor = (demand: bigint): SysctlPlan[] =>
    TASK_SYSCTLS.flatMap((name) => {
      const plan = planSysctl(name, { snapshot, tree: ctx.tree, policy, demand });
      if (plan === null) return [];
      const diagnostic = failed.get(name);
      if (diagnostic === undefined || plan.outcome.kind !== 'write') return [plan];
      return [
        { ...plan, outcome: { kind: 'refused', wanted: String(plan.outcome.to), diagnostic } } as const,
      ];
    });
  // First without the kernel's ceilings, to see what the limits would need of them.
  const { total, answered } = view.rejections;
  const keepsPeaks = snapshot.cgroups.tree.some(({ peak }) => peak !== undefined);
  const boundsWith = (sysctls: readonly SysctlPlan[]): HostBounds => ({
    ...boundsAfter(snapshot, ctx, limits, sysctls),
    recordRejections: !keepsPeaks && total > answered,
  });
  const bounds = boundsWith(sysctlsFor(0n));
  const unbounded = { ...bounds, capacity: { tasks: MOST_TASKS, by: 'process ids end there' } };
  let demand = 0n;
  for (const { decision } of decideAll(view, wishes, unbounded, failed)) {
    if (decision.kind === 'write' && decision.count !== 'infinity' && decision.count > demand)
      demand = decision.count;
  }
  const sysctls = sysctlsFor(demand);
  const raised = boundsWith(sysctls);
  const decided = decideAll(view, wishes, raised, failed);
  const targets = [
    ...sysctls.flatMap((plan) => sysctlTargets(plan, policy)),
    ...decided.flatMap((one) => limitTargets(view, policy, one)),
  ];
  return { sysctls, bounds: raised, decided, targets };
}

const MOST_TASKS = 4_194_304n;

/** Decides defaults before the units that may follow them, and units before those above them. */
function decideAll(
  view: HostView,
  { serviceDefault, userDefault, units }: Wishes,
  bounds: HostBounds,
  failed: ReadonlyMap<Wish | TaskSysctl, Diagnostic>,
): Decided[] {
  const now = defaultsNow(view);
  const defaults = { ...now };
  const decided: Decided[] = [];
  const decideOne = (wish: Wish): Decided => {
    const have = haveOf(view, wish, defaults);
    const obstacle = failed.get(wish);
    const wanted = decide(wish, have, bounds, demandOn(view, wish, decided));
    const decision: Decision =
      obstacle !== undefined && wanted.kind === 'write'
        ? { kind: 'refused', wanted: formatTasksMax(wanted.value), diagnostic: obstacle }
        : wanted;
    const one = { wish, from: haveOf(view, wish, now), have, decision, alsoFor: [] };
    decided.push(one);
    return one;
  };
  const after = ({ have, decision, wish }: Decided): Have =>
    decision.kind === 'write'
      ? {
          of: have.of,
          value: decision.value,
          persistent: decision.value,
          provenance: { kind: 'default', text: `${wish.title} of this plan` },
        }
      : have;
  if (serviceDefault !== null) defaults.manager = after(decideOne(serviceDefault));
  const others = (userDefault === null ? units : [userDefault, ...units]).map((wish) => ({
    wish,
    depth: wish.where.kind === 'unit' ? ancestorsOf(view, wish.where.unit).length : 2,
  }));
  // A user slice may take the users' default, which therefore comes before it, although both are equally deep.
  for (const { wish } of others.sort((a, b) => b.depth - a.depth)) {
    const one = decideOne(wish);
    if (wish === userDefault) defaults.user = after(one);
  }
  return withFollowers(decided);
}

/** What only lags behind a default that this plan writes is enforced along with that default. */
function withFollowers(decided: readonly Decided[]): Decided[] {
  const written = new Map(
    decided.filter(({ decision }) => decision.kind === 'write').map(({ wish }) => [wish.limit.kind, wish]),
  );
  const leader = ({ wish, have, decision }: Decided): Wish | null => {
    if (wish.where.kind !== 'unit' || decision.kind !== 'activate' || have.of === 'unit') return null;
    const wanted = written.get(have.of);
    // A default that goes by need leaves alone what is enforced beyond it; a fixed limit does not.
    return wanted === undefined || (wish.rule.value !== null && wanted.rule.value === null) ? null : wanted;
  };
  return decided.map((one) => {
    const leads = leader(one);
    if (leads !== null) {
      return { ...one, decision: { kind: 'enough', reason: `what ${leads.title} is to have is enough` } };
    }
    const followers = decided.filter((other) => leader(other) === one.wish);
    return { ...one, alsoFor: followers.flatMap(({ wish }) => wish.rows) };
  });
}

/** What a limit above others has to allow, since those are planned to have it. */
function demandOn(view: HostView, wish: Wish, decided: readonly Decided[]): Demand | null {
  if (wish.where.kind === 'system.conf') return null;
  const names = new Set(wish.rows.map(({ name }) => name));
  if (wish.where.kind === 'unit') names.add(wish.where.unit);
  let demand: Demand | null = null;
  for (const { wish: below, decision } of decided) {
    if (decision.kind !== 'write' && decision.kind !== 'activate') continue;
    if (decision.count === 'infinity' || (demand !== null && decision.count <= demand.tasks)) continue;
    if (!aboveOf(view, below).some((name) => names.has(name))) continue;
    demand = { tasks: decision.count, by: below.title };
  }
  return demand;
}

/** Names of all units above those a wish is for. */
function aboveOf(view: HostView, { where, rows }: Wish): string[] {
  if (where.kind === 'unit') return ancestorsOf(view, where.unit);
  if (where.kind !== 'system.conf') return ['user.slice', '-.slice'];
  return [...new Set(rows.flatMap(({ name }) => ancestorsOf(view, name)))];
}

function limitTargets(view: HostView, policy: Policy, { wish, from, decision }: Decided): PlannedTarget[] {
  if (decision.kind !== 'write') return [];
  const { snapshot, ctx } = view;
  const here = rejectionsBelow(snapshot, wish.rows);
  const host = view.rejections.total;
  const comments = [
    `Policy ${policy.name}, ${wish.title}: ${formatTasksMax(from.value)} -> ${formatTasksMax(decision.value)}`,
    ...decision.lines.map((line) => `Why: ${line}`),
    UNDO[wish.where.kind],
  ];
  const rejections = host === 0 ? null : { here, host, bootId: snapshot.host.bootId };
  const target = limitTarget(ctx, wish.where, decision.value, { comments, rejections });
  return [{ ...target, of: wish }];
}

const UNDO: Readonly<Record<Wish['where']['kind'], string>> = {
  unit: 'Undo: tasksctl rollback, or remove this file and run systemctl daemon-reload',
  'user-slice': 'Undo: tasksctl rollback, or remove this file and run systemctl daemon-reload',
  'logind.conf': 'Undo: tasksctl rollback, or remove this file and run systemctl restart systemd-logind',
  'system.conf': 'Undo: tasksctl rollback, or remove this file and run systemctl daemon-reload',
};

function sysctlTargets({ name, live, outcome }: SysctlPlan, policy: Policy): PlannedTarget[] {
  if (outcome.kind !== 'write') return [];
  const comments = [
    `Policy ${policy.name}, ${name}: ${live} -> ${outcome.to}`,
    ...outcome.lines.map((line) => `Why: ${line}`),
    `Undo: tasksctl rollback, or remove this file and run sysctl ${name}=${live}`,
  ];
  return [{ ...sysctlTarget(name, outcome.to, comments), of: name }];
}

/**
 * A default that would go below the use of a unit that has a rule of its own, but for which that rule writes nothing.
 * (Units without one are looked at when the default is decided.)
 */
export function harmedByDefault(
  { limits }: HostView,
  { decided }: Draft,
): { readonly wish: Wish; readonly diagnostic: Diagnostic } | null {
  const rows = new Map(limits.units.map((row) => [row.name, row]));
  for (const { wish, decision } of decided) {
    if (wish.where.kind === 'unit' || decision.kind !== 'write') continue;
    for (const other of decided) {
      if (other.wish.where.kind !== 'unit' || other.decision.kind === 'write' || other.wish.rule.force)
        continue;
      if (other.have.of !== wish.limit.kind) continue;
      const name = other.wish.where.unit;
      const row = rows.get(name);
      const used = BigInt(Math.max(row?.current ?? 0, row?.peak ?? 0));
      if (compareTaskCount(decision.count, used) >= 0) continue;
      const message = `${wish.title}: ${decision.count} is too low for ${name}, which follows it and used ${used} tasks at once`;
      const help = `Give ${name} a floor or value in the policy that can be had.`;
      return { wish, diagnostic: { code: 'below-use', severity: 'error', message, unit: name, help } };
    }
  }
  return null;
}
