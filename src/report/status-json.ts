import { z } from 'zod';
import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';
import { describeProvenance, type Provenance, provenancePlace } from '../snapshot/provenance.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Assignment, ResolvedLimit } from '../systemd/resolve.ts';
import { formatTasksMax, type TaskCount, type TasksMax } from '../systemd/tasks-max.ts';

/**
 * What `tasksctl status --json` prints. Limits are strings, decimal digits or the word `infinity`, since systemd's may
 * be up to 2^64-1; numbers of existing tasks are numbers. What could not be read is null, never zero. Fields may be
 * added under `tasksctl/status/1`; none is removed or changes its meaning.
 */

const count = z
  .string()
  .regex(/^(?:[0-9]{1,20}|infinity)$/)
  .describe('A limit: decimal digits, or infinity where nothing limits');
const use = z.number().int().nonnegative().nullable();

const provenance = z.strictObject({
  text: z.string().describe('file:line, or whose default it is'),
  file: z.string().optional(),
  line: z.number().int().optional(),
});

const limitRef = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('unit'), unit: z.string() }),
  z.strictObject({ kind: z.literal('cgroup'), path: z.string() }),
  z.strictObject({ kind: z.literal('user-default') }),
  z.strictObject({ kind: z.literal('manager-default'), manager: z.enum(['system', 'user']) }),
  z.strictObject({ kind: z.literal('sysctl'), name: z.enum(['kernel.pid_max', 'kernel.threads-max']) }),
]);

const assignment = z.strictObject({
  file: z.string(),
  line: z.number().int(),
  section: z.string(),
  key: z.string(),
  raw: z.string(),
  outcome: z.enum(['wins', 'overridden', 'ignored']),
  reason: z.string().optional(),
});

const configured = z.strictObject({
  value: z.string().describe('As written: 4096, 33%, infinity'),
  count: count.describe('The tasks the value comes to on this host'),
  provenance,
  assignments: z.array(assignment).describe('Every assignment found, in the order systemd applies them'),
});

const unit = z.strictObject({
  name: z.string(),
  type: z.string(),
  ref: limitRef,
  active: z.boolean(),
  cgroup: z.string().nullable(),
  parent: z.string().nullable(),
  configured: configured.nullable(),
  manager: count.nullable().describe('What systemctl show says; not evidence of what is enforced'),
  live: count.nullable().describe('pids.max of the cgroup: what the kernel enforces'),
  current: use,
  peak: use,
  rejections: use,
  effective: z.strictObject({ count, by: limitRef.nullable() }),
  headroom: z.strictObject({ tasks: count, at: limitRef.nullable() }).nullable(),
  utilization: z.number().nullable().describe('Used share of the tightest limit in the chain'),
});

/** One finding; docs/diagnostics.md explains the codes. */
export const diagnosticSchema = z.strictObject({
  code: z.string(),
  severity: z.enum(['error', 'warning', 'note']),
  message: z.string(),
  file: z.string().optional(),
  line: z.number().int().optional(),
  unit: z.string().optional(),
  help: z.string().optional(),
});

export const statusSchema = z.strictObject({
  schema: z.literal('tasksctl/status/1'),
  target: z.string(),
  takenAt: z.string(),
  host: z.strictObject({
    hostname: z.string(),
    os: z.string().nullable(),
    kernel: z.string(),
    systemdVersion: z.number().int().nullable(),
    cgroupMode: z.enum(['v1', 'hybrid', 'v2', 'none']),
    eventsScope: z
      .enum(['forking', 'limiting'])
      .nullable()
      .describe('What rejections count: forks refused in that cgroup, or hits of its own limit'),
  }),
  kernel: z.strictObject({
    pidMax: use,
    threadsMax: use,
    tasks: use,
    systemTasksMax: count.nullable().describe('What percentages are of'),
  }),
  userDefault: configured.extend({
    where: z.enum(['logind', 'user-slice-drop-in', 'suse-generator', 'none']),
  }),
  managerDefault: configured.extend({ manager: count.nullable() }),
  units: z.array(unit),
  diagnostics: z.array(diagnosticSchema),
  problems: z.array(z.strictObject({ part: z.string(), reason: z.string(), detail: z.string() })),
});

export type Status = z.infer<typeof statusSchema>;

/** The machine-readable status of a host with these rows of it, in the order given. */
export function statusJson(snapshot: Snapshot, limits: HostLimits, units: readonly UnitLimit[]): Status {
  const { host, systemd, cgroups } = snapshot;
  const { userDefault, managerDefault, kernel } = limits;
  return {
    schema: 'tasksctl/status/1',
    target: snapshot.target,
    takenAt: snapshot.takenAt,
    host: {
      hostname: host.hostname,
      os: host.osRelease['PRETTY_NAME'] ?? null,
      kernel: host.kernel,
      systemdVersion: systemd?.version ?? null,
      cgroupMode: cgroups.mode,
      eventsScope: cgroups.eventsScope,
    },
    kernel: {
      pidMax: kernel.pidMax,
      threadsMax: kernel.threadsMax,
      tasks: kernel.tasks,
      systemTasksMax: countOrNull(kernel.systemTasksMax),
    },
    userDefault: { where: userDefault.where, ...configuredJson(userDefault) },
    managerDefault: { ...configuredJson(managerDefault), manager: countOrNull(managerDefault.manager) },
    units: units.map(unitJson),
    diagnostics: [...limits.diagnostics],
    problems: snapshot.problems,
  };
}

function unitJson(unit: UnitLimit): Status['units'][number] {
  const { name, type, ref, active, cgroup, parent, current, peak, rejections, utilization } = unit;
  return {
    name,
    type,
    ref,
    active,
    cgroup,
    parent,
    configured: unit.configured === null ? null : configuredJson(unit.configured),
    manager: countOrNull(unit.manager),
    live: countOrNull(unit.live),
    current,
    peak,
    rejections,
    effective: { count: String(unit.effective.count), by: unit.effective.by },
    headroom: unit.headroom === null ? null : { tasks: String(unit.headroom.tasks), at: unit.headroom.at },
    utilization,
  };
}

function configuredJson(setting: {
  readonly limit: ResolvedLimit;
  readonly value: TasksMax;
  readonly count: TaskCount;
  readonly provenance: Provenance;
}): z.infer<typeof configured> {
  const { provenance } = setting;
  return {
    value: formatTasksMax(setting.value),
    count: String(setting.count),
    provenance: { text: describeProvenance(provenance), ...provenancePlace(provenance) },
    assignments: setting.limit.assignments.map(assignmentJson),
  };
}

function assignmentJson({ file, line, section, key, raw, outcome, reason }: Assignment) {
  return { file, line, section, key, raw, outcome, ...(reason === undefined ? {} : { reason }) };
}

function countOrNull(value: TaskCount | null): string | null {
  return value === null ? null : String(value);
}
