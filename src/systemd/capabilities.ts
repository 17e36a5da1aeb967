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
  /** What an empty value does: no limit, back to the default, or nothing. */
  readonly empty: 'infinity' | 'default' | 'rejected';
}

/** Keys that hold a task limit. */
export type TasksMaxKey = 'TasksMax' | 'DefaultTasksMax' | 'UserTasksMax';

/** How a file is taken apart into sections and assignments (systemd's conf-parser.c). */
export interface Dialect {
  /** Lines end at any of LF, CR and NUL (236), or at LF alone with the rest after a CR or NUL cut off. */
  readonly lineEnds: 'lf-cr-nul' | 'lf';
  /** Bytes of the longest line. A longer one ends the parse (`lf-cr-nul`) or is read as several lines (`lf`). */
  readonly maxLineBytes: number;
  /**
   * Since 240: comment lines inside a continued line are skipped (before, they became part of the value), a UTF-8 byte
   * order mark is skipped, a line that is no valid UTF-8 ends the parse of the file, one without `=` does not, and a
   * continued line at the end of the file counts. Seen in the sources of 219 and of 240 or later; in which version
   * between the single points changed is known for the comments alone.
   */
  readonly since240: boolean;
  /** What a section header may hold before it ends the parse: anything, nothing odd (252), nor `*?[]` and nothing (262). */
  readonly sectionNames: 'any' | 'safe' | 'strict';
}

/** How unit files are found (systemd's unit-file.c and dropin.c); all seen in the sources of 247, 252, 257 and 262. */
export interface UnitLoading {
  /** FragmentPath of a link to a file outside the unit path: the link (252), or what it leads to (247). */
  readonly linkedFragment: 'link' | 'target';
  /** Only regular files and links are unit files, and a link counts as a drop-in directory only if systemd can find its target from its own working directory, `/` (252). */
  readonly typedEntries: boolean;
  /** A link from an instance to a template is an alias of that instance (252). */
  readonly instanceAliases: boolean;
  /** Drop-ins of masked units are read all the same (up to 252). */
  readonly maskedUnitsHaveDropIns: boolean;
  /** A drop-in that is a link loop does not hide one of the same name further down (262). */
  readonly loopsSkipped: boolean;
}

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
  /** Units with a cgroup take TasksMax= at all (228, and backports). */
  readonly unitTasksMax: boolean;
  /** What fractions are of: see `systemTasksMax`. */
  readonly fractionBase: 'pid-max' | 'pid-max-or-threads-max';
  /** When a fraction becomes a number: as the file is parsed, or whenever the limit is applied or shown. */
  readonly fractionResolved: 'at-parse' | 'at-use';
  /** /etc/systemd/system.control and /run/systemd/system.control (230). */
  readonly systemControl: boolean;
  /** `user-.slice.d`, `foo-.service.d`: drop-ins of truncated names (239, and backports). */
  readonly prefixDropIns: boolean;
  /** `slice.d`, `service.d`: drop-ins of a whole type (244). */
  readonly typeDropIns: boolean;
  /** logind.conf, system.conf: the main file is the first found in /etc, /run, /usr/local/lib, /usr/lib (256). */
  readonly mainFileFallback: boolean;
  /**
   * The drop-ins of logind.conf and system.conf are all opened before anything is read (256): a link loop among them
   * stops it all, and a main file that is the same file as one of them is read once, as the drop-in.
   */
  readonly confOpenedFirst: boolean;
  /** A drop-in of logind.conf or system.conf that is no regular file, `/dev/null` included, stops the reading of all (262). */
  readonly nonRegularConfStops: boolean;
  /** daemon-reload reads system.conf again (223); before, only daemon-reexec does. */
  readonly reloadRereadsManagerConf: boolean;
  /** `set-property TasksMax=40%` writes `4.0%` into its own drop-in (244 to at least 259; systemd issue 41009). */
  readonly setPropertyCorruptsFractions: boolean;
  /** `systemctl show -p EffectiveTasksMax` (256). */
  readonly effectiveTasksMax: boolean;
  /** Directories that hold the vendor's `systemd/`, highest precedence first for units: `/usr/lib`, `/lib`. */
  readonly vendorDirs: readonly string[];
  readonly dialect: Dialect;
  readonly loading: UnitLoading;
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

const INFINITY: TasksMax = { kind: 'infinity' };

/** What systemd `version` (219 to 262 were studied) can do on a host with this evidence. */
export function capabilitiesOf(version: number, evidence: CapabilityEvidence): SystemdCapabilities {
  const distribution = distributionOf(evidence.osRelease);
  // Red Hat backported the pids controller to the 219 of its version 7, with a syntax and defaults of its own.
  const backported219 = version < 227 && distribution.like('rhel', 'centos', 'fedora', 'amzn');
  const unitSyntax = unitSyntaxOf(version, backported219);
  const perUserLimit = perUserLimitOf(version, backported219, evidence);
  const userDropIns = evidence.compatGenerator || evidence.vendorUserSliceDropIn;
  return {
    version,
    syntax: {
      TasksMax: unitSyntax,
      DefaultTasksMax:
        unitSyntax === null
          ? null
          : { ...unitSyntax, empty: unitSyntax.empty === 'rejected' ? 'rejected' : 'infinity' },
      UserTasksMax: userSyntaxOf(version, perUserLimit, unitSyntax),
    },
    perUserLimit,
    defaultTasksMax: defaultTasksMaxOf(version, backported219, distribution),
    userTasksMax: userTasksMaxOf(version, backported219, distribution, perUserLimit),
    unitTasksMax: unitSyntax !== null,
    fractionBase: version >= 237 ? 'pid-max-or-threads-max' : 'pid-max',
    fractionResolved: version >= 244 ? 'at-use' : 'at-parse',
    systemControl: version >= 230,
    prefixDropIns: version >= 239 || userDropIns,
    typeDropIns: version >= 244,
    mainFileFallback: version >= 256,
    confOpenedFirst: version >= 256,
    nonRegularConfStops: version >= 262,
    reloadRereadsManagerConf: version >= 223,
    setPropertyCorruptsFractions: version >= 244 && version < 260,
    effectiveTasksMax: version >= 256,
    vendorDirs: vendorDirsOf(version, evidence, distribution),
    dialect: dialectOf(version),
    loading: {
      linkedFragment: version >= 251 ? 'link' : 'target',
      typedEntries: version >= 251,
      instanceAliases: version >= 251,
      maskedUnitsHaveDropIns: version < 255,
      loopsSkipped: version >= 262,
    },
  };
}

/**
 * The unit search path of a manager that was not asked for its own (`UnitPath`), highest precedence first. For a user
 * manager only the directories that are the same for all users.
 */
export function defaultUnitPath(
  capabilities: SystemdCapabilities,
  scope: 'system' | 'user',
): readonly string[] {
  if (scope === 'user') {
    return [
      '/etc/systemd/user',
      '/run/systemd/user',
      '/usr/local/share/systemd/user',
      '/usr/share/systemd/user',
      '/usr/local/lib/systemd/user',
      '/usr/lib/systemd/user',
    ];
  }
  const attached = capabilities.version >= 239;
  return [
    ...(capabilities.systemControl ? ['/etc/systemd/system.control', '/run/systemd/system.control'] : []),
    '/run/systemd/transient',
    '/run/systemd/generator.early',
    '/etc/systemd/system',
    ...(attached ? ['/etc/systemd/system.attached'] : []),
    '/run/systemd/system',
    ...(attached ? ['/run/systemd/system.attached'] : []),
    '/run/systemd/generator',
    '/usr/local/lib/systemd/system',
    ...capabilities.vendorDirs.map((dir) => `${dir}/systemd/system`),
    '/run/systemd/generator.late',
  ];
}

interface Distribution {
  readonly id: string;
  readonly major: number;
  like(...ids: string[]): boolean;
}

function distributionOf(osRelease: Readonly<Record<string, string>>): Distribution {
  const id = osRelease['ID'] ?? '';
  const ids = [id, ...(osRelease['ID_LIKE'] ?? '').split(/\s+/)];
  return {
    id,
    major: Number.parseInt(osRelease['VERSION_ID'] ?? '', 10),
    like: (...wanted) => wanted.some((name) => ids.includes(name)),
  };
}

function unitSyntaxOf(version: number, backported219: boolean): ValueSyntax | null {
  // 227 has the key but forgets the number it parsed.
  if (version < 228 && !backported219) return null;
  return {
    infinity: true,
    fraction:
      version >= 248
        ? 'permyriad'
        : version >= 240
          ? 'permille'
          : version >= 231 || backported219
            ? 'percent'
            : 'none',
    zeroFraction: version >= 244,
    fullFraction: version !== 231,
    binaryAndOctalPrefix: version >= 247,
    empty: version >= 232 ? 'default' : 'infinity',
  };
}

function userSyntaxOf(
  version: number,
  perUserLimit: SystemdCapabilities['perUserLimit'],
  unitSyntax: ValueSyntax | null,
): ValueSyntax | null {
  // The generator copies the text into a drop-in as it is.
  if (perUserLimit === 'suse-generator') return unitSyntax;
  if (perUserLimit !== 'logind') return null;
  return {
    infinity: version >= 232,
    fraction: version >= 231 ? 'percent' : 'none',
    zeroFraction: false,
    fullFraction: version !== 231,
    binaryAndOctalPrefix: false,
    empty: version >= 232 ? 'default' : 'rejected',
  };
}

function perUserLimitOf(
  version: number,
  backported219: boolean,
  evidence: CapabilityEvidence,
): SystemdCapabilities['perUserLimit'] {
  if (evidence.compatGenerator) return 'suse-generator';
  if (version >= 239 || evidence.vendorUserSliceDropIn) return 'user-slice-drop-in';
  return version >= 228 || backported219 ? 'logind' : 'none';
}

/** Meson's or the source's default; what a vendor sets in system.conf or its drop-ins is found in those files. */
function defaultTasksMaxOf(
  version: number,
  backported219: boolean,
  distribution: Distribution,
): TasksMax | null {
  if (version < 228) return backported219 ? INFINITY : null;
  // Patched into the source, so that no file shows it: Red Hat from 8, openEuler, Flatcar.
  if (version >= 239 && distribution.like('rhel', 'centos', 'openEuler')) return percent(80);
  if (distribution.id === 'flatcar') return percent(100);
  return version >= 231 ? percent(15) : count(512);
}

function userTasksMaxOf(
  version: number,
  backported219: boolean,
  distribution: Distribution,
  perUserLimit: SystemdCapabilities['perUserLimit'],
): TasksMax | null {
  if (perUserLimit !== 'logind') return null;
  if (backported219) return INFINITY;
  if (version >= 231) return percent(33);
  return version >= 229 || distribution.like('suse', 'sles') ? count(12_288) : count(4096);
}

function vendorDirsOf(
  version: number,
  evidence: CapabilityEvidence,
  distribution: Distribution,
): readonly string[] {
  // Debian's build had /lib as its prefix until 255, whether or not /lib was a link.
  if (version < 255 && distribution.like('debian')) return ['/lib', '/usr/lib'];
  return evidence.splitUsr && version < 255 ? ['/usr/lib', '/lib'] : ['/usr/lib'];
}

// One object for each dialect, so that what was read in it is found again.
const DIALECT_219: Dialect = {
  lineEnds: 'lf',
  // A buffer of LINE_MAX bytes with its terminating NUL.
  maxLineBytes: 2047,
  since240: false,
  sectionNames: 'any',
};
/** `maxLineBytes` is LONG_LINE_MAX. */
const DIALECT_236: Dialect = { ...DIALECT_219, lineEnds: 'lf-cr-nul', maxLineBytes: 1024 * 1024 - 1 };
const DIALECT_240: Dialect = { ...DIALECT_236, since240: true };
const DIALECT_251: Dialect = { ...DIALECT_240, sectionNames: 'safe' };
const DIALECT_258: Dialect = { ...DIALECT_251, sectionNames: 'strict' };

function dialectOf(version: number): Dialect {
  if (version >= 258) return DIALECT_258;
  if (version >= 251) return DIALECT_251;
  if (version >= 240) return DIALECT_240;
  return version >= 236 ? DIALECT_236 : DIALECT_219;
}

function percent(number: number): TasksMax {
  return { kind: 'fraction', numerator: BigInt(number), denominator: 100n };
}

function count(number: number): TasksMax {
  return { kind: 'count', count: BigInt(number) };
}
