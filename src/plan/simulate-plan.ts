import { hostLimits } from '../snapshot/limits.ts';
import { resolveContextOf } from '../snapshot/resolve-context.ts';
import type { Snapshot, SnapshotFile, SnapshotUnit } from '../snapshot/snapshot.ts';
import { reloadRule, stepsInOrder } from './activation.ts';
import type { Plan, PlannedFile, PlanStep } from './plan.ts';

/**
 * The snapshot that a host would give after the plan was applied: its files written, its steps run. What systemd does
 * with them is taken from the same rules as the plan's activation, so this shows that a plan is complete, not that the
 * rules are true: that is for real hosts.
 */
export function simulatePlan(snapshot: Snapshot, plan: Plan): Snapshot {
  let after: Snapshot = { ...snapshot, files: filesAfter(snapshot.files, plan.files) };
  for (const step of stepsInOrder(plan.changes.map(({ activation }) => activation))) {
    after = stepDone(after, step, plan);
  }
  return after;
}

function filesAfter(files: readonly SnapshotFile[], planned: readonly PlannedFile[]): SnapshotFile[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  for (const { path, after, before } of planned) {
    if (after === null) {
      byPath.delete(path);
      continue;
    }
    const { content, mode } = after;
    const size =
      'text' in content ? Buffer.byteLength(content.text) : Buffer.from(content.base64, 'base64').length;
    byPath.set(path, {
      path,
      type: 'file',
      mode,
      uid: before?.uid ?? 0,
      gid: before?.gid ?? 0,
      size,
      ...content,
    });
  }
  return [...byPath.values()];
}

function stepDone(snapshot: Snapshot, { command }: PlanStep, plan: Plan): Snapshot {
  if (command.kind === 'write') return withPidsMax(snapshot, command.path, command.value);
  const [program, verb, ...operands] = command.argv;
  if (program === 'sysctl') return withSysctls(snapshot, plan);
  switch (verb) {
    case 'daemon-reload':
    case 'daemon-reexec':
      return reloaded(snapshot);
    case 'set-property':
      return withProperty(snapshot, operands.at(-2) ?? '', operands.at(-1)?.replace('TasksMax=', '') ?? '');
    default:
      // logind reads its configuration, which shows when it makes a slice.
      return snapshot;
  }
}

function withPidsMax(snapshot: Snapshot, path: string, value: string): Snapshot {
  const tree = snapshot.cgroups.tree.map((cgroup) =>
    `${snapshot.cgroups.pidsRoot}${cgroup.path}/pids.max` === path
      ? { ...cgroup, max: maxOf(value) }
      : cgroup,
  );
  return { ...snapshot, cgroups: { ...snapshot.cgroups, tree } };
}

function maxOf(value: string): number | 'max' {
  return value === 'max' || value === 'infinity' ? 'max' : Number(value);
}

function withSysctls(snapshot: Snapshot, plan: Plan): Snapshot {
  const set = (name: string, now: number | null): number | null => {
    const change = plan.changes.find(({ limit }) => limit.kind === 'sysctl' && limit.name === name);
    return change === undefined ? now : Number(change.to.count);
  };
  const { pidMax, threadsMax } = snapshot.kernel;
  return {
    ...snapshot,
    kernel: {
      ...snapshot.kernel,
      pidMax: set('kernel.pid_max', pidMax),
      threadsMax: set('kernel.threads-max', threadsMax),
    },
  };
}

/** systemd has read all files: what it shows is what they say, and what runs has it where this version does that. */
function reloaded(snapshot: Snapshot): Snapshot {
  const ctx = resolveContextOf(snapshot);
  if (ctx === null) return snapshot;
  const limits = hostLimits(snapshot, ctx);
  const counts = new Map<string, string>();
  for (const { name, type, configured } of limits.units) {
    if (type !== 'cgroup' && configured !== null) counts.set(name, String(configured.count));
  }
  const units = snapshot.units.map((unit): SnapshotUnit => {
    const count = counts.get(unit.id);
    return count === undefined || unit.tasksMax === undefined ? unit : { ...unit, tasksMax: count };
  });
  const rewrites = reloadRule(ctx.capabilities).does === 'rewrites';
  const unitOf = new Map(units.map(({ id, cgroup }) => [cgroup, id]));
  const tree = snapshot.cgroups.tree.map((cgroup) => {
    const count = counts.get(unitOf.get(cgroup.path) ?? '');
    return rewrites && count !== undefined && cgroup.max !== undefined
      ? { ...cgroup, max: maxOf(count) }
      : cgroup;
  });
  const { systemd } = snapshot;
  return {
    ...snapshot,
    units,
    cgroups: { ...snapshot.cgroups, tree },
    systemd: systemd === null ? null : { ...systemd, defaultTasksMax: String(limits.managerDefault.count) },
  };
}

/** set-property --runtime writes beside the file of a transient unit, below /run, and of others below system.control. */
function withProperty(snapshot: Snapshot, unit: string, value: string): Snapshot {
  const found = snapshot.units.find(({ id }) => id === unit);
  const since230 = (snapshot.systemd?.version ?? 0) >= 230;
  const transient = since230 ? '/run/systemd/transient' : '/run/systemd/system';
  const directory = found?.transient === true ? transient : '/run/systemd/system.control';
  const path = `${directory}/${unit}.d/50-TasksMax.conf`;
  const text = `[Slice]\nTasksMax=${value}\n`;
  const file: SnapshotFile = { path, type: 'file', mode: 0o644, uid: 0, gid: 0, size: text.length, text };
  const written: Snapshot = {
    ...snapshot,
    files: [...snapshot.files.filter((other) => other.path !== path), file],
    units: snapshot.units.map((other) => (other.id === unit ? { ...other, tasksMax: value } : other)),
  };
  return found?.cgroup === undefined
    ? written
    : withPidsMax(written, `${snapshot.cgroups.pidsRoot}${found.cgroup}/pids.max`, value);
}
