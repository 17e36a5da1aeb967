import type { HostLimits, LimitRef, Provenance, UnitLimit } from '../../../src/snapshot/limits.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import type { Assignment, ResolvedLimit } from '../../../src/systemd/resolve.ts';
import type { TasksMax } from '../../../src/systemd/tasks-max.ts';

/** A small host made by hand, for what renderers do with it. */

export const INFINITY: TasksMax = { kind: 'infinity' };

export function assignment(over: Partial<Assignment> = {}): Assignment {
  return {
    file: '/etc/systemd/system/user-.slice.d/50-limits.conf',
    line: 2,
    section: 'Slice',
    key: 'TasksMax',
    raw: '500',
    value: { kind: 'count', count: 500n },
    outcome: 'wins',
    ...over,
  };
}

export function resolved(assignments: readonly Assignment[] = []): ResolvedLimit {
  const winner = assignments.find(({ outcome }) => outcome === 'wins') ?? null;
  const value = winner === null || winner.value === 'unset' ? null : winner.value;
  return { value, winner, assignments };
}

export function fromFile({ file, line, section, key, raw }: Assignment): Provenance {
  return { kind: 'file', file, line, section, key, raw };
}

export function unitRow(name: string, over: Partial<UnitLimit> = {}): UnitLimit {
  const ref: LimitRef = { kind: 'unit', unit: name };
  return {
    ref,
    name,
    type: name.slice(name.lastIndexOf('.') + 1),
    active: true,
    cgroup: `/${name}`,
    parent: '-.slice',
    configured: null,
    manager: null,
    live: null,
    current: null,
    peak: null,
    rejections: null,
    effective: { count: 'infinity', by: null },
    headroom: null,
    utilization: null,
    ...over,
  };
}

const userDropIn = assignment();
const vendorDropIn = assignment({
  file: '/usr/lib/systemd/system/user-.slice.d/10-defaults.conf',
  line: 15,
  raw: '33%',
  value: { kind: 'fraction', numerator: 33n, denominator: 100n },
  outcome: 'overridden',
});
const typo = assignment({
  file: '/etc/systemd/system/user-1000.slice.d/60-more.conf',
  line: 2,
  raw: '4K',
  value: null,
  outcome: 'ignored',
  reason: 'size suffix',
});

export const userSlice = unitRow('user-1000.slice', {
  cgroup: '/user.slice/user-1000.slice',
  parent: 'user.slice',
  configured: {
    limit: resolved([vendorDropIn, userDropIn, typo]),
    value: { kind: 'count', count: 500n },
    count: 500n,
    provenance: fromFile(userDropIn),
  },
  manager: 500n,
  live: 500n,
  current: 490,
  peak: 500,
  rejections: 17,
  effective: { count: 500n, by: { kind: 'unit', unit: 'user-1000.slice' } },
  headroom: { tasks: 10n, at: { kind: 'unit', unit: 'user-1000.slice' } },
  utilization: 0.98,
});

const infinite = { limit: resolved(), value: INFINITY, count: 'infinity' } as const;

export const exampleUnits: readonly UnitLimit[] = [
  unitRow('-.slice', {
    cgroup: '/',
    parent: null,
    configured: {
      ...infinite,
      provenance: { kind: 'default', text: 'no limit: slices have none by default' },
    },
    current: 812,
    effective: { count: 31000n, by: { kind: 'sysctl', name: 'kernel.threads-max' } },
    headroom: { tasks: 30188n, at: { kind: 'sysctl', name: 'kernel.threads-max' } },
    utilization: 812 / 31000,
  }),
  unitRow('system.slice', { live: 'infinity', current: 300, utilization: 812 / 31000 }),
  unitRow('nginx.service', {
    cgroup: '/system.slice/nginx.service',
    parent: 'system.slice',
    configured: {
      limit: resolved(),
      value: { kind: 'fraction', numerator: 15n, denominator: 100n },
      count: 4650n,
      provenance: { kind: 'default', text: 'built-in default of systemd 252' },
    },
    manager: 4650n,
    live: 4650n,
    current: 9,
    peak: 12,
    rejections: 0,
    effective: { count: 4650n, by: { kind: 'unit', unit: 'nginx.service' } },
    headroom: { tasks: 4641n, at: { kind: 'unit', unit: 'nginx.service' } },
    utilization: 9 / 4650,
  }),
  unitRow('user.slice', { live: 'infinity', current: 500, utilization: 812 / 31000 }),
  userSlice,
  unitRow('session-7.scope', {
    cgroup: '/user.slice/user-1000.slice/session-7.scope',
    parent: 'user-1000.slice',
    live: 'infinity',
    current: 480,
    peak: 490,
    rejections: 17,
    effective: { count: 500n, by: { kind: 'unit', unit: 'user-1000.slice' } },
    headroom: { tasks: 10n, at: { kind: 'unit', unit: 'user-1000.slice' } },
    utilization: 0.98,
  }),
  unitRow('box', {
    ref: { kind: 'cgroup', path: '/system.slice/docker.service/box' },
    type: 'cgroup',
    cgroup: '/system.slice/docker.service/box',
    parent: 'docker.service',
    live: 'infinity',
    current: 3,
  }),
  unitRow('backup.service', { active: false, cgroup: null, parent: 'system.slice' }),
];

export const exampleLimits: HostLimits = {
  units: exampleUnits,
  userDefault: {
    where: 'user-slice-drop-in',
    limit: resolved([vendorDropIn, userDropIn]),
    value: { kind: 'count', count: 500n },
    count: 500n,
    provenance: fromFile(userDropIn),
  },
  managerDefault: {
    limit: resolved(),
    value: { kind: 'fraction', numerator: 15n, denominator: 100n },
    count: 4650n,
    provenance: { kind: 'default', text: 'built-in default of systemd 252' },
    manager: 4650n,
  },
  kernel: { pidMax: 4194304, threadsMax: 31000, tasks: 812, systemTasksMax: 31000n },
  diagnostics: [],
};

export const exampleSnapshot: Snapshot = {
  schema: 'tasksctl/snapshot/1',
  target: 'web1',
  takenAt: '2025-06-01T03:00:00Z',
  host: {
    hostname: 'web1',
    kernel: '6.1.0-18-amd64',
    machine: 'x86_64',
    osRelease: { PRETTY_NAME: 'Debian GNU/Linux 12 (bookworm)' },
    bootId: null,
    machineId: null,
    virtualization: 'none',
    container: false,
    pid1: 'systemd',
    etc: 'rw',
    selinux: null,
  },
  probe: { uid: 0, user: 'root', sudoUser: null },
  systemd: {
    version: 252,
    banner: 'systemd 252 (252.22-1~deb12u1)',
    running: true,
    unitPath: [],
    defaultTasksMax: '4650',
    controlGroup: '/',
    generators: [],
    state: 'running',
  },
  cgroups: { mode: 'v2', pidsRoot: '/sys/fs/cgroup', eventsScope: 'forking', tree: [] },
  kernel: {
    pidMax: 4194304,
    threadsMax: 31000,
    tasks: 812,
    memTotalKiB: 4000000,
    cpus: 2,
    log: ['[ 9.1] cgroup: fork rejected by pids controller in /user.slice/user-1000.slice/session-7.scope'],
  },
  files: [],
  units: [{ id: 'user-1000.slice', load: 'loaded', active: 'active' }],
  sessions: [{ id: '7', uid: 1000, user: 'alice', leader: 640 }],
  users: [],
  rlimits: [{ pid: 640, comm: 'sshd', uid: 0, soft: '3934', hard: '3934' }],
  problems: [],
};
