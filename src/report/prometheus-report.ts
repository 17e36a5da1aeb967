import { patternOf } from '../measure/pattern-of.ts';
import type { HostReport, UnitRow } from './host-report.ts';
import { escapeText } from './terminal-escape.ts';

/** Series of each metric of units, at most: those with the least headroom. */
const MOST_UNITS = 200;

/** Codes of lint: the kernel or systemd has yet to take up what files say. */
const PENDING: ReadonlySet<string> = new Set(['live-differs', 'manager-differs', 'needs-daemon-reload']);

/** Units that stand for one label. */
interface Group {
  readonly unit: string;
  /** Of the one with the least headroom. */
  readonly tightest: UnitRow;
  readonly tasks: number | null;
  readonly rejections: number | null;
}

/**
 * A host's limits as Prometheus text for the textfile collector of node_exporter. Labels are few and lasting: units that
 * come and go have one label together (`user-.slice`, `session-.scope`, `foo@.service`), and the host has none, since
 * the server adds its own. What could not be read is left out; a unit that nothing limits has no limit and no ratio.
 */
export function prometheusReport(host: HostReport): string {
  const groups = groupsOf(host.rows);
  const shown = groups.slice(0, MOST_UNITS);
  const each = (value: (group: Group) => number | null) =>
    shown.map((group) => [{ unit: group.unit }, value(group)] as const);
  const finite = ({ limit }: UnitRow): number | null => (limit === 'infinity' ? null : Number(limit));
  const kernel = (name: string, value: number | null) => [{ limit: name }, value] as const;
  const count = (severity: string) =>
    [{ severity }, host.diagnostics.filter((found) => found.severity === severity).length] as const;
  const read = Date.parse(host.takenAt);
  return [
    metric(
      'tasksctl_unit_tasks',
      'Tasks of the unit; of a pattern, of the unit that has the most.',
      each((group) => group.tasks),
    ),
    metric(
      'tasksctl_unit_tasks_limit',
      'Lowest limit on the way up from the unit; of a pattern, of the unit with the least headroom.',
      each(({ tightest }) => finite(tightest)),
    ),
    metric(
      'tasksctl_unit_headroom_ratio',
      'Free share, 0 to 1, of the tightest limit on the way up from the unit.',
      each(({ tightest: { used } }) => (used === null ? null : Math.max(0, 1 - used))),
    ),
    metric(
      'tasksctl_unit_rejected_forks',
      'Forks rejected so far in the cgroups that exist now: a gauge, since they go and take their counts with them.',
      each((group) => group.rejections),
    ),
    metric('tasksctl_units_omitted', 'Units and patterns left out, those with the most headroom.', [
      [{}, groups.length - shown.length],
    ]),
    metric('tasksctl_kernel_tasks', 'Tasks that exist on the kernel.', [[{}, host.tasks]]),
    metric('tasksctl_kernel_tasks_limit', 'Ceilings of the kernel.', [
      kernel('threads-max', host.threadsMax),
      kernel('pid_max', host.pidMax),
    ]),
    metric(
      'tasksctl_pending_activations',
      'Findings about limits in files that systemd or the kernel has yet to take up.',
      [[{}, host.diagnostics.filter(({ code }) => PENDING.has(code)).length]],
    ),
    metric('tasksctl_findings', 'Findings of tasksctl lint.', [
      count('error'),
      count('warning'),
      count('note'),
    ]),
    metric('tasksctl_read_timestamp_seconds', "When the host was read, by the host's clock.", [
      [{}, Number.isNaN(read) ? null : read / 1000],
    ]),
  ].join('');
}

/** Slices, services and scopes, those that come and go together; least headroom first. */
function groupsOf(rows: readonly UnitRow[]): Group[] {
  const groups = new Map<string, Group>();
  for (const row of rows) {
    if (row.type !== 'slice' && row.type !== 'service' && row.type !== 'scope') continue;
    // Names that are shown alike are one: the collector refuses a whole file for one series told twice.
    const unit = escapeText(patternOf(row.name) ?? row.name);
    const known = groups.get(unit);
    groups.set(unit, {
      unit,
      tightest: known === undefined || (row.used ?? -1) > (known.tightest.used ?? -1) ? row : known.tightest,
      tasks: most(known?.tasks ?? null, row.current),
      rejections: sum(known?.rejections ?? null, row.rejections),
    });
  }
  return [...groups.values()].sort(
    (a, b) => (b.tightest.used ?? -1) - (a.tightest.used ?? -1) || (a.unit < b.unit ? -1 : 1),
  );
}

function most(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b);
}

function sum(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : a + b;
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | null];

function metric(name: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.flatMap(([labels, value]) => {
    if (value === null) return [];
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${labelValue(text)}"`);
    return [`${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${Number(value.toFixed(4))}`];
  });
  return lines.length === 0
    ? ''
    : [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines, ''].join('\n');
}

/** Line breaks are visible already. */
function labelValue(raw: string): string {
  return raw.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}
