import type { Snapshot, SnapshotPidNamespace, SnapshotProcess, SnapshotUid } from './snapshot.ts';
import { countOf } from './systemctl-show.ts';
import { withoutUndefined } from './without-undefined.ts';

/** Cgroups named for one RLIMIT_NPROC of one user. */
const maxCgroups = 64;

/** CAP_SYS_ADMIN and CAP_SYS_RESOURCE (include/uapi/linux/capability.h). */
const EXEMPTING_CAPABILITIES = (1n << 21n) | (1n << 24n);

/** A process as its files in /proc tell. */
type Seen = SnapshotProcess & { readonly whole: boolean };

/**
 * Who has how many tasks under which RLIMIT_NPROC: from lines `/proc/PID/FILE:LINE` of status, limits and cgroup, lines
 * `INODE /proc/PID/ns/pid` of the pid namespaces (the reader's own first), lines `INODE PID_MAX` of those entered, and
 * the frame that says what was asked for. `controlGroup` is the manager's own cgroup.
 */
export function tasksOf(frames: {
  readonly tasks: readonly string[];
  readonly namespaces: readonly string[];
  readonly maxima: readonly string[];
  readonly asked: string;
  readonly controlGroup: string;
}): Pick<Snapshot, 'uids' | 'pidNamespaces' | 'asked'> {
  const namespaces = namespacesOf(frames.namespaces);
  const processes = processesOf(frames.tasks, frames.controlGroup, namespaces.of);
  return withoutUndefined({
    // Process 1 is hidden where others' processes are (hidepid of proc(5)).
    uids: processes.get(1)?.whole === true ? uidsOf(processes) : undefined,
    pidNamespaces: nestedNamespaces(processes, namespaces, frames.maxima),
    asked: askedOf(frames.asked, processes),
  });
}

function processesOf(
  lines: readonly string[],
  controlGroup: string,
  namespaceOf: ReadonlyMap<number, number>,
): Map<number, Seen> {
  const texts = new Map<number, Map<string, string>>();
  for (const line of lines) {
    const match = /^\/proc\/([0-9]{1,10})\/[a-z]+:(.*)$/.exec(line);
    if (match === null) continue;
    const pid = Number(match[1]);
    let fields = texts.get(pid);
    if (fields === undefined) {
      fields = new Map();
      texts.set(pid, fields);
    }
    const text = match[2] ?? '';
    const controllers = /^[0-9]+:([^:]*):/.exec(text)?.[1];
    if (controllers !== undefined) {
      // On a hybrid host both the unified hierarchy and the one with the controller have a line.
      const path = text.slice(text.indexOf(':', text.indexOf(':') + 1) + 1);
      if (controllers !== '' || !fields.has('cgroup')) fields.set('cgroup', path);
    } else if (text.startsWith('Max processes')) {
      fields.set('limits', text);
    } else {
      const colon = text.indexOf(':');
      if (colon > 0) fields.set(text.slice(0, colon), text.slice(colon + 1).trim());
    }
  }
  const processes = new Map<number, Seen>();
  for (const [pid, fields] of texts) {
    const uid = /^[0-9]{1,10}/.exec(fields.get('Uid') ?? '')?.[0];
    // Gone between one file and the next.
    if (uid === undefined) continue;
    const [, soft, hard] = /^Max processes +(\S+) +(\S+)/.exec(fields.get('limits') ?? '') ?? [];
    const capabilities = /^[0-9a-f]{1,16}$/.exec(fields.get('CapEff') ?? '')?.[0] ?? '0';
    const exempt = uid === '0' || (BigInt(`0x${capabilities}`) & EXEMPTING_CAPABILITIES) !== 0n;
    const cgroup = fields.get('cgroup');
    processes.set(
      pid,
      withoutUndefined({
        pid,
        comm: fields.get('Name') ?? '',
        uid: Number(uid),
        tasks: Number(/^[0-9]{1,7}$/.exec(fields.get('Threads') ?? '')?.[0] ?? 1),
        cgroup: cgroup === undefined ? null : below(cgroup, controlGroup),
        soft: rlimit(soft),
        hard: rlimit(hard),
        exempt: exempt || undefined,
        pidNamespace: namespaceOf.get(pid),
        whole: fields.has('limits') && fields.has('Threads'),
      }),
    );
  }
  return processes;
}

function rlimit(text: string | undefined): string | null {
  return countOf(text === 'unlimited' ? 'infinity' : text) ?? null;
}

function below(path: string, root: string): string {
  const prefix = root === '/' ? '' : root;
  if (prefix === '' || !(path === prefix || path.startsWith(`${prefix}/`))) return path;
  return path === prefix ? '/' : path.slice(prefix.length);
}

function uidsOf(processes: ReadonlyMap<number, Seen>): SnapshotUid[] {
  const uids = new Map<number, SnapshotUid>();
  for (const process of [...processes.values()].sort((a, b) => a.pid - b.pid)) {
    const { uid, soft, hard, exempt, tasks, pid, comm, cgroup } = process;
    let entry = uids.get(uid);
    if (entry === undefined) {
      entry = { uid, tasks: 0, limits: [] };
      uids.set(uid, entry);
    }
    entry.tasks += tasks;
    if (soft === null || hard === null) continue;
    let group = entry.limits.find(
      (known) => known.soft === soft && known.hard === hard && known.exempt === exempt,
    );
    if (group === undefined) {
      group = withoutUndefined({
        soft,
        hard,
        exempt,
        tasks: 0,
        pid,
        comm,
        cgroups: exempt === true || soft === 'infinity' ? undefined : [],
      });
      entry.limits.push(group);
    }
    group.tasks += tasks;
    const { cgroups } = group;
    if (cgroup !== null && cgroups !== undefined && cgroups.length < maxCgroups && !cgroups.includes(cgroup))
      cgroups.push(cgroup);
  }
  return [...uids.values()].sort((a, b) => a.uid - b.uid);
}

interface Namespaces {
  /** The reader's own; undefined where it could not be told. */
  readonly own: number | undefined;
  /** By process. */
  readonly of: ReadonlyMap<number, number>;
}

function namespacesOf(lines: readonly string[]): Namespaces {
  let own: number | undefined;
  const of = new Map<number, number>();
  for (const line of lines) {
    const [, inode, pid] = /^([0-9]{1,15}) \/proc\/([0-9]{1,10}|self)\/ns\/pid$/.exec(line) ?? [];
    if (pid === 'self') own = Number(inode);
    else if (pid !== undefined) of.set(Number(pid), Number(inode));
  }
  return { own, of };
}

function nestedNamespaces(
  processes: ReadonlyMap<number, Seen>,
  { own }: Namespaces,
  maxima: readonly string[],
): SnapshotPidNamespace[] | undefined {
  if (own === undefined) return undefined;
  const pidMax = new Map<number, number | 'full'>();
  for (const line of maxima) {
    const [, inode, value] = /^([0-9]{1,15}) ([0-9]{1,10}|full)$/.exec(line) ?? [];
    if (inode !== undefined) pidMax.set(Number(inode), value === 'full' ? 'full' : Number(value));
  }
  const nested = new Map<number, SnapshotPidNamespace>();
  for (const { pid, comm, tasks, pidNamespace } of processes.values()) {
    if (pidNamespace === undefined || pidNamespace === own) continue;
    const known = nested.get(pidNamespace);
    if (known !== undefined) known.tasks += tasks;
    else {
      const inode = pidNamespace;
      nested.set(inode, withoutUndefined({ inode, tasks, pidMax: pidMax.get(inode), pid, comm }));
    }
  }
  return [...nested.values()].sort((a, b) => a.inode - b.inode);
}

function askedOf(text: string, processes: ReadonlyMap<number, Seen>): Snapshot['asked'] | undefined {
  const [, pid] = /^pid ([0-9]{1,10})$/.exec(text) ?? [];
  if (pid !== undefined) {
    const seen = processes.get(Number(pid));
    if (seen === undefined) return { process: { pid: Number(pid), found: null } };
    const { whole: _, ...found } = seen;
    return { process: { pid: Number(pid), found } };
  }
  const [, uid, name] = /^user ([0-9]{1,10})? ([^\n]+)$/.exec(text) ?? [];
  return name === undefined ? undefined : { user: { name, uid: uid === undefined ? null : Number(uid) } };
}
