/**
 * Real Debian hosts for tests: containers with systemd as PID 1 (systemd up to 257, cgroup v1) and virtual machines
 * (any systemd, their own kernel, cgroup v2 by default). README.md tells what they can and cannot do.
 *
 * A host lives as long as a pipe that this process holds open, so it is gone however this process ends.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type TarEntry, tar } from './tar.ts';

export type Suite = 'bullseye' | 'bookworm' | 'bookworm-backports' | 'trixie' | 'forky';

export interface ExecOptions {
  /** Default: one minute. */
  timeoutMs?: number;
  /** The script's standard input; empty by default. */
  input?: Uint8Array;
  /** Throw when the script ends with another code than 0; on by default. */
  check?: boolean;
}

export interface ExecResult {
  code: number;
  stdout: Buffer;
  stderr: Buffer;
}

export interface LabHost {
  readonly name: string;
  readonly suite: Suite;
  readonly systemdVersion: number;
  readonly kind: 'container' | 'vm';
  /** Users root, alice (sudo with `password`), bob (sudo without one) and carol (no sudo) accept the identity. */
  readonly ssh: { host: string; port: number; identityFile: string; knownHostsFile: string };
  /**
   * Where the host's cgroups are in the kernel's eyes: '' for a VM, '/lab-...' for a container. Lines of the kernel
   * log (shared by all containers and the machine: never clear it) carry it as a prefix.
   */
  readonly cgroupPrefix: string;
  /** Runs a POSIX sh script as root on the host, outside of any login session. */
  exec(script: string, options?: ExecOptions): Promise<ExecResult>;
  /** Unpacks files (absolute path to content) in one round trip; parents are made. A `#!` makes a file executable. */
  writeFiles(files: Record<string, Uint8Array | string | { symlink: string }>): Promise<void>;
  /** Reboots by `systemctl reboot`; returns when the host is up with a new boot id. */
  reboot(): Promise<void>;
  /** Unplugs the host's network cable; established connections just fall silent. */
  linkDown(): Promise<void>;
  linkUp(): Promise<void>;
  /** Ends the host at once, as a power cut does, and forgets its disk. */
  stop(): Promise<void>;
}

/** alice's password, for login and for sudo. */
export const password = 'correct horse';

const here = fileURLToPath(new URL('.', import.meta.url));
const labDir = process.env['TASKSCTL_LAB_DIR'] ?? '/var/tmp/tasksctl-lab';
const identityFile = `${labDir}/key/id_ed25519`;
const run = promisify(execFile);

/** Why the lab cannot run here, or null. */
export function labUnavailable(): string | null {
  if (process.platform !== 'linux') return 'the lab needs Linux';
  if (process.getuid?.() !== 0) return 'the lab needs root';
  const paths = (process.env['PATH'] ?? '').split(':');
  for (const tool of [
    'mmdebstrap',
    'ip',
    'nsenter',
    'unshare',
    'setpriv',
    'flock',
    'ssh',
    'qemu-system-x86_64',
  ]) {
    if (!paths.some((dir) => existsSync(`${dir}/${tool}`)))
      return `${tool} is missing: run test/lab/install-packages`;
  }
  if (!networkInterfaces()['lab0']) return 'not in the lab network: run this under test/lab/in-lab';
  return null;
}

/** Why containers cannot run here though VMs may, or null. */
export function containersUnavailable(): string | null {
  for (const hierarchy of ['pids', 'systemd']) {
    if (!existsSync(`/sys/fs/cgroup/${hierarchy}/cgroup.procs`)) {
      return `containers need the cgroup v1 hierarchy /sys/fs/cgroup/${hierarchy}`;
    }
  }
  return labUnavailable();
}

let counter = 0;

/** Starts a container host; returns when its boot has finished and sshd answers. Systemd 258 and later need a VM. */
export async function startContainer(options: { suite: Suite; name?: string }): Promise<LabHost> {
  const { suite } = options;
  const why = containersUnavailable();
  if (why !== null) throw new Error(`no lab container: ${why}`);
  if (suite === 'forky') throw new Error('no lab container: systemd of forky has no cgroup v1; use startVm');
  const name = hostName(options.name ?? `${suite}-${++counter}`);
  const base = await buildBase(suite);
  const supervisor = new Supervisor(name, 'container', [name, base]);
  try {
    let pid = Number(await supervisor.next('init'));
    const cgroupPrefix = supervisor.fact('cgroup');
    const ssh = {
      host: supervisor.fact('address'),
      port: 22,
      identityFile,
      knownHostsFile: `${supervisor.fact('run')}/known_hosts`,
    };
    const exec = (script: string, options: ExecOptions = {}) =>
      runScript(name, (text) => inContainer(pid, cgroupPrefix, text), script, options);
    await waitUntilUp(name, exec, ssh, supervisor, 60_000);
    const link = supervisor.fact('link');
    return {
      name,
      suite,
      kind: 'container',
      systemdVersion: await systemdVersion(exec),
      ssh,
      cgroupPrefix,
      exec,
      writeFiles: (files) => writeFiles(exec, files),
      async reboot() {
        const next = supervisor.next('init');
        await askForReboot(exec);
        pid = Number(await withTimeout(next, 120_000, `${name} to reboot`));
        await waitUntilUp(name, exec, ssh, supervisor, 60_000);
      },
      async linkDown() {
        await run('ip', ['link', 'set', link, 'down']);
      },
      async linkUp() {
        await run('ip', ['link', 'set', link, 'up']);
      },
      stop: () => supervisor.stop(),
    };
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

type Exec = (script: string, options?: ExecOptions) => Promise<ExecResult>;

function hostName(name: string): string {
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(name)) throw new Error(`not a host name: ${JSON.stringify(name)}`);
  return name;
}

async function buildBase(suite: Suite, ...more: string[]): Promise<string> {
  const { stdout } = await run(`${here}build-base`, [suite, ...more], { timeout: 900_000 });
  return stdout.trim();
}

/**
 * The shell process that runs one host. It says what happens in lines "word value" on its standard output and ends,
 * with all that belongs to the host, when its standard input is closed.
 */
class Supervisor {
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
    // A process that only waits for its hosts may end; its hosts end with it.
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) {
      (stream as unknown as { unref?: () => void }).unref?.();
    }
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
    this.#child.ref();
    this.#child.stdin.end();
    await withTimeout(this.#ended, 30_000, `${this.#name} to stop`);
  }
}

/**
 * The command that runs a script in a container. The script's processes are put in the container's topmost cgroup
 * first, so that they are inside of what they see in /proc/self/cgroup and die with the host.
 */
function inContainer(pid: number, cgroup: string, script: string): string[] {
  const enter =
    'for tree in pids systemd; do echo 0 >/sys/fs/cgroup/$tree$1/cgroup.procs || exit; done;' +
    ' exec nsenter --target "$2" --mount --uts --ipc --net --pid --cgroup --root --wd=/ --' +
    ' env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "$3"';
  return ['sh', '-c', enter, 'sh', cgroup, String(pid), script];
}

/** An argument can have 128 KiB; longer scripts are read from a pipe, which then is not there for input. */
const longestArgument = 120_000;

async function runScript(
  name: string,
  command: (script: string) => string[],
  script: string,
  { timeoutMs = 60_000, input, check = true }: ExecOptions,
): Promise<ExecResult> {
  const long = Buffer.byteLength(script) > longestArgument;
  if (long && input) throw new Error('a script of this length cannot have input');
  const [file = '', ...args] = command(long ? 'exec sh -s' : script);
  const child = spawn(file, args, { stdio: 'pipe', detached: true });
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(long ? script : input);
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    // Not 'close': what the script left running in the background may hold the pipes for ever.
    child.on('exit', (code, signal) => {
      const code2 = code ?? 128 + (signal === 'SIGKILL' ? 9 : 15);
      const closed = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve(code2);
      }, 300);
      child.on('close', () => {
        clearTimeout(closed);
        resolve(code2);
      });
    });
  });
  let code: number;
  try {
    code = await withTimeout(ended, timeoutMs, `a script on ${name}`);
  } catch (error) {
    killGroup();
    throw error;
  }
  const result = { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) };
  if (check && code !== 0) {
    throw new Error(
      `script on ${name} ended with code ${code}\n${script.slice(0, 2000)}\n${result.stdout.toString().slice(-2000)}\n${result.stderr.toString().slice(-2000)}`,
    );
  }
  return result;
}

async function writeFiles(
  exec: Exec,
  files: Record<string, Uint8Array | string | { symlink: string }>,
): Promise<void> {
  const entries = Object.entries(files).map(([path, content]): TarEntry => {
    if (!path.startsWith('/')) throw new Error(`not an absolute path: ${path}`);
    const relative = path.slice(1);
    if (typeof content === 'object' && 'symlink' in content)
      return { path: relative, symlink: content.symlink };
    const data = typeof content === 'string' ? Buffer.from(content) : content;
    const executable = data[0] === 0x23 && data[1] === 0x21;
    return { path: relative, data, mode: executable ? 0o755 : 0o644 };
  });
  await exec('umask 022; exec tar -x -p -C / -f -', { input: tar(entries) });
}

async function systemdVersion(exec: Exec): Promise<number> {
  const { stdout } = await exec('systemctl --version');
  const version = /^systemd (\d+)/.exec(stdout.toString())?.[1];
  if (version === undefined) throw new Error(`unknown systemd version: ${stdout}`);
  return Number(version);
}

/** The answer may be lost: the host goes down while it is being given. */
async function askForReboot(exec: Exec): Promise<void> {
  await exec('systemctl reboot', { check: false });
}

/** Waits for the end of the boot (until then logins are refused) and for sshd. */
async function waitUntilUp(
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
  while (!(await sshdAnswers(ssh.host, ssh.port))) {
    if (supervisor.failure) throw supervisor.failure;
    if (Date.now() > deadline)
      throw new Error(`sshd of lab host ${name} does not answer after ${timeoutMs} ms`);
    await sleep(50);
  }
}

function sshdAnswers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('data', (chunk) => done(chunk.toString().startsWith('SSH-')));
    socket.on('error', () => done(false));
    socket.on('end', () => done(false));
    socket.on('timeout', () => done(false));
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function withTimeout<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
