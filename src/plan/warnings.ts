import { type UnitLimit, unnamedUserSlice } from '../snapshot/limits.ts';
import { describeProvenance } from '../snapshot/provenance.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { resolveUnit } from '../systemd/resolve.ts';
import { compareTaskCount, type TaskCount } from '../systemd/tasks-max.ts';
import { reloadRule } from './activation.ts';
import type { Decided, Draft } from './draft.ts';
import { ancestorsOf, type HostView } from './host-view.ts';
import type { TaskSysctl } from './sysctl-conf.ts';
import type { Wish } from './wish.ts';

/** What an operator should know before a limit becomes `count`. */
export function changeWarnings(
  view: HostView,
  draft: Draft,
  { wish, alsoFor }: Decided,
  count: TaskCount,
): Diagnostic[] {
  const rows = [...wish.rows, ...alsoFor];
  const warnings: Diagnostic[] = [];
  if (count === 'infinity') {
    warnings.push({
      code: 'no-limit',
      severity: 'warning',
      message: 'No limit: one program that runs away can take every task the kernel has',
      help: 'Give a number well above the need instead.',
    });
  }
  const lowers = wish.rule.value !== null || reloadRule(view.ctx.capabilities).does === 'rewrites';
  for (const { name, live } of lowers ? rows : []) {
    if (live === null || compareTaskCount(live, count) <= 0) continue;
    const enforced = live === 'infinity' ? 'no limit' : live;
    warnings.push({
      code: 'live-lowered',
      severity: 'warning',
      message: `The kernel enforces ${enforced} at ${name} now; it comes down to ${count}`,
      unit: name,
    });
  }
  const after = limitsAfter(draft);
  return [
    ...warnings,
    ...unreadWarnings(view, wish),
    ...ancestorWarnings(view, after, wish, count),
    ...overcommitWarnings(view, after, wish),
  ];
}

/** What could not be read could not be tried out: it may win over what the plan writes. */
function unreadWarnings({ ctx }: HostView, { where }: Wish): Diagnostic[] {
  if (where.kind !== 'unit' && where.kind !== 'user-slice') return [];
  const unit = where.kind === 'unit' ? where.unit : unnamedUserSlice(ctx);
  return resolveUnit(ctx, unit)
    .diagnostics.filter(({ code }) => code === 'file-not-available')
    .map((diagnostic) => ({
      ...diagnostic,
      message: 'This file could not be read, and may set another limit that wins',
    }));
}

/** The limit a row has once the plan is applied. */
type LimitAfter = (row: UnitLimit) => TaskCount;

function limitsAfter({ decided }: Draft): LimitAfter {
  const planned = new Map<string, TaskCount>();
  for (const { wish, alsoFor, decision } of decided) {
    if (decision.kind !== 'write' && decision.kind !== 'activate') continue;
    for (const { name } of [...wish.rows, ...alsoFor]) planned.set(name, decision.count);
    if (wish.where.kind === 'unit') planned.set(wish.where.unit, decision.count);
  }
  return (row) => planned.get(row.name) ?? row.live ?? row.configured?.count ?? 'infinity';
}

function ancestorWarnings(
  view: HostView,
  after: LimitAfter,
  { where, rows }: Wish,
  count: TaskCount,
): Diagnostic[] {
  const names = where.kind === 'unit' ? [where.unit] : rows.map(({ name }) => name);
  const above = new Set(names.flatMap((name) => ancestorsOf(view, name)));
  return [...above].flatMap((name): Diagnostic[] => {
    const row = view.rows.get(name);
    if (row === undefined) return [];
    const limit = after(row);
    if (compareTaskCount(limit, count) >= 0) return [];
    const from = row.configured === null ? '' : ` (${describeProvenance(row.configured.provenance)})`;
    return [
      {
        code: 'ancestor-binds',
        severity: 'warning',
        message: `${name} above it allows only ${limit} tasks in all${from}, so that is what binds`,
        unit: name,
        help: `Give ${name} a rule in the policy to raise it too.`,
      },
    ];
  });
}

/** Siblings whose limits add up to more than their parent has can starve each other before any reaches its own. */
function overcommitWarnings({ limits, rows }: HostView, after: LimitAfter, wish: Wish): Diagnostic[] {
  const parents = new Set(wish.rows.map(({ parent }) => parent));
  return [...parents].flatMap((name): Diagnostic[] => {
    const parent = name === null ? undefined : rows.get(name);
    if (parent === undefined) return [];
    const limit = after(parent);
    if (limit === 'infinity') return [];
    let sum = 0n;
    let siblings = 0;
    for (const row of limits.units) {
      const own = row.parent === name && row.type !== 'cgroup' ? after(row) : 'infinity';
      if (own === 'infinity') continue;
      sum += own;
      siblings += 1;
    }
    if (sum <= limit || siblings < 2) return [];
    return [
      {
        code: 'overcommit',
        severity: 'warning',
        message: `The limits of ${siblings} units in ${parent.name} add up to ${sum}, and it allows ${limit} in all`,
        unit: parent.name,
      },
    ];
  });
}

/** KiB of memory that the kernel counts on for one thread when it chooses threads-max: 8 stacks of 16 KiB (fork_init()). */
const KIB_PER_THREAD = 128;

/** Stacks of the kernel alone, KiB for each thread. */
const STACK_KIB = 16;

export function sysctlWarnings({ kernel }: Snapshot, name: TaskSysctl, to: number): Diagnostic[] {
  if (name !== 'kernel.threads-max' || kernel.memTotalKiB === null) return [];
  const byMemory = Math.floor(kernel.memTotalKiB / KIB_PER_THREAD);
  if (to <= byMemory) return [];
  const mib = Math.round((to * STACK_KIB) / 1024);
  return [
    {
      code: 'threads-beyond-memory',
      severity: 'warning',
      message: `The kernel would choose ${byMemory} for this memory: ${to} threads take ${mib} MiB for kernel stacks alone`,
    },
  ];
}

/** What concerns the plan as a whole. */
export function hostDiagnostics(view: HostView, draft: Draft, writes: boolean): Diagnostic[] {
  const { snapshot } = view;
  const diagnostics: Diagnostic[] = [];
  if (snapshot.systemd?.running === false) {
    diagnostics.push({
      code: 'systemd-not-running',
      severity: 'warning',
      message: 'systemd is installed but not process 1: nothing enforces the limits until it is',
    });
  }
  if (snapshot.cgroups.pidsRoot === null) {
    diagnostics.push({
      code: 'no-pids-controller',
      severity: 'error',
      message: 'The kernel has no pids controller here: limits can be written, but nothing enforces them',
      help: 'It needs CONFIG_CGROUP_PIDS and a boot without cgroup_disable=pids.',
    });
  }
  if (writes && snapshot.host.etc !== 'rw') {
    diagnostics.push({
      code: 'etc-not-writable',
      severity: 'error',
      message: `/etc cannot be written as usual here (${snapshot.host.etc})`,
      help: "Put the plan's files into the host's image or configuration.",
    });
  }
  return [...diagnostics, ...capacityNote(view, draft)];
}

/** What all limits together promise against what the kernel can deliver. */
function capacityNote(view: HostView, draft: Draft): Diagnostic[] {
  if (!draft.decided.some(({ decision }) => decision.kind === 'write')) return [];
  const after = limitsAfter(draft);
  let sum = 0n;
  let units = 0;
  for (const row of view.limits.units) {
    // Slices other than users' hold what is counted already.
    const counts = row.active && (row.type === 'service' || /^user-[0-9]+\.slice$/.test(row.name));
    const limit = counts ? after(row) : 'infinity';
    if (limit === 'infinity') continue;
    sum += limit;
    units += 1;
  }
  const { tasks, by } = draft.bounds.capacity;
  if (sum <= tasks) return [];
  return [
    {
      code: 'capacity',
      severity: 'note',
      message: `The limits of ${units} running services and users add up to ${sum}; the kernel can have ${tasks} tasks at once (${by})`,
    },
  ];
}
