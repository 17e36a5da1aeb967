import { FALLBACK_SYSTEM_TASKS_MAX, type HostLimits } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { FileTree } from '../systemd/file-tree.ts';
import type { ResolveContext } from '../systemd/resolve.ts';
import { systemTasksMax, type TaskCount } from '../systemd/tasks-max.ts';
import { growBy, growthText, roundUp } from './need.ts';
import { ownBaseNames } from './own-file.ts';
import type { KernelRule, Policy } from './policy.ts';
import { resolveSysctl, type SysctlAssignment, sysctlNumber, type TaskSysctl } from './sysctl-conf.ts';
import type { HostBounds } from './wish.ts';

/** What becomes of one sysctl. */
export interface SysctlPlan {
  readonly name: TaskSysctl;
  /** What the kernel has now. */
  readonly live: number;
  /** The line that sets it at boot; null: none does. */
  readonly file: SysctlAssignment | null;
  readonly outcome:
    | { readonly kind: 'enough'; readonly reason: string }
    | { readonly kind: 'write'; readonly to: number; readonly lines: readonly string[] }
    | { readonly kind: 'refused'; readonly wanted: string; readonly diagnostic: Diagnostic };
}

export const TASK_SYSCTLS: readonly TaskSysctl[] = ['kernel.pid_max', 'kernel.threads-max'];

/** Where sysctls are written. One file for each, so that each says why it is there and can be removed alone. */
export const SYSCTL_DIRECTORY = '/etc/sysctl.d';

export function sysctlSuffix(name: TaskSysctl): string {
  return `tasksctl-${name.slice('kernel.'.length).replaceAll('_', '-')}.conf`;
}

export function sysctlBaseNames(name: TaskSysctl): readonly string[] {
  return ownBaseNames(sysctlSuffix(name));
}

/**
 * What the policy makes of a sysctl. `demand` is the largest number of tasks a planned limit is to allow; nothing is
 * raised for it unless the policy has a rule for the sysctl. null: the policy has none.
 */
export function planSysctl(
  name: TaskSysctl,
  input: {
    readonly snapshot: Snapshot;
    readonly tree: FileTree;
    readonly policy: Policy;
    readonly demand: bigint;
  },
): SysctlPlan | null {
  const { snapshot, tree, policy, demand } = input;
  const rule = policy.kernel[name];
  if (rule === null) return null;
  const live = name === 'kernel.pid_max' ? snapshot.kernel.pidMax : snapshot.kernel.threadsMax;
  const file = resolveSysctl(tree, name).atBoot;
  if (live === null) {
    const message = `${name} was not read, so nothing can be planned for it`;
    return refused({ name, live: 0, file }, rule, 'kernel-limits-unknown', message);
  }
  const inFile = file === null ? null : sysctlNumber(file);
  const { to, lines } = wantedSysctl(name, rule, snapshot, demand);
  const plan = { name, live, file };
  // What no file sets, the kernel sets at boot, by its memory and processors: as it did this time.
  const atBoot = inFile ?? live;
  const right = rule.value === null ? atBoot >= to && live >= to : atBoot === to && live === to;
  if (right) {
    const reason =
      lines.length === 0 ? 'the policy has neither value nor floor, and it is enough' : lines.join('; ');
    return { ...plan, outcome: { kind: 'enough', reason: `${live} is enough (${reason})` } };
  }
  if (snapshot.host.container) {
    const message = `${name} belongs to the kernel of the host that this container runs on`;
    return refused(plan, rule, 'container-sysctl', message, 'Plan that host.');
  }
  const most = mostTasks(snapshot.host.machine);
  if (to > most) {
    return refused(
      plan,
      rule,
      'above-kernel',
      `${name} cannot be more than ${most} on ${snapshot.host.machine}`,
    );
  }
  const least = snapshot.kernel.tasks ?? 0;
  if (to < live && to <= least) {
    const message = `${name}: ${to} is too low, ${least} tasks exist`;
    return refused(plan, rule, 'below-use', message, `Allow more than ${least}.`);
  }
  // Only a fixed value lowers what a file says.
  const raised = rule.value === null && inFile !== null && inFile > to && inFile <= most ? inFile : to;
  return { ...plan, outcome: { kind: 'write', to: raised, lines } };
}

function wantedSysctl(
  name: TaskSysctl,
  rule: KernelRule,
  snapshot: Snapshot,
  demand: bigint,
): { to: number; lines: string[] } {
  if (rule.value !== null)
    return { to: rule.value, lines: [`fixed by the policy (${rule.label}): ${rule.value}`] };
  const lines: string[] = [];
  let to = 0;
  const raise = (number: bigint, why: string): void => {
    if (Number(number) <= to) return;
    to = Number(number);
    lines.push(why);
  };
  const { tasks } = snapshot.kernel;
  if (tasks !== null) {
    const grown = growBy(BigInt(tasks), rule.headroom);
    const rounded = roundUp(grown);
    raise(
      rounded,
      `${tasks} tasks exist, ${growthText(rule.headroom, 'headroom')} = ${grown}, rounded up to ${rounded}`,
    );
  }
  if (rule.floor !== null) raise(BigInt(rule.floor), `floor of the policy (${rule.label}): ${rule.floor}`);
  if (demand > 0n) {
    // Process id 0 is never given out.
    const ids = name === 'kernel.pid_max' ? demand + 1n : demand;
    raise(ids, `a planned limit is to allow ${demand} tasks`);
  }
  const ceiling = rule.ceiling ?? mostTasks(snapshot.host.machine);
  if (to > ceiling) {
    to = ceiling;
    lines.push(
      rule.ceiling === null
        ? `no more than the ${ceiling} process ids Linux has on ${snapshot.host.machine}`
        : `ceiling of the policy (${rule.label}): ${ceiling}`,
    );
  }
  return { to, lines };
}

/** PID_MAX_LIMIT of include/linux/threads.h: 4 Mi where a long has 64 bits, else what one page of bits can count. */
function mostTasks(machine: string): number {
  return /64|s390x|alpha/.test(machine) ? 4_194_304 : 32_768;
}

function refused(
  plan: Omit<SysctlPlan, 'outcome'>,
  rule: KernelRule,
  code: string,
  message: string,
  help?: string,
): SysctlPlan {
  const diagnostic: Diagnostic = {
    code,
    severity: 'error',
    message,
    ...(help === undefined ? {} : { help }),
  };
  return {
    ...plan,
    outcome: { kind: 'refused', wanted: String(rule.value ?? rule.floor ?? ''), diagnostic },
  };
}

/** What bounds the host's limits when the sysctls are as in `plans`. */
export function boundsAfter(
  snapshot: Snapshot,
  { capabilities }: ResolveContext,
  limits: HostLimits,
  plans: readonly SysctlPlan[],
): Omit<HostBounds, 'recordRejections'> {
  const after = (name: TaskSysctl, live: number | null): number | null => {
    const outcome = plans.find((plan) => plan.name === name)?.outcome;
    return outcome?.kind === 'write' ? outcome.to : live;
  };
  const pidMax = after('kernel.pid_max', limits.kernel.pidMax);
  const threadsMax = after('kernel.threads-max', limits.kernel.threadsMax);
  const rootMax = snapshot.cgroups.tree.find(({ path }) => path === '/')?.max;
  const rootPidsMax: TaskCount = rootMax === undefined || rootMax === 'max' ? 'infinity' : BigInt(rootMax);
  const now = limits.kernel.systemTasksMax ?? FALLBACK_SYSTEM_TASKS_MAX;
  const base =
    pidMax === null || threadsMax === null
      ? now
      : systemTasksMax({ pidMax: BigInt(pidMax), threadsMax: BigInt(threadsMax), rootPidsMax }, capabilities);
  let capacity = { tasks: MOST_TASKS, by: 'process ids end there' };
  const bound = (tasks: bigint, by: string): void => {
    if (tasks < capacity.tasks) capacity = { tasks, by };
  };
  if (pidMax !== null) bound(BigInt(pidMax) - 1n, `kernel.pid_max ${pidMax}`);
  if (threadsMax !== null) bound(BigInt(threadsMax), `kernel.threads-max ${threadsMax}`);
  if (rootPidsMax !== 'infinity') bound(rootPidsMax, `pids.max ${rootPidsMax} of the container`);
  return {
    capabilities,
    base,
    // Up to 243 a percentage became a number when the file was read, and does so at boot, before sysctls are set.
    baseOfHave: capabilities.fractionResolved === 'at-use' ? base : now,
    capacity,
  };
}

const MOST_TASKS = 4_194_304n;
