import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Assignment } from '../systemd/resolve.ts';
import type { TaskCount } from '../systemd/tasks-max.ts';
import { plural } from './diagnostic-text.ts';
import { type Cell, displayWidth, labelled, pad, table } from './layout.ts';
import {
  formatCount,
  formatProvenance,
  formatShare,
  formatValue,
  nameLimit,
  sameLimit,
} from './limit-names.ts';
import { systemLine } from './status-text.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';
import { chainOf, parentsOf } from './unit-tree.ts';

const LABEL = 11;

/** Kernel log lines shown, the newest ones. */
const LOG_LINES = 5;

/**
 * Everything about one unit's limit: what it is and what binds, each assignment in the order systemd applies them
 * with its place and fate, what files, manager and kernel say, the levels above and the kernel's own ceilings.
 */
export function explainText(snapshot: Snapshot, limits: HostLimits, unit: UnitLimit, style: Style): SafeText {
  const blocks = [
    [
      style.bold(escapeText(`${unit.name} on ${snapshot.host.hostname}`)),
      ...systemLine(snapshot, style),
      ...summary(snapshot, unit, style),
    ],
    assignments(snapshot, limits, unit, style),
    threeValues(snapshot, unit, style),
    levels(limits, unit, style),
    processLimits(snapshot, unit, style),
    kernelLog(snapshot, unit, style),
  ];
  const filled = blocks.filter((block) => block.length > 0).map((block) => join(block, safe`\n`));
  return safe`${join(filled, safe`\n\n`)}\n`;
}

function summary(snapshot: Snapshot, unit: UnitLimit, style: Style): SafeText[] {
  const { count, by } = unit.effective;
  let limit: SafeText;
  if (by === null) limit = safe`none at any level`;
  else if (sameLimit(by, unit.ref)) limit = safe`${formatCount(count)} tasks, its own`;
  else limit = safe`${formatCount(count)} tasks, bound by ${nameLimit(by)}`;

  const use: SafeText[] = [unit.active ? safe`${formatCount(unit.current)} tasks` : safe`not running`];
  if (unit.headroom !== null) {
    const { tasks, at } = unit.headroom;
    const elsewhere = at !== null && (by === null || !sameLimit(at, by));
    const where = elsewhere ? safe` (least room at ${nameLimit(at)})` : safe``;
    use.push(safe`${formatCount(tasks)} more can be created${where}`);
  }
  if (unit.utilization !== null) use.push(safe`${formatShare(unit.utilization)} used`);
  if (unit.peak !== null) use.push(safe`peak ${unit.peak}`);

  const lines = [
    ...labelled(safe`Effective`, LABEL, limit, style),
    ...labelled(safe`In use`, LABEL, join(use, safe`, `), style),
  ];
  if (unit.rejections !== null) {
    lines.push(...labelled(safe`Rejected`, LABEL, rejections(snapshot, unit.rejections), style));
  }
  return lines;
}

function rejections(snapshot: Snapshot, count: number): SafeText {
  // What the counter counts differs by kernel, and a zero misleads where it is the forking cgroup's counter.
  const what =
    snapshot.cgroups.eventsScope === 'limiting'
      ? safe`at this limit, by anything below it`
      : safe`of processes in this very cgroup, whichever limit was hit`;
  return safe`${plural(count, 'fork')} (${what})`;
}

function assignments(snapshot: Snapshot, limits: HostLimits, unit: UnitLimit, style: Style): SafeText[] {
  if (unit.configured === null) {
    return [style.bold(safe`Set in files`), ...labelled(safe`  `, 2, noFileReason(unit), style)];
  }
  const { limit, provenance, value, count, unread = [] } = unit.configured;
  const lines = [style.bold(safe`Set in files, in the order systemd applies them`)];
  lines.push(...assignmentRows(limit.assignments, style));
  if (limit.assignments.length === 0) {
    lines.push(unread.length === 0 ? safe`  no file sets it` : safe`  no file that could be read sets it`);
  }
  for (const { file = '', message } of unread) {
    const head = safe`  ${style.yellow(pad(safe`unread`, 9, 'left'))}`;
    lines.push(safe`${head}${escapeText(file)}`, ...labelled(safe``, LABEL, escapeText(message), style));
  }
  lines.push(
    ...labelled(
      safe`  so`,
      LABEL,
      safe`${formatValue(value, count)}: ${formatProvenance(provenance)}`,
      style,
    ),
  );
  if (limit.winner === null && provenance.kind === 'default' && unit.type !== 'slice') {
    const manager = limits.managerDefault;
    if (snapshot.systemd !== null && manager.limit.assignments.length > 0) {
      lines.push(style.bold(safe`DefaultTasksMax=, which it falls back to`));
      lines.push(...assignmentRows(manager.limit.assignments, style));
    }
  }
  return lines;
}

function noFileReason(unit: UnitLimit): SafeText {
  return unit.type === 'cgroup'
    ? safe`No file sets it: this cgroup was made below a unit, by a user manager, a container engine or the service itself.`
    : safe`Nothing was read of this unit's files.`;
}

const OUTCOMES = { wins: safe`wins`, overridden: safe`loses`, ignored: safe`ignored` } as const;

/** One assignment a line, or two where place and text do not fit on one. */
function assignmentRows(list: readonly Assignment[], style: Style): SafeText[] {
  const paints = { wins: style.green, overridden: style.dim, ignored: style.yellow };
  return list.flatMap((assignment) => {
    const paint = paints[assignment.outcome];
    const place = escapeText(`${assignment.file}:${assignment.line}`);
    const reason = assignment.reason === undefined ? safe`` : safe` (${escapeText(assignment.reason)})`;
    const set = safe`${escapeText(`[${assignment.section}] ${assignment.key}=${assignment.raw}`)}${reason}`;
    const outcome = paint(pad(OUTCOMES[assignment.outcome], 9, 'left'));
    const oneLine =
      style.width === null || LABEL + displayWidth(place) + 2 + displayWidth(set) <= style.width;
    if (oneLine) return [safe`  ${outcome}${place}  ${set}`];
    return [safe`  ${outcome}${place}`, safe`           ${set}`];
  });
}

/** Files, manager and kernel side by side: where they differ, the kernel is right. */
function threeValues(snapshot: Snapshot, unit: UnitLimit, style: Style): SafeText[] {
  const configured = unit.configured?.count ?? null;
  const { manager, live } = unit;
  const rows: [SafeText, TaskCount | null, SafeText][] = [
    [safe`files`, configured, safe`what they come to on this host`],
    [safe`systemd`, manager, safe`systemctl show; not evidence of what is enforced`],
    [safe`kernel`, live, safe`pids.max, which is what is enforced`],
  ];
  const known = rows.flatMap(([, value]) => (value === null ? [] : [value]));
  const agree = known.every((value) => value === known[0]);
  const lines = [style.bold(safe`What each says`)];
  for (const [who, value, what] of rows) {
    const text = pad(formatCount(value), 10, 'left');
    lines.push(safe`  ${pad(who, 9, 'left')}${agree ? text : style.yellow(text)}${style.dim(what)}`);
  }
  if (!agree) {
    const pending = snapshot.units.find(({ id }) => id === unit.name)?.needDaemonReload === true;
    const why = pending
      ? safe`They differ, and systemd has not read the files as they are now: a daemon-reload is due.`
      : safe`They differ: a change was not applied to the running unit, or was made by hand.`;
    lines.push(...labelled(safe`  `, 2, why, style));
  }
  return lines;
}

function levels(limits: HostLimits, unit: UnitLimit, style: Style): SafeText[] {
  const { kernel } = limits;
  const binding = unit.effective.by;
  const mark = (is: boolean): SafeText => (is ? safe`<- binds` : safe``);
  const row = (name: SafeText, current: number | null, limit: TaskCount | null, binds: boolean): Cell[] => {
    const left = limit === null || limit === 'infinity' || current === null ? null : limit - BigInt(current);
    const paint = binds ? style.bold : undefined;
    const cell = (text: SafeText): Cell => (paint === undefined ? { text } : { text, paint });
    const room = limit === 'infinity' ? safe`-` : formatCount(left);
    return [
      cell(safe`  ${name}`),
      cell(formatCount(current)),
      cell(formatCount(limit)),
      cell(room),
      cell(mark(binds)),
    ];
  };
  const rows = chainOf(unit, parentsOf(limits.units)).map((level) => {
    const limit = level.live ?? (level.active ? null : (level.configured?.count ?? null));
    return row(
      escapeText(level.name),
      level.current,
      limit,
      binding !== null && sameLimit(binding, level.ref),
    );
  });
  for (const [name, ceiling] of [
    ['kernel.threads-max', kernel.threadsMax],
    ['kernel.pid_max', kernel.pidMax],
  ] as const) {
    const binds = binding !== null && sameLimit(binding, { kind: 'sysctl', name });
    rows.push(row(escapeText(name), kernel.tasks, ceiling === null ? null : BigInt(ceiling), binds));
  }
  const titles = [
    { title: safe`  LEVEL`, align: 'left', min: 20 },
    { title: safe`TASKS`, align: 'right' },
    { title: safe`LIMIT`, align: 'right' },
    { title: safe`LEFT`, align: 'right' },
    { title: safe``, align: 'left' },
  ] as const;
  return [style.bold(safe`On the way up, the lowest limit binds`), ...table(titles, rows, style)];
}

/** RLIMIT_NPROC is no cgroup limit, but a fork it refuses looks the same to the program. */
function processLimits(snapshot: Snapshot, unit: UnitLimit, style: Style): SafeText[] {
  const lines: SafeText[] = [];
  const nproc = snapshot.units.find(({ id }) => id === unit.name)?.limitNproc;
  if (nproc !== undefined) lines.push(safe`  LimitNPROC=${escapeText(nproc)} of this service`);
  const uid = /(?:^|\/)user-([0-9]+)\.slice(?:\/|$)/.exec(unit.cgroup ?? unit.name)?.[1];
  for (const session of snapshot.sessions) {
    const limit = snapshot.rlimits.find(({ pid }) => pid === session.leader);
    if (String(session.uid) !== uid || limit === undefined) continue;
    const who = escapeText(`${session.user}, session ${session.id} (${limit.comm}, pid ${limit.pid})`);
    lines.push(safe`  ${who}: soft ${escapeText(limit.soft)}, hard ${escapeText(limit.hard)}`);
  }
  if (lines.length === 0) return [];
  return [style.bold(safe`RLIMIT_NPROC, counted per user id over all cgroups`), ...lines];
}

function kernelLog(snapshot: Snapshot, unit: UnitLimit, style: Style): SafeText[] {
  const { cgroup } = unit;
  if (cgroup === null || cgroup === '/') return [];
  const lines = snapshot.kernel.log.filter((line) => {
    const at = line.indexOf(cgroup);
    return at >= 0 && /^(?:\/|\s|$)/.test(line.slice(at + cgroup.length));
  });
  if (lines.length === 0) return [];
  const shown = lines.slice(-LOG_LINES).map((line) => safe`  ${escapeText(line)}`);
  return [style.bold(safe`Kernel log (one line per cgroup, at its first rejected fork)`), ...shown];
}
