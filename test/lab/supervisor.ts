/** What all hosts of the lab have in common: the process that runs them, the base they stand on, their coming up. */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LabHost, Suite } from './lab.ts';
import type { Exec } from './script.ts';

export const here = fileURLToPath(new URL('.', import.meta.url));
export const labDir = process.env['TASKSCTL_LAB_DIR'] ?? '/var/tmp/tasksctl-lab';
export const identityFile = `${labDir}/key/id_ed25519`;
export const run = promisify(execFile);

export type SshAddress = LabHost['ssh'];

let counter = 0;

/** The name asked for, or one that says what it is. */
export function hostName(asked: string | undefined, kind: string): string {
  const name = asked ?? `${kind}-${++counter}`;
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(name)) throw new Error(`not a host name: ${JSON.stringify(name)}`);
  return name;
}

/** The directory that build-base prints; made now when there is none yet. */
export async function buildBase(
  suite: Suite,
  { vm = false, packages = [] }: { vm?: boolean; packages?: readonly string[] | undefined },
): Promise<string> {
  const more = [...(vm ? ['--vm'] : []), ...(packages.length === 0 ? [] : [`--with=${packages.join(',')}`])];
  const { stdout } = await run(`${here}build-base`, [suite, ...more], { timeout: 900_000 });
  return stdout.trim();
}

/**
 * The shell process that runs one host. It says what happens in lines "word value" on its standard output and ends,
 * with all that belongs to the host, when its standard input is closed.
 */
export class Supervisor {
  readonly #name: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #facts = new Map<string, string>();
  readonly #ended: Promise<void>;
  #waiting: { word: string; resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  #failure: Error | undefined;
  #stderr = '';

  constructor(name: string, script: 'container' | 'vm', args: string[]) {
    this.#name = name;
    // A session of its own: an interrupt at the terminal must reach the tests first, which then close the pipe.
    this.#child = spawn(`${here}${script}`, args, { detached: true, stdio: 'pipe' });
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.on('data', (chunk) => {
      this.#stderr = (this.#stderr + chunk).slice(-4000);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const [word = '', value = ''] = line.split(/ (.*)/s);
      this.#facts.set(word, value);
      const now = this.#waiting.filter((waiter) => waiter.word === word);
      this.#waiting = this.#waiting.filter((waiter) => waiter.word !== word);
      for (const waiter of now) waiter.resolve(value);
    });
    this.#ended = new Promise((resolve) => {
      const end = (what: string) => {
        this.#failure ??= new Error(
          `lab host ${name} ended (${what})${this.#stderr && `: ${this.#stderr.trim()}`}`,
        );
        for (const waiter of this.#waiting) waiter.reject(this.#failure);
        this.#waiting = [];
        resolve();
      };
      this.#child.on('error', (error) => end(error.message));
      this.#child.on('close', (code, signal) => end(signal ?? `code ${code}`));
    });
  }

  /** The value of the next line that starts with the word. */
  next(word: string): Promise<string> {
    if (this.#failure) return Promise.reject(this.#failure);
    const promise = new Promise<string>((resolve, reject) => {
      this.#waiting.push({ word, resolve, reject });
    });
    promise.catch(() => {});
    return promise;
  }

  /** The value of the last line that started with the word. */
  fact(word: string): string {
    const value = this.#facts.get(word);
    if (value === undefined) throw new Error(`lab host ${this.#name} has not told its ${word}`);
    return value;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  async stop(): Promise<void> {
    this.#child.stdin.end();
    await withTimeout(this.#ended, 30_000, `${this.#name} to stop`);
  }
}

/** The answer may be lost: the host goes down while it is being given. */
export async function askForReboot(exec: Exec): Promise<void> {
  await exec('systemctl reboot', { check: false });
}

/** Waits for the end of the boot (until then logins are refused) and for sshd. */
export async function waitUntilUp(
  name: string,
  exec: Exec,
  ssh: LabHost['ssh'],
  supervisor: Supervisor,
  timeoutMs: number,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let state = '';
  while (state !== 'running' && state !== 'degraded') {
    if (supervisor.failure) throw supervisor.failure;
    if (Date.now() > deadline) throw new Error(`lab host ${name} is not up after ${timeoutMs} ms: ${state}`);
    const answer = await exec('systemctl is-system-running --wait 2>&1', { check: false, timeoutMs }).catch(
      () => undefined,
    );
    state = answer?.stdout.toString().trim() ?? '';
    if (state !== 'running' && state !== 'degraded') await sleep(50);
  }
  await waitForSshd(name, ssh, supervisor, deadline);
}

export async function waitForSshd(
  name: string,
  ssh: SshAddress,
  supervisor: Supervisor,
  deadline: number,
): Promise<void> {
  // Short at first: what is sent while a machine is down is lost, and to ask again is quicker than to wait. But a machine
  // under load may take its time.
  let patienceMs = 2000;
  for (;;) {
    const answer = await askSshd(ssh.host, ssh.port, patienceMs);
    if (answer === 'yes') return;
    if (answer === 'silence') patienceMs = Math.min(2 * patienceMs, 30_000);
    if (supervisor.failure) throw supervisor.failure;
    if (Date.now() > deadline)
      throw new Error(`sshd of lab host ${name} does not answer on port ${ssh.port}`);
    await sleep(50);
  }
}

function askSshd(host: string, port: number, patienceMs: number): Promise<'yes' | 'no' | 'silence'> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: patienceMs });
    const done = (answer: 'yes' | 'no' | 'silence') => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('data', (chunk) => done(chunk.toString().startsWith('SSH-') ? 'yes' : 'no'));
    socket.on('error', () => done('no'));
    socket.on('end', () => done('no'));
    socket.on('timeout', () => done('silence'));
  });
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function withTimeout<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
