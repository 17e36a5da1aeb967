import { hostLimits } from '../../../src/snapshot/limits.ts';
import type {
  Snapshot,
  SnapshotFile,
  SnapshotSession,
  SnapshotUnit,
} from '../../../src/snapshot/snapshot.ts';

/** A unit of a made-up host. What is left out is as on a host where systemd has applied all files. */
export interface AUnit {
  readonly id: string;
  /** The cgroup's numbers; null: the unit does not run. */
  readonly use?: { readonly current: number; readonly peak?: number; readonly events?: number } | null;
  /** pids.max where it is not what the files say. */
  readonly live?: number | 'max';
  /** What `systemctl show` says where it is not what the files say. */
  readonly manager?: string;
  readonly unit?: Partial<SnapshotUnit>;
}

export interface AHost {
  readonly version?: number;
  readonly osRelease?: Record<string, string>;
  readonly generators?: readonly string[];
  /** Text by path; `-> target` for a link. */
  readonly files?: Readonly<Record<string, string>>;
  readonly units?: readonly AUnit[];
  /** Cgroups that are no unit's. */
  readonly cgroups?: Snapshot['cgroups']['tree'];
  readonly eventsScope?: 'forking' | 'limiting';
  readonly kernel?: Partial<Snapshot['kernel']>;
  readonly host?: Partial<Snapshot['host']>;
  readonly probe?: Partial<Snapshot['probe']>;
  readonly sessions?: readonly SnapshotSession[];
  readonly users?: Snapshot['users'];
  readonly unitPath?: readonly string[];
}

const CORE: readonly AUnit[] = [
  { id: '-.slice' },
  { id: 'system.slice', use: { current: 40 } },
  { id: 'user.slice', use: { current: 20 } },
];

/** A small host with real systemd's ways, everything applied. */
export function aHost(given: AHost = {}): Snapshot {
  const { version = 252, units = [], files = {} } = given;
  const named = new Set(units.map(({ id }) => id));
  const all = [...CORE.filter(({ id }) => !named.has(id)), ...units];
  const snapshot: Snapshot = {
    schema: 'tasksctl/snapshot/1',
    target: 'web1',
    takenAt: '2026-01-02T03:04:05Z',
    host: {
      hostname: 'web1',
      kernel: '6.1.0',
      machine: 'x86_64',
      osRelease: { ID: 'testos', PRETTY_NAME: 'Test OS', ...given.osRelease },
      bootId: '8d6b4c4e-0000-4000-8000-000000000001',
      machineId: '0123456789abcdef0123456789abcdef',
      virtualization: 'none',
      container: false,
      pid1: 'systemd',
      etc: 'rw',
      selinux: null,
      ...given.host,
    },
    probe: { uid: 0, user: 'root', sudoUser: null, ...given.probe },
    systemd: {
      version,
      banner: `systemd ${version}`,
      running: true,
      unitPath: [...(given.unitPath ?? [])],
      defaultTasksMax: null,
      controlGroup: '/',
      generators: [...(given.generators ?? [])],
      state: 'running',
    },
    cgroups: {
      mode: 'v2',
      pidsRoot: '/sys/fs/cgroup',
      eventsScope: given.eventsScope ?? 'forking',
      tree: [{ path: '/' }, ...all.flatMap(cgroupOf), ...(given.cgroups ?? [])],
    },
    kernel: {
      pidMax: 32_768,
      threadsMax: 60_000,
      tasks: 300,
      memTotalKiB: 8_000_000,
      cpus: 4,
      log: [],
      ...given.kernel,
    },
    files: [...vendorFiles(given, all), ...Object.entries(files).map(([path, text]) => aFile(path, text))],
    units: all.map(snapshotUnit),
    sessions: [...(given.sessions ?? [])],
    users: [...(given.users ?? [])],
    rlimits: [],
    problems: [],
  };
  return settled(withLogindsSlices(snapshot), all);
}

export function aFile(path: string, text: string): SnapshotFile {
  const owner = { uid: 0, gid: 0 };
  if (text.startsWith('-> ')) {
    return { path, type: 'symlink', mode: 0o777, ...owner, size: 0, target: text.slice(3) };
  }
  return { path, type: 'file', mode: 0o644, ...owner, size: Buffer.byteLength(text), text };
}

/** The path of a unit's cgroup below systemd's root. */
export function cgroupPath(id: string): string {
  if (id === '-.slice') return '/';
  if (/^user-[0-9]+\.slice$/.test(id)) return `/user.slice/${id}`;
  const uid = /^user@([0-9]+)\.service$/.exec(id)?.[1];
  if (uid !== undefined) return `/user.slice/user-${uid}.slice/${id}`;
  return id.endsWith('.slice') || id === 'init.scope' ? `/${id}` : `/system.slice/${id}`;
}

function sliceOf(path: string): string {
  return path.split('/').at(-2) || '-.slice';
}

function cgroupOf({ id, use, unit }: AUnit): Snapshot['cgroups']['tree'] {
  if (id === '-.slice' || use === null || use === undefined) return [];
  const { events = 0, ...counts } = use;
  return [{ path: unit?.cgroup ?? cgroupPath(id), max: 'max', ...counts, events }];
}

function snapshotUnit({ id, use, unit }: AUnit): SnapshotUnit {
  const runs = (use !== null && use !== undefined) || id === '-.slice';
  const path = unit?.cgroup ?? cgroupPath(id);
  return {
    id,
    load: 'loaded',
    active: runs ? 'active' : 'inactive',
    ...(runs ? { cgroup: path } : {}),
    ...(id === '-.slice' ? {} : { slice: sliceOf(path) }),
    ...unit,
  };
}

function vendorFiles({ version = 252, generators = [] }: AHost, units: readonly AUnit[]): SnapshotFile[] {
  const vendor = '/usr/lib/systemd/system';
  const files = units
    .filter(({ id, unit }) => /\.(?:service|socket)$/.test(id) && unit?.transient !== true)
    .map(({ id }) => {
      const [section, line] = id.endsWith('.socket')
        ? ['Socket', 'ListenStream=/x']
        : ['Service', 'ExecStart=/x'];
      const limit = id.startsWith('user@') ? 'TasksMax=infinity\n' : '';
      return aFile(`${vendor}/${id.replace(/@.*\./, '@.')}`, `[${section}]\n${line}\n${limit}`);
    });
  // SUSE has it along with its generator already.
  if (version >= 239 || generators.length > 0) {
    files.push(aFile(`${vendor}/user-.slice.d/10-defaults.conf`, '[Slice]\nTasksMax=33%\n'));
  }
  return [...new Map(files.map((file) => [file.path, file])).values()];
}

/** Before 239 logind makes the slices of users, with what UserTasksMax= is at the time. */
function withLogindsSlices(snapshot: Snapshot): Snapshot {
  const { userDefault } = hostLimits(snapshot);
  if (userDefault.where !== 'logind') return snapshot;
  const units = snapshot.units.map((unit) =>
    /^user-[0-9]+\.slice$/.test(unit.id) && unit.cgroup !== undefined ? { ...unit, transient: true } : unit,
  );
  const version = snapshot.systemd?.version ?? 0;
  const files = units
    .filter(({ id, transient }) => transient === true && id.startsWith('user-'))
    .map(({ id }) => {
      const path =
        version >= 230 ? `/run/systemd/transient/${id}` : `/run/systemd/system/${id}.d/50-TasksMax.conf`;
      return aFile(path, `[Slice]\nTasksMax=${userDefault.count}\n`);
    });
  const paths = new Set(files.map(({ path }) => path));
  return { ...snapshot, units, files: [...snapshot.files.filter(({ path }) => !paths.has(path)), ...files] };
}

/** What manager and kernel have once everything in the files is applied, but for what `units` say otherwise. */
function settled(snapshot: Snapshot, units: readonly AUnit[]): Snapshot {
  const given = new Map(units.map((unit) => [unit.id, unit]));
  const limits = hostLimits(snapshot);
  const counts = new Map(limits.units.map(({ name, configured }) => [name, configured?.count]));
  const live = new Map<string, number | 'max'>();
  for (const unit of snapshot.units) {
    const count = counts.get(unit.id);
    if (unit.cgroup === undefined || count === undefined) continue;
    live.set(unit.cgroup, given.get(unit.id)?.live ?? (count === 'infinity' ? 'max' : Number(count)));
  }
  const { systemd } = snapshot;
  return {
    ...snapshot,
    systemd: systemd === null ? null : { ...systemd, defaultTasksMax: String(limits.managerDefault.count) },
    units: snapshot.units.map((unit) => {
      const tasksMax = given.get(unit.id)?.manager ?? unit.tasksMax ?? counts.get(unit.id);
      return tasksMax === undefined ? unit : { ...unit, tasksMax: String(tasksMax) };
    }),
    cgroups: {
      ...snapshot.cgroups,
      tree: snapshot.cgroups.tree.map((cgroup) => {
        const max = cgroup.path === '/' ? undefined : live.get(cgroup.path);
        return max === undefined ? cgroup : { ...cgroup, max };
      }),
    },
  };
}
