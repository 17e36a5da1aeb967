import type { LiveUnit } from './recorder.ts';

/** A unit with what all limits in its chain leave it. */
export interface UnitRoom {
  readonly unit: LiveUnit;
  /** Tasks that can still be created: the least of limit - tasks of the unit and those above; null: no limit. */
  readonly left: number | null;
  /** Share of the tightest limit that is used, 0 to 1; null: no limit. */
  readonly used: number | null;
}

/** Units by the room they have, least first; a unit that only shares the limit of one above it comes after that one. */
export function byRoom(units: readonly LiveUnit[]): UnitRoom[] {
  const byPath = new Map(units.map((unit) => [unit.path, unit]));
  const rooms = units.map((unit): UnitRoom => {
    let left: number | null = null;
    let used: number | null = null;
    for (let path = unit.path; path !== ''; path = path.slice(0, path.lastIndexOf('/'))) {
      const { limit = null, tasks = 0 } = byPath.get(path) ?? {};
      if (limit === null) continue;
      const room = Math.max(0, limit - tasks);
      if (left !== null && left <= room) continue;
      left = room;
      used = limit === 0 ? 1 : Math.min(1, tasks / limit);
    }
    return { unit, left, used };
  });
  return rooms.sort(
    (a, b) =>
      (b.used ?? -1) - (a.used ?? -1) ||
      (a.left ?? Number.POSITIVE_INFINITY) - (b.left ?? Number.POSITIVE_INFINITY) ||
      b.unit.tasks - a.unit.tasks ||
      (a.unit.path < b.unit.path ? -1 : 1),
  );
}
