import { Secret } from './secret.ts';
import type { AskSecret } from './transport.ts';

export type SecretAnswer =
  | {
      readonly kind: 'secret';
      readonly secret: Secret;
      /** Must be called once. Until then nobody else tries this secret, unless it is proven already. */
      settle(outcome: 'accepted' | 'refused' | 'unused'): void;
    }
  /** It was tried and refused: it is not tried again in this process. */
  | { readonly kind: 'refused' }
  /** Nobody can be asked, or the operator declined. */
  | { readonly kind: 'none' };

/**
 * A secret the operator is asked for at most once, and that is used by one at a time until it is proven: twenty
 * runs with a wrong password are one failure in the host's log and not a locked account.
 */
export class AskedSecret {
  readonly #prompt: string;
  readonly #ask: AskSecret | undefined;
  #turn: Promise<void> = Promise.resolve();
  #secret: Secret | undefined;
  #state: 'unasked' | 'unproven' | 'proven' | 'refused' | 'declined' = 'unasked';

  constructor(prompt: string, ask: AskSecret | undefined) {
    this.#prompt = prompt;
    this.#ask = ask;
  }

  /** True once it was accepted. */
  get proven(): boolean {
    return this.#state === 'proven';
  }

  /** Gives the secret, asking if need be; waits while another user of it tries the unproven one. */
  async take(): Promise<SecretAnswer> {
    if (this.#state === 'proven') return this.#answer(() => {});
    const before = this.#turn;
    let done = (): void => {};
    this.#turn = new Promise((resolve) => {
      done = resolve;
    });
    await before;
    if (this.#state === 'unasked') {
      const text = (await this.#ask?.(this.#prompt)) ?? null;
      this.#state = text === null ? 'declined' : 'unproven';
      if (text !== null) this.#secret = new Secret(text);
    }
    if (this.#state !== 'unproven') done();
    return this.#answer(done);
  }

  #answer(done: () => void): SecretAnswer {
    if (this.#state === 'refused') return { kind: 'refused' };
    if (this.#secret === undefined) return { kind: 'none' };
    return {
      kind: 'secret',
      secret: this.#secret,
      settle: (outcome) => {
        if (this.#state === 'unproven') {
          if (outcome === 'accepted') this.#state = 'proven';
          if (outcome === 'refused') this.#state = 'refused';
        }
        done();
      },
    };
  }
}
