import type { UnitLimit } from '../snapshot/limits.ts';
import { compareTaskCount, type TaskCount } from '../systemd/tasks-max.ts';

export interface UnitFilter {
  /** Inactive units and bare cgroups without a limit of their own, too. */
  readonly all: boolean;
  /** Unit names or shell patterns of them; empty: every unit. */
  readonly globs: readonly string[];
  /** Only units that use at least this share (0 to 1) of their tightest limit; null: any. */
  readonly over: number | null;
}

/** The rows a filter lets through, in the order they came. */
export function selectUnits(units: readonly UnitLimit[], filter: UnitFilter): UnitLimit[] {
  const { globs } = filter;
  return units.filter((unit) => {
    if (globs.length > 0 && !globs.some((glob) => matchesGlob(unit.name, glob))) return false;
    if (filter.over !== null && (unit.utilization === null || unit.utilization < filter.over)) return false;
    // Who asks for a name wants that row, whatever its state.
    return filter.all || globs.length > 0 || isOfInterest(unit);
  });
}

/**
 * Slices, services and scopes that hold tasks or may, and anything else that does under a limit of its own or was
 * refused. A service that has done its work and has no cgroup (`active (exited)`) can hit no limit.
 */
function isOfInterest(unit: UnitLimit): boolean {
  if (!unit.active || unit.cgroup === null) return false;
  if (unit.type === 'slice' || unit.type === 'service' || unit.type === 'scope') return true;
  if ((unit.rejections ?? 0) > 0) return true;
  const limited = unit.live !== null && unit.live !== 'infinity';
  return limited && (unit.type === 'cgroup' || (unit.current ?? 0) > 0);
}

/**
 * Least headroom first: by the share of the tightest limit in use, then by the tasks that can still be created. Rows
 * that share both (a slice and the sessions under its limit) keep their order; those without any limit come last.
 */
export function byLeastHeadroom(units: readonly UnitLimit[]): UnitLimit[] {
  const left = (unit: UnitLimit): TaskCount => unit.headroom?.tasks ?? 'infinity';
  return [...units].sort(
    (a, b) => (b.utilization ?? -1) - (a.utilization ?? -1) || compareTaskCount(left(a), left(b)),
  );
}

/**
 * Whether a unit name is `glob` itself or matches it as a shell pattern (`*`, `?`, `[a-z]`, `[!a]`), as fnmatch(3)
 * without flags does for systemctl.
 */
export function matchesGlob(name: string, glob: string): boolean {
  return name === glob || globPattern(glob).test(name);
}

function globPattern(glob: string): RegExp {
  let source = '';
  for (let i = 0; i < glob.length; i++) {
    const character = glob[i] ?? '';
    const close = character === '[' ? glob.indexOf(']', glob[i + 1] === '!' ? i + 3 : i + 2) : -1;
    if (character === '*') source += source.endsWith('.*') ? '' : '.*';
    else if (character === '?') source += '.';
    else if (close > 0) {
      source += bracketPattern(glob.slice(i + 1, close));
      i = close;
    } else if (character === '\\' && i + 1 < glob.length) {
      i += 1;
      source += escapeRegExp(glob[i] ?? '');
    } else source += escapeRegExp(character);
  }
  return new RegExp(`^${source}$`, 'su');
}

/** What stands between `[` and `]`; a range that runs backwards matches nothing, as in fnmatch. */
function bracketPattern(body: string): string {
  const negated = body.startsWith('!');
  const set = (negated ? body.slice(1) : body).replace(/[\\\]^[]/g, '\\$&');
  const pattern = `[${negated ? '^' : ''}${set}]`;
  try {
    new RegExp(pattern, 'u');
    return pattern;
  } catch {
    return '(?!)';
  }
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
