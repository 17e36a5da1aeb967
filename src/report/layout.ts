import stringWidth from 'string-width';
import type { Style } from './style.ts';
import { join, type SafeText, safe } from './terminal-escape.ts';

const segmenter = new Intl.Segmenter();

/** Terminal columns the text takes; colours count for nothing. */
export function displayWidth(text: SafeText): number {
  return stringWidth(text);
}

/** The end of an uncoloured text in at most `width` columns: of names and paths the end tells them apart. */
export function keepEnd(text: SafeText, width: number, style: Style): SafeText {
  return cut(text, width, style, 'end');
}

/** The beginning of an uncoloured text in at most `width` columns. */
export function keepStart(text: SafeText, width: number, style: Style): SafeText {
  return cut(text, width, style, 'start');
}

function cut(text: SafeText, width: number, style: Style, keep: 'start' | 'end'): SafeText {
  if (displayWidth(text) <= width) return text;
  const ellipsis = (style.unicode ? '…' : '..').slice(0, Math.max(0, width));
  const clusters = [...segmenter.segment(text)].map(({ segment }) => segment);
  if (keep === 'end') clusters.reverse();
  let room = width - stringWidth(ellipsis);
  const kept: string[] = [];
  for (const cluster of clusters) {
    room -= stringWidth(cluster);
    if (room < 0) break;
    kept.push(cluster);
  }
  return (keep === 'end' ? ellipsis + kept.reverse().join('') : kept.join('') + ellipsis) as SafeText;
}

/** Spaces up to `width` columns, on the side away from which the text is aligned. */
export function pad(text: SafeText, width: number, align: 'left' | 'right'): SafeText {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text))) as SafeText;
  return align === 'left' ? safe`${text}${space}` : safe`${space}${text}`;
}

/**
 * Uncoloured text broken at spaces into lines that fit the style's width after `indent` columns; one line where the
 * style has no width. A word longer than a line stays whole, so that it can be copied.
 */
export function wrap(text: SafeText, indent: number, style: Style): SafeText[] {
  const room = style.width === null ? Number.POSITIVE_INFINITY : Math.max(20, style.width - indent);
  if (displayWidth(text) <= room) return [text];
  const lines: string[] = [];
  let line: string | null = null;
  let used = 0;
  for (const word of text.split(' ')) {
    const width = stringWidth(word);
    if (line !== null && used + 1 + width <= room) {
      line = `${line} ${word}`;
      used += 1 + width;
      continue;
    }
    if (line !== null) lines.push(line);
    line = word;
    used = width;
  }
  return [...lines, line ?? ''] as SafeText[];
}

/** A label, then text wrapped beside it, its further lines under its first. */
export function labelled(
  label: SafeText,
  labelWidth: number,
  text: SafeText,
  style: Style,
  paint: (line: SafeText) => SafeText = (line) => line,
): SafeText[] {
  const indent = ' '.repeat(labelWidth) as SafeText;
  return wrap(text, labelWidth, style).map((line, i) =>
    i === 0 ? safe`${pad(label, labelWidth, 'left')}${paint(line)}` : safe`${indent}${paint(line)}`,
  );
}

/** A share of a whole as a bar of `width` columns; empty only for nothing, full only for all. */
export function bar(share: number, width: number, style: Style): SafeText {
  const inner = style.unicode ? width : width - 2;
  const steps = style.unicode ? 8 : 1;
  const total = inner * steps;
  const exact = Math.min(1, Math.max(0, share)) * total;
  const filled =
    share > 0 && share < 1 ? Math.min(total - 1, Math.max(1, Math.round(exact))) : Math.round(exact);
  if (!style.unicode) return `[${'#'.repeat(filled)}${'.'.repeat(inner - filled)}]` as SafeText;
  const part = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][filled % 8] ?? '';
  const drawn = '█'.repeat(Math.floor(filled / 8)) + part;
  return (drawn + '░'.repeat(inner - stringWidth(drawn))) as SafeText;
}

export interface Column {
  readonly title: SafeText;
  readonly align: 'left' | 'right';
  /** The column may be cut down to this width, keeping the end of its texts. */
  readonly min?: number;
}

export interface Cell {
  /** Stands before the text and is never cut: branches of a tree. */
  readonly lead?: SafeText;
  /** Uncoloured: it may have to be cut. */
  readonly text: SafeText;
  readonly paint?: (text: SafeText) => SafeText;
}

const GAP = 2;

/**
 * Lines of a table under a line of titles. Where it is too wide for the style, the columns that may be cut are, from
 * the last to the first: what a row is about stands first.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  style: Style,
): SafeText[] {
  const widths = columns.map((column, i) =>
    rows.reduce((most, row) => Math.max(most, cellWidth(row[i])), displayWidth(column.title)),
  );
  if (style.width !== null) shrink(widths, columns, style.width - GAP * (columns.length - 1));
  const line = (cells: readonly Cell[]): SafeText => {
    const parts = columns.map((column, i) => {
      const { lead = safe``, text, paint = (same) => same }: Cell = cells[i] ?? { text: safe`` };
      const room = (widths[i] ?? 0) - displayWidth(lead);
      const shown = keepEnd(text, Math.max(0, room), style);
      const space = ' '.repeat(Math.max(0, room - displayWidth(shown))) as SafeText;
      return column.align === 'right'
        ? safe`${space}${lead}${paint(shown)}`
        : safe`${lead}${paint(shown)}${space}`;
    });
    return join(parts, safe`  `).trimEnd() as SafeText;
  };
  const titles = columns.map((column): Cell => ({ text: column.title, paint: style.bold }));
  return [line(titles), ...rows.map(line)];
}

function cellWidth(cell: Cell | undefined): number {
  if (cell === undefined) return 0;
  return displayWidth(cell.text) + (cell.lead === undefined ? 0 : displayWidth(cell.lead));
}

function shrink(widths: number[], columns: readonly Column[], available: number): void {
  let excess = widths.reduce((sum, width) => sum + width, 0) - available;
  for (const [i, { min }] of [...columns.entries()].reverse()) {
    const width = widths[i] ?? 0;
    if (min === undefined || excess <= 0 || width <= min) continue;
    const cut = Math.min(excess, width - min);
    widths[i] = width - cut;
    excess -= cut;
  }
}
