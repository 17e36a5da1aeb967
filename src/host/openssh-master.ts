import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { whyLost } from './openssh-error.ts';
import { connectionLost } from './ssh-error.ts';
import type { HostError } from './transport.ts';

/** Time a master gets to leave, milliseconds; then it is left to itself. */
const leaveMs = 1_000;

/** Never a word in another language, which could not be understood. */
export function sshEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C' };
}

/**
 * An ssh that is logged in and serves runs over a socket in a directory of its own (ControlMaster). It lives as long
 * as this process holds a connection to that socket: when tasksctl dies, however, ControlPersist ends the login.
 */
export class OpenSshMaster {
  /** Private; gone after `close`. */
  readonly dir: string;
  /** Resolves when the connection is gone. */
  readonly ended: Promise<void>;
  closed = false;
  readonly #where: string;
  readonly #lifeline: Socket;
  /** How much of the log is about the login. */
  readonly #loginLog: number;
  #closing: Promise<void> | undefined;

  private constructor(dir: string, where: string, lifeline: Socket, loginLog: number) {
    this.dir = dir;
    this.#where = where;
    this.#lifeline = lifeline;
    this.#loginLog = loginLog;
    lifeline.on('error', () => {});
    lifeline.resume();
    this.ended = new Promise((resolve) => {
      lifeline.once('close', () => {
        this.closed = true;
        resolve();
      });
    });
  }

  static socket(dir: string): string {
    return join(dir, 's');
  }

  static log(dir: string): string {
    return join(dir, 'log');
  }

  /** Takes hold of the master that listens in `dir`; null where none does. */
  static async hold(dir: string, where: string): Promise<OpenSshMaster | null> {
    const lifeline = await dial(OpenSshMaster.socket(dir));
    if (lifeline === null) return null;
    const log = await readQuietly(OpenSshMaster.log(dir));
    return new OpenSshMaster(dir, where, lifeline, log.length);
  }

  /**
   * Starts an ssh that speaks to the master. Where it cannot, it would log in by itself: it reads no configuration and
   * gets an address that, by its family, cannot be connected to, so it fails instead.
   */
  spawn(args: readonly string[], command: readonly string[] = []): ChildProcess {
    const all = ['-F', '/dev/null', '-S', OpenSshMaster.socket(this.dir), '-6', '-T', ...args];
    return spawn('ssh', [...all, '--', '0.0.0.0', ...command], {
      // Ctrl-C is for tasksctl, which may have to bring a host to an end.
      detached: true,
      env: sshEnvironment(),
      stdio: command.length === 0 ? 'ignore' : 'pipe',
    });
  }

  /** Whether the master still listens. */
  async listens(): Promise<boolean> {
    const socket = await dial(OpenSshMaster.socket(this.dir));
    socket?.destroy();
    return socket !== null;
  }

  /** The error of something that needed this connection. */
  async lost(target: string): Promise<HostError> {
    const log = await readQuietly(OpenSshMaster.log(this.dir));
    return connectionLost(target, this.#where, whyLost(log.slice(this.#loginLog)));
  }

  close(): Promise<void> {
    this.#closing ??= this.#leave();
    return this.#closing;
  }

  async #leave(): Promise<void> {
    if (!this.closed) {
      this.closed = true;
      this.spawn(['-O', 'exit']).on('error', () => {});
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, leaveMs);
      });
      await Promise.race([this.ended, late]);
      clearTimeout(timer);
      this.#lifeline.destroy();
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}

function dial(path: string): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', () => resolve(null));
    socket.once('connect', () => resolve(socket));
  });
}

/** What a file holds, as far as it can be read. */
export function readQuietly(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
