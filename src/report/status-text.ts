import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { bar, type Cell, type Column, labelled, pad, table, wrap } from './layout.ts';
import {
  formatCount,
  formatProvenance,
  formatShare,
  formatValue,
  nameLimit,
  sameLimit,
} from './limit-names.ts';
import { byLeastHeadroom, selectUnits, type UnitFilter } from './select-units.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';
import { type TreeRow, treeRows } from './unit-tree.ts';

/** Columns from which each row also shows the unit's own limit and where that is set. */
const WIDE = 110;

const BAR_WIDTH = { narrow: 6, wide: 10 } as const;

/** Use from which a row is drawn as near its limit, and as nearly out of tasks. */
const NEAR = 0.8;
const NEARLY_OUT = 0.95;

/**
 * A host's task limits as a table: every row a unit with its use, the effective limit and what binds. Least headroom
 * first, or as the tree of slices. `most` is how many of a list are shown.
 */
export function statusText(
  snapshot: Snapshot,
  limits: HostLimits,
  options: { readonly filter: UnitFilter; readonly tree: boolean; readonly most?: number },
  style: Style,
): SafeText {
  const selected = selectUnits(limits.units, options.filter);
  const rows = options.tree
    ? treeRows(limits.units, selected)
    : byLeastHeadroom(selected)
        .slice(0, options.most)
        .map((unit): TreeRow => ({ unit, more: [] }));
  const hidden = limits.units.length - rows.length;
  const lines = [
    ...hostLines(snapshot, limits, style),
    safe``,
    ...(rows.length === 0
      ? [safe`No unit to show: none of ${limits.units.length} passes the filters.`]
      : table(columns(style), rows.map(cells(style)), style)),
  ];
  if (hidden > 0 && rows.length > 0) {
    const why = options.filter.all ? safe`` : safe`; --all shows the inactive and the unlimited ones`;
    lines.push(safe``, style.dim(safe`${rows.length} of ${limits.units.length} units and cgroups${why}`));
  }
  return join([...lines, safe``], safe`\n`);
}

/** What holds for the whole host: who it is, the kernel's ceilings, the defaults for users and services. */
function hostLines(snapshot: Snapshot, limits: HostLimits, style: Style): SafeText[] {
  const { kernel } = limits;
  const { takenAt, probe } = snapshot;
  const reader = probe.uid === 0 ? 'root' : `${probe.user}, who may not see everything`;
  const lines: [SafeText, SafeText][] = [
    [safe`Read`, escapeText(`${takenAt} as ${reader}`)],
    [
      safe`Kernel`,
      safe`${formatCount(kernel.tasks)} tasks exist; threads-max ${formatCount(kernel.threadsMax)}, pid_max ${formatCount(kernel.pidMax)}`,
    ],
  ];
  if (snapshot.systemd !== null) {
    const { userDefault, managerDefault } = limits;
    lines.push(
      [safe`Each user`, formatDefault(userDefault)],
      [safe`Each service`, formatDefault(managerDefault)],
    );
  }
  return [
    style.bold(escapeText(snapshot.host.hostname)),
    ...systemLine(snapshot, style),
    ...lines.flatMap(([label, text]) => labelled(label, 14, text, style)),
  ];
}

function formatDefault(limit: HostLimits['userDefault'] | HostLimits['managerDefault']): SafeText {
  return safe`${formatValue(limit.value, limit.count)}, ${formatProvenance(limit.provenance)}`;
}

/** What runs on the machine. */
export function systemLine({ host, systemd, cgroups }: Snapshot, style: Style): SafeText[] {
  const os = host.osRelease['PRETTY_NAME'] ?? host.osRelease['ID'] ?? 'unknown OS';
  const manager =
    systemd === null ? 'no systemd' : `systemd ${systemd.version}${systemd.running ? '' : ' (not running)'}`;
  const cgroup = cgroups.mode === 'none' ? 'no cgroups' : `cgroup ${cgroups.mode}`;
  const line = escapeText(`${os}, ${manager}, Linux ${host.kernel}, ${cgroup}`);
  return wrap(line, 0, style).map(style.dim);
}

function isWide(style: Style): boolean {
  return style.width === null || style.width >= WIDE;
}

function columns(style: Style): Column[] {
  const narrow: Column[] = [
    { title: safe`UNIT`, align: 'left', min: 16 },
    { title: safe`USED`, align: 'left' },
    { title: safe`TASKS`, align: 'right' },
    { title: safe`PEAK`, align: 'right' },
    { title: safe`LIMIT`, align: 'right' },
    { title: safe`REJ`, align: 'right' },
    { title: safe`BOUND BY`, align: 'left', min: 18 },
  ];
  if (!isWide(style)) return narrow;
  return [
    ...narrow,
    { title: safe`OWN`, align: 'right' },
    { title: safe`OWN SET BY`, align: 'left', min: 16 },
  ];
}

function cells(style: Style): (row: TreeRow) => Cell[] {
  const wide = isWide(style);
  return ({ unit, more }) => {
    const paint = unit.active ? undefined : style.dim;
    const cell = (text: SafeText): Cell => (paint === undefined ? { text } : { text, paint });
    const rejections = formatCount(unit.rejections);
    const narrow = [
      { lead: treePrefix(more, style), ...cell(escapeText(rowName(unit, more.length > 0))) },
      usedCell(unit, style),
      cell(formatCount(unit.current)),
      cell(formatCount(unit.peak)),
      cell(formatCount(unit.effective.count)),
      (unit.rejections ?? 0) > 0 ? { text: rejections, paint: style.red } : cell(rejections),
      cell(boundBy(unit, wide)),
    ];
    if (!wide) return narrow;
    const own = unit.live ?? unit.configured?.count ?? unit.manager;
    const source = unit.configured === null ? safe`-` : formatProvenance(unit.configured.provenance);
    return [...narrow, cell(formatCount(own)), cell(source)];
  };
}

/** Of a bare cgroup in a list the whole path: its last component (`box`, `init.scope`) may be that of many. */
function rowName({ name, type, cgroup }: UnitLimit, inTree: boolean): string {
  return type === 'cgroup' && !inTree && cgroup !== null ? cgroup : name;
}

/** Branches of the tree before a name; nothing in front of the root and of rows of a list. */
function treePrefix(more: readonly boolean[], style: Style): SafeText {
  const [bars, branch, last, none] = style.unicode
    ? [safe`│ `, safe`├─`, safe`└─`, safe`  `]
    : [safe`| `, safe`|-`, safe`\`-`, safe`  `];
  const levels = more.slice(1);
  return join(
    levels.map((follows, i) => {
      if (i < levels.length - 1) return follows ? bars : none;
      return follows ? branch : last;
    }),
    safe``,
  );
}

/** Use of the tightest limit, as a bar and a share. */
export function usedCell(unit: UnitLimit, style: Style): Cell {
  const share = unit.utilization;
  if (share === null) return { text: safe`-`, paint: style.dim };
  const text = safe`${bar(share, isWide(style) ? BAR_WIDTH.wide : BAR_WIDTH.narrow, style)} ${pad(formatShare(share), 4, 'right')}`;
  return { text, paint: share >= NEARLY_OUT ? style.red : share >= NEAR ? style.yellow : style.green };
}

/**
 * What binds: the ancestor's or the sysctl's name; where the unit's own limit does, the place that sets it (in a wide
 * table that has a column of its own). If another level has less room left than the binding one, that is said.
 */
function boundBy(unit: UnitLimit, wide: boolean): SafeText {
  const { by } = unit.effective;
  if (by === null) return safe`-`;
  let binding = nameLimit(by);
  if (sameLimit(by, unit.ref)) binding = wide ? safe`itself` : ownSource(unit);
  const at = unit.headroom?.at ?? null;
  if (unit.headroom === null || at === null || sameLimit(at, by)) return binding;
  return safe`${binding}; ${formatCount(unit.headroom.tasks)} left in ${nameLimit(at)}`;
}

/** Few columns: of a default's sentence only the word, of a file the end of its name. */
function ownSource({ configured }: UnitLimit): SafeText {
  if (configured === null) return safe`itself`;
  return configured.provenance.kind === 'default' ? safe`default` : formatProvenance(configured.provenance);
}
