import { diagnosticLines } from '../report/diagnostic-text.ts';
import { wrap } from '../report/layout.ts';
import { createStyle, type Style } from '../report/style.ts';
import { escapeJson, escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { EXIT, FAILURE_EXIT } from './exit-code.ts';
import { type Failure, failed, type Outcome } from './failure.ts';
import type { OutputOptions } from './options.ts';
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
  /** How remarks and progress look. */
  readonly errorStyle: Style;

  constructor(io: Io, options: OutputOptions) {
    const wish = colorWish(options.color);
    this.io = io;
    this.json = options.json === true;
    this.style = styleFor(io.stdout, io.env, wish);
    this.errorStyle = styleFor(io.stderr, io.env, wish);
  }

  /** Writes the result, which ends the command with this exit code. */
  async result(text: SafeText, code: number = EXIT.done): Promise<Outcome> {
    const error = await write(this.io.stdout, text);
    if (error === null) return { kind: 'exit', code };
    return failed({ kind: 'output-failed', message: `Cannot write to standard output: ${error}` });
  }

  /** The same for a result that is a JSON document. */
  document(value: object, code: number = EXIT.done): Promise<Outcome> {
    return this.result(escapeJson(`${JSON.stringify(value, null, 2)}\n`), code);
  }

  /** A remark beside the result. With --json it is left out: whatever matters to a program is in the document. */
  async notice(severity: 'warning' | 'note', text: SafeText): Promise<void> {
    if (this.json) return;
    const style = this.errorStyle;
    const paint = severity === 'warning' ? style.yellow : style.cyan;
    await write(this.io.stderr, linesOf(prefixed(severity, text, style, paint)));
  }

  /** Says why the command failed. */
  async failure(failure: Failure): Promise<void> {
    await write(this.io.stderr, failureText(failure, this.json, this.errorStyle));
  }
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
