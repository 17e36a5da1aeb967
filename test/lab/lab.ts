/**
 * Real Debian hosts for tests: containers with systemd as PID 1 (systemd up to 257, cgroup v1) and virtual machines
 * (any systemd, their own kernel, cgroup v2 by default). README.md tells what they can and cannot do.
 *
 * A host lives as long as a pipe that this process holds open, so it is gone however this process ends.
 */
import { existsSync, readFileSync } from 'node:fs';
import { type ExecOptions, type ExecResult, runScript, systemdVersion, writeFiles } from './script.ts';
import {
  askForReboot,
  buildBase,
  hostName,
  identityFile,
  run,
  Supervisor,
  waitUntilUp,
  withTimeout,
} from './supervisor.ts';

export type { ExecOptions, ExecResult } from './script.ts';
export { startVm } from './vm.ts';

export type Suite = 'bullseye' | 'bookworm' | 'bookworm-backports' | 'trixie' | 'forky';

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
  /** A file with what a VM has printed on its console; a container has none. */
  readonly consoleLog: string | null;
  /** Runs a POSIX sh script as root on the host, outside of any login session. */
  exec(script: string, options?: ExecOptions): Promise<ExecResult>;
  /** Unpacks files (absolute path to content) in one round trip; parents are made. A `#!` makes a file executable. */
  writeFiles(files: Record<string, Uint8Array | string | { symlink: string }>): Promise<void>;
  /** Reboots by `systemctl reboot`, or by what `how` does; returns when the host is up with a new boot id. */
  reboot(how?: () => Promise<unknown>): Promise<void>;
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
  // Not by os.networkInterfaces(), which leaves out a bridge that no host is plugged in.
  if (!readFileSync('/proc/self/net/dev', 'utf8').includes('lab0:'))
    return 'not in the lab network: run this under test/lab/in-lab';
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

/**
 * Starts a container host; returns when its boot has finished and sshd answers. Systemd 258 and later need a VM.
 * `packages`: Debian packages it is to have besides; the first host with them takes the time to install them.
 */
export async function startContainer(options: {
  suite: Suite;
  name?: string;
  packages?: readonly string[];
}): Promise<LabHost> {
  const { suite } = options;
  const why = containersUnavailable();
  if (why !== null) throw new Error(`no lab container: ${why}`);
  if (suite === 'forky') throw new Error('no lab container: systemd of forky has no cgroup v1; use startVm');
  const name = hostName(options.name, suite);
  const base = await buildBase(suite, { packages: options.packages });
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
      consoleLog: null,
      exec,
      writeFiles: (files) => writeFiles(exec, files),
      async reboot(how = () => askForReboot(exec)) {
        const next = supervisor.next('init');
        await how();
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
