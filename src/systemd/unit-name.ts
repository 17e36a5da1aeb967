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

/** Takes a unit name apart; null where systemd would refuse it as one. */
export function parseUnitName(_name: string): UnitName | null {
  throw new Error('not written yet');
}

/** The template an instance is of, `getty@.service`; null for any other name. */
export function templateOf(_name: string): string | null {
  throw new Error('not written yet');
}

/** Escapes a string for use in a unit name, as `systemd-escape`. */
export function escapeUnitName(_text: string): string {
  throw new Error('not written yet');
}

/** Reverses `escapeUnitName`; null where an escape is malformed. */
export function unescapeUnitName(_text: string): string | null {
  throw new Error('not written yet');
}

/** Escapes a path, as `systemd-escape --path`; null for a path that is no normalised absolute one. */
export function escapeUnitPath(_path: string): string | null {
  throw new Error('not written yet');
}

/** The slices above a slice, nearest first: `a-b-c.slice` gives `a-b.slice`, `a.slice`, `-.slice`; null if invalid. */
export function sliceParents(_slice: string): readonly string[] | null {
  throw new Error('not written yet');
}

/** The slice of a user's sessions, `user-1000.slice`. */
export function userSlice(uid: number): string {
  return `user-${uid}.slice`;
}

/** The unit whose cgroup is `path` or holds it, nearest first, with systemd's cgroup escaping undone; null if none. */
export function unitOfCgroup(_path: string): string | null {
  throw new Error('not written yet');
}
