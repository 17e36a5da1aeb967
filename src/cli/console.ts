import { diagnosticLines } from '../report/diagnostic-text.ts';
import { wrap } from '../report/layout.ts';
import { createStyle, type Style } from '../report/style.ts';
import { escapeJson, escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { EXIT, FAILURE_EXIT } from './exit-code.ts';
import { type Failed, type Failure, failed, type Outcome } from './failure.ts';
import type { OutputOptions } from './options.ts';
import { Progress } from './progress.ts';
import {
  type ColorWish,
  type Io,
  type Output,
  outputWidth,
  wantsColor,
  wantsUnicode,
  write,
} from './terminal.ts';

/** A command's way to speak: results to standard output, everything else to standard error. Takes safe text only. */
export class Console {
  readonly io: Io;
  readonly json: boolean;
  /** How results look. */
  readonly style: Style;
  readonly #wish: ColorWish;
  readonly #page: Io['page'];
  readonly #progress = new Set<Progress>();

  constructor(io: Io, options: OutputOptions) {
    this.#wish = colorWish(options.color);
    this.io = io;
    this.json = options.json === true;
    this.style = styleFor(io.stdout, io.env, this.#wish);
    this.#page = options.pager === true && !this.json && io.stdout.isTTY === true ? io.page : undefined;
  }

  /** How remarks and progress look on the terminal as wide as it is now. */
  get errorStyle(): Style {
    return styleFor(this.io.stderr, this.io.env, this.#wish);
  }

  /** A line that tells what is being waited for, which makes way for all that goes through this console. */
  progress(label: SafeText | (() => SafeText)): Progress {
    const progress = new Progress(this.io, this.errorStyle, label);
    this.#progress.add(progress);
    return progress;
  }

  /** Writes the result, by the pager where there is one; it ends the command with this exit code. */
  async result(text: SafeText, code: number = EXIT.done): Promise<Outcome> {
    const error = await this.#undisturbed(async () =>
      (await this.#page?.(text)) === true ? null : write(this.io.stdout, text),
    );
    return error === null ? { kind: 'exit', code } : outputFailed(error);
  }

  /** The same for a result that is a JSON document. */
  document(value: object, code: number = EXIT.done): Promise<Outcome> {
    return this.result(escapeJson(`${JSON.stringify(value, null, 2)}\n`), code);
  }

  /** Writes a line of a result that comes bit by bit. */
  async resultLine(line: SafeText): Promise<Failed | null> {
    const error = await this.#undisturbed(() => write(this.io.stdout, safe`${line}\n`));
    return error === null ? null : outputFailed(error);
  }

  /** Something to read beside the result; with --json it is left out. */
  async aside(text: SafeText): Promise<void> {
    if (!this.json) await this.#undisturbed(() => write(this.io.stderr, text));
  }

  /** A remark beside the result. With --json it is left out: whatever matters to a program is in the document. */
  async notice(severity: 'warning' | 'note', text: SafeText): Promise<void> {
    const style = this.errorStyle;
    const paint = severity === 'warning' ? style.yellow : style.cyan;
    await this.aside(linesOf(prefixed(severity, text, style, paint)));
  }

  /** Says why the command failed. */
  async failure(failure: Failure): Promise<void> {
    await this.#undisturbed(() => write(this.io.stderr, failureText(failure, this.json, this.errorStyle)));
  }

  /** Both outputs may be one terminal: nothing is written there behind a line of progress, nor over what is written. */
  async #undisturbed<T>(use: () => Promise<T>): Promise<T> {
    const all = [...this.#progress];
    for (const progress of all) progress.pause();
    try {
      return await use();
    } finally {
      for (const progress of all) progress.resume();
    }
  }
}

function outputFailed(error: string): Failed {
  return failed({ kind: 'output-failed', message: `Cannot write to standard output: ${error}` });
}

function colorWish(color: OutputOptions['color']): ColorWish {
  if (typeof color === 'boolean') return color ? 'auto' : 'never';
  return color;
}

function styleFor(output: Output, env: Io['env'], wish: ColorWish): Style {
  return createStyle({
    color: wantsColor(output, env, wish),
    unicode: wantsUnicode(output, env),
    width: outputWidth(output),
  });
}

/** A failure in words, or as one line of JSON. */
function failureText(failure: Failure, json: boolean, style: Style): SafeText {
  if (json) {
    const document = { schema: 'tasksctl/error/1', ...failure, exitCode: FAILURE_EXIT[failure.kind] };
    return escapeJson(`${JSON.stringify(document)}\n`);
  }
  const { kind, file, line, column, message, help } = failure;
  const place = [file, line, column].filter((part) => part !== undefined).join(':');
  const where = place === '' || message.includes(place) ? '' : `${place}: `;
  // Only our own words may have lines: a suggestion of the argument parser, a stack.
  const [first = '', ...more] = kind === 'usage' || kind === 'internal' ? message.split('\n') : [message];
  return linesOf([
    ...(failure.problems ?? []).flatMap((problem) => diagnosticLines(problem, style)),
    ...prefixed('error', escapeText(where + first), style, style.red),
    ...more.map(escapeText),
    // Not broken: there may be a command in it to copy.
    ...(help === undefined ? [] : [safe`help: ${escapeText(help)}`]),
  ]);
}

/** `error: text`, broken to the width of the terminal. */
function prefixed(
  word: 'error' | 'warning' | 'note',
  text: SafeText,
  style: Style,
  paint: (text: SafeText) => SafeText,
): SafeText[] {
  const [first = safe``, ...more] = wrap(text, `${word}: `.length, style);
  return [safe`${paint(escapeText(word))}: ${first}`, ...more.map((line) => safe`  ${line}`)];
}

function linesOf(lines: readonly SafeText[]): SafeText {
  return join([...lines, safe``], safe`\n`);
}
