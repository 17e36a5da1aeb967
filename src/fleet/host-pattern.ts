import { nearestName } from '../plan/nearest-name.ts';

/**
 * The hosts a pattern of `--limit` stands for, in their order: names and groups, globs of them, `all`; `:` or `,` between
 * them; `&x` only what is in x too, `!x` without x (docs.ansible.com, "Patterns: targeting hosts and groups"). `groups`
 * are those that exist, also without hosts. A text: what is wrong with it.
 */
export function selectHosts<H extends { readonly name: string; readonly groups: readonly string[] }>(
  hosts: readonly H[],
  pattern: string,
  groups: Iterable<string> = [],
): readonly H[] | { readonly error: string } {
  const problem = patternProblem(pattern);
  if (problem !== null) return { error: problem };
  const names = [...new Set([...groups, ...hosts.flatMap(({ name, groups }) => [name, ...groups])])];
  const sets = new Map<string, ReadonlySet<H>>();
  for (const term of termsOf(pattern)) {
    const wanted = term.replace(/^[&!]/, '');
    const matches = matcher(wanted);
    const found = new Set(hosts.filter(({ name, groups }) => matches(name) || groups.some(matches)));
    if (found.size === 0 && !names.some(matches)) {
      const near = nearestName(wanted, names);
      const hint = near === null ? '' : `; did you mean ${near}?`;
      return { error: `${wanted} is no host and no group of the inventory${hint}` };
    }
    sets.set(term, found);
  }
  const of = (kind: '&' | '!' | '') =>
    [...sets].filter(([term]) => (/^[&!]/.exec(term)?.[0] ?? '') === kind).map(([, set]) => set);
  const plain = of('');
  return hosts.filter(
    (host) =>
      (plain.length === 0 || plain.some((set) => set.has(host))) &&
      of('&').every((set) => set.has(host)) &&
      !of('!').some((set) => set.has(host)),
  );
}

/** What is wrong with a pattern by itself, whichever hosts there are. */
export function patternProblem(pattern: string): string | null {
  const terms = termsOf(pattern);
  if (terms.length === 0) return 'the pattern is empty';
  const odd = terms
    .map((term) => term.replace(/^[&!]/, ''))
    .find((wanted) => !/^[A-Za-z0-9_.:%+@*?-]+$/.test(wanted));
  if (odd === undefined) return null;
  return `${JSON.stringify(odd)} is no name, glob or group; regular expressions and indexes are not known`;
}

function termsOf(pattern: string): string[] {
  return pattern
    .split(pattern.includes(',') ? ',' : ':')
    .map((term) => term.trim())
    .filter((term) => term !== '');
}

function matcher(glob: string): (name: string) => boolean {
  if (glob === 'all' || glob === '*') return () => true;
  if (!/[*?]/.test(glob)) return (name) => name === glob;
  const escaped = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const regex = new RegExp(`^${escaped}$`);
  return (name) => regex.test(name);
}
