/**
 * Real Debian hosts for tests: containers with systemd as PID 1 (systemd up to 257, cgroup v1) and virtual machines
 * (any systemd, their own kernel, cgroup v2 by default). README.md tells what they can and cannot do.
 *
 * A host lives as long as a pipe that this process holds open, so it is gone however this process ends.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
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

/** Kernel arguments that boot a VM of systemd up to 257 with cgroup v1 hierarchies only. */
export const cgroupV1 =
  'systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1';

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
        // On cgroup v1 in a container nobody tells systemd that a cgroup is empty, so that a unit caught in its start
        // may hold up the shutdown until its timeout: two minutes for a user manager.
        const impatience = setTimeout(() => {
          exec('systemctl reboot --force', { check: false }).catch(() => {});
        }, 15_000);
        pid = Number(
          await withTimeout(next, 150_000, `${name} to reboot`).finally(() => clearTimeout(impatience)),
        );
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

/**
 * Starts a virtual machine with a kernel of its own. Software emulation makes everything ten times slower, so the
 * first machine of a kind is saved right after its boot and the later ones go on from there, in seconds. Those share
 * one boot id until they reboot; `fresh` asks for a real boot.
 */
export async function startVm(options: {
  suite: Suite;
  name?: string;
  kernelArgs?: string;
  fresh?: boolean;
}): Promise<LabHost> {
  const { suite, kernelArgs = '', fresh = false } = options;
  const why = labUnavailable();
  if (why !== null) throw new Error(`no lab VM: ${why}`);
  const name = hostName(options.name ?? `${suite}-vm-${++counter}`);
  const machine = await buildBase(suite, '--vm');
  const state = await savedState(machine, kernelArgs);
  if (!fresh && existsSync(state)) return await bringUp(name, suite, machine, kernelArgs, state, 'restore');
  return await inTurn(async () => {
    // Who was served before may have left a state.
    const how = fresh ? 'boot' : existsSync(state) ? 'restore' : 'boot and save';
    return await bringUp(name, suite, machine, kernelArgs, state, how);
  });
}

async function bringUp(
  name: string,
  suite: Suite,
  machine: string,
  kernelArgs: string,
  state: string,
  how: 'boot' | 'boot and save' | 'restore',
): Promise<LabHost> {
  const restore = how === 'restore';
  const supervisor = new Supervisor(name, 'vm', [name, machine, kernelArgs, ...(restore ? [state] : [])]);
  try {
    await supervisor.next('init');
    const directory = supervisor.fact('run');
    const knownHostsFile = `${directory}/known_hosts`;
    const ssh = { host: '127.0.0.1', port: Number(supervisor.fact('port')), identityFile, knownHostsFile };
    const door = { ...ssh, port: Number(supervisor.fact('labport')) };
    const exec = (script: string, options: ExecOptions = {}) =>
      runScript(name, (text) => overSsh(door, directory, text), script, options);
    const monitor = (command: string) => askMonitor(`${directory}/monitor`, command);
    const up = () => waitUntilUp(name, exec, ssh, supervisor, bootTimeoutMs);
    if (restore) {
      // It was saved standing still, and stands still again once all is read.
      while (!/VM status: paused\s*\r?\n/.test(await monitor('info status'))) await sleep(20);
      await monitor('cont');
      await waitForSshd(name, door, supervisor, Date.now() + 60_000);
      await exec(`date -u -s @${Math.ceil(Date.now() / 1000)}`);
    } else {
      await waitForSshd(name, door, supervisor, Date.now() + bootTimeoutMs);
    }
    await up();
    if (how === 'boot and save') {
      await closeSsh(door, directory);
      await saveState(state, directory, monitor);
    }
    const bootId = async () => (await exec('cat /proc/sys/kernel/random/boot_id')).stdout.toString();
    return {
      name,
      suite,
      kind: 'vm',
      systemdVersion: await systemdVersion(exec),
      ssh,
      cgroupPrefix: '',
      exec,
      writeFiles: (files) => writeFiles(exec, files),
      async reboot() {
        await inTurn(async () => {
          const before = await bootId();
          await askForReboot(exec);
          await closeSsh(door, directory);
          const deadline = Date.now() + bootTimeoutMs;
          for (;;) {
            await waitForSshd(name, door, supervisor, deadline);
            const now = await bootId().catch(() => before);
            if (now !== before) break;
            await closeSsh(door, directory);
            await sleep(200);
          }
          await up();
        });
      },
      async linkDown() {
        await closeSsh(door, directory);
        await monitor('set_link net0 off');
      },
      async linkUp() {
        await monitor('set_link net0 on');
      },
      stop: () => supervisor.stop(),
    };
  } catch (error) {
    const log = await readFile(`${supervisor.fact('run')}/console.log`, 'latin1').catch(() => '');
    await supervisor.stop();
    // A state that does not come to life would fail the next one too.
    if (restore) await rm(state, { recursive: true, force: true });
    throw new Error(`${error instanceof Error ? error.message : error}\nconsole: ...${log.slice(-3000)}`);
  }
}

/** A boot takes 15 to 25 s on an idle machine; test machines are seldom idle. */
const bootTimeoutMs = 400_000;

/**
 * Does a boot when no other VM on this machine boots: two at once take more than twice as long, and with more of them
 * none ever ends. A process holds the lock, so that it is free again however this one ends.
 */
async function inTurn<T>(boot: () => Promise<T>): Promise<T> {
  const holder = spawn('flock', [`${labDir}/boot.lock`, 'sh', '-c', 'echo mine; exec cat'], {
    stdio: 'pipe',
  });
  holder.stdin.on('error', () => {});
  try {
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once('data', () => resolve());
      holder.on('error', reject);
      holder.on('exit', () => reject(new Error('cannot lock the lab for a boot')));
    });
    return await boot();
  } finally {
    holder.stdin.end();
  }
}

/** Where the state of a booted machine is kept: it only fits the same files, kernel arguments and emulator. */
async function savedState(machine: string, kernelArgs: string): Promise<string> {
  const { stdout } = await run('qemu-system-x86_64', ['--version']);
  const script = /^# BEGIN MACHINE.*^# END MACHINE/ms.exec(await readFile(`${here}vm`, 'utf8'))?.[0] ?? '';
  const key = createHash('sha256')
    .update(stdout)
    .update(script)
    .update(kernelArgs)
    .digest('hex')
    .slice(0, 12);
  return `${machine}/state-${key}`;
}

/** Copies memory and disk of the running machine while it stands still. Of several that try, one wins. */
async function saveState(
  state: string,
  directory: string,
  monitor: (command: string) => Promise<string>,
): Promise<void> {
  const draft = await mkdtemp(`${state}.`);
  try {
    await monitor('stop');
    await monitor('migrate_set_parameter max-bandwidth 10G');
    await monitor(`migrate "exec:cat >'${draft}/memory'"`);
    // The emulator gives its disk back to a machine that goes on, so the copy is made in between.
    await copyFile(`${directory}/disk.qcow2`, `${draft}/disk.qcow2`);
    await monitor('cont');
    await rename(draft, state).catch(() => {});
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** One command to the emulator's console. */
function askMonitor(path: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    let text = '';
    let asked = false;
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`the emulator's monitor ended: ${text}`)));
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (!text.endsWith('(qemu) ')) return;
      if (asked) {
        const answer = /\bError:.*|unknown command.*/.exec(text)?.[0];
        if (answer) reject(new Error(`monitor command ${command}: ${answer}`));
        else resolve(text);
        socket.end();
        return;
      }
      asked = true;
      text = '';
      socket.write(`${command}\n`);
    });
  });
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

type SshAddress = LabHost['ssh'];

function sshArguments({ port, identityFile, knownHostsFile }: SshAddress, directory: string): string[] {
  const options = {
    BatchMode: 'yes',
    IdentitiesOnly: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: knownHostsFile,
    GlobalKnownHostsFile: '/dev/null',
    ConnectTimeout: '10',
    LogLevel: 'ERROR',
    // A handshake takes a second in an emulated machine: one connection serves all scripts.
    ControlMaster: 'auto',
    ControlPath: `${directory}/door`,
    ControlPersist: '600',
  };
  const words = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  return ['-F', 'none', ...words, '-i', identityFile, '-p', String(port)];
}

function overSsh(address: SshAddress, directory: string, script: string): string[] {
  return ['ssh', ...sshArguments(address, directory), `root@${address.host}`, script];
}

/** Ends the shared connection, which a reboot or a cut cable leaves dead. */
async function closeSsh(address: SshAddress, directory: string): Promise<void> {
  const words = sshArguments(address, directory);
  await run('ssh', [...words, '-O', 'exit', `root@${address.host}`]).catch(() => {});
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
  await waitForSshd(name, ssh, supervisor, deadline);
}

async function waitForSshd(
  name: string,
  ssh: SshAddress,
  supervisor: Supervisor,
  deadline: number,
): Promise<void> {
  while (!(await sshdAnswers(ssh.host, ssh.port))) {
    if (supervisor.failure) throw supervisor.failure;
    if (Date.now() > deadline)
      throw new Error(`sshd of lab host ${name} does not answer on port ${ssh.port}`);
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
