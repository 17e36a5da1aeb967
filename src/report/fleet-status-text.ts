import type { UnitLimit } from '../snapshot/limits.ts';
import { plural } from './diagnostic-text.ts';
import { labelled, table } from './layout.ts';
import { formatCount } from './limit-names.ts';
import { usedCell } from './status-text.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

export interface FleetRow {
  readonly name: string;
  /** The limit with the least room; null: no unit is under one. */
  readonly tightest: UnitLimit | null;
  readonly rejected: number;
}

/** Hosts that could not be read that are named with why. */
const LOST_SHOWN = 5;

/** A table with a row for each host, the one with the least room first, and the hosts that could not be read. */
export function fleetStatusText(
  rows: readonly FleetRow[],
  lost: readonly { readonly name: string; readonly why: string }[],
  most: number,
  style: Style,
): SafeText {
  const sorted = rows.toSorted((a, b) => (b.tightest?.utilization ?? -1) - (a.tightest?.utilization ?? -1));
  const shown = sorted.slice(0, most);
  const more = sorted.length - shown.length;
  const lines = table(
    [
      { title: safe`HOST`, align: 'left', min: 12 },
      { title: safe`USED`, align: 'left' },
      { title: safe`TASKS`, align: 'right' },
      { title: safe`LIMIT`, align: 'right' },
      { title: safe`LEFT`, align: 'right' },
      { title: safe`REJ`, align: 'right' },
      { title: safe`TIGHTEST`, align: 'left', min: 12 },
    ],
    shown.map(({ name, tightest, rejected }) => [
      { text: escapeText(name) },
      tightest === null ? { text: safe`-`, paint: style.dim } : usedCell(tightest, style),
      { text: formatCount(tightest?.current ?? null) },
      { text: formatCount(tightest?.effective.count ?? null) },
      { text: formatCount(tightest?.headroom?.tasks ?? null) },
      rejected > 0 ? { text: safe`${rejected}`, paint: style.red } : { text: safe`0` },
      { text: tightest === null ? safe`no unit is under a limit` : escapeText(tightest.name) },
    ]),
    style,
  );
  if (more > 0) lines.push(style.dim(safe`and ${plural(more, 'host')} with more room`));
  if (lost.length > 0) {
    lines.push(safe``, style.red(safe`${plural(lost.length, 'host')} could not be read:`));
    for (const { name, why } of lost.slice(0, LOST_SHOWN)) {
      lines.push(...labelled(safe`  ${escapeText(name)}: `, name.length + 4, escapeText(why), style));
    }
    if (lost.length > LOST_SHOWN) lines.push(style.dim(safe`  and ${lost.length - LOST_SHOWN} more`));
  }
  return join([...lines, safe``], safe`\n`);
}
