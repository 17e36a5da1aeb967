import { capabilitiesOf } from '../../../src/systemd/capabilities.ts';
import { type FileEntry, FileTree } from '../../../src/systemd/file-tree.ts';
import type { ResolveContext } from '../../../src/systemd/resolve.ts';
import type { LabHost } from '../../lab/lab.ts';

/** What the resolver needs to know of a host, read from the host itself. */
export async function readContext(host: LabHost): Promise<ResolveContext> {
  const { stdout } = await host.exec('systemctl show -p UnitPath; cat /etc/os-release');
  const unitPath = /^UnitPath=(.*)$/m.exec(stdout.toString())?.[1]?.split(' ') ?? [];
  const osRelease = Object.fromEntries(
    [...stdout.toString().matchAll(/^([A-Z_]+)="?(.*?)"?$/gm)].map(([, key = '', value = '']) => [
      key,
      value,
    ]),
  );
  const tree = await readTree(host);
  const evidence = {
    osRelease,
    compatGenerator: false,
    vendorUserSliceDropIn: tree.list('/usr/lib/systemd/system/user-.slice.d').length > 0,
    splitUsr: tree.get('/lib')?.type !== 'symlink',
  };
  return { tree, capabilities: capabilitiesOf(host.systemdVersion, evidence), unitPath };
}

/** Every file that units and configuration can come from: a list of them, NUL-separated, then all their bytes. */
async function readTree(host: LabHost): Promise<FileTree> {
  const { stdout } = await host.exec(
    `cd /
set -- /etc/systemd /run/systemd /usr/lib/systemd/system /usr/lib/systemd/*.conf.d /usr/lib/systemd/*.conf \\
  /usr/local/lib/systemd /opt/differential /var/lib/differential /dev/null
for path; do [ -e "$path" ] && set -- "$@" "$path"; shift; done
list=$(mktemp)
{ find /lib -maxdepth 0 -printf '%y %m %U %G %s %l\\0%p\\0'
  find "$@" -xdev -printf '%y %m %U %G %s %l\\0%p\\0'; } >"$list"
wc -c <"$list"
cat "$list"
rm "$list"
find "$@" -xdev -type f -print0 | xargs -0 cat`,
    { timeoutMs: 180_000 },
  );
  const newline = stdout.indexOf('\n');
  const listEnd = newline + 1 + Number(stdout.subarray(0, newline).toString());
  const fields = stdout
    .subarray(newline + 1, listEnd)
    .toString()
    .split('\0');
  const entries: FileEntry[] = [];
  let offset = listEnd;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [type = '', mode = '', uid = '', gid = '', size = '', ...target] = (fields[i] ?? '').split(' ');
    const common = {
      path: fields[i + 1] ?? '',
      mode: Number.parseInt(mode, 8),
      uid: Number(uid),
      gid: Number(gid),
      size: Number(size),
    };
    if (type === 'f') {
      const content = stdout.subarray(offset, offset + common.size);
      offset += common.size;
      entries.push({ ...common, type: 'file', content });
    } else if (type === 'l') entries.push({ ...common, type: 'symlink', target: target.join(' ') });
    else entries.push({ ...common, type: type === 'd' ? 'directory' : 'other' });
  }
  if (offset !== stdout.length) throw new Error(`${host.name}: files changed while they were read`);
  return new FileTree(entries);
}

/** The numbers fractions are of, as `systemTasksMax` takes them. */
export async function readKernelLimits(host: LabHost) {
  const { stdout } = await host.exec(
    'cd /proc/sys/kernel; cat pid_max threads-max; cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || echo max',
  );
  const [pidMax = '', threadsMax = '', root = ''] = stdout.toString().trim().split('\n');
  const rootPidsMax = root === 'max' ? ('infinity' as const) : BigInt(root);
  return { pidMax: BigInt(pidMax), threadsMax: BigInt(threadsMax), rootPidsMax };
}
