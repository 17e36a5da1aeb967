import type { Readable, Writable } from 'node:stream';

/** Where a command's words go and what it may ask of its surroundings; a test hands in its own. */
export interface Io {
  readonly stdin: Readable;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted when the operator presses Ctrl-C. */
  readonly signal: AbortSignal;
  /** Shows a text by the operator's pager on the terminal that stdout is; false: there is none, nothing was shown. */
  readonly page?: (text: string) => Promise<boolean>;
}

export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** `--color`; undefined: `--no-color` is false, none given. */
export type ColorWish = 'auto' | 'always' | 'never';

/**
 * Whether to colour what goes to `output`: what the option says; else no-color.org's NO_COLOR, then CLICOLOR_FORCE
 * (bixense.com/clicolors), then whether it is a terminal that can.
 */
export function wantsColor(output: Output, env: Io['env'], wish: ColorWish): boolean {
  if (wish !== 'auto') return wish === 'always';
  if (env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '') return false;
  const force = env['CLICOLOR_FORCE'];
  if (force !== undefined && force !== '' && force !== '0') return true;
  return output.isTTY === true && env['TERM'] !== 'dumb';
}

/** Block characters can be drawn: a terminal, a UTF-8 locale, and not the console's small font. */
export function wantsUnicode(output: Output, env: Io['env']): boolean {
  // setlocale(3): the first of these that is set and not empty decides.
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  const term = env['TERM'];
  return output.isTTY === true && /utf-?8/i.test(locale) && term !== 'dumb' && term !== 'linux';
}

/** The command of the pager, as git chooses it; null: none is wanted, or the terminal cannot show one. */
export function wantsPager(env: Io['env']): string | null {
  const command = (env['TASKSCTL_PAGER'] ?? env['PAGER'] ?? 'less').trim();
  return command === '' || command === 'cat' || env['TERM'] === 'dumb' ? null : command;
}

/** Columns to fit into; null where it is no terminal and lines may be as long as they are. */
export function outputWidth(output: Output): number | null {
  if (output.isTTY !== true) return null;
  return output.columns !== undefined && output.columns > 0 ? output.columns : 80;
}

/**
 * Writes all of `text` and waits until it is out. A reader that went away (`| head`) is no failure: there is nobody to
 * tell. Any other error comes back as its text.
 */
export function write(output: Output, text: string): Promise<string | null> {
  return new Promise((resolve) => {
    // Where the stream has failed before, write() calls back with that error.
    output.write(text, (error) => {
      const code = (error as NodeJS.ErrnoException | null | undefined)?.code;
      resolve(error == null || code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' ? null : error.message);
    });
  });
}
