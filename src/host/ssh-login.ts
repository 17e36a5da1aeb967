import type { AnyAuthMethod, BaseAgent, Prompt } from 'ssh2';
import type { AskedSecret, SecretAnswer } from './asked-secret.ts';
import { printable } from './printable.ts';
import type { SshSettings } from './ssh-config.ts';
import type { UnlockedKey, UserKey } from './ssh-keys.ts';
import type { AskSecret } from './transport.ts';

/** What the host says after an attempt: methods that may continue, and whether the attempt was one of several factors. */
interface Reply {
  readonly left: readonly string[];
  readonly partial: boolean;
}

export interface LoginRequest {
  readonly settings: SshSettings;
  /** `alice@web1.example.org`, for prompts. */
  readonly account: string;
  readonly keys: readonly UserKey[];
  readonly password: AskedSecret;
  readonly ask: AskSecret | undefined;
  /** Makes the agent that ssh2 wants from one key. */
  agentFor(key: UnlockedKey): BaseAgent;
  /** Stops the clock of the handshake while something waits for a person. */
  waiting<T>(answer: Promise<T>): Promise<T>;
  /** Gives the login up: the operator declined. */
  giveUp(): void;
}

/** Methods in the order they are tried. */
const methods = ['publickey', 'keyboard-interactive', 'password'] as const;

/** A host that asks more often than this in one login is not asking a person. */
const maxQuestions = 8;

/**
 * One login: which attempts are made in which order, and what became of them. ssh2 asks for the next attempt through
 * `next`; after success `succeeded` and after failure `failed` must be called, so that an unproven password is settled.
 */
export class Login {
  /** What was tried, and what could not be, for the message of a failed login. */
  readonly tried: string[] = [];
  readonly notes: string[] = [];
  offered: readonly string[] = [];
  readonly #request: LoginRequest;
  readonly #attempts: AsyncGenerator<AnyAuthMethod, void, Reply>;
  #unsettled: Extract<SecretAnswer, { kind: 'secret' }> | undefined;

  constructor(request: LoginRequest) {
    this.#request = request;
    this.#attempts = this.#run();
  }

  /** The next attempt, or false where there is none left. `left` is null before the first. */
  async next(left: readonly string[] | null, partial: boolean | null): Promise<AnyAuthMethod | false> {
    const step = await this.#attempts.next({ left: left ?? [], partial: partial ?? false });
    return step.done ? false : step.value;
  }

  succeeded(): void {
    this.#settle('accepted');
  }

  failed(): void {
    this.#settle('unused');
  }

  #settle(outcome: 'accepted' | 'refused' | 'unused'): void {
    this.#unsettled?.settle(outcome);
    this.#unsettled = undefined;
  }

  async *#run(): AsyncGenerator<AnyAuthMethod, void, Reply> {
    const { settings, ask } = this.#request;
    const username = settings.user;
    const none = { type: 'none', username } as const;
    // RFC 4252 5.2: the answer to "none" lists the methods.
    let reply = yield none;
    const used = new Set<string>();
    for (;;) {
      this.offered = reply.left;
      const method = methods.find((name) => reply.left.includes(name) && !used.has(name));
      if (method === undefined) return;
      used.add(method);
      switch (method) {
        case 'publickey': {
          if (!settings.publickey) break;
          for (const key of this.#request.keys) {
            const attempt = new KeyAttempt(key, this.#request);
            if (!(await attempt.ready())) {
              this.notes.push(`${key.name} could not be unlocked`);
              continue;
            }
            this.tried.push(key.name);
            yield { type: 'agent', username, agent: this.#request.agentFor(attempt) };
            if (attempt.failed) this.notes.push(`${key.name} could not be unlocked`);
            if (attempt.signed) {
              // The host took the signature and wants more (AuthenticationMethods publickey,password): ssh2 keeps the
              // list of methods from before a key, so it is asked for again.
              reply = yield none;
              break;
            }
          }
          break;
        }
        case 'keyboard-interactive':
          if (!settings.keyboardInteractive) break;
          if (ask === undefined) {
            this.notes.push('nobody can be asked for a password');
            break;
          }
          this.tried.push('keyboard-interactive');
          reply = yield { type: 'keyboard-interactive', username, prompt: this.#questions() };
          this.#settle(reply.partial ? 'accepted' : 'refused');
          break;
        case 'password': {
          if (!settings.password) break;
          const answer = await this.#request.waiting(this.#request.password.take());
          if (answer.kind === 'none') this.notes.push('nobody could be asked for a password');
          if (answer.kind === 'refused') this.notes.push('the password was refused and is not tried again');
          if (answer.kind !== 'secret') break;
          this.#unsettled = answer;
          this.tried.push('password');
          reply = yield { type: 'password', username, password: answer.secret.reveal() };
          this.#settle(reply.partial ? 'accepted' : 'refused');
          break;
        }
      }
    }
  }

  /** Answers the questions of keyboard-interactive; the one for a password with the password, others by asking. */
  #questions(): (
    name: string,
    instructions: string,
    lang: string,
    prompts: Prompt[],
    finish: (answers: string[]) => void,
  ) => void {
    let asked = 0;
    return (_name, _instructions, _lang, prompts, finish) => {
      asked += prompts.length;
      const answers =
        asked > maxQuestions ? Promise.resolve(null) : this.#request.waiting(this.#answers(prompts));
      answers.then((given) => {
        if (given === null) this.#request.giveUp();
        else finish(given);
      });
    };
  }

  async #answers(prompts: readonly Prompt[]): Promise<string[] | null> {
    const answers: string[] = [];
    for (const { prompt, echo } of prompts) {
      const text = printable(prompt).replace(/\s+/g, ' ').trim().slice(0, 200);
      if (echo !== true && this.#unsettled === undefined && /^pass(?:word|wort)\b/i.test(text)) {
        const answer = await this.#request.password.take();
        if (answer.kind !== 'secret') {
          this.notes.push(
            answer.kind === 'refused'
              ? 'the password was refused and is not tried again'
              : 'nobody could be asked for a password',
          );
          return null;
        }
        this.#unsettled = answer;
        answers.push(answer.secret.reveal());
      } else {
        const given = (await this.#request.ask?.(`${this.#request.account}: ${text} `)) ?? null;
        if (given === null) {
          this.notes.push('a question of the host was not answered');
          return null;
        }
        answers.push(given);
      }
    }
    return answers;
  }
}

/** One key tried on one host. The passphrase is asked for only once the host has said that it takes the key. */
class KeyAttempt implements UnlockedKey {
  /** The host asked for a signature and got it. */
  signed = false;
  /** The host asked for a signature and the key could not be used. */
  failed = false;
  readonly #key: UserKey;
  readonly #waiting: LoginRequest['waiting'];
  #publicKey: Buffer | null;

  constructor(key: UserKey, request: LoginRequest) {
    this.#key = key;
    this.#waiting = (answer) => request.waiting(answer);
    this.#publicKey = key.publicKey;
  }

  /** Makes sure the public key is known; false where that takes a passphrase nobody gave. */
  async ready(): Promise<boolean> {
    this.#publicKey ??= (await this.#waiting(this.#key.unlock()))?.publicKey ?? null;
    return this.#publicKey !== null;
  }

  get publicKey(): Buffer {
    if (this.#publicKey === null) throw new Error('ready() was not asked');
    return this.#publicKey;
  }

  async sign(data: Buffer, hash: string | undefined): Promise<Buffer> {
    try {
      const unlocked: UnlockedKey | null = await this.#waiting(this.#key.unlock());
      if (unlocked === null) throw new Error('no passphrase, or a wrong one');
      // An agent may wait for a person too: ssh-add -c, a token to touch.
      const signature = await this.#waiting(unlocked.sign(data, hash));
      this.signed = true;
      return signature;
    } catch (error) {
      this.failed = true;
      throw error;
    }
  }
}
