import { parse as parseIni } from 'ini';
import { type Frame, parseFrames } from './frames.ts';
import { cgroupModeOf, cgroupTreeOf, eventsScopeOf } from './probe-cgroups.ts';
import { filesOf } from './probe-files.ts';
import { tasksOf } from './probe-tasks.ts';
import { unitsOf } from './probe-units.ts';
import type { Snapshot, SnapshotProblem, SnapshotSession } from './snapshot.ts';
import { countOf, propertiesOf, splitList } from './systemctl-show.ts';
import { withoutUndefined } from './without-undefined.ts';

export type ProbeResult =
  | { readonly kind: 'ok'; readonly snapshot: Snapshot }
  /** The output has no frame of the probe. */
  | { readonly kind: 'not-a-probe' };

/** Problems kept in a snapshot, and characters kept of each. */
const maxProblems = 200;
const maxDetail = 500;

/**
 * What templates/probe.sh printed on a host, as a snapshot. Pure. The output is of a host, so anything at all: what is
 * missing, cut off or nonsense becomes a line in `problems`, never an exception.
 */
export function parseProbe(output: Buffer, target: string): ProbeResult {
  const { frames, end } = parseFrames(output);
  if (end === 'missing' || frames.length === 0) return { kind: 'not-a-probe' };
  const probe = new Probe(frames);
  const problems = problemsOf(probe, end);
  const facts = factsOf(probe.lines('facts'));
  const mounts = probe.lines('mounts');
  const manager = propertiesOf(probe.text('manager'));
  const osRelease = osReleaseOf(facts.get('/etc/os-release') ?? facts.get('/usr/lib/os-release') ?? []);
  const flags = new Set(probe.text('flags').split(' '));
  const uid = idOf(fieldOf(facts.get('/proc/self/status'), 'Uid', 1)) ?? -1;
  const virtualization = virtualizationOf(probe, manager, flags, facts);
  const systemd = systemdOf(probe, manager, flags);
  const tree = cgroupTreeOf(probe.lines('pids'));
  const pidsRoot = probe.text('pids-root') || null;
  const files = filesOf({
    rows: probe.lines('files'),
    contents: probe.payloads('contents'),
    unreadable: probe.lines('unreadable'),
  });
  problems.push(...files.problems);
  const takenAt = probe.text('clock');
  const [user = '', sudoUser = ''] = probe.text('user').split('\n');
  const line = (path: string): string => facts.get(path)?.[0]?.trim() ?? '';
  const snapshot: Snapshot = {
    schema: 'tasksctl/snapshot/1',
    target,
    takenAt: /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/.test(takenAt)
      ? takenAt
      : '1970-01-01T00:00:00Z',
    host: {
      hostname: line('/proc/sys/kernel/hostname'),
      kernel: line('/proc/sys/kernel/osrelease'),
      machine: probe.text('machine'),
      osRelease,
      bootId: /^[0-9a-f-]{36}$/.exec(line('/proc/sys/kernel/random/boot_id'))?.[0] ?? null,
      machineId: /^[0-9a-f]{32}$/.exec(line('/etc/machine-id'))?.[0] ?? null,
      virtualization,
      container: virtualization !== null && containers.has(virtualization),
      pid1: line('/proc/1/comm'),
      etc: etcOf(flags, osRelease, mounts, uid),
      selinux: { '1': 'enforcing', '0': 'permissive' }[line('/sys/fs/selinux/enforce')] ?? null,
    },
    probe: { uid, user, sudoUser: sudoUser || null },
    systemd,
    cgroups: {
      mode: cgroupModeOf(mounts),
      pidsRoot,
      eventsScope: pidsRoot === null ? null : eventsScopeOf(mounts, tree),
      tree,
    },
    kernel: {
      pidMax: numberOf(line('/proc/sys/kernel/pid_max')),
      threadsMax: numberOf(line('/proc/sys/kernel/threads-max')),
      tasks: numberOf(/^\S+ \S+ \S+ [0-9]+\/([0-9]+) /.exec(line('/proc/loadavg'))?.[1]),
      memTotalKiB: numberOf(fieldOf(facts.get('/proc/meminfo'), 'MemTotal', 0)),
      cpus: countCpus(line('/sys/devices/system/cpu/online')),
      ...memoryOf(facts),
      log: probe.lines('kernel-log'),
    },
    files: files.files,
    units: unitsOf(probe.text('units'), systemd?.controlGroup ?? ''),
    ...loginsOf(probe.lines('sessions'), probe.lines('linger')),
    rlimits: rlimitsOf(probe.lines('processes')),
    ...tasksOf({
      tasks: probe.lines('tasks'),
      namespaces: probe.lines('pid-namespaces'),
      maxima: probe.lines('pid-maxima'),
      asked: probe.text('asked'),
      controlGroup: systemd?.controlGroup ?? '',
    }),
    problems: problems.slice(0, maxProblems).map((problem) => ({
      ...problem,
      detail: problem.detail.slice(0, maxDetail),
    })),
  };
  return { kind: 'ok', snapshot };
}

class Probe {
  readonly #frames: readonly Frame[];

  constructor(frames: readonly Frame[]) {
    this.#frames = frames;
  }

  /** The payloads of all frames of this name. */
  payloads(name: string): Buffer[] {
    return this.#frames.filter((frame) => frame.name === name).map(({ payload }) => payload);
  }

  texts(name: string): string[] {
    return this.payloads(name).map((payload) => payload.toString('utf8'));
  }

  text(name: string): string {
    return this.texts(name)[0] ?? '';
  }

  /** The lines of all frames of this name, empty ones left out. */
  lines(name: string): string[] {
    return this.texts(name).flatMap((text) => text.split('\n').filter((line) => line !== ''));
  }
}

const reasons: ReadonlySet<string> = new Set<SnapshotProblem['reason']>([
  'no-permission',
  'command-missing',
  'timeout',
  'too-large',
  'malformed',
  'failed',
  'not-available',
]);

function problemsOf(probe: Probe, end: string): SnapshotProblem[] {
  const problems: SnapshotProblem[] = [];
  for (const text of probe.texts('problem')) {
    const [, part = '', reason = '', detail = ''] = /^([a-z-]{1,32}) ([a-z-]{1,32}) (.*)$/s.exec(text) ?? [];
    if (isReason(reason)) problems.push({ part, reason, detail });
  }
  if (end !== 'complete') {
    const detail =
      end === 'truncated'
        ? 'the output of the probe ends before its last frame'
        : 'the output of the probe has something else where a frame should be; what follows was dropped';
    // First, so that it is not among those that are cut off.
    problems.unshift({ part: 'probe', reason: 'malformed', detail });
  }
  return problems;
}

function isReason(text: string): text is SnapshotProblem['reason'] {
  return reasons.has(text);
}

/** Lines `PATH:LINE`, as grep prints them, by path. */
function factsOf(lines: readonly string[]): Map<string, string[]> {
  const facts = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const path = line.slice(0, colon);
    const known = facts.get(path);
    if (known === undefined) facts.set(path, [line.slice(colon + 1)]);
    else known.push(line.slice(colon + 1));
  }
  return facts;
}

/** The n-th word after `NAME:`, as in /proc/PID/status and /proc/meminfo. */
function fieldOf(lines: readonly string[] | undefined, name: string, n: number): string | undefined {
  const line = lines?.find((candidate) => candidate.startsWith(`${name}:`));
  return line
    ?.slice(name.length + 1)
    .trim()
    .split(/\s+/)[n];
}

function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

function idOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
}

function memoryOf(
  facts: ReadonlyMap<string, readonly string[]>,
): Pick<Snapshot['kernel'], 'uptimeSeconds' | 'memory'> {
  const meminfo = (name: string) => numberOf(fieldOf(facts.get('/proc/meminfo'), name, 0));
  const uptime = /^[0-9]{1,12}(?:\.[0-9]{1,3})?/.exec(facts.get('/proc/uptime')?.[0] ?? '')?.[0];
  const availableKiB = meminfo('MemAvailable');
  const committedKiB = meminfo('Committed_AS');
  const commitLimitKiB = meminfo('CommitLimit');
  const overcommit = numberOf(facts.get('/proc/sys/vm/overcommit_memory')?.[0]);
  const known =
    availableKiB !== null && committedKiB !== null && commitLimitKiB !== null && overcommit !== null;
  return withoutUndefined({
    uptimeSeconds: uptime === undefined ? undefined : Number(uptime),
    memory: known ? { availableKiB, committedKiB, commitLimitKiB, overcommit } : undefined,
  });
}

/** os-release(5) is shell assignments, near enough to the dialect of `ini`. */
function osReleaseOf(lines: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [key, value] of Object.entries(parseIni(lines.join('\n')))) {
    // `ini` makes `true`, `false` and `null` of these words, and objects of sections, which os-release has not.
    if (/^[A-Za-z0-9_]+$/.test(key) && typeof value !== 'object') fields[key] = String(value);
  }
  return fields;
}

/** What systemd-detect-virt(1) calls the containers it knows. */
const containers: ReadonlySet<string> = new Set([
  'openvz',
  'lxc',
  'lxc-libvirt',
  'systemd-nspawn',
  'docker',
  'podman',
  'rkt',
  'wsl',
  'proot',
  'pouch',
  'container-other',
]);

function virtualizationOf(
  probe: Probe,
  manager: ReadonlyMap<string, string>,
  flags: ReadonlySet<string>,
  facts: ReadonlyMap<string, readonly string[]>,
): string | null {
  for (const engine of ['docker', 'podman']) if (flags.has(engine)) return engine;
  const told = probe.text('virtualization') || manager.get('Virtualization');
  if (told) return told;
  if (facts.has('/run/systemd/container')) return 'container-other';
  // On bare metal the manager's property is empty.
  return manager.has('Version') ? 'none' : null;
}

/** Why /etc cannot be written in the ordinary way, or `rw`. */
function etcOf(
  flags: ReadonlySet<string>,
  osRelease: Readonly<Record<string, string>>,
  mounts: readonly string[],
  uid: number,
): string {
  if (flags.has('nixos')) return 'nixos';
  if (flags.has('ostree')) return 'ostree';
  if (osRelease['ID'] === 'flatcar') return 'flatcar';
  if (uid === 0) return flags.has('etc-writable') ? 'rw' : 'read-only';
  const optionsOf = (place: string): string | undefined =>
    mounts.map((line) => line.split(' ')).findLast((fields) => fields[4] === place)?.[5];
  return /^ro(?:,|$)/.test(optionsOf('/etc') ?? optionsOf('/') ?? '') ? 'read-only' : 'rw';
}

function systemdOf(
  probe: Probe,
  manager: ReadonlyMap<string, string>,
  flags: ReadonlySet<string>,
): Snapshot['systemd'] {
  const running = flags.has('systemd');
  const generators = [...new Set(probe.lines('generators'))].sort();
  const told = manager.get('Version');
  // Before 240 or so the property is `systemd 219`, later the package's version alone.
  const ofManager = /^(?:systemd )?([0-9]{1,5})/.exec(told ?? '')?.[1];
  if (told === undefined || ofManager === undefined) {
    const banner = probe.text('systemd-version');
    const version = /^systemd ([0-9]{1,5})/.exec(banner)?.[1];
    if (version === undefined) return null;
    return {
      version: Number(version),
      banner,
      running,
      unitPath: [],
      defaultTasksMax: null,
      controlGroup: null,
      generators,
      state: null,
    };
  }
  const features = manager.get('Features');
  return {
    version: Number(ofManager),
    banner: `systemd ${ofManager} (${told})${features ? `\n${features}` : ''}`,
    running,
    unitPath: splitList(manager.get('UnitPath') ?? ''),
    defaultTasksMax: countOf(manager.get('DefaultTasksMax')) ?? null,
    controlGroup: manager.get('ControlGroup') ?? '',
    generators,
    state: manager.get('SystemState') || null,
  };
}

/** Counts the processors in a list as `0-3,8`. */
function countCpus(list: string): number | null {
  let count = 0;
  for (const range of list.split(',')) {
    const [, first, last] = /^([0-9]{1,6})(?:-([0-9]{1,6}))?$/.exec(range) ?? [];
    if (first === undefined) return null;
    count += Number(last ?? first) - Number(first) + 1;
  }
  return count;
}

/**
 * Sessions and users from logind's state files, lines `PATH:KEY=VALUE`. The files are private to systemd, but their
 * keys have been the same from 219 to 262, and reading them needs neither D-Bus nor a process per session.
 */
function loginsOf(
  lines: readonly string[],
  lingering: readonly string[],
): Pick<Snapshot, 'sessions' | 'users'> {
  const sessions: SnapshotSession[] = [];
  const users = new Map<number, Snapshot['users'][number]>();
  for (const [path, assignments] of factsOf(lines)) {
    const values = propertiesOf(assignments.join('\n'));
    const text = (key: string): string | undefined => values.get(key) || undefined;
    const [, kind, id = ''] = /^\/run\/systemd\/(sessions|users)\/([^/]+)$/.exec(path) ?? [];
    if (kind === 'users') {
      const uid = idOf(id);
      if (uid === undefined) continue;
      users.set(
        uid,
        withoutUndefined({ uid, name: text('NAME') ?? id, linger: false, state: text('STATE') }),
      );
    }
    const uid = idOf(text('UID'));
    if (kind !== 'sessions' || uid === undefined) continue;
    sessions.push(
      withoutUndefined({
        id,
        uid,
        user: text('USER') ?? String(uid),
        class: text('CLASS'),
        service: text('SERVICE'),
        tty: text('TTY'),
        remoteHost: text('REMOTE_HOST'),
        type: text('TYPE'),
        state: text('STATE'),
        scope: text('SCOPE'),
        leader: numberOf(text('LEADER')) ?? undefined,
      }),
    );
  }
  for (const line of lingering) {
    const [, digits, name = ''] = /^([0-9]{1,10}) (.+)$/.exec(line) ?? [];
    const uid = idOf(digits);
    if (uid !== undefined) users.set(uid, { ...(users.get(uid) ?? { uid, name }), linger: true });
  }
  return {
    sessions: sessions.sort((a, b) => a.uid - b.uid || (a.id < b.id ? -1 : 1)),
    users: [...users.values()].sort((a, b) => a.uid - b.uid),
  };
}

/** From lines of /proc/PID/status and /proc/PID/limits, `PATH:LINE`. */
function rlimitsOf(lines: readonly string[]): Snapshot['rlimits'] {
  const facts = factsOf(lines);
  const rlimits: Snapshot['rlimits'] = [];
  for (const [path, status] of facts) {
    const pid = numberOf(/^\/proc\/([0-9]+)\/status$/.exec(path)?.[1]);
    const uid = idOf(fieldOf(status, 'Uid', 0));
    if (pid === null || uid === undefined) continue;
    const limits = facts.get(`/proc/${pid}/limits`)?.[0] ?? '';
    const [, soft, hard] = /^Max processes +(\S+) +(\S+)/.exec(limits) ?? [];
    const count = (text: string | undefined): string | undefined =>
      countOf(text === 'unlimited' ? 'infinity' : text);
    const [softCount, hardCount] = [count(soft), count(hard)];
    if (softCount === undefined || hardCount === undefined) continue;
    rlimits.push({ pid, comm: fieldOf(status, 'Name', 0) ?? '', uid, soft: softCount, hard: hardCount });
  }
  return rlimits.sort((a, b) => a.pid - b.pid);
}
