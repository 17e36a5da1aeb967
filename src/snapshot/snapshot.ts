import { z } from 'zod';

/**
 * A Snapshot: everything read from one host in one round trip, and the only thing later steps look at. It is plain
 * JSON, so a saved one serves exactly as a live one. Absent data is `null` or left out with a line in `problems`,
 * never zero.
 */

/** A count the kernel or systemd prints: decimal digits as a string (it may be up to 2^64-1), or `infinity`. */
const count = z.string().regex(/^(?:[0-9]{1,20}|infinity)$/);

const fileSchema = z.strictObject({
  path: z.string(),
  type: z.enum(['file', 'symlink', 'directory', 'other']),
  mode: z.number().int(),
  uid: z.number().int(),
  gid: z.number().int(),
  size: z.number().int(),
  target: z.string().optional(),
  /** The bytes, where they are valid UTF-8 that survives a round trip. */
  text: z.string().optional(),
  /** The bytes otherwise. */
  base64: z.string().optional(),
  problem: z.enum(['too-large', 'unreadable']).optional(),
});

const unitSchema = z.strictObject({
  /** Id: the unit's primary name. */
  id: z.string(),
  /** Other names (aliases), where there are any. */
  names: z.array(z.string()).optional(),
  load: z.string(),
  active: z.string(),
  sub: z.string().optional(),
  fragment: z.string().optional(),
  dropIns: z.array(z.string()).optional(),
  /** Path below systemd's root cgroup, `/system.slice/ssh.service`; left out where the unit has no cgroup now. */
  cgroup: z.string().optional(),
  slice: z.string().optional(),
  /** Left out where not so. */
  needDaemonReload: z.boolean().optional(),
  /** Left out where not so. */
  transient: z.boolean().optional(),
  /** As `systemctl show` says; not evidence of what the kernel enforces. Left out for units without the property. */
  tasksMax: count.optional(),
  effectiveTasksMax: count.optional(),
  tasksCurrent: count.optional(),
  mainPid: z.number().int().optional(),
  /** LimitNPROC= of services. */
  limitNproc: count.optional(),
});

const cgroupSchema = z.strictObject({
  /** Path below systemd's root cgroup; `/` is the root itself. */
  path: z.string(),
  /** pids.max; left out where the controller is not enabled at this level (no limit here, as in `max`). */
  max: z.union([z.number().int().min(0), z.literal('max')]).optional(),
  current: z.number().int().min(0).optional(),
  peak: z.number().int().min(0).optional(),
  /** `max` of pids.events: rejected forks; what it counts depends on `cgroups.eventsScope`. */
  events: z.number().int().min(0).optional(),
  /** `max` of pids.events.local (Linux 6.11 and later). */
  eventsLocal: z.number().int().min(0).optional(),
});

const sessionSchema = z.strictObject({
  id: z.string(),
  uid: z.number().int(),
  user: z.string(),
  /** `user`, `greeter`, `background`; `manager` for the user's own systemd (256 and later). */
  class: z.string().optional(),
  /** sshd, login, cron …; tty or seat where known. */
  service: z.string().optional(),
  tty: z.string().optional(),
  remoteHost: z.string().optional(),
  type: z.string().optional(),
  state: z.string().optional(),
  scope: z.string().optional(),
  leader: z.number().int().optional(),
});

/** Tasks of one real user id under one RLIMIT_NPROC. */
const nprocSchema = z.strictObject({
  soft: count,
  hard: count,
  /** The kernel does not hold them to it: root, or CAP_SYS_RESOURCE or CAP_SYS_ADMIN. Left out where not so. */
  exempt: z.boolean().optional(),
  tasks: z.number().int(),
  /** One of the processes, the one with the lowest id. */
  pid: z.number().int(),
  comm: z.string(),
  /** Cgroups they are in, at most 64; left out where nothing holds them to a limit. */
  cgroups: z.array(z.string()).optional(),
});

const uidSchema = z.strictObject({
  uid: z.number().int(),
  /** Threads of all processes with this real uid: what the kernel compares with RLIMIT_NPROC. */
  tasks: z.number().int(),
  limits: z.array(nprocSchema),
});

const processSchema = z.strictObject({
  pid: z.number().int(),
  comm: z.string(),
  uid: z.number().int(),
  tasks: z.number().int(),
  /** Path below systemd's root cgroup, in the hierarchy with the pids controller. */
  cgroup: z.string().nullable(),
  soft: count.nullable(),
  hard: count.nullable(),
  exempt: z.boolean().optional(),
  /** Inode number of its pid namespace. */
  pidNamespace: z.number().int().optional(),
});

/** A pid namespace below the one that was read. */
const pidNamespaceSchema = z.strictObject({
  inode: z.number().int(),
  /** Tasks in it, not counting those in namespaces below it. */
  tasks: z.number().int(),
  /** kernel.pid_max in it (its own since Linux 6.14); `full`: no process could be created in it to read it. */
  pidMax: z.union([z.number().int(), z.literal('full')]).optional(),
  /** One of its processes, as seen from outside. */
  pid: z.number().int(),
  comm: z.string(),
});

const problemSchema = z.strictObject({
  /** Part of the snapshot that is missing or cut: `files`, `units`, `cgroups`, `sessions`, `kernel-log` … */
  part: z.string(),
  reason: z.enum([
    'no-permission',
    'command-missing',
    'timeout',
    'too-large',
    'malformed',
    'failed',
    'not-available',
  ]),
  detail: z.string(),
});

export const snapshotSchema = z.strictObject({
  schema: z.literal('tasksctl/snapshot/1'),
  /** Where it was read: `local`, `user@host`. */
  target: z.string(),
  /** The host's clock when it was read, ISO 8601 in UTC. */
  takenAt: z.string(),
  host: z.strictObject({
    hostname: z.string(),
    kernel: z.string(),
    machine: z.string(),
    osRelease: z.record(z.string(), z.string()),
    bootId: z
      .string()
      .regex(/^[0-9a-f-]{36}$/)
      .nullable(),
    machineId: z.string().nullable(),
    /** systemd-detect-virt's word (`kvm`, `lxc`, `none` …), null where unknown. */
    virtualization: z.string().nullable(),
    container: z.boolean(),
    /** comm of process 1: `systemd`, `init`, `busybox` … */
    pid1: z.string(),
    /** `rw`, or why /etc cannot be written in the usual way: `read-only`, `ostree`, `nixos`, `flatcar` … */
    etc: z.string(),
    selinux: z.string().nullable(),
  }),
  /** Who read it: uid 0 sees everything. */
  probe: z.strictObject({ uid: z.number().int(), user: z.string(), sudoUser: z.string().nullable() }),
  /** null where systemd is not installed. `running` false where it is installed but not process 1. */
  systemd: z
    .strictObject({
      version: z.number().int(),
      /** First line of `systemctl --version`, `systemd 252 (252.39-1~deb12u1)`, and the +FEATURES line. */
      banner: z.string(),
      running: z.boolean(),
      /** UnitPath of the manager, in order; empty where unknown. */
      unitPath: z.array(z.string()),
      defaultTasksMax: count.nullable(),
      /** The manager's own cgroup path (ControlGroup property), prefix of all unit cgroups; usually "" or "/". */
      controlGroup: z.string().nullable(),
      /** Names of files in the system generator directories. */
      generators: z.array(z.string()),
      /** `running`, `degraded`, `starting` … */
      state: z.string().nullable(),
    })
    .nullable(),
  cgroups: z.strictObject({
    mode: z.enum(['v1', 'hybrid', 'v2', 'none']),
    /** Directory of systemd's root in the hierarchy that has the pids controller, `/sys/fs/cgroup/pids`; null if none. */
    pidsRoot: z.string().nullable(),
    /**
     * What `events` counts: forks refused in that cgroup whichever ancestor's limit was hit (`forking`), or hits of
     * that cgroup's own limit by anything below it (`limiting`: cgroup v2 since Linux 6.11 without pids_localevents).
     */
    eventsScope: z.enum(['forking', 'limiting']).nullable(),
    tree: z.array(cgroupSchema),
  }),
  kernel: z.strictObject({
    pidMax: z.number().int().min(0).nullable(),
    threadsMax: z.number().int().min(0).nullable(),
    /** Tasks existing on the whole kernel (denominator of /proc/loadavg's fourth field). */
    tasks: z.number().int().min(0).nullable(),
    memTotalKiB: z.number().int().nullable(),
    cpus: z.number().int().nullable(),
    uptimeSeconds: z.number().optional(),
    /** What the kernel promised of its memory (meminfo), and vm.overcommit_memory. */
    memory: z
      .strictObject({
        availableKiB: z.number().int(),
        committedKiB: z.number().int(),
        commitLimitKiB: z.number().int(),
        overcommit: z.number().int(),
      })
      .optional(),
    /** Kernel lines about rejected forks, oldest first. */
    log: z.array(z.string()),
  }),
  files: z.array(fileSchema),
  units: z.array(unitSchema),
  sessions: z.array(sessionSchema),
  users: z.array(
    z.strictObject({
      uid: z.number().int(),
      name: z.string(),
      linger: z.boolean(),
      state: z.string().optional(),
    }),
  ),
  /** "Max processes" of /proc/PID/limits for the processes that matter: pid 1 and the session leaders. */
  rlimits: z.array(
    z.strictObject({
      pid: z.number().int(),
      comm: z.string(),
      uid: z.number().int(),
      soft: count,
      hard: count,
    }),
  ),
  /** Every real user id with its tasks; left out where not all processes could be seen. */
  uids: z.array(uidSchema).optional(),
  pidNamespaces: z.array(pidNamespaceSchema).optional(),
  /** What was asked for in particular; null: the host has no such user or process. */
  asked: z
    .strictObject({
      user: z.strictObject({ name: z.string(), uid: z.number().int().nullable() }).optional(),
      process: z.strictObject({ pid: z.number().int(), found: processSchema.nullable() }).optional(),
    })
    .optional(),
  problems: z.array(problemSchema),
});

export type Snapshot = z.infer<typeof snapshotSchema>;
export type SnapshotFile = z.infer<typeof fileSchema>;
export type SnapshotUnit = z.infer<typeof unitSchema>;
export type SnapshotCgroup = z.infer<typeof cgroupSchema>;
export type SnapshotSession = z.infer<typeof sessionSchema>;
export type SnapshotUid = z.infer<typeof uidSchema>;
export type SnapshotProcess = z.infer<typeof processSchema>;
export type SnapshotPidNamespace = z.infer<typeof pidNamespaceSchema>;
export type SnapshotProblem = z.infer<typeof problemSchema>;
