import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Algorithms, Client } from 'ssh2';
import { onAbort } from './abort.ts';
import { Clock } from './clock.ts';
import type { ConnectMemory } from './connect-memory.ts';
import { gatherWrites } from './gather-writes.ts';
import { judgeHostKey } from './host-key.ts';
import { type HostLines, knownKeyTypes } from './known-hosts.ts';
import { oneKeyAgent } from './one-key-agent.ts';
import { printable } from './printable.ts';
import { offeredAlgorithms } from './ssh-algorithms.ts';
import { readSshSettings, type SshSettings, type SshSettingsResult } from './ssh-config.ts';
import { SshConnection } from './ssh-connection.ts';
import { type ConnectionFault, forwardError, handshakeError, tcpError } from './ssh-error.ts';
import { collectUserKeys, type KeyTools, type UserKeys } from './ssh-keys.ts';
import { Login } from './ssh-login.ts';
import { SshTransport } from './ssh-transport.ts';
import type { SshDestination } from './target.ts';
import type { AskSecret, HostError, Transport } from './transport.ts';

export interface SshOptions {
  readonly destination: SshDestination;
  /** The target as the operator named it. */
  readonly target: string;
  readonly memory: ConnectMemory;
  readonly askSecret?: AskSecret;
  /** All hosts have the same sudo password. */
  readonly oneSudoPassword?: boolean;
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
  // Begun here, so that ssh works at it while ssh2 is loaded; the answer is remembered.
  void settingsOf(options, options.destination, options.target);
  // Only here: commands that stay on this machine should not pay for it.
  const ssh2 = (await import('ssh2')).default;
  const session = new SshSession(options, ssh2);
  const opened = await session.open();
  if ('kind' in opened) return { ok: false, error: opened };
  const sudo = options.memory.sudoPassword(options.target, session.ask, options.oneSudoPassword);
  return { ok: true, transport: new SshTransport(options.target, opened, sudo) };
}

function settingsOf(
  { memory, configFile }: SshOptions,
  destination: SshDestination,
  label: string,
): Promise<SshSettingsResult> {
  const key = JSON.stringify([configFile, destination.host, destination.user, destination.port]);
  return memory.settings(key, () => readSshSettings(destination, label, configFile, memory.sshConfig));
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
  /** What the operator can look into a failed login with. */
  readonly sshCommand: string;
}

/** What is known before a host is connected to. */
interface Prepared extends UserKeys {
  readonly lines: HostLines;
  readonly algorithms: Algorithms;
}

class SshSession {
  readonly #options: SshOptions;
  readonly #ssh2: Ssh2;
  /** Asks the operator, one question at a time. */
  readonly ask: AskSecret | undefined;
  readonly #warn: (message: string) => void;

  constructor(options: SshOptions, ssh2: Ssh2) {
    this.#options = options;
    this.#ssh2 = ssh2;
    this.ask = options.askSecret && options.memory.oneAtATime(options.askSecret);
    this.#warn = options.warn ?? (() => {});
  }

  async open(): Promise<SshConnection | HostError> {
    const { target, destination } = this.#options;
    const hops = await this.#hops(destination, null, 0);
    const opened = 'kind' in hops ? hops : await this.#openHop(hops, hops.length - 1);
    // Errors of a jump host name it and not the targets behind it, which may share it.
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
    const { target } = this.#options;
    if (above >= maxHops) {
      return {
        kind: 'config-invalid',
        target,
        message: `${target}: ProxyJump leads to more than ${maxHops} hosts in a row, probably in a circle; correct it in ~/.ssh/config (ProxyJump none for the jump host).`,
      };
    }
    const label = above === 0 ? target : `jump host ${destination.host}`;
    const result = await settingsOf(this.#options, destination, label);
    if (!result.ok) return result.error;
    const { settings } = result;
    const address = settings.hostname.includes(':') ? `[${settings.hostname}]` : settings.hostname;
    const hop: Hop = {
      settings,
      label,
      where: `${settings.hostname} port ${settings.port}`,
      account: `${settings.user}@${settings.port === 22 ? address : `${address}:${settings.port}`}`,
      sshCommand: ['ssh -v', ...(destination.port === undefined ? [] : ['-p', destination.port])]
        .concat(destination.user === undefined ? destination.host : `${destination.user}@${destination.host}`)
        .join(' '),
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
    const join = () =>
      this.#options.memory.join(JSON.stringify([this.#options.configFile, way]), () =>
        this.#openHop(hops, index - 1),
      );
    let jump = await join();
    // The host that was opening the jump was stopped, not this one.
    while ('error' in jump && jump.error.kind === 'aborted' && !this.#options.signal?.aborted)
      jump = await join();
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
    return new Promise((resolve) => {
      let settled = false;
      const settle = (result: T | HostError): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        ignoreAbort();
        resolve(result);
      };
      const timer = setTimeout(() => {
        settle({
          kind: 'connect-timeout',
          target: hop.label,
          message: `${hop.label}: ${hop.where} ${tooLate} within ${timeoutMs / 1000} s; check the network, firewalls and that sshd runs there.`,
        });
        undo();
      }, timeoutMs);
      let ignoreAbort = (): void => {};
      const undo = start(settle);
      ignoreAbort = onAbort(this.#options.signal, () => {
        settle(this.#aborted(hop.label));
        undo();
      });
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
        gatherWrites(socket);
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
      (path, text) => memory.unlockedKey(path, text, tools, this.ask),
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
    const ask = settings.password || settings.keyboardInteractive ? this.ask : undefined;
    const client = new this.#ssh2.Client();
    const connection = new SshConnection(client, stream, where, release);
    const result = await new Promise<HostError | null>((resolve, reject) => {
      let keyError: HostError | null = null;
      let provenKey: Buffer | undefined;
      let phase: 'handshake' | 'login' = 'handshake';
      const settle = (error: HostError | null): void => {
        clock.stop();
        ignoreAbort();
        resolve(error);
      };
      let ignoreAbort = (): void => {};
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
        leaveHostKeysUnproven(client);
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
      client.on('change password', () => {
        login.notes.push('the password has expired and must be changed first');
        settle(loginFailed());
      });
      client.on('close', () => {
        login.failed();
        settle(keyError ?? handshakeError(label, where, { message: 'it was closed' }));
      });
      ignoreAbort = onAbort(this.#options.signal, () => settle(this.#aborted(label)));
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
          }, reject);
        },
        authHandler: (left, partial, next) => {
          // false, which ends the attempts, is missing in the types.
          login.next(left, partial).then((attempt) => next(attempt as Parameters<typeof next>[0]), reject);
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

/**
 * OpenSSH tells what keys a host has (hostkeys-00@openssh.com), and ssh2 has the host sign with each of them, at every login.
 * Nobody here wants to know. ssh2 asks only what it takes for OpenSSH, and makes no other difference between hosts here.
 */
function leaveHostKeysUnproven(client: Client): void {
  if ('_remoteVer' in client) client._remoteVer = 'left alone';
}

function authFailed(label: string, hop: Hop, login: Login): HostError {
  const tried = login.tried.length === 0 ? 'there was nothing to try' : `tried ${login.tried.join(', ')}`;
  const notes = login.notes.map((note) => `; ${note}`).join('');
  const message = `${label}: login as ${hop.settings.user} failed, the host offers ${login.offered.join(', ') || 'no method'}: ${tried}${notes}; look into it with: ${hop.sshCommand}`;
  // The names of the methods are the host's words.
  return { kind: 'auth-failed', target: label, message: printable(message).replaceAll('\n', '?') };
}
