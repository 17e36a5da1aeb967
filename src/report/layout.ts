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
  if (displayWidth(text) <= width) return text;
  const ellipsis = style.unicode ? '…' : '..';
  const clusters = [...segmenter.segment(text)].reverse();
  let room = width - stringWidth(ellipsis);
  let end = '';
  for (const { segment } of clusters) {
    room -= stringWidth(segment);
    if (room < 0) break;
    end = segment + end;
  }
  return `${ellipsis}${end}`.slice(0, width < ellipsis.length ? width : undefined) as SafeText;
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
  let line = '';
  let used = 0;
  for (const word of text.split(' ')) {
    const width = stringWidth(word);
    if (line !== '' && used + 1 + width > room) {
      lines.push(line);
      line = word;
      used = width;
    } else {
      line = line === '' ? word : `${line} ${word}`;
      used = stringWidth(line);
    }
  }
  return [...lines, line] as SafeText[];
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
  /** The column may be cut down to this many columns, keeping the end of its texts. */
  readonly min?: number;
}

export interface Cell {
  /** Uncoloured: it may have to be cut. */
  readonly text: SafeText;
  readonly paint?: (text: SafeText) => SafeText;
}

const GAP = 2;

/** Lines of a table under a line of titles. Where it is too wide the widest of the columns that may be cut are. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  style: Style,
): SafeText[] {
  const widths = columns.map((column, i) =>
    rows.reduce(
      (most, row) => Math.max(most, displayWidth(row[i]?.text ?? safe``)),
      displayWidth(column.title),
    ),
  );
  if (style.width !== null) shrink(widths, columns, style.width - GAP * (columns.length - 1));
  const line = (cells: readonly Cell[]): SafeText => {
    const parts = columns.map((column, i) => {
      const cell = cells[i] ?? { text: safe`` };
      const width = widths[i] ?? 0;
      const text = keepEnd(cell.text, width, style);
      const space = ' '.repeat(Math.max(0, width - displayWidth(text))) as SafeText;
      const painted = cell.paint === undefined ? text : cell.paint(text);
      if (column.align === 'right') return safe`${space}${painted}`;
      // No spaces at the end of lines.
      return i === columns.length - 1 ? painted : safe`${painted}${space}`;
    });
    return join(parts, '  ' as SafeText).trimEnd() as SafeText;
  };
  const titles = columns.map((column): Cell => ({ text: column.title, paint: style.bold }));
  return [line(titles), ...rows.map(line)];
}

/** Takes columns off the widest that may give some until the sum fits, or all are at their least. */
function shrink(widths: number[], columns: readonly Column[], available: number): void {
  let excess = widths.reduce((sum, width) => sum + width, 0) - available;
  while (excess > 0) {
    let widest = -1;
    for (const [i, column] of columns.entries()) {
      const width = widths[i] ?? 0;
      if (column.min !== undefined && width > column.min && width > (widths[widest] ?? 0)) widest = i;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
}
