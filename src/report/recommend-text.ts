import { formatDuration } from '../needs/need-of-use.ts';
import type { Capacity, Recommendation, Recommendations } from '../needs/recommend.ts';
import { type Cell, type Column, table, wrap } from './layout.ts';
import { formatCount } from './limit-names.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** Limits recommended, with the arithmetic of each, and whether the kernels could give all of that. */
export function recommendText(
  { units, capacity }: Recommendations,
  options: { readonly policy: string; readonly measuredMs: number; readonly explain: boolean },
  style: Style,
): SafeText {
  const hosts = capacity.length === 1 ? '1 host' : `${capacity.length} hosts`;
  const head = safe`${escapeText(`By policy ${options.policy}, from ${formatDuration(options.measuredMs)} on ${hosts}`)}`;
  const lines = [
    style.bold(head),
    safe``,
    ...(units.length === 0
      ? [safe`Nothing was measured of the units asked for.`]
      : table(
          COLUMNS,
          units.map((unit) => cells(unit, style)),
          style,
        )),
    ...(options.explain ? units.flatMap((unit) => arithmetic(unit, style)) : []),
    safe``,
    ...capacity.flatMap((one) => capacityLines(one, style)),
  ];
  return join([...lines, safe``], safe`\n`);
}

const COLUMNS: readonly Column[] = [
  { title: safe`UNIT`, align: 'left', min: 16 },
  { title: safe`LIMIT`, align: 'right' },
  { title: safe`NEED`, align: 'right' },
  { title: safe`PEAK`, align: 'right' },
  { title: safe`99%`, align: 'right' },
  { title: safe`REJ`, align: 'right' },
  { title: safe`CONFIDENCE`, align: 'left' },
  { title: safe`MOST ON`, align: 'left', min: 8 },
];

function cells(unit: Recommendation, style: Style): Cell[] {
  const paint =
    unit.confidence === 'high' ? style.green : unit.confidence === 'medium' ? style.yellow : style.red;
  const of = unit.hosts === 1 ? '' : ` (of ${unit.hosts})`;
  return [
    { text: escapeText(unit.unit) },
    { text: safe`${unit.limit}`, paint: style.bold },
    { text: safe`${unit.need}` },
    { text: safe`${unit.peak}` },
    { text: safe`${unit.p99}` },
    { text: formatCount(unit.rejections) },
    { text: escapeText(unit.truncated ? `${unit.confidence}, hit its limit` : unit.confidence), paint },
    { text: escapeText(`${unit.hostname}${of}`) },
  ];
}

function arithmetic(unit: Recommendation, style: Style): SafeText[] {
  const lines = unit.lines.flatMap((line) => wrap(escapeText(line), 2, style).map((text) => safe`  ${text}`));
  return [safe``, style.bold(escapeText(`${unit.unit}: ${unit.limit}`)), ...lines];
}

function capacityLines({ hostname, ceiling, peak, promised, verdict }: Capacity, style: Style): SafeText[] {
  const name = hostname;
  if (ceiling === null) return [escapeText(`${name}: the kernel's ceilings were not measured`)];
  const room = `${ceiling.tasks} tasks (${ceiling.by})`;
  const most = peak === null ? '' : `, at most ${peak} existed`;
  const text = ((): string => {
    switch (verdict) {
      case 'too-low':
        return `${name}: the kernel's ceiling of ${room} is too low${most}: no room for growth`;
      case 'overcommitted':
        return `${name}: limits come to ${promised} together, more than the kernel's ${room}${most}: fine as long as not all are reached at once`;
      default:
        return `${name}: limits come to ${promised} together, the kernel has ${room}${most}`;
    }
  })();
  const paint = verdict === 'too-low' ? style.red : verdict === 'overcommitted' ? style.yellow : style.green;
  return wrap(escapeText(text), 0, style).map(paint);
}
