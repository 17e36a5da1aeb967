/** A time limit that stands still while a person is asked. */
export class Clock {
  readonly #expired: (ms: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #limitMs: number;
  #leftMs: number;
  #since = 0;
  #pauses = 0;
  #stopped = false;

  constructor(ms: number, expired: (ms: number) => void) {
    this.#expired = expired;
    this.#limitMs = ms;
    this.#leftMs = ms;
    this.#run();
  }

  #run(): void {
    if (this.#stopped) return;
    this.#since = performance.now();
    this.#timer = setTimeout(() => this.#expired(this.#limitMs), this.#leftMs);
  }

  restart(ms: number): void {
    clearTimeout(this.#timer);
    this.#limitMs = ms;
    this.#leftMs = ms;
    if (this.#pauses === 0) this.#run();
  }

  async pauseFor<T>(answer: Promise<T>): Promise<T> {
    if (this.#pauses++ === 0) {
      clearTimeout(this.#timer);
      this.#leftMs = Math.max(1, this.#leftMs - (performance.now() - this.#since));
    }
    try {
      return await answer;
    } finally {
      if (--this.#pauses === 0) this.#run();
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
