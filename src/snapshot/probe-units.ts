import type { SnapshotUnit } from './snapshot.ts';

/** 2^64-1: what systemd before 229 or so prints for `infinity`, and what unset counters are. */
const noCount = '18446744073709551615';

/** A count as `systemctl show` prints it; undefined where it prints that there is none. */
export function countOf(text: string | undefined): string | undefined {
  if (text === 'infinity' || text === noCount) return 'infinity';
  return text !== undefined && /^[0-9]{1,20}$/.test(text) ? text : undefined;
}

/** The `KEY=value` lines of one unit or of the manager. */
export function propertiesOf(block: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const line of block.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) properties.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return properties;
}

/**
 * The units that `systemctl show` printed, in the order of their names. Units that do not exist (only named by others)
 * are left out. `controlGroup` is the manager's own cgroup, which the paths of its units start with.
 */
export function unitsOf(output: string, controlGroup: string): SnapshotUnit[] {
  const units = new Map<string, SnapshotUnit>();
  for (const block of output.split('\n\n')) {
    const unit = unitOf(propertiesOf(block), controlGroup);
    if (unit !== null) units.set(unit.id, unit);
  }
  return [...units.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function unitOf(properties: ReadonlyMap<string, string>, controlGroup: string): SnapshotUnit | null {
  const text = (key: string): string | undefined => properties.get(key) || undefined;
  const id = text('Id');
  const load = text('LoadState');
  const active = text('ActiveState');
  if (id === undefined || load === undefined || active === undefined || load === 'not-found') return null;
  const names = splitList(text('Names') ?? '').filter((name) => name !== id);
  const dropIns = splitList(text('DropInPaths') ?? '');
  const cgroup = text('ControlGroup');
  const mainPid = Number(text('MainPID') ?? 0);
  const tasksCurrent = countOf(text('TasksCurrent'));
  return withoutUndefined({
    id,
    names: names.length > 0 ? names.sort() : undefined,
    load,
    active,
    sub: text('SubState'),
    fragment: text('FragmentPath'),
    dropIns: dropIns.length > 0 ? dropIns : undefined,
    cgroup: cgroup === undefined ? undefined : pathBelow(cgroup, controlGroup),
    slice: text('Slice'),
    needDaemonReload: text('NeedDaemonReload') === 'yes' || undefined,
    transient: text('Transient') === 'yes' || undefined,
    tasksMax: countOf(text('TasksMax')),
    effectiveTasksMax: countOf(text('EffectiveTasksMax')),
    // 2^64-1 tasks: nothing is counted.
    tasksCurrent: tasksCurrent === 'infinity' ? undefined : tasksCurrent,
    mainPid: Number.isSafeInteger(mainPid) && mainPid > 0 ? mainPid : undefined,
    limitNproc: countOf(text('LimitNPROC')),
  });
}

/** Leaves out the keys whose value is undefined, as `exactOptionalPropertyTypes` wants it. */
type WithoutUndefined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

export function withoutUndefined<T extends object>(value: T): WithoutUndefined<T> {
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) => member !== undefined),
  ) as WithoutUndefined<T>;
}

/** A unit's cgroup as seen from the manager's own. */
function pathBelow(path: string, root: string): string {
  const prefix = root === '/' ? '' : root;
  if (prefix === '' || !(path === prefix || path.startsWith(`${prefix}/`))) return path;
  return path === prefix ? '/' : path.slice(prefix.length);
}

/**
 * Splits a list as `systemctl show` prints it: separated by spaces; since systemd 246 an item with unusual characters
 * stands in double quotes with backslashes as in C (shell_maybe_quote and cescape_char in systemd's
 * src/basic/escape.c).
 */
export function splitList(list: string): string[] {
  return [...list.matchAll(/"((?:[^"\\]|\\.)*)"|[^ ]+/gs)].map(([whole, quoted]) =>
    quoted === undefined ? whole : quoted.replace(/\\([0-7]{3}|.)/gs, (_, code: string) => unescaped(code)),
  );
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function unescaped(code: string): string {
  return code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (escapes[code] ?? code);
}
