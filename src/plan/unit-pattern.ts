import { parseUnitName } from '../systemd/unit-name.ts';

/** Types of unit that take TasksMax=. */
const LIMITED_TYPES: ReadonlySet<string> = new Set(['service', 'slice', 'scope', 'socket', 'mount', 'swap']);

/** Whether a key of a policy's `units:` stands for many units: `*` is any text, `?` any one character. */
export function isPattern(name: string): boolean {
  return /[*?]/.test(name);
}

/** What is wrong with a key of `units:`, one sentence; null where it is a unit name or pattern as it should be. */
export function unitPatternProblem(name: string): string | null {
  const type = name.slice(name.lastIndexOf('.') + 1);
  if (!LIMITED_TYPES.has(type)) {
    return `"${name}" must end in .service, .slice, .scope, .socket, .mount or .swap: only those have task limits`;
  }
  if (/[[\]{}]/.test(name)) return `"${name}" uses a bracket: patterns know * and ? only`;
  const unit = parseUnitName(name.replace(/[*?]/g, 'x'));
  if (unit === null) return `"${name}" is no unit name`;
  if (unit.instance === '') {
    return `"${name}" is a template, which has no limit of its own: write "${name.replace('@.', '@*.')}" for its instances`;
  }
  return null;
}

/** Whether a unit's name is one the pattern stands for. At worst the product of both lengths in steps. */
export function matchesPattern(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p;
      resume = n;
      p += 1;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
      p += 1;
      n += 1;
    } else if (star >= 0) {
      // Only the last star need ever take more: an earlier one that did would leave it less to choose from.
      resume += 1;
      n = resume;
      p = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}
