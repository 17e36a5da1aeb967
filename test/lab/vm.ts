import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { type LabHost, labUnavailable, type Suite } from './lab.ts';
import { type ExecOptions, runScript, systemdVersion, writeFiles } from './script.ts';
import {
  askForReboot,
  buildBase,
  here,
  hostName,
  identityFile,
  labDir,
  run,
  type SshAddress,
  Supervisor,
  sleep,
  waitForSshd,
  waitUntilUp,
} from './supervisor.ts';

/**
 * Starts a virtual machine with a kernel of its own. Software emulation makes everything ten times slower, so the
 * first machine of a kind is saved right after its boot and the later ones go on from there, in seconds. Those share
 * one boot id until they reboot; `fresh` asks for a real boot. `packages` as for `startContainer`.
 */
export async function startVm(options: {
  suite: Suite;
  name?: string;
  kernelArgs?: string;
  fresh?: boolean;
  packages?: readonly string[];
}): Promise<LabHost> {
  const { suite, kernelArgs = '', fresh = false } = options;
  const why = labUnavailable();
  if (why !== null) throw new Error(`no lab VM: ${why}`);
  const name = hostName(options.name, `${suite}-vm`);
  const machine = await buildBase(suite, { vm: true, packages: options.packages });
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
      await waitForSshd(name, door, supervisor, Date.now() + 180_000);
      await exec(`date -u -s @${Math.ceil(Date.now() / 1000)}`);
    } else {
      await waitForSshd(name, door, supervisor, Date.now() + bootTimeoutMs);
    }
    await up();
    if (how === 'boot and save') {
      await closeSsh(door, directory);
      await saveState(state, directory, monitor);
    }
    const bootId = async () =>
      (await exec('cat /proc/sys/kernel/random/boot_id', { timeoutMs: 20_000 })).stdout.toString();
    return {
      name,
      suite,
      kind: 'vm',
      systemdVersion: await systemdVersion(exec),
      ssh,
      cgroupPrefix: '',
      consoleLog: `${directory}/console.log`,
      exec,
      writeFiles: (files) => writeFiles(exec, files),
      async reboot(how = () => askForReboot(exec)) {
        await inTurn(async () => {
          const before = await bootId();
          await how();
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
    const log = supervisor.failure ? '' : await readFile(`${supervisor.fact('run')}/console.log`, 'latin1');
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
