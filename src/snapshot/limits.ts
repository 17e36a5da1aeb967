import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { ResolvedLimit } from '../systemd/resolve.ts';
import type { TaskCount, TasksMax } from '../systemd/tasks-max.ts';

/** Where a limit's value comes from. */
export type Provenance =
  | {
      readonly kind: 'file';
      readonly file: string;
      readonly line: number;
      readonly section: string;
      readonly key: string;
      readonly raw: string;
    }
  /** `text` says whose default: "built-in default of systemd 252", "DefaultTasksMax of the manager". */
  | { readonly kind: 'default'; readonly text: string }
  /** A live value that no file read explains: set by hand, by a user manager, by a container engine. */
  | { readonly kind: 'live'; readonly text: string };

/** Which ceiling it is: one of a unit, of a bare cgroup below a unit (containers, user managers), of the kernel. */
export type LimitRef =
  | { readonly kind: 'unit'; readonly unit: string }
  | { readonly kind: 'cgroup'; readonly path: string }
  /** What new user slices get: UserTasksMax= of logind or TasksMax= in user-.slice.d, by systemd version. */
  | { readonly kind: 'user-default' }
  | { readonly kind: 'manager-default'; readonly manager: 'system' | 'user' }
  | { readonly kind: 'sysctl'; readonly name: 'kernel.pid_max' | 'kernel.threads-max' };

/** One unit or cgroup with its limits and use. Counts that could not be read are null, never zero. */
export interface UnitLimit {
  readonly ref: LimitRef;
  /** Unit name, or the last component of a bare cgroup's path. */
  readonly name: string;
  /** slice, service, scope, socket, mount, swap; cgroup for a bare one. */
  readonly type: string;
  readonly active: boolean;
  /** Path below systemd's root cgroup; null where the unit has none now. */
  readonly cgroup: string | null;
  /** Name of the row above in the tree; null for the root slice. */
  readonly parent: string | null;
  /** What the files say: the chain of assignments, and the count it comes to on this host. */
  readonly configured: {
    readonly limit: ResolvedLimit;
    readonly value: TasksMax;
    readonly count: TaskCount;
    readonly provenance: Provenance;
  } | null;
  /** What `systemctl show` says; not evidence of what is enforced. */
  readonly manager: TaskCount | null;
  /** What the kernel enforces at this cgroup (pids.max); null where there is no cgroup or no pids controller. */
  readonly live: TaskCount | null;
  readonly current: number | null;
  readonly peak: number | null;
  /** Rejected forks counted at this cgroup; see `cgroups.eventsScope` of the snapshot for what it counts. */
  readonly rejections: number | null;
  /** Min over this cgroup, its ancestors and the kernel's ceilings; `by` is the binding limit. */
  readonly effective: { readonly count: TaskCount; readonly by: LimitRef | null };
  /** Tasks that can still be created here: min over the chain of (limit - current); `at` is where it is least. */
  readonly headroom: { readonly tasks: TaskCount; readonly at: LimitRef | null } | null;
  /** Use of the tightest limit in the chain, 0 to 1; null where nothing limits or nothing was read. */
  readonly utilization: number | null;
}

/** Every task limit of a host. */
export interface HostLimits {
  /** Depth-first order of the cgroup tree, inactive units last by name. */
  readonly units: readonly UnitLimit[];
  readonly userDefault: {
    readonly where: 'logind' | 'user-slice-drop-in' | 'suse-generator' | 'none';
    readonly limit: ResolvedLimit;
    readonly value: TasksMax;
    readonly count: TaskCount;
    readonly provenance: Provenance;
  };
  readonly managerDefault: {
    readonly limit: ResolvedLimit;
    readonly value: TasksMax;
    readonly count: TaskCount;
    readonly provenance: Provenance;
    /** What the running manager says. */
    readonly manager: TaskCount | null;
  };
  readonly kernel: {
    readonly pidMax: number | null;
    readonly threadsMax: number | null;
    readonly tasks: number | null;
    /** Base of percentages on this host and systemd version. */
    readonly systemTasksMax: bigint | null;
  };
  readonly diagnostics: readonly Diagnostic[];
}
