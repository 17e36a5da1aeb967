import picocolors from 'picocolors';
import type { SafeText } from './terminal-escape.ts';

type Paint = (text: SafeText) => SafeText;

/** How text is to look where it goes. */
export interface Style {
  /** Columns to fit into; null: no end (a file, a pipe), so nothing is cut or wrapped. */
  readonly width: number | null;
  /** Block characters and the one-character ellipsis may be used. */
  readonly unicode: boolean;
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
}

/** A style with or without colour. */
export function createStyle(options: {
  readonly color: boolean;
  readonly unicode: boolean;
  readonly width: number | null;
}): Style {
  const colors = picocolors.createColors(options.color);
  // SGR sequences around safe text leave it safe.
  const paint = (color: (text: string) => string): Paint => {
    return (text) => color(text) as SafeText;
  };
  return {
    width: options.width,
    unicode: options.unicode,
    bold: paint(colors.bold),
    dim: paint(colors.dim),
    red: paint(colors.red),
    green: paint(colors.green),
    yellow: paint(colors.yellow),
    cyan: paint(colors.cyan),
  };
}

/** What a pipe or a file gets: no colour, ASCII drawings, lines as long as they are. */
export const PLAIN: Style = createStyle({ color: false, unicode: false, width: null });
