import type { Style } from '../report/style.ts';
import { type SafeText, safe } from '../report/terminal-escape.ts';
import { type Io, outputWidth } from './terminal.ts';

/** Loaded once there is something to draw: most work is over before that. */
let layout: typeof import('../report/layout.ts') | null = null;

/** Work shorter than this is not worth a word. */
const QUIET_MS = 1000;

/**
 * One line on standard error that says what is being waited for and how long, from a second on, on a terminal only;
 * it wipes itself out at the end. `Console` makes it, and keeps it out of the way of what else is written.
 */
export class Progress {
  readonly #io: Io;
  readonly #style: Style;
  readonly #label: () => SafeText;
  readonly #started = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #shown = false;
  /** Those who want the line free; the first resume starts the clock. */
  #pauses = 1;

  constructor(io: Io, style: Style, label: SafeText | (() => SafeText)) {
    this.#io = io;
    this.#style = style;
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
    // Among lines that come faster than it does it would never be seen.
    if (performance.now() - this.#started >= QUIET_MS) this.#draw();
    this.#timer = setInterval(() => this.#draw(), QUIET_MS);
  }

  #draw(): void {
    if (layout === null) {
      void import('../report/layout.ts').then((loaded) => {
        layout = loaded;
        if (this.#pauses === 0) this.#draw();
      });
      return;
    }
    const { displayWidth, keepStart } = layout;
    const seconds = Math.round((performance.now() - this.#started) / 1000);
    // A line that wraps could not be wiped out; nor does the cursor go behind the last column.
    const room = (outputWidth(this.#io.stderr) ?? 80) - 1;
    const time = this.#style.unicode ? safe` … ${seconds} s` : safe` ... ${seconds} s`;
    const label = keepStart(this.#label(), Math.max(0, room - displayWidth(time)), this.#style);
    this.#io.stderr.write(safe`\r\x1b[K${label}${time}`);
    this.#shown = true;
  }
}
