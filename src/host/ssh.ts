import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Algorithms, BaseAgent, Client, ClientChannel, SignCallback, SigningRequestOptions } from 'ssh2';
import type { ConnectMemory, Shared } from './connect-memory.ts';
import { judgeHostKey } from './host-key.ts';
import { type HostLines, knownKeyTypes } from './known-hosts.ts';
import { runScript, type ScriptProcess } from './run-script.ts';
import { offeredAlgorithms } from './ssh-algorithms.ts';
import { readSshSettings, type SshSettings } from './ssh-config.ts';
import { type ConnectionFault, forwardError, handshakeError, tcpError } from './ssh-error.ts';
import { collectUserKeys, type KeyTools, type UserKeys } from './ssh-keys.ts';
import { Login, type OneKey } from './ssh-login.ts';
import type { SshDestination } from './target.ts';
import type { AskSecret, HostError, RunRequest, RunResult, Transport } from './transport.ts';

export interface SshOptions {
  readonly destination: SshDestination;
  /** The target as the operator named it. */
  readonly target: string;
  readonly memory: ConnectMemory;
  readonly askSecret?: AskSecret;
  /** Instead of ~/.ssh/config and the system-wide file, as `ssh -F`. */
  readonly configFile?: string;
  /** Add keys of hosts never seen before to known_hosts. */
  readonly acceptNew?: boolean;
  /** Milliseconds for each of the TCP connection and the key exchange; wins over ConnectTimeout. */
  readonly connectTimeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Told one sentence for what is odd and no failure: a bad known_hosts line, a key that was added. */
  readonly warn?: (message: string) => void;
}

export type ConnectResult =
  | { readonly ok: true; readonly transport: Transport }
  | { readonly ok: false; readonly error: HostError };

/** Where ssh_config sets none. ssh(1) would wait for the kernel, two minutes. */
const defaultConnectTimeoutMs = 15_000;
/** For the login, not counting the time a person is asked. LoginGraceTime of sshd is two minutes. */
const loginTimeoutMs = 60_000;
/** Where ServerAliveInterval is 0: a dead link is noticed in the middle of a run after 45 s. */
const defaultKeepaliveMs = 15_000;
/** Hops in one chain; more is a ProxyJump that leads back to itself. */
const maxHops = 8;

type Ssh2 = typeof import('ssh2');

/**
 * Logs in to a host by SSH. Everything a host, a network or a configuration does wrong is an error value, one
 * sentence that names the host and the next step.
 */
export async function connectSsh(options: SshOptions): Promise<ConnectResult> {
  // ssh2 takes some 50 ms to load, which commands that stay on this machine should not pay for.
  const ssh2 = (await import('ssh2')).default;
  const session = new SshSession(options, ssh2);
  const opened = await session.open();
  if ('kind' in opened) return { ok: false, error: opened };
  return { ok: true, transport: new SshTransport(options, opened) };
}

/** One host on the way, the target last. */
interface Hop {
  readonly settings: SshSettings;
  /** What errors begin with: the target, or `jump host NAME`. */
  readonly label: string;
  /** `host port 22` */
  readonly where: string;
  /** `alice@web1.example.org`, with `:port` where that is not 22. */
  readonly account: string;
}

/** What is known before a host is connected to. */
interface Prepared extends UserKeys {
  readonly lines: HostLines;
  readonly algorithms: Algorithms;
}

class SshSession {
  readonly #options: SshOptions;
  readonly #ssh2: Ssh2;
  readonly #ask: AskSecret | undefined;
  readonly #warn: (message: string) => void;

  constructor(options: SshOptions, ssh2: Ssh2) {
    this.#options = options;
    this.#ssh2 = ssh2;
    this.#ask = options.askSecret && options.memory.oneAtATime(options.askSecret);
    this.#warn = options.warn ?? (() => {});
  }

  async open(): Promise<SshConnection | HostError> {
    const { target } = this.#options;
    const hops = await this.#hops(this.#options.destination, null, 0);
    if ('kind' in hops) return hops;
    const opened = await this.#openHop(hops, hops.length - 1);
    // An error of a jump host may have been met for another target first.
    if ('kind' in opened && opened.target !== target) {
      return { ...opened, target, message: `${target}: ${opened.message}` };
    }
    return opened;
  }

  /**
   * The chain of hosts to a destination. As in ssh: a list after ProxyJump is the whole way to the host, and only its
   * first hop may have a ProxyJump of its own.
   */
  async #hops(
    destination: SshDestination,
    way: readonly SshDestination[] | null,
    above: number,
  ): Promise<Hop[] | HostError> {
    const { target, memory, configFile } = this.#options;
    if (above >= maxHops) {
      return {
        kind: 'config-invalid',
        target,
        message: `${target}: ProxyJump leads to more than ${maxHops} hosts in a row, probably in a circle; correct it in ~/.ssh/config (ProxyJump none for the jump host).`,
      };
    }
    const key = JSON.stringify([configFile, destination.host, destination.user, destination.port]);
    const result = await memory.settings(key, () => readSshSettings(destination, target, configFile));
    if (!result.ok) return { ...result.error, target };
    const { settings } = result;
    const address = settings.hostname.includes(':') ? `[${settings.hostname}]` : settings.hostname;
    const hop: Hop = {
      settings,
      label: above === 0 ? target : `jump host ${destination.host}`,
      where: `${settings.hostname} port ${settings.port}`,
      account: `${settings.user}@${settings.port === 22 ? address : `${address}:${settings.port}`}`,
    };
    const chain = way ?? settings.proxyJump;
    const last = chain.at(-1);
    if (last === undefined) return [hop];
    const before = await this.#hops(last, chain.length > 1 ? chain.slice(0, -1) : null, above + 1);
    return 'kind' in before ? before : [...before, hop];
  }

  async #openHop(hops: readonly Hop[], index: number): Promise<SshConnection | HostError> {
    const hop = hops[index];
    if (hop === undefined) throw new Error(`no hop ${index}`);
    // Before the connection is made: sshd counts the time, and an end that comes before ssh2 listens is never heard of.
    const login = await this.#prepare(hop);
    if ('kind' in login) return login;
    if (index === 0) {
      const socket = await this.#tcp(hop);
      return 'kind' in socket ? socket : this.#login(socket, hop, login, () => {});
    }
    const way = hops.slice(0, index).map(({ account, settings }) => [account, settings.hostKeyAlias]);
    const jump = await this.#options.memory.join(JSON.stringify([this.#options.configFile, way]), () =>
      this.#openHop(hops, index - 1),
    );
    if ('error' in jump) return jump.error;
    const stream = await this.#forward(jump.shared, hop);
    if ('kind' in stream) {
      jump.release();
      return stream;
    }
    return this.#login(stream, hop, login, jump.release);
  }

  #timeoutMs(settings: SshSettings): number {
    return this.#options.connectTimeoutMs ?? settings.connectTimeoutMs ?? defaultConnectTimeoutMs;
  }

  #aborted(label: string): HostError {
    return { kind: 'aborted', target: label, message: `${label}: stopped by the operator.` };
  }

  /** Runs one step of connecting with its time limit and the abort signal. `undo` ends what a late step has opened. */
  #step<T>(
    hop: Hop,
    timeoutMs: number,
    tooLate: string,
    start: (settle: (result: T | HostError) => void) => () => void,
  ): Promise<T | HostError> {
    const { signal } = this.#options;
    return new Promise((resolve) => {
      let settled = false;
      const settle = (result: T | HostError): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        resolve(result);
      };
      const onAbort = (): void => {
        settle(this.#aborted(hop.label));
        undo();
      };
      const timer = setTimeout(() => {
        settle({
          kind: 'connect-timeout',
          target: hop.label,
          message: `${hop.label}: ${hop.where} ${tooLate} within ${timeoutMs / 1000} s; check the network, firewalls and that sshd runs there.`,
        });
        undo();
      }, timeoutMs);
      const undo = start(settle);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }

  #tcp(hop: Hop): Promise<Socket | HostError> {
    const { settings } = hop;
    return this.#step<Socket>(hop, this.#timeoutMs(settings), 'did not answer', (settle) => {
      const socket = connectTcp({
        host: settings.hostname,
        port: settings.port,
        ...(settings.addressFamily === 0 ? {} : { family: settings.addressFamily }),
        ...(settings.bindAddress === undefined ? {} : { localAddress: settings.bindAddress }),
        noDelay: true,
        keepAlive: true,
      });
      const onError = (error: Error): void => settle(tcpError(hop.label, hop.where, error));
      socket.once('error', onError);
      socket.once('connect', () => {
        socket.off('error', onError);
        settle(socket);
      });
      return () => {
        socket.on('error', () => {});
        socket.destroy();
      };
    });
  }

  #forward(jump: SshConnection, hop: Hop): Promise<Duplex | HostError> {
    const { settings } = hop;
    return this.#step<Duplex>(
      hop,
      this.#timeoutMs(settings),
      'was not reached by the jump host',
      (settle) => {
        let late = false;
        try {
          jump.client.forwardOut('127.0.0.1', 0, settings.hostname, settings.port, (error, channel) => {
            if (error) settle(forwardError(hop.label, hop.where, error));
            else if (late) channel.close();
            else settle(channel);
          });
        } catch {
          settle(jump.lost(hop.label));
        }
        return () => {
          late = true;
        };
      },
    );
  }

  /** Reads what a login needs of this machine: known_hosts, keys. */
  async #prepare(hop: Hop): Promise<Prepared | HostError> {
    const { memory } = this.#options;
    const { settings, label } = hop;
    const lines = await memory.knownHosts.linesOf(settings, this.#warn);
    const offered = offeredAlgorithms(settings, knownKeyTypes(lines));
    if (!offered.ok) {
      return {
        kind: 'unsupported',
        target: label,
        message: `${label}: ${offered.keyword} of the ssh configuration allows no algorithm this program has; allow one more for this host.`,
      };
    }
    if (!settings.publickey) return { lines, algorithms: offered.algorithms, keys: [], notes: [] };
    const tools: KeyTools = { parseKey: this.#ssh2.utils.parseKey, createAgent: this.#ssh2.createAgent };
    const { keys, notes } = await collectUserKeys(
      settings,
      tools,
      (path) => memory.keyFile(path, tools),
      (path, text) => memory.unlockedKey(path, text, tools, this.#ask),
    );
    return { lines, algorithms: offered.algorithms, keys, notes };
  }

  async #login(
    stream: Duplex,
    hop: Hop,
    { lines, algorithms, keys, notes }: Prepared,
    release: () => void,
  ): Promise<SshConnection | HostError> {
    const { memory, acceptNew } = this.#options;
    const { settings, label, where } = hop;
    const ask = settings.password || settings.keyboardInteractive ? this.#ask : undefined;
    const client = new this.#ssh2.Client();
    const connection = new SshConnection(client, stream, where, release);
    const result = await new Promise<HostError | null>((resolve) => {
      const { signal } = this.#options;
      let keyError: HostError | null = null;
      let provenKey: Buffer | undefined;
      let phase: 'handshake' | 'login' = 'handshake';
      const settle = (error: HostError | null): void => {
        clock.stop();
        signal?.removeEventListener('abort', onAbort);
        resolve(error);
      };
      const onAbort = (): void => settle(this.#aborted(label));
      const clock = new Clock(this.#timeoutMs(settings), (ms) => {
        const message =
          phase === 'handshake'
            ? `${where} accepted the connection and did not answer as sshd within ${ms / 1000} s; check that sshd is not overloaded and is what listens there.`
            : `the login at ${where} took longer than ${ms / 1000} s; check sshd and PAM there.`;
        settle({ kind: 'connect-timeout', target: label, message: `${label}: ${message}` });
      });
      const login = new Login({
        settings,
        account: hop.account,
        keys,
        password: memory.secret(`password for ${hop.account}: `, ask),
        ask,
        agentFor: (key) => oneKeyAgent(this.#ssh2, key),
        waiting: (answer) => clock.pauseFor(answer),
        giveUp: () => settle(loginFailed()),
      });
      login.notes.push(...notes);
      const loginFailed = (): HostError => authFailed(label, hop, login);

      client.on('handshake', () => {
        phase = 'login';
        clock.restart(loginTimeoutMs);
      });
      client.on('ready', () => {
        login.succeeded();
        settle(null);
      });
      client.on('error', (fault: Error & ConnectionFault) => {
        // A key that could not sign: the next one is tried.
        if (fault.level === 'agent') return;
        if (fault.level === 'client-authentication') settle(loginFailed());
        else settle(keyError ?? handshakeError(label, where, fault));
      });
      client.on('close', () => {
        login.failed();
        settle(keyError ?? handshakeError(label, where, { message: 'it was closed' }));
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      client.connect({
        sock: stream,
        username: settings.user,
        algorithms,
        // The clock above has the limits.
        readyTimeout: 0,
        keepaliveInterval: settings.serverAliveIntervalMs || defaultKeepaliveMs,
        keepaliveCountMax: settings.serverAliveCountMax,
        hostVerifier: (key: Buffer, verify: (accepted: boolean) => void): void => {
          // Asked again whenever keys are exchanged anew.
          if (provenKey !== undefined) {
            verify(provenKey.equals(key));
            return;
          }
          const check = {
            target: label,
            settings,
            lines,
            files: memory.knownHosts,
            acceptNew: acceptNew ?? false,
            warn: this.#warn,
          };
          judgeHostKey(check, key).then((error) => {
            keyError = error;
            if (error === null) provenKey = key;
            verify(error === null);
          });
        },
        authHandler: (left, partial, next) => {
          login.next(left, partial).then((attempt) => next(attempt as Parameters<typeof next>[0]));
        },
      });
    });
    if (result !== null) {
      connection.close();
      stream.destroy();
      return result;
    }
    return connection;
  }
}

function authFailed(label: string, hop: Hop, login: Login): HostError {
  const tried = login.tried.length === 0 ? 'there was nothing to try' : `tried ${login.tried.join(', ')}`;
  const notes = login.notes.map((note) => `; ${note}`).join('');
  return {
    kind: 'auth-failed',
    target: label,
    message: `${label}: login as ${hop.settings.user} failed, the host offers ${login.offered.join(', ') || 'no method'}: ${tried}${notes}; check with: ssh -v ${hop.account}`,
  };
}

/** An open login. `closed` and `lost` tell what became of it. */
class SshConnection implements Shared {
  readonly client: Client;
  /** Resolves when the connection is gone. */
  readonly ended: Promise<void>;
  closed = false;
  readonly #stream: Duplex;
  readonly #where: string;
  readonly #release: () => void;
  #fault: string | undefined;

  /** `release` gives back what the connection goes through. */
  constructor(client: Client, stream: Duplex, where: string, release: () => void) {
    this.client = client;
    this.#stream = stream;
    this.#where = where;
    this.#release = release;
    client.on('error', (fault: Error & ConnectionFault) => {
      if (fault.level !== 'agent') this.#fault ??= fault.message;
    });
    this.ended = new Promise((resolve) => {
      client.on('close', () => {
        this.#leave();
        resolve();
      });
    });
  }

  close(): void {
    if (!this.#leave()) return;
    this.client.end();
    // A dead link never answers, and ssh2's destroy() leaves a socket alone that it has ended.
    const timer = setTimeout(() => this.#stream.destroy(), 1_000);
    this.client.once('close', () => clearTimeout(timer));
  }

  #leave(): boolean {
    if (this.closed) return false;
    this.closed = true;
    this.#release();
    return true;
  }

  /** The error of something that needed this connection. */
  lost(label: string): HostError {
    const why =
      this.#fault === 'Keepalive timeout'
        ? 'it no longer answers'
        : (this.#fault ?? 'it was closed from there');
    return {
      kind: 'connection-lost',
      target: label,
      message: `${label}: the connection to ${this.#where} was lost (${why}); what was running there may have gone on, read the host again.`,
    };
  }
}

class SshTransport implements Transport {
  readonly target: string;
  readonly #connection: SshConnection;
  readonly #options: SshOptions;

  constructor(options: SshOptions, connection: SshConnection) {
    this.target = options.target;
    this.#options = options;
    this.#connection = connection;
  }

  run(request: RunRequest): Promise<RunResult> {
    const { target } = this;
    const { memory, askSecret } = this.#options;
    return runScript({
      target,
      request,
      sudo: memory.sudoPassword(target, askSecret && memory.oneAtATime(askSecret)),
      start: (program) => this.#start(program),
    });
  }

  #start(program: string): Promise<ScriptProcess | { readonly error: HostError }> {
    const connection = this.#connection;
    const { target } = this;
    return new Promise((resolve) => {
      if (connection.closed) {
        resolve({ error: connection.lost(target) });
        return;
      }
      try {
        // The login shell may be csh or fish: the program has no character that means anything to them in quotes.
        connection.client.exec(`exec sh -c '${program}'`, (error, channel) => {
          if (error === undefined || error === null)
            resolve(scriptProcess(channel, () => connection.lost(target)));
          else
            resolve({ error: connection.closed ? connection.lost(target) : sessionRefused(target, error) });
        });
      } catch {
        resolve({ error: connection.lost(target) });
      }
    });
  }

  async close(): Promise<void> {
    this.#connection.close();
    await this.#connection.ended;
  }
}

function sessionRefused(target: string, error: Error): HostError {
  return {
    kind: 'unsupported',
    target,
    message: `${target}: the host would not start a session (${error.message.slice(0, 200)}); check MaxSessions and that the user may run commands.`,
  };
}

function scriptProcess(channel: ClientChannel, lost: () => HostError): ScriptProcess {
  let exit: { readonly code: number | null; readonly signal: string | null } | undefined;
  channel.on('error', () => {});
  channel.stderr.on('error', () => {});
  channel.on('exit', (code: number | null, signal?: string) => {
    exit = { code, signal: signal ?? null };
  });
  const closed = (stream: NodeJS.EventEmitter): Promise<void> =>
    new Promise((resolve) => {
      stream.once('close', resolve);
    });
  return {
    stdin: channel,
    stdout: channel,
    stderr: channel.stderr,
    ended: Promise.all([closed(channel), closed(channel.stderr)]).then(() => exit ?? { error: lost() }),
    kill: () => {
      // To the process group, where sshd (7.9 and later, not for root) and the rights of the user allow it; before the
      // end of the input, which a sudo at its prompt would take for one more wrong password.
      channel.signal('KILL');
      channel.close();
    },
  };
}

/** A time limit that stands still while a person is asked. */
class Clock {
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

/** ssh2 takes keys that sign asynchronously only from an agent: this is one that holds a single key. */
function oneKeyAgent(ssh2: Ssh2, key: OneKey): BaseAgent {
  class OneKeyAgent extends ssh2.BaseAgent<Buffer> {
    override getIdentities(callback: (error: undefined, keys: Buffer[]) => void): void {
      callback(undefined, [key.publicKey]);
    }

    override sign(
      _publicKey: Buffer,
      data: Buffer,
      options: SigningRequestOptions | SignCallback,
      callback?: SignCallback,
    ): void {
      const done = typeof options === 'function' ? options : callback;
      const hash = typeof options === 'function' ? undefined : options.hash;
      key.sign(data, hash).then(
        (signature) => done?.(undefined, signature),
        (error: Error) => done?.(error),
      );
    }
  }
  return new OneKeyAgent();
}
