import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/**
 * A root directory of its own in a mount namespace of its own, with this machine's programs and a systemd of a few
 * lines of shell: enough to run the transaction for real, with real files, renames and kills, and to look at every byte
 * it leaves. Needs root. What systemd and the kernel make of it is tested on real hosts (test/hosts/apply.test.ts).
 */
export class PrivateHost {
  readonly root = mkdtempSync(join(tmpdir(), 'tasksctl-host-'));
  readonly shell: readonly string[];

  /** @param shell the command that reads the script, such as `['dash', '-s']` */
  constructor(shell: readonly string[] = ['sh', '-s']) {
    this.shell = shell;
    for (const dir of [
      'etc/systemd/system',
      'etc/sysctl.d',
      'var/lib',
      'run/systemd/system',
      'run/fake/units',
    ]) {
      mkdirSync(join(this.root, dir), { recursive: true });
    }
    for (const dir of [
      'usr',
      'proc',
      'dev',
      'tmp',
      'bin-local/sbin',
      'bin-local/bin',
      'sys/fs/cgroup/pids/init.scope',
    ]) {
      mkdirSync(join(this.root, dir), { recursive: true });
    }
    for (const link of ['bin', 'sbin', 'lib', 'lib64', 'lib32']) {
      if (existsSync(`/${link}`) && lstatSync(`/${link}`).isSymbolicLink()) {
        symlinkSync(`usr/${link}`, join(this.root, link));
      }
    }
    this.write('/etc/os-release', 'ID=debian\n');
    this.write('/sys/fs/cgroup/pids/init.scope/cgroup.procs', '');
    this.setBootId('11111111-1111-4111-8111-111111111111');
    this.write('/pid_max', '4194304\n');
    for (const [name, text] of Object.entries(PROGRAMS)) {
      this.write(`/bin-local/sbin/${name}`, text);
      chmodSync(join(this.root, 'bin-local/sbin', name), 0o755);
    }
  }

  setBootId(id: string): void {
    this.write('/boot_id', `${id}\n`);
  }

  /** A unit that the fake systemd has loaded; `cgroup` null: not running. `pattern` is the drop-in directory's name. */
  addUnit(name: string, limit: string, cgroup: string | null, ...dropIns: string[]): void {
    this.write(`/run/fake/units/${name}/default`, `${limit}\n`);
    this.write(`/run/fake/units/${name}/max`, `${limit}\n`);
    this.write(`/run/fake/units/${name}/drop-ins`, [...dropIns, `${name}.d`].join('\n'));
    if (cgroup !== null) {
      this.write(`/run/fake/units/${name}/cgroup`, `${cgroup}\n`);
      this.write(`/sys/fs/cgroup/pids${cgroup}/pids.max`, `${limit === 'infinity' ? 'max' : limit}\n`);
    }
  }

  write(path: string, content: string | Uint8Array, mode?: number): void {
    const real = join(this.root, path);
    mkdirSync(dirname(real), { recursive: true });
    writeFileSync(real, content);
    if (mode !== undefined) chmodSync(real, mode);
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  exists(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true, force: true });
  }

  list(path: string): string[] {
    return this.exists(path) ? readdirSync(join(this.root, path)).sort() : [];
  }

  /** Every path below `path` with type, mode, owner and bytes or target, one a line. */
  tree(path: string): string[] {
    const top = join(this.root, path);
    const names = existsSync(top) ? (readdirSync(top, { recursive: true }) as string[]) : [];
    return names.sort().map((name) => {
      const at = join(top, name);
      const { mode, uid, gid } = lstatSync(at);
      const stat = `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
      if (lstatSync(at).isSymbolicLink()) return `${name} link`;
      if (statSync(at).isDirectory()) return `${name}/ ${stat}`;
      return `${name} ${stat} ${readFileSync(at).toString('latin1')}`;
    });
  }

  /** Runs a script as root in the private root, and tells how it ended. */
  run(
    script: string,
    options: { shell?: readonly string[]; before?: string; onStdout?: (text: string) => void } = {},
  ): Promise<{ code: number | null; signal: string | null; stdout: Buffer; stderr: string }> {
    const [program, ...args] = this.#enter(options.shell ?? this.shell, options.before ?? '');
    const child = spawn(program ?? '', args, { stdio: 'pipe' });
    const stdout: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.push(chunk);
      options.onStdout?.(chunk.toString('latin1'));
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk;
    });
    child.stdin.on('error', () => {});
    child.stdin.end(`{ :; ${script}\n}\n`);
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(stdout), stderr }));
    });
  }

  #enter(shell: readonly string[], before: string): string[] {
    const mounts = [
      'set -e',
      'cd "$1"',
      'mount --bind /usr usr',
      'mount --bind bin-local usr/local',
      'mount --rbind /proc proc',
      'mount --bind boot_id proc/sys/kernel/random/boot_id',
      'mount --bind pid_max proc/sys/kernel/pid_max',
      'mount --bind /dev dev',
      before,
      'shift',
      'exec chroot . /usr/bin/env -i "$@"',
    ].join('\n');
    return ['unshare', '-m', '--propagation', 'private', 'sh', '-c', mounts, 'sh', this.root, ...shell];
  }

  dispose(): void {
    spawnSync('chattr', ['-R', '-i', this.root], { stdio: 'ignore' });
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** What stands in for systemd: units are directories below /run/fake/units, cgroups plain directories. */
const PROGRAMS: Readonly<Record<string, string>> = {
  systemctl: `#!/bin/sh
fake=/run/fake
[ "\${1:-}" != --version ] || { echo 'systemd 252 (252.39-1~deb12u1)'; exit 0; }
echo "$*" >>$fake/log
[ ! -e "$fake/hang-$1" ] || exec sleep 1000
[ ! -e "$fake/fail-$1" ] || { echo "Failed to $1: injected" >&2; exit 1; }
shown() {
  echo "Id=$1"
  if [ -d "$fake/units/$1" ]; then
    echo "TasksMax=$(cat "$fake/units/$1/max")"
    echo "ControlGroup=$(cat "$fake/units/$1/cgroup" 2>/dev/null)"
  else
    value=$(configured /etc/systemd/system/user-.slice.d)
    echo "TasksMax=\${value:-10813}"
    echo ControlGroup=
  fi
  echo
}
configured() {
  for conf in $(for dir in "$@"; do ls -d "$dir"/*.conf 2>/dev/null; done | sed 's#.*/#& #' | sort -k 2 | tr -d ' '); do
    sed -n 's/^TasksMax=//p' "$conf"
  done | tail -n 1
}
case $1 in
  daemon-reload | daemon-reexec)
    for unit in "$fake"/units/*; do
      [ -d "$unit" ] || continue
      value=$(configured $(sed 's#^#/etc/systemd/system/#' "$unit/drop-ins"))
      value=\${value:-$(cat "$unit/default")}
      echo "$value" >"$unit/max"
      [ ! -f "$unit/cgroup" ] || [ -e "$fake/lazy" ] || {
        [ "$value" != infinity ] || value=max
        echo "$value" >"/sys/fs/cgroup/pids$(cat "$unit/cgroup")/pids.max"
      }
    done
    ;;
  show)
    while [ "$1" != -- ]; do
      case $1 in DefaultTasksMax) echo 'DefaultTasksMax=4915'; exit 0 ;; esac
      shift
    done
    shift
    for pattern in "$@"; do
      case $pattern in
        *'*'*) for unit in "$fake"/units/$pattern; do [ ! -d "$unit" ] || shown "\${unit##*/}"; done ;;
        *) shown "$pattern" ;;
      esac
    done
    ;;
esac
`,
  // Takes what it would have to start later as a script that the test runs.
  'systemd-run': `#!/bin/sh
[ ! -e /run/fake/fail-systemd-run ] || { echo 'Failed to start transient timer unit: injected' >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --on-active=*) after=\${1#*=} ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
echo "$after $*" >/run/fake/timer
`,
  // Complains about the one thing in what it is told to look at first.
  'systemd-analyze': `#!/bin/sh
for file in "\${SYSTEMD_UNIT_PATH%:}"/*/*.conf; do
  ! grep -qs '^TasksMax=banana' "$file" || echo "$file:2: Maximum tasks value 'banana' invalid, ignoring." >&2
done
exit 1
`,
  journalctl: `#!/bin/sh
case "$*" in
  *--show-cursor*) echo '-- cursor: s=1' ;;
  *--after-cursor=s=1*) cat /run/fake/journal 2>/dev/null ;;
esac
`,
  lsattr: '#!/bin/sh\nexit 1\n',
};
