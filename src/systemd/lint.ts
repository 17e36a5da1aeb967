import type { Diagnostic } from './diagnostic.ts';
import type { ConfAssignment } from './dialect.ts';
import type { FileEntry } from './file-tree.ts';
import { fileNotAvailable, readConf } from './read-conf.ts';
import { type ResolveContext, resolveUnit, tasksMaxSection, unitIndex } from './resolve.ts';
import { type ManagerConfKey, resolveManagerConf } from './resolve-manager-conf.ts';
import { parseTasksMax, type TasksMax } from './tasks-max.ts';
import { dropInNames, isUnitType, parseUnitName, type UnitType } from './unit-name.ts';

/** What a file is to systemd, by where it lies: which key belongs in it, and in which section. */
type Role =
  | { readonly kind: 'unit'; readonly owner: string; readonly type: UnitType; readonly dropIn: boolean }
  | { readonly kind: 'conf'; readonly name: string; readonly section: string; readonly key: ConfKey }
  | { readonly kind: 'unused'; readonly why: string; readonly help: string };

type ConfKey = 'UserTasksMax' | 'DefaultTasksMax';
type Key = 'TasksMax' | ConfKey;

const CONF_FILES: Readonly<Record<string, { section: string; key: ConfKey }>> = {
  'logind.conf': managerKey('logind.conf'),
  'system.conf': managerKey('system.conf'),
  'user.conf': managerKey('user.conf'),
};

/** Where each key belongs, for the operator who put it elsewhere. */
const HOME: Readonly<Record<Key, string>> = {
  TasksMax: 'a unit file or a drop-in of a unit',
  UserTasksMax: 'logind.conf',
  DefaultTasksMax: 'system.conf or user.conf',
};

/** The kernel takes no pids.max above PID_MAX_LIMIT, 2^22 (`pids_max_write()`, kernel/cgroup/pids.c). */
const PID_MAX_LIMIT = 4_194_304n;

/** What could be meant to set a task limit; anything else in a file is of no concern. */
const MEANT = /tasks?_?-?max|max_?-?tasks?/i;

/**
 * Everything about task limits in a host's files that silently does nothing, or not what it seems to: each with its
 * file, its line and what to do. `units` are the units of the host, which drop-ins of whole groups are held against.
 * In the order of files and lines.
 */
export function lint(ctx: ResolveContext, { units }: { readonly units: Iterable<string> }): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const known = [...units];
  for (const { path, role } of filesMeant(ctx)) diagnostics.push(...lintFile(ctx, path, role, known));
  diagnostics.push(...lintUnread(ctx), ...lintLinks(ctx), ...lintManagerConf(ctx));
  return diagnostics.sort(
    (a, b) => order(a.file ?? '', b.file ?? '') || (a.line ?? 0) - (b.line ?? 0) || order(a.code, b.code),
  );
}

const meantFiles = new WeakMap<ResolveContext, readonly { readonly path: string; readonly role: Role }[]>();

/** The files that are meant to set a task limit, looked for once. */
function filesMeant(ctx: ResolveContext): readonly { readonly path: string; readonly role: Role }[] {
  let files = meantFiles.get(ctx);
  if (files === undefined) {
    const unitDirs = unitDirectories(ctx);
    files = [...ctx.tree.entries()]
      .filter((entry) => isMeant(ctx, entry))
      .flatMap(({ path }) => {
        const role = roleOf(ctx, path, unitDirs);
        return role === null ? [] : [{ path, role }];
      });
    meantFiles.set(ctx, files);
  }
  return files;
}

function unitDirectories({ unitPath, tree }: ResolveContext): Set<string> {
  return new Set(unitPath.flatMap((dir) => [dir, tree.realPath(dir) ?? dir]));
}

/** Files in places where limits are set, of which it is not known what they say. */
function lintUnread(ctx: ResolveContext): Diagnostic[] {
  const unread = [...ctx.tree.entries()].filter(({ problem }) => problem !== undefined);
  if (unread.length === 0) return [];
  const unitDirs = unitDirectories(ctx);
  return unread.flatMap(({ path, problem }) => {
    const role = roleOf(ctx, path, unitDirs);
    const matters =
      role !== null &&
      role.kind !== 'unused' &&
      (role.kind === 'conf' || tasksMaxSection(role.type) !== null);
    return matters && problem !== undefined ? [fileNotAvailable(path, problem)] : [];
  });
}

/** Drop-in directories that are links systemd does not follow. */
function lintLinks(ctx: ResolveContext): Diagnostic[] {
  return [...unitIndex(ctx).ignoredDropInLinks.values()].flat().map((file) => ({
    code: 'drop-in-link-ignored',
    severity: 'warning',
    message: `systemd ${ctx.capabilities.version} does not follow this relative link: it looks for its target below /`,
    file,
    help: 'Make it an absolute link, or a directory, then run systemctl daemon-reload.',
  }));
}

/** Drop-ins that keep all of a manager's configuration from being read. */
function lintManagerConf(ctx: ResolveContext): Diagnostic[] {
  return (['logind.conf', 'system.conf', 'user.conf'] as const).flatMap((file): Diagnostic[] => {
    const { obstacle } = resolveManagerConf(ctx, { file, ...managerKey(file) });
    if (obstacle === null) return [];
    return [
      {
        code: 'configuration-not-read',
        severity: 'error',
        message: `systemd ${ctx.capabilities.version} reads nothing of ${file} and its drop-ins, since this one is no regular file`,
        file: obstacle,
        help: 'Replace it with an empty file.',
      },
    ];
  });
}

function managerKey(file: ManagerConfKey['file']): { section: string; key: ConfKey } {
  return file === 'logind.conf'
    ? { section: 'Login', key: 'UserTasksMax' }
    : { section: 'Manager', key: 'DefaultTasksMax' };
}

function isMeant({ tree }: ResolveContext, entry: FileEntry): boolean {
  if (entry.type !== 'file' && entry.type !== 'symlink') return false;
  if (!/\/systemd\//.test(entry.path)) return false;
  const content = tree.resolve(entry.path)?.content;
  return content !== undefined && hasMeant(content);
}

/** Hosts of one image share the bytes of their files. */
const meantIn = new WeakMap<Uint8Array, boolean>();

function hasMeant(content: Uint8Array): boolean {
  let meant = meantIn.get(content);
  if (meant === undefined) {
    meant = MEANT.test(Buffer.from(content.buffer, content.byteOffset, content.length).toString('latin1'));
    meantIn.set(content, meant);
  }
  return meant;
}

function roleOf(ctx: ResolveContext, path: string, unitDirs: ReadonlySet<string>): Role | null {
  const { dir, name } = split(path);
  if (unitDirs.has(dir)) {
    const unit = parseUnitName(name);
    // A link to another unit is an alias: that unit's file is looked at where it lies.
    if (unit !== null) {
      if (ctx.tree.get(path)?.type === 'symlink') return null;
      return { kind: 'unit', owner: name, type: unit.type, dropIn: false };
    }
    return unused('its name is not that of a unit', 'Give it the name of a unit, or remove it.');
  }
  const { dir: above, name: holder } = split(dir);
  if (unitDirs.has(above)) return unitDirectoryRole(ctx, name, holder);
  return confRole(ctx, path);
}

/** A file in a directory below a unit directory: a drop-in, or meant to be one. */
function unitDirectoryRole({ capabilities }: ResolveContext, name: string, holder: string): Role | null {
  if (/\.(?:wants|requires|upholds)$/.test(holder)) return null;
  if (!holder.endsWith('.d')) {
    return unused(
      `systemd reads drop-ins from ${holder}.d, not from ${holder}`,
      `Move it to ${holder}.d, then run systemctl daemon-reload.`,
    );
  }
  if (!name.endsWith('.conf')) {
    return unused(
      'drop-ins must end in .conf',
      'Rename it to end in .conf, then run systemctl daemon-reload.',
    );
  }
  const owner = holder.slice(0, -2);
  if (isUnitType(owner)) {
    if (capabilities.typeDropIns) return { kind: 'unit', owner, type: owner, dropIn: true };
    return unused(
      `systemd ${capabilities.version} has no drop-ins for all units of a type (244 and later have)`,
      'Write a drop-in for each unit.',
    );
  }
  const unit = parseUnitName(owner);
  if (unit === null) {
    return unused(
      `${owner} is neither the name nor the type of a unit`,
      'Move it to the directory of a unit.',
    );
  }
  if (!capabilities.prefixDropIns && unit.prefix.endsWith('-')) {
    return unused(
      `systemd ${capabilities.version} does not read ${holder} for the units whose names begin so (239 and later do)`,
      owner === 'user-.slice'
        ? 'Set UserTasksMax= in /etc/systemd/logind.conf.d/ instead.'
        : 'Write a drop-in for each unit.',
    );
  }
  return { kind: 'unit', owner, type: unit.type, dropIn: true };
}

/** A file of logind's or a manager's configuration, or one below /etc/systemd or /run/systemd that nothing reads. */
function confRole(ctx: ResolveContext, path: string): Role | null {
  const { dir, name } = split(path);
  const { dir: above, name: holder } = split(dir);
  const main = CONF_FILES[name];
  if (main !== undefined && dir.endsWith('/systemd')) {
    if (dir === '/etc/systemd' || (ctx.capabilities.mainFileFallback && name !== 'user.conf')) {
      return { kind: 'conf', name, ...main };
    }
    return unused(
      `systemd ${ctx.capabilities.version} reads ${name} in /etc/systemd only`,
      `Use a file in ${dir}/${name}.d instead.`,
    );
  }
  const owner = CONF_FILES[holder.slice(0, -2)];
  if (owner !== undefined && holder.endsWith('.d') && above.endsWith('/systemd')) {
    if (name.endsWith('.conf')) return { kind: 'conf', name: holder.slice(0, -2), ...owner };
    return unused('drop-ins must end in .conf', 'Rename it to end in .conf.');
  }
  // Elsewhere below systemd's directories there are other managers' units and other programs' files.
  if (!/^\/(?:etc|run)\/systemd\/[^/]+\.(?:conf|d)(?:\/[^/]+)?$/.test(path)) return null;
  return unused(
    'systemd reads no task limits from this place',
    'Limits of units belong below /etc/systemd/system, those of logind in /etc/systemd/logind.conf.d.',
  );
}

function unused(why: string, help: string): Role {
  return { kind: 'unused', why, help };
}

function lintFile(ctx: ResolveContext, path: string, role: Role, units: readonly string[]): Diagnostic[] {
  const file = readConf(ctx.tree, path, ctx.capabilities);
  if (file.kind !== 'read') return [];
  const meant = file.conf.assignments.filter(({ key }) => MEANT.test(key));
  if (role.kind === 'unused') {
    return meant
      .slice(0, 1)
      .map((assignment) =>
        warn(
          'file-not-used',
          path,
          assignment,
          `${assignment.key}= here does nothing: ${role.why}`,
          role.help,
        ),
      );
  }
  const diagnostics: Diagnostic[] = [];
  if (file.conf.failure !== null) {
    diagnostics.push({
      code: 'file-not-read-to-end',
      severity: 'error',
      message: `systemd stops reading here: ${file.conf.failure.reason}`,
      file: path,
      line: file.conf.failure.line,
      help: 'Mend or remove the line, then run systemctl daemon-reload.',
    });
  }
  for (const assignment of meant) {
    const found = lintAssignment(ctx, path, role, assignment);
    if (found !== null) diagnostics.push(found);
  }
  if (role.kind === 'unit' && role.dropIn && meant.some(({ key }) => key === 'TasksMax')) {
    diagnostics.push(...lintDropIn(ctx, path, role.owner, units));
  }
  return diagnostics;
}

/** The first thing that is wrong with one assignment; null where nothing is. */
function lintAssignment(
  ctx: ResolveContext,
  path: string,
  role: Exclude<Role, { kind: 'unused' }>,
  assignment: ConfAssignment,
): Diagnostic | null {
  const { capabilities } = ctx;
  const key: Key = role.kind === 'unit' ? 'TasksMax' : role.key;
  const section = role.kind === 'unit' ? tasksMaxSection(role.type) : role.section;
  if (section === null) {
    return warn(
      'no-task-limit',
      path,
      assignment,
      'units of this type have no cgroup, so no task limit',
      'Remove it.',
    );
  }
  if (assignment.key !== key) {
    if (isKey(assignment.key)) {
      return warn(
        'key-in-wrong-file',
        path,
        assignment,
        `${assignment.key}= does nothing here; what can be set here is ${key}=`,
        `Move it to ${HOME[assignment.key]}, or write ${key}= if that is what is meant.`,
      );
    }
    // logind's own list of keys has more; only what looks like this one is told.
    return warn(
      'key-unknown',
      path,
      assignment,
      `systemd knows no ${assignment.key}= and ignores it`,
      `Write ${key}= (upper and lower case count).`,
    );
  }
  if (assignment.section !== section) {
    const where = assignment.section === null ? 'before any section' : `in [${assignment.section}]`;
    return warn(
      'wrong-section',
      path,
      assignment,
      `${key}= ${where} is ignored: it belongs in [${section}]`,
      `Put it below a line [${section}] (upper and lower case count).`,
    );
  }
  if (key === 'UserTasksMax' && capabilities.perUserLimit === 'user-slice-drop-in') {
    return warn(
      'user-tasks-max-removed',
      path,
      assignment,
      `systemd ${capabilities.version} ignores UserTasksMax= (removed in 239)`,
      'Move it to user-.slice.d, where it counts, with tasksctl plan --policy user-tasks-max; or remove this line.',
    );
  }
  const parsed = parseTasksMax(assignment.value, key, capabilities);
  if (!parsed.ok) {
    return warn(
      'value-ignored',
      path,
      assignment,
      `systemd ignores ${key}=${assignment.value}: ${parsed.reason}`,
      'What was set before stays in force; write a whole number, a percentage or infinity.',
    );
  }
  if (parsed.value === 'unset') return null;
  if (role.kind === 'unit' && parsed.value.kind !== 'infinity' && appliesToRootSlice(ctx, role.owner)) {
    const repeated = parsed.value.kind === 'fraction' ? ', a percentage of itself at every reload' : '';
    return warn(
      'root-slice-limit',
      path,
      assignment,
      `TasksMax= of -.slice sets the kernel's own kernel.threads-max${repeated}, and raises kernel.pid_max`,
      role.owner === 'slice'
        ? 'Set TasksMax=infinity in a drop-in of -.slice that comes later.'
        : 'Use a file in /etc/sysctl.d if that is what is meant.',
    );
  }
  return lintValue(ctx, path, assignment, key, parsed.value);
}

/**
 * Whether a drop-in of this unit or type sets the limit of the root slice, and with it the kernel's (since 237;
 * `cgroup_context_apply()` of systemd's cgroup.c). Seen on a host of 262: `slice.d` with 90% shrank kernel.threads-max
 * by a tenth at each daemon-reload.
 */
function appliesToRootSlice(ctx: ResolveContext, owner: string): boolean {
  if (ctx.capabilities.version < 237 || (owner !== '-.slice' && owner !== 'slice')) return false;
  const { value } = resolveUnit(ctx, '-.slice').tasksMax;
  return value !== null && value.kind !== 'infinity';
}

/** Values that are accepted and still not what they seem. */
function lintValue(
  { capabilities }: ResolveContext,
  path: string,
  assignment: ConfAssignment,
  key: Key,
  value: TasksMax,
): Diagnostic | null {
  const raw = assignment.value;
  if (value.kind === 'fraction' && value.numerator === 0n) {
    return {
      ...warn(
        'zero-percent',
        path,
        assignment,
        `${key}=${raw} allows no task at all`,
        'Write a value above zero.',
      ),
      severity: 'error',
    };
  }
  if (value.kind === 'count' && value.count > PID_MAX_LIMIT) {
    return warn(
      'above-kernel-limit',
      path,
      assignment,
      `${key}=${raw} is above ${PID_MAX_LIMIT}, the most the kernel takes as pids.max: what runs keeps its former limit, what starts gets none`,
      'Write infinity for no limit.',
    );
  }
  if (value.kind === 'count' && /^\+?0[0-9a-z]/i.test(raw)) {
    return {
      ...warn(
        'number-base',
        path,
        assignment,
        `${key}=${raw} is read as ${value.count}`,
        `Write ${value.count}.`,
      ),
      severity: 'note',
    };
  }
  const bySetProperty = /\/system\.control\/[^/]+\/50-TasksMax(?:Scale)?\.conf$/.test(path);
  if (bySetProperty && capabilities.setPropertyCorruptsFractions && /^[0-9]{1,2}\.[0-9]%$/.test(raw)) {
    return warn(
      'set-property-percent',
      path,
      assignment,
      `systemctl set-property of systemd ${capabilities.version} writes percentages ten times too low: ${raw} was ${raw.replace('.', '')} when it was set`,
      'Set it again as a whole number of tasks (systemd issue 41009).',
    );
  }
  return null;
}

/** A drop-in that another one of its name hides, or one of `set-property` that a later one overrides. */
function lintDropIn(
  ctx: ResolveContext,
  path: string,
  owner: string,
  units: readonly string[],
): Diagnostic[] {
  const unit = unitUnder(ctx, owner, units);
  if (unit === null) return [];
  const { dropInPaths, tasksMax, load } = resolveUnit(ctx, unit);
  if (load !== 'loaded') return [];
  const { name } = split(path);
  const used = dropInPaths.find((other) => split(other).name === name);
  if (used !== undefined && used !== path) {
    return [
      {
        code: 'drop-in-shadowed',
        severity: 'warning',
        message: `this file is not read for ${unit}: ${used} has the same name and comes first`,
        file: path,
        unit,
        help: 'Give one of the two another name.',
      },
    ];
  }
  const { winner } = tasksMax;
  const own = tasksMax.assignments.findLast(({ file }) => file === path);
  if (!path.includes('/system.control/') || own?.outcome !== 'overridden' || winner === null) return [];
  return [
    {
      code: 'set-property-overridden',
      severity: 'warning',
      message: `TasksMax=${own.raw} of systemctl set-property lasts only until the next reload: ${winner.file}:${winner.line} sets ${winner.raw}`,
      file: path,
      line: own.line,
      unit,
      help: `Change ${winner.file} instead, and remove what was set with: systemctl revert ${unit}`,
    },
  ];
}

/** A unit that a drop-in directory applies to: the one it names, else one of the host's. */
function unitUnder({ capabilities }: ResolveContext, owner: string, units: readonly string[]): string | null {
  const unit = parseUnitName(owner);
  if (unit !== null && unit.instance !== '' && !unit.prefix.endsWith('-')) return owner;
  return (
    units.find((name) => {
      const other = parseUnitName(name);
      if (other === null) return false;
      return other.type === owner || dropInNames(other, capabilities).includes(owner);
    }) ?? null
  );
}

function isKey(key: string): key is Key {
  return Object.hasOwn(HOME, key);
}

function warn(
  code: string,
  file: string,
  { span }: ConfAssignment,
  message: string,
  help: string,
): Diagnostic {
  return { code, severity: 'warning', message, file, line: span.line, help };
}

function split(path: string): { dir: string; name: string } {
  const slash = path.lastIndexOf('/');
  return { dir: path.slice(0, slash), name: path.slice(slash + 1) };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
