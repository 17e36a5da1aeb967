import { inspect } from 'node:util';

/**
 * A password or passphrase. Printing one by any usual way (template string, JSON, console, error message) shows
 * `[secret]`; only `reveal()` gives the text, so every place that handles it can be found by that word.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself, for the one call that hands it to sudo, sshd or the key parser. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
