import { rejectionsBelow } from '../plan/need.ts';
import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';
import { describeProvenance } from '../snapshot/provenance.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { formatTasksMax, type TaskCount, type TasksMax } from '../systemd/tasks-max.ts';
import { nameLimit, sameLimit } from './limit-names.ts';
import { selectUnits } from './select-units.ts';
import { treeRows } from './unit-tree.ts';

/** What a report tells of one unit or cgroup. Texts are a host's and raw: whoever writes them out escapes them. */
export interface UnitRow {
  readonly name: string;
  readonly type: string;
  /** Levels above it in the tree. */
  readonly depth: number;
  readonly current: number | null;
  readonly peak: number | null;
  readonly rejections: number | null;
  /** The lowest limit on the way up, and what sets it; null: nothing does. */
  readonly limit: TaskCount;
  readonly by: string | null;
  /** Tasks that can still be created, and where the room is least if not at what binds. */
  readonly left: TaskCount | null;
  readonly leftAt: string | null;
  /** Share of the tightest limit in use, 0 to 1. */
  readonly used: number | null;
  /** Its own limit, `33% = 10813`, and where that is set; null: it has none that files know of. */
  readonly own: string | null;
  readonly source: string | null;
  /** Every assignment in files, in the order systemd applies them: `file:line [Section] Key=value: outcome`. */
  readonly assignments: readonly string[];
}

/** A host as a report has it: small, so that those of a large fleet can be held at once. */
export interface HostReport {
  readonly hostname: string;
  readonly machineId: string | null;
  readonly target: string;
  /** ISO 8601, by the host's clock. */
  readonly takenAt: string;
  readonly os: string;
  readonly kernel: string;
  readonly systemdVersion: number | null;
  readonly cgroupMode: string;
  readonly tasks: number | null;
  /** Rejected forks of all cgroups, each once: counts of rows may hold those of rows below them. */
  readonly rejections: number;
  readonly threadsMax: number | null;
  readonly pidMax: number | null;
  /** What each user and each service gets, with its source; null without systemd. */
  readonly userDefault: string | null;
  readonly serviceDefault: string | null;
  /** Active units and those above them, depth first. */
  readonly rows: readonly UnitRow[];
  /** Units that are left out: inactive ones, and cgroups without a limit. */
  readonly hidden: number;
  readonly diagnostics: readonly Diagnostic[];
  /** Parts of the host that could not be read. */
  readonly problems: readonly string[];
}

/** The report of one host; `limits` are `hostLimits(snapshot)`. */
export function hostReport(snapshot: Snapshot, limits: HostLimits): HostReport {
  const { host, systemd, cgroups, problems } = snapshot;
  const selected = selectUnits(limits.units, { all: false, globs: [], over: null });
  const rows = treeRows(limits.units, selected).map(({ unit, more }) => unitRow(unit, more.length - 1));
  return {
    hostname: host.hostname,
    machineId: host.machineId,
    target: snapshot.target,
    takenAt: snapshot.takenAt,
    os: host.osRelease['PRETTY_NAME'] ?? host.osRelease['ID'] ?? 'unknown OS',
    kernel: host.kernel,
    systemdVersion: systemd?.version ?? null,
    cgroupMode: cgroups.mode,
    tasks: limits.kernel.tasks,
    rejections: rejectionsBelow(snapshot, null),
    threadsMax: limits.kernel.threadsMax,
    pidMax: limits.kernel.pidMax,
    userDefault: systemd === null ? null : describeDefault(limits.userDefault),
    serviceDefault: systemd === null ? null : describeDefault(limits.managerDefault),
    rows,
    hidden: limits.units.length - rows.length,
    diagnostics: limits.diagnostics,
    problems: problems.map(({ part, reason, detail }) =>
      [part, reason.replaceAll('-', ' '), detail].filter((text) => text !== '').join(': '),
    ),
  };
}

/** The unit that uses the most of its tightest limit, the topmost where several share it; null: nothing limits. */
export function tightestRow(rows: readonly UnitRow[]): UnitRow | null {
  return rows.reduce<UnitRow | null>(
    (tightest, row) => (row.used !== null && row.used > (tightest?.used ?? -1) ? row : tightest),
    null,
  );
}

function describeDefault(limit: HostLimits['userDefault'] | HostLimits['managerDefault']): string {
  return `${describeValue(limit.value, limit.count)}, ${describeProvenance(limit.provenance)}`;
}

function describeValue(value: TasksMax, count: TaskCount): string {
  const written = formatTasksMax(value);
  return written === String(count) ? written : `${written} = ${count}`;
}

function unitRow(unit: UnitLimit, depth: number): UnitRow {
  const { configured, effective, headroom } = unit;
  const own = unit.live ?? unit.manager;
  const at = headroom?.at ?? null;
  return {
    name: unit.name,
    type: unit.type,
    depth,
    current: unit.current,
    peak: unit.peak,
    rejections: unit.rejections,
    limit: effective.count,
    by: effective.by === null ? null : sameLimit(effective.by, unit.ref) ? 'itself' : nameLimit(effective.by),
    left: headroom?.tasks ?? null,
    leftAt: at === null || effective.by === null || sameLimit(at, effective.by) ? null : nameLimit(at),
    used: unit.utilization,
    own:
      configured !== null
        ? describeValue(configured.value, configured.count)
        : own === null
          ? null
          : String(own),
    source: configured === null ? null : describeProvenance(configured.provenance),
    assignments: (configured?.limit.assignments ?? []).map(
      ({ file, line, section, key, raw, outcome, reason }) =>
        `${file}:${line} [${section}] ${key}=${raw}: ${outcome}${reason === undefined ? '' : `, ${reason}`}`,
    ),
  };
}
