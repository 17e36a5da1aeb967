import { type SafeText, safe } from '../report/terminal-escape.ts';
import type { Io } from './terminal.ts';

/** Work shorter than this is not worth a word. */
const QUIET_MS = 1000;

/**
 * One line on standard error that says what is being waited for and how long, from a second on, on a terminal only;
 * it wipes itself out at the end.
 */
export class Progress {
  readonly #io: Io;
  readonly #label: () => SafeText;
  readonly #started = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #shown = false;
  /** Those who want the line free; the first resume starts the clock. */
  #pauses = 1;

  constructor(io: Io, label: SafeText | (() => SafeText)) {
    this.#io = io;
    this.#label = typeof label === 'function' ? label : () => label;
    this.resume();
  }

  /** Leaves the line free, for a question. */
  pause(): void {
    this.#pauses++;
    clearInterval(this.#timer);
    if (this.#shown) this.#io.stderr.write('\r\x1b[K');
    this.#shown = false;
  }

  resume(): void {
    if (--this.#pauses > 0) return;
    if (this.#io.stderr.isTTY !== true || this.#io.env['TERM'] === 'dumb') return;
    this.#timer = setInterval(() => {
      const seconds = Math.round((performance.now() - this.#started) / 1000);
      this.#io.stderr.write(safe`\r\x1b[K${this.#label()} … ${seconds} s`);
      this.#shown = true;
    }, QUIET_MS);
  }
}
