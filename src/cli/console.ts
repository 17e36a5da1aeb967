import { createStyle, type Style } from '../report/style.ts';
import { escapeJson, type SafeText, safe } from '../report/terminal-escape.ts';
import { EXIT } from './exit-code.ts';
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
    if (this.json) return;
    const { noticeText } = await import('./console-text.ts');
    await this.aside(noticeText(severity, text, this.errorStyle));
  }

  /** Says why the command failed. */
  async failure(failure: Failure): Promise<void> {
    const { failureText } = await import('./console-text.ts');
    const text = failureText(failure, this.json, this.errorStyle);
    await this.#undisturbed(() => write(this.io.stderr, text));
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
