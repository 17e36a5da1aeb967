import type { ParsedKey } from 'ssh2';
import { AskedSecret } from './asked-secret.ts';
import { KnownHostsFiles } from './host-key.ts';
import { SshConfigAnswers, type SshSettingsResult } from './ssh-config.ts';
import { decryptKey, type KeyFile, type KeyTools, readKeyFile } from './ssh-keys.ts';
import { SudoPassword } from './sudo.ts';
import type { AskSecret, HostError } from './transport.ts';

/** Something shared between hosts and closed when the last of them is done with it. */
export interface Shared {
  close(): void;
  readonly closed: boolean;
}

/**
 * What the connections of one process share, so that nobody is asked twice and a jump host is logged in to once:
 * secrets, key files, known_hosts, the answers of `ssh -G`, open jump connections.
 */
export class ConnectMemory {
  readonly knownHosts = new KnownHostsFiles();
  readonly sshConfig = new SshConfigAnswers();
  /** Targets that this machine's ssh logs in to on the terminal, with the first login of each. */
  readonly onTerminal = new Map<string, Promise<unknown>>();
  readonly #settings = new Map<string, Promise<SshSettingsResult>>();
  readonly #secrets = new Map<string, AskedSecret>();
  readonly #sudo = new Map<string, SudoPassword>();
  readonly #keyFiles = new Map<string, Promise<KeyFile>>();
  readonly #unlocked = new Map<string, Promise<ParsedKey | null>>();
  readonly #shared = new Map<string, { readonly opened: Promise<Shared | HostError>; users: number }>();
  #asking: Promise<unknown> = Promise.resolve();

  /** `ask`, with one question at a time on the terminal. */
  oneAtATime(ask: AskSecret): AskSecret {
    return (prompt) => this.alone(() => ask(prompt));
  }

  /** Does what may ask on the terminal while nobody else does. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#asking.then(work);
    this.#asking = done.catch(() => {});
    return done;
  }

  settings(key: string, read: () => Promise<SshSettingsResult>): Promise<SshSettingsResult> {
    return remember(this.#settings, key, read);
  }

  /** The secret with this prompt; the prompt names what it is for and so is its key. */
  secret(prompt: string, ask: AskSecret | undefined): AskedSecret {
    // That nobody could be asked is not worth remembering.
    if (ask === undefined) return new AskedSecret(prompt, ask);
    return remember(this.#secrets, prompt, () => new AskedSecret(prompt, ask));
  }

  /** `ofAll`: all hosts have the same one. */
  sudoPassword(target: string, ask: AskSecret | undefined, ofAll = false): SudoPassword {
    const host = ofAll ? 'all hosts' : target;
    if (ask === undefined) return new SudoPassword(host, ask);
    return remember(this.#sudo, host, () => new SudoPassword(host, ask));
  }

  keyFile(path: string, tools: KeyTools): Promise<KeyFile> {
    return remember(this.#keyFiles, path, () => readKeyFile(path, tools));
  }

  /** The private key in an encrypted file; null where the passphrase was not given or is wrong. */
  unlockedKey(
    path: string,
    text: Buffer,
    tools: KeyTools,
    ask: AskSecret | undefined,
  ): Promise<ParsedKey | null> {
    if (ask === undefined) return Promise.resolve(null);
    return remember(this.#unlocked, path, async () => {
      const passphrase = await ask(`passphrase for ${path}: `);
      return passphrase === null ? null : decryptKey(text, passphrase, tools);
    });
  }

  /** Opens what `key` stands for or joins those who use it already. `release` must be called once. */
  async join<T extends Shared>(
    key: string,
    open: () => Promise<T | HostError>,
  ): Promise<{ readonly shared: T; release(): void } | { readonly error: HostError }> {
    let entry = this.#shared.get(key);
    if (entry === undefined) {
      entry = { opened: open(), users: 0 };
      this.#shared.set(key, entry);
    }
    const joined = entry;
    joined.users++;
    const forget = (): void => {
      if (this.#shared.get(key) === joined) this.#shared.delete(key);
    };
    const opened = await joined.opened;
    if ('kind' in opened) {
      forget();
      return { error: opened };
    }
    if (opened.closed) {
      // It was lost since; the next one opens it anew.
      forget();
      return this.join(key, open);
    }
    return {
      shared: opened as T,
      release: () => {
        joined.users--;
        if (joined.users > 0) return;
        forget();
        opened.close();
      },
    };
  }
}

function remember<V>(map: Map<string, V>, key: string, make: () => V): V {
  const before = map.get(key);
  if (before !== undefined) return before;
  const made = make();
  map.set(key, made);
  return made;
}
