import { nearestName } from '../plan/nearest-name.ts';

/**
 * The hosts a pattern of `--limit` stands for, in their order: names and groups, globs of them, `all`; `:` or `,` between
 * them; `&x` only what is in x too, `!x` without x (docs.ansible.com, "Patterns: targeting hosts and groups").
 * A text: what is wrong with it.
 */
export function selectHosts<H extends { readonly name: string; readonly groups: readonly string[] }>(
  hosts: readonly H[],
  pattern: string,
): readonly H[] | { readonly error: string } {
  const terms = pattern
    .split(pattern.includes(',') ? ',' : ':')
    .map((term) => term.trim())
    .filter((term) => term !== '');
  if (terms.length === 0) return { error: 'the pattern is empty' };
  const names = [...new Set(hosts.flatMap(({ name, groups }) => [name, ...groups]))];
  const sets = new Map<string, ReadonlySet<H>>();
  for (const term of terms) {
    const wanted = term.replace(/^[&!]/, '');
    if (!/^[A-Za-z0-9_.:%+@*?-]+$/.test(wanted)) {
      return {
        error: `${JSON.stringify(wanted)} is no name, glob or group; regular expressions and indexes are not known`,
      };
    }
    const matches = matcher(wanted);
    const found = new Set(hosts.filter(({ name, groups }) => matches(name) || groups.some(matches)));
    if (found.size === 0) {
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
