import type { Provenance } from '../snapshot/provenance.ts';
import type { FileTree } from '../systemd/file-tree.ts';

const FILE = '/etc/security/limits.conf';
const DIRECTORY = '/etc/security/limits.d';

/**
 * The line of limits.conf(5) that gives a user this soft RLIMIT_NPROC at login; null: none does. Later files and lines
 * win over earlier ones, a user's own line over a group's, that over `*`. Who is in what group is not known here: a
 * group's line counts if no other explains the value.
 */
export function nprocLine(
  tree: FileTree,
  user: { readonly uid: number; readonly name: string | null },
  soft: string,
): Provenance | null {
  const files = [FILE];
  for (const name of tree.list(DIRECTORY)) if (name.endsWith('.conf')) files.push(`${DIRECTORY}/${name}`);
  let best: { readonly rank: number; readonly provenance: Provenance } | null = null;
  for (const file of files) {
    const content = tree.resolve(file)?.content;
    if (content === undefined) continue;
    for (const [index, text] of Buffer.from(content).toString('utf8').split('\n').entries()) {
      const [domain = '', type = '', item = '', value = ''] = text.replace(/#.*/, '').trim().split(/\s+/);
      if (item !== 'nproc' || !['soft', 'hard', '-'].includes(type) || count(value) !== soft) continue;
      const rank = rankOf(domain, user);
      if (rank === null || (best !== null && rank < best.rank)) continue;
      const line = index + 1;
      const raw = text.trim();
      best = { rank, provenance: { kind: 'file', file, line, section: domain, key: 'nproc', raw } };
    }
  }
  return best?.provenance ?? null;
}

function count(value: string): string {
  return ['unlimited', 'infinity', '-1'].includes(value) ? 'infinity' : value;
}

/** How special a domain is that may be the user's; null: it is not theirs. */
function rankOf(domain: string, { uid, name }: { uid: number; name: string | null }): number | null {
  if (domain === name) return 3;
  const range = /^([0-9]*):([0-9]*)$/.exec(domain);
  if (range !== null) {
    const [, low = '', high = ''] = range;
    const matches = (low === '' || uid >= Number(low)) && (high === '' || uid <= Number(high));
    return matches && domain !== ':' ? 3 : null;
  }
  // Wildcards do not hold for root (limits.conf(5)).
  if (uid === 0) return null;
  if (domain.startsWith('@') || domain.startsWith('%')) return 1;
  return domain === '*' ? 2 : null;
}
