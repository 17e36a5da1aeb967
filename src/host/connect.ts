import { ConnectMemory } from './connect-memory.ts';
import { localTransport } from './local.ts';
import { connectOpenSsh } from './openssh.ts';
import { type ConnectResult, connectSsh } from './ssh.ts';
import { parseTarget } from './target.ts';
import type { AskSecret } from './transport.ts';

/** What logs in to hosts: this program (package ssh2), or the system's ssh. */
export type SshClient = 'ssh2' | 'openssh';

export interface ConnectOptions {
  /** Where it is left out, ssh2. */
  readonly client?: SshClient;
  /** Left out where nobody can be asked: then agent and unencrypted keys, and sudo without a password. */
  readonly askSecret?: AskSecret;
  /** Keeps the terminal free for what asks there by itself, as ssh does. */
  readonly lendTerminal?: <T>(use: () => Promise<T>) => Promise<T>;
  /** Instead of ~/.ssh/config and the system-wide file, as `ssh -F`. */
  readonly configFile?: string;
  /** All hosts have the same sudo password: it is asked for once, and one that the first host refuses is tried on no other. */
  readonly oneSudoPassword?: boolean;
  /** Add keys of hosts never seen before to known_hosts; a changed key is refused all the same. */
  readonly acceptNew?: boolean;
  /** Milliseconds for each of the TCP connection and the key exchange; wins over ConnectTimeout. */
  readonly connectTimeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Told one sentence for what is odd and no failure. */
  readonly warn?: (message: string) => void;
  /** What is shared with other connections; by default all of this process share it. */
  readonly memory?: ConnectMemory;
}

const processMemory = new ConnectMemory();

/** Connects to what the operator named: `local`, or a host by SSH. Failures are values. */
export async function connect(target: string, options: ConnectOptions = {}): Promise<ConnectResult> {
  const parsed = parseTarget(target);
  if (!parsed.ok) return { ok: false, error: { kind: 'config-invalid', target, message: parsed.message } };
  const memory = options.memory ?? processMemory;
  if (parsed.target.kind === 'local') {
    const { askSecret } = options;
    const ask = askSecret === undefined ? undefined : memory.oneAtATime(askSecret);
    return {
      ok: true,
      transport: localTransport(memory.sudoPassword('local', ask, options.oneSudoPassword)),
    };
  }
  const login = options.client === 'openssh' ? connectOpenSsh : connectSsh;
  return login({ ...options, destination: parsed.target, target, memory });
}
