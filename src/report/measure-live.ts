import type { UnitRoom } from '../measure/headroom.ts';
import { bar, type Cell, type Column, keepEnd, table } from './layout.ts';
import { formatShare } from './limit-names.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** A host that is being measured. */
export interface LiveHost {
  readonly target: string;
  readonly state: 'connecting' | 'measuring' | 'done' | 'failed';
  readonly samples: number;
  readonly leftMs: number;
  /** Least room first. */
  readonly rooms: readonly UnitRoom[];
  /** Counts of the last samples by cgroup path, oldest first. */
  readonly history: ReadonlyMap<string, readonly number[]>;
  /** What Ctrl-C does with what was measured. */
  readonly interrupt: 'keeps' | 'drops';
}

/** Width of the sparkline, and samples that are kept for it. */
export const HISTORY = 24;

/** Lines of the live view: for each host its state and its units with the least room. */
export function measureLive(hosts: readonly LiveHost[], height: number, style: Style): SafeText[] {
  // A line for each host; what is left is for units, with the titles of a table.
  const each = Math.max(0, Math.floor((height - 1) / hosts.length) - 2);
  return hosts.flatMap((host) => {
    const head = style.bold(keepEnd(escapeText(headOf(host)), style.width ?? 200, style));
    if (host.state !== 'measuring' || each < 1 || host.rooms.length === 0) return [head];
    const rows = host.rooms.slice(0, Math.min(each, 12));
    return [
      head,
      ...table(
        COLUMNS,
        rows.map((room) => cells(room, host, style)),
        style,
      ),
    ];
  });
}

function headOf({ target, state, samples, leftMs, rooms, interrupt }: LiveHost): string {
  switch (state) {
    case 'connecting':
      return `${target}: connecting`;
    case 'measuring':
      return `${target}: ${samples} samples of ${rooms.length} units, ${clock(leftMs)} left (Ctrl-C ${interrupt === 'keeps' ? 'keeps what there is' : 'leaves'})`;
    case 'done':
      return `${target}: done, ${samples} samples`;
    case 'failed':
      return `${target}: failed after ${samples} samples`;
  }
}

/** `1:02:03`, `2:03`. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (number: number): string => String(number).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const COLUMNS: readonly Column[] = [
  { title: safe`UNIT`, align: 'left', min: 16 },
  { title: safe`USED`, align: 'left' },
  { title: safe`TASKS`, align: 'right' },
  { title: safe`PEAK`, align: 'right' },
  { title: safe`LEFT`, align: 'right' },
  { title: safe`LATELY`, align: 'left' },
];

function cells({ unit, left, used }: UnitRoom, { history }: LiveHost, style: Style): Cell[] {
  const paint =
    used === null ? style.dim : used >= 0.95 ? style.red : used >= 0.8 ? style.yellow : style.green;
  return [
    { text: escapeText(unit.unit) },
    { text: used === null ? safe`-` : safe`${bar(used, 6, style)} ${formatShare(used)}`, paint },
    { text: safe`${unit.tasks}` },
    { text: safe`${unit.peak}` },
    { text: left === null ? safe`-` : safe`${left}` },
    { text: sparkline(history.get(unit.path) ?? [], style), paint: style.cyan },
  ];
}

/** Counts as a line of blocks, the highest of them as high as can be, nothing as low as can be. */
export function sparkline(counts: readonly number[], style: Style): SafeText {
  const levels = style.unicode
    ? [safe`▁`, safe`▂`, safe`▃`, safe`▄`, safe`▅`, safe`▆`, safe`▇`, safe`█`]
    : [safe`_`, safe`.`, safe`-`, safe`~`, safe`=`, safe`+`, safe`*`, safe`#`];
  const most = Math.max(1, ...counts);
  return join(
    counts.map((count) => levels[Math.round((count / most) * (levels.length - 1))] ?? safe` `),
    safe``,
  );
}
