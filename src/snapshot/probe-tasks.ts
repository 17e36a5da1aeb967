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
  const texts = new Map<number, Texts>();
  for (const line of lines) {
    // Thousands of lines of each host: parted without a pattern.
    const afterPid = line.indexOf('/', PROC.length);
    const afterFile = line.indexOf(':', afterPid);
    const pid = line.startsWith(PROC) && afterFile > 0 ? pidOf(line.slice(PROC.length, afterPid)) : null;
    if (pid === null) continue;
    let fields = texts.get(pid);
    if (fields === undefined) {
      fields = {};
      texts.set(pid, fields);
    }
    readField(fields, line.slice(afterFile + 1));
  }
  const processes = new Map<number, Seen>();
  for (const [pid, fields] of texts) {
    const uid = /^[0-9]{1,10}/.exec(fields.uid ?? '')?.[0];
    // Gone between one file and the next.
    if (uid === undefined) continue;
    const [, soft, hard] = /^Max processes +(\S+) +(\S+)/.exec(fields.limits ?? '') ?? [];
    const { cgroup } = fields;
    const process: Writable<Seen> = {
      pid,
      comm: fields.name ?? '',
      uid: Number(uid),
      tasks: Number(/^[0-9]{1,7}$/.exec(fields.threads ?? '')?.[0] ?? 1),
      cgroup: cgroup === undefined ? null : below(cgroup, controlGroup),
      soft: rlimit(soft),
      hard: rlimit(hard),
      whole: fields.limits !== undefined && fields.threads !== undefined,
    };
    if (uid === '0' || hasExemptingCapability(fields.capabilities)) process.exempt = true;
    const pidNamespace = namespaceOf.get(pid);
    if (pidNamespace !== undefined) process.pidNamespace = pidNamespace;
    processes.set(pid, process);
  }
  return processes;
}

const PROC = '/proc/';

/** What the files of a process say, as it stands there. */
interface Texts {
  name?: string;
  uid?: string;
  threads?: string;
  capabilities?: string;
  limits?: string;
  cgroup?: string;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function pidOf(text: string): number | null {
  return /^[0-9]{1,10}$/.test(text) ? Number(text) : null;
}

/** Takes a line of status, limits or cgroup. */
function readField(fields: Texts, text: string): void {
  const colon = text.indexOf(':');
  if (colon < 0) {
    if (text.startsWith('Max processes')) fields.limits = text;
    return;
  }
  const key = text.slice(0, colon);
  const value = text.slice(colon + 1);
  switch (key) {
    case 'Name':
      fields.name = value.trim();
      break;
    case 'Uid':
      fields.uid = value.trim();
      break;
    case 'Threads':
      fields.threads = value.trim();
      break;
    case 'CapEff':
      fields.capabilities = value.trim();
      break;
    default: {
      // HIERARCHY:CONTROLLERS:PATH. On a hybrid host both the unified hierarchy and the one with the controller have a line.
      const path = value.indexOf(':');
      if (path < 0 || !/^[0-9]+$/.test(key)) break;
      if (path > 0 || fields.cgroup === undefined) fields.cgroup = value.slice(path + 1);
    }
  }
}

function hasExemptingCapability(text = ''): boolean {
  return /^[0-9a-f]{1,16}$/.test(text) && (BigInt(`0x${text}`) & EXEMPTING_CAPABILITIES) !== 0n;
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
