import type { TasksMax } from './tasks-max.ts';

/** What one key's value parser accepts; anything else is logged by systemd and ignored. */
export interface ValueSyntax {
  /** `infinity`, in lower case only. */
  readonly infinity: boolean;
  /** Fractions, up to the finest: whole percent; one decimal and ‰; two decimals and ‱. */
  readonly fraction: 'none' | 'percent' | 'permille' | 'permyriad';
  /** A fraction of zero (`0%`) is accepted, and means no task at all. */
  readonly zeroFraction: boolean;
  /** `100%` is accepted. */
  readonly fullFraction: boolean;
  /** `0b101` and `0o17` are numbers besides `0x1f`, `017` and decimal. */
  readonly binaryAndOctalPrefix: boolean;
  /** What an empty value does. */
  readonly empty: 'infinity' | 'default' | 'rejected';
}

/** Keys that hold a task limit. */
export type TasksMaxKey = 'TasksMax' | 'DefaultTasksMax' | 'UserTasksMax';

/** What one systemd on one host can do and assumes, as far as task limits are concerned. */
export interface SystemdCapabilities {
  /** Upstream version number. */
  readonly version: number;
  /** Value syntax per key; null where this systemd does not know the key or ignores whatever it says. */
  readonly syntax: Readonly<Record<TasksMaxKey, ValueSyntax | null>>;
  /** Where the limit of each user's slice is set. */
  readonly perUserLimit: 'logind' | 'user-slice-drop-in' | 'suse-generator' | 'none';
  /** What DefaultTasksMax= is where no file sets it; null where the version has no such setting (no limit then). */
  readonly defaultTasksMax: TasksMax | null;
  /** What UserTasksMax= is where no file sets it; null where logind sets no limit. */
  readonly userTasksMax: TasksMax | null;
  /** Unit types with a cgroup take TasksMax= at all (227, and backports). */
  readonly unitTasksMax: boolean;
  /** What fractions are of: see `systemTasksMax`. */
  readonly fractionBase: 'pid-max' | 'pid-max-or-threads-max';
  /** When a fraction becomes a number: as the file is parsed, or whenever the limit is applied or shown. */
  readonly fractionResolved: 'at-parse' | 'at-use';
  /** /etc/systemd/system.control and /run/systemd/system.control (230). */
  readonly systemControl: boolean;
  /** `user-.slice.d`, `foo-.service.d`: drop-ins of truncated names (239). */
  readonly prefixDropIns: boolean;
  /** `slice.d`, `service.d`: drop-ins of a whole type (244). */
  readonly typeDropIns: boolean;
  /** logind.conf, system.conf: the main file may be the first found in /etc, /run, /usr/local/lib, /usr/lib (256). */
  readonly mainFileFallback: boolean;
  /** daemon-reload reads system.conf again (223); before, only daemon-reexec does. */
  readonly reloadRereadsManagerConf: boolean;
  /** `set-property TasksMax=40%` writes `4.0%` into its own drop-in (244 to at least 259; systemd issue 41009). */
  readonly setPropertyCorruptsFractions: boolean;
  /** `systemctl show -p EffectiveTasksMax` (256). */
  readonly effectiveTasksMax: boolean;
  /** /lib is a directory of its own, not a link to /usr/lib, so its unit files are read too. */
  readonly splitUsr: boolean;
  /** Comment lines inside a continued line are skipped (240); before, they become part of the value. */
  readonly commentsInContinuation: boolean;
  /** Longest line in bytes, longer ones end the parse of the file. */
  readonly maxLineBytes: number;
}

/** What a host tells of its own systemd beyond the version number. */
export interface CapabilityEvidence {
  /** Fields of os-release; `ID`, `ID_LIKE` and `VERSION_ID` are looked at. */
  readonly osRelease: Readonly<Record<string, string>>;
  /** SUSE's logind-compat-tasks-max-generator is installed. */
  readonly compatGenerator: boolean;
  /** The vendor ships a drop-in below `user-.slice.d`. */
  readonly vendorUserSliceDropIn: boolean;
  /** /lib is not a link to /usr/lib. */
  readonly splitUsr: boolean;
}

/** What systemd `version` (219 to 262 were studied) can do on a host with this evidence. */
export function capabilitiesOf(_version: number, _evidence: CapabilityEvidence): SystemdCapabilities {
  throw new Error('not written yet');
}

/** The unit search path of a manager that was not asked for its own (`UnitPath`), highest precedence first. */
export function defaultUnitPath(
  _capabilities: SystemdCapabilities,
  _scope: 'system' | 'user',
): readonly string[] {
  throw new Error('not written yet');
}
