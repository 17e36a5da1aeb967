import { createStyle, type Style } from '../report/style.ts';
import { escapeJson, type SafeText } from '../report/terminal-escape.ts';
import { EXIT } from './exit-code.ts';
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
    const { noticeText } = await import('./console-text.ts');
    await write(this.io.stderr, noticeText(severity, text, this.errorStyle));
  }

  /** Says why the command failed. */
  async failure(failure: Failure): Promise<void> {
    const { failureText } = await import('./console-text.ts');
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
