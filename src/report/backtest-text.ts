import type { Backtest, UnitBacktest } from '../needs/backtest.ts';
import { formatDuration } from '../needs/need-of-use.ts';
import { type Cell, type Column, table } from './layout.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** What each set of limits would have done, one row each; with `units`, what it would have done to each unit. */
export function backtestText(
  results: readonly Backtest[],
  options: { readonly units: boolean; readonly measuredMs: number },
  style: Style,
): SafeText {
  const lines = [
    style.bold(safe`Replay of ${escapeText(formatDuration(options.measuredMs))}`),
    safe``,
    ...table(
      COLUMNS,
      results.map((result) => cells(result, style)),
      style,
    ),
    ...results.flatMap((result) => unitLines(result, options.units, style)),
  ];
  return join([...lines, safe``], safe`\n`);
}

const COLUMNS: readonly Column[] = [
  { title: safe`LIMITS`, align: 'left', min: 10 },
  { title: safe`UNITS`, align: 'right' },
  { title: safe`HIT`, align: 'right' },
  { title: safe`REJECTIONS`, align: 'right' },
  { title: safe`LIMIT/PEAK`, align: 'right' },
  { title: safe`LARGEST`, align: 'right' },
];

function cells(result: Backtest, style: Style): Cell[] {
  const paint = result.rejections > 0 ? style.red : style.green;
  return [
    { text: escapeText(result.name) },
    { text: safe`${result.units.length}` },
    { text: safe`${result.hit}`, paint },
    { text: countText(result), paint },
    { text: factorText(result.medianFactor) },
    { text: factorText(result.largestFactor) },
  ];
}

function countText({
  rejections,
  exact,
}: {
  readonly rejections: number;
  readonly exact: boolean;
}): SafeText {
  return exact || rejections === 0 ? safe`${rejections}` : safe`>=${rejections}`;
}

function factorText(factor: number | null): SafeText {
  return factor === null ? safe`-` : escapeText(`${factor.toFixed(1)}x`);
}

const UNIT_COLUMNS: readonly Column[] = [
  { title: safe`UNIT`, align: 'left', min: 16 },
  { title: safe`LIMIT`, align: 'right' },
  { title: safe`PEAK`, align: 'right' },
  { title: safe`HEADROOM`, align: 'right' },
  { title: safe`LIMIT/PEAK`, align: 'right' },
  { title: safe`REJECTIONS`, align: 'right' },
  { title: safe`OVER FOR`, align: 'right' },
];

/** The units that were hit, or all of them. */
function unitLines({ name, units }: Backtest, all: boolean, style: Style): SafeText[] {
  const shown = units.filter(({ rejections }) => all || rejections > 0);
  if (shown.length === 0) return [];
  return [
    safe``,
    style.bold(escapeText(name)),
    ...table(
      UNIT_COLUMNS,
      shown.map((unit) => unitCells(unit, style)),
      style,
    ),
  ];
}

function unitCells(unit: UnitBacktest, style: Style): Cell[] {
  const hit = unit.rejections > 0 ? { paint: style.red } : {};
  return [
    { text: escapeText(unit.unit) },
    { text: safe`${unit.limit}` },
    { text: unit.truncated ? safe`>=${unit.peak}` : safe`${unit.peak}` },
    { text: safe`${unit.headroom}` },
    { text: factorText(unit.factor) },
    { text: countText(unit), ...hit },
    { text: unit.overMs === 0 ? safe`-` : escapeText(formatDuration(unit.overMs)) },
  ];
}
