import { byRoom } from '../measure/headroom.ts';
import type { Recorder } from '../measure/recorder.ts';
import { clock, HISTORY, type LiveHost, measureLive } from '../report/measure-live.ts';
import { escapeText, join, safe } from '../report/terminal-escape.ts';
import type { Console } from './console.ts';

/** One host that is being measured, as the view follows it. */
export interface Followed {
  readonly target: string;
  readonly recorder: Recorder;
  state: LiveHost['state'];
  /** When it will be over, by performance.now(). */
  endsAt: number;
}

const REDRAW_MS = 1000;
const PLAIN_MS = 60_000;

/** Shows how far a measurement is: on a terminal a table that is drawn anew each second, else a line a minute. */
export class LiveView {
  readonly #console: Console;
  readonly #hosts: readonly Followed[];
  readonly #interrupt: LiveHost['interrupt'];
  readonly #histories = new Map<Followed, Map<string, number[]>>();
  readonly #onTerminal: boolean;
  #timer: NodeJS.Timeout | undefined;
  #drawn = 0;

  constructor(console: Console, hosts: readonly Followed[], interrupt: LiveHost['interrupt']) {
    const { stderr, env } = console.io;
    this.#console = console;
    this.#hosts = hosts;
    this.#interrupt = interrupt;
    this.#onTerminal = stderr.isTTY === true && env['TERM'] !== 'dumb';
  }

  /** Starts to show; nothing more where it has. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#onTerminal
      ? setInterval(() => this.#draw(), REDRAW_MS)
      : setInterval(() => void this.#tell(), PLAIN_MS);
  }

  /** Leaves the screen as it was. */
  stop(): void {
    clearInterval(this.#timer);
    this.#erase();
  }

  #erase(): void {
    if (this.#drawn === 0) return;
    this.#console.io.stderr.write(`\x1b[${this.#drawn}A\r\x1b[J`);
    this.#drawn = 0;
  }

  #draw(): void {
    const { stderr } = this.#console.io;
    const hosts = this.#hosts.map((host) => this.#liveHost(host));
    const rows = (stderr as { readonly rows?: number }).rows ?? 24;
    const lines = measureLive(hosts, rows - 1, this.#console.errorStyle).slice(0, rows - 1);
    this.#erase();
    stderr.write(join([...lines, safe``], safe`\n`));
    this.#drawn = lines.length;
  }

  #liveHost(host: Followed): LiveHost {
    const { target, state, recorder, endsAt } = host;
    const history = this.#histories.get(host) ?? new Map<string, number[]>();
    this.#histories.set(host, history);
    const live = recorder.live();
    const there = new Set(live.map(({ path }) => path));
    for (const path of history.keys()) if (!there.has(path)) history.delete(path);
    for (const { path, tasks } of live) {
      history.set(path, [...(history.get(path) ?? []), tasks].slice(-HISTORY));
    }
    const leftMs = endsAt - performance.now();
    const rooms = byRoom(live);
    return { target, state, samples: recorder.samples, leftMs, rooms, history, interrupt: this.#interrupt };
  }

  async #tell(): Promise<void> {
    for (const { target, state, recorder, endsAt } of this.#hosts) {
      if (state !== 'measuring') continue;
      const left = clock(endsAt - performance.now());
      await this.#console.notice(
        'note',
        safe`${escapeText(target)}: ${recorder.samples} samples, ${escapeText(left)} left`,
      );
    }
  }
}
