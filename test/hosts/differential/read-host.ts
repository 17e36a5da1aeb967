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
  /usr/local/lib/systemd /opt/differential /dev/null
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

export interface ShownUnit {
  readonly id: string;
  readonly load: string;
  readonly fragment: string;
  readonly dropIns: readonly string[];
  /** null: units of this type have no such property. */
  readonly tasksMax: string | null;
}

/** What systemd says of units, in the order of the names. */
export async function showUnits(host: LabHost, names: readonly string[]): Promise<ShownUnit[]> {
  const shown: ShownUnit[] = [];
  for (let i = 0; i < names.length; i += 500) {
    const batch = names.slice(i, i + 500);
    const { stdout, stderr } = await host.exec(
      `cd /; xargs -0 systemctl show -p Id,LoadState,FragmentPath,DropInPaths,TasksMax --`,
      { input: Buffer.from(batch.join('\0')), timeoutMs: 180_000, check: false },
    );
    const blocks = stdout.toString().replace(/\n$/, '').split('\n\n');
    if (blocks.length !== batch.length) {
      throw new Error(`${host.name}: asked for ${batch.length} units, got ${blocks.length}: ${stderr}`);
    }
    shown.push(...blocks.map(parseBlock));
  }
  return shown;
}

function parseBlock(block: string): ShownUnit {
  const fields = new Map(
    block.split('\n').map((line): [string, string] => {
      const equals = line.indexOf('=');
      return [line.slice(0, equals), line.slice(equals + 1)];
    }),
  );
  return {
    id: fields.get('Id') ?? '',
    load: fields.get('LoadState') ?? '',
    fragment: fields.get('FragmentPath') ?? '',
    dropIns: splitQuoted(fields.get('DropInPaths') ?? ''),
    tasksMax: fields.get('TasksMax') ?? null,
  };
}

/** Words, those with odd characters in double quotes and their backslashes doubled. */
function splitQuoted(text: string): string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|[^ ]+/g)].map(
    ([word, quoted]) => quoted?.replace(/\\(.)/g, '$1') ?? word,
  );
}
