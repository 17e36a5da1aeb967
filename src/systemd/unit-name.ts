import type { SystemdCapabilities } from './capabilities.ts';

/** Unit types systemd knows, the part of a unit's name after its last dot. */
export const UNIT_TYPES = [
  'service',
  'mount',
  'swap',
  'socket',
  'target',
  'device',
  'automount',
  'timer',
  'path',
  'slice',
  'scope',
] as const;

export type UnitType = (typeof UNIT_TYPES)[number];

/** A valid unit name taken apart: `getty@tty1.service` is prefix `getty`, instance `tty1`, type `service`. */
export interface UnitName {
  readonly name: string;
  readonly prefix: string;
  /** null: neither template nor instance (`ssh.service`); empty: a template (`getty@.service`). */
  readonly instance: string | null;
  readonly type: UnitType;
}

/** Names are shorter than this many bytes (systemd's UNIT_NAME_MAX). */
const UNIT_NAME_MAX = 256;

const TYPES: ReadonlySet<string> = new Set(UNIT_TYPES);

/** Whether `text` is the name of a unit type. */
export function isUnitType(text: string): text is UnitType {
  return TYPES.has(text);
}

/** Takes a unit name apart; null where systemd would refuse it as one (`unit_name_is_valid()`). */
export function parseUnitName(name: string): UnitName | null {
  const dot = name.lastIndexOf('.');
  if (dot <= 0 || name.length >= UNIT_NAME_MAX) return null;
  const type = name.slice(dot + 1);
  if (!isUnitType(type)) return null;
  const stem = name.slice(0, dot);
  if (!/^[0-9A-Za-z:_.\\@-]+$/.test(stem) || stem.startsWith('@')) return null;
  const at = stem.indexOf('@');
  return at < 0
    ? { name, prefix: stem, instance: null, type }
    : { name, prefix: stem.slice(0, at), instance: stem.slice(at + 1), type };
}

/** The template an instance is of, `getty@.service`; null for any other name. */
export function templateOf(name: string): string | null {
  const unit = parseUnitName(name);
  if (unit === null || unit.instance === null || unit.instance === '') return null;
  return `${unit.prefix}@.${unit.type}`;
}

/** The name with another instance (of a template or instance); null where that is too long to be valid. */
export function withInstance(unit: UnitName, instance: string): string | null {
  const name = `${unit.prefix}@${instance}.${unit.type}`;
  return parseUnitName(name) === null ? null : name;
}

/** Escapes a string for use in a unit name, as `systemd-escape`. */
export function escapeUnitName(text: string): string {
  let escaped = '';
  for (const [index, byte] of Buffer.from(text).entries()) {
    const char = String.fromCharCode(byte);
    if (char === '/') escaped += '-';
    else if (/[0-9A-Za-z:_.]/.test(char) && !(index === 0 && char === '.')) escaped += char;
    else escaped += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return escaped;
}

/** Reverses `escapeUnitName`; null where an escape is malformed. */
export function unescapeUnitName(text: string): string | null {
  if (/\\(?!x[0-9a-fA-F]{2})/.test(text)) return null;
  const bytes = text
    .replaceAll('-', '/')
    .replace(/[^\0-\x7f]+/g, (chars) => Buffer.from(chars).toString('latin1'))
    .replace(/\\x([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString();
}

/** Escapes a path, as `systemd-escape --path`; null for a path with `..` in it. */
export function escapeUnitPath(path: string): string | null {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) return null;
  return parts.length === 0 ? '-' : escapeUnitName(parts.join('/'));
}

/** The slices above a slice, nearest first: `a-b-c.slice` gives `a-b.slice`, `a.slice`, `-.slice`; null if invalid. */
export function sliceParents(slice: string): readonly string[] | null {
  if (slice === '-.slice') return [];
  const unit = parseUnitName(slice);
  if (unit === null || unit.type !== 'slice' || unit.instance !== null) return null;
  const parts = unit.prefix.split('-');
  if (parts.includes('')) return null;
  const parents: string[] = [];
  for (let n = parts.length - 1; n > 0; n--) parents.push(`${parts.slice(0, n).join('-')}.slice`);
  return [...parents, '-.slice'];
}

/** The slice of a user's sessions, `user-1000.slice`. */
export function userSlice(uid: number): string {
  return `user-${uid}.slice`;
}

/**
 * The unit of the system manager that the cgroup at `path` belongs to: the first service, scope, mount … on the way
 * down, or the innermost slice where there is none. `/` is `-.slice`. Null where a component is no unit's name.
 */
export function unitOfCgroup(path: string): string | null {
  let slice = '-.slice';
  for (const component of path.split('/')) {
    if (component === '') continue;
    // Where a unit's name could be taken for a file of the kernel, systemd puts an underscore in front.
    const unit = parseUnitName(component.startsWith('_') ? component.slice(1) : component);
    if (unit === null) return null;
    if (unit.type !== 'slice') return unit.name;
    slice = unit.name;
  }
  return slice;
}

/**
 * Names whose `.d` directories apply to a unit, most specific first, without the type-level one: the unit itself, its
 * template, then names cut off at each dash (`user-1000.slice`, `user-.slice`), from systemd 239.
 * (`unit_file_find_dirs()` of systemd's dropin.c, whose order this is.)
 */
export function dropInNames(unit: UnitName, capabilities: SystemdCapabilities): readonly string[] {
  const names = [unit.name];
  const add = (more: UnitName): void => {
    for (const name of dropInNames(more, capabilities)) if (!names.includes(name)) names.push(name);
  };
  if (unit.instance !== null && unit.instance !== '') {
    add({ ...unit, name: `${unit.prefix}@.${unit.type}`, instance: '' });
  }
  if (capabilities.prefixDropIns) {
    const shorter = cutAtDash(unit.prefix);
    // A template's shorter names are plain ones: systemd builds them without the instance it has none of.
    const instance = unit.instance === '' ? null : unit.instance;
    const name = `${shorter}${instance === null ? '' : `@${instance}`}.${unit.type}`;
    if (shorter !== null) add({ name, prefix: shorter, instance, type: unit.type });
  }
  return names;
}

/** `foo-bar` to `foo-`, `foo-bar-` to `foo-`; null where nothing is left to cut. */
function cutAtDash(prefix: string): string | null {
  const stem = prefix.endsWith('-') ? prefix.slice(0, -1) : prefix;
  const dash = stem.lastIndexOf('-');
  return dash <= 0 ? null : stem.slice(0, dash + 1);
}
