import type { FileEntry, FileTree } from '../systemd/file-tree.ts';

/** What one of our files says; everything else in it follows from this. */
export interface OwnFile {
  /** null: a file of sysctl.d, which has no sections. */
  readonly section: string | null;
  readonly key: string;
  readonly value: string;
  /** Comment lines for who finds the file: what it is for, why, and how to be rid of it. Printable ASCII is kept. */
  readonly comments: readonly string[];
  /** Rejected forks counted when it was written, so that the same ones are not counted as new later. */
  readonly rejections: Rejections | null;
}

export interface Rejections {
  /** Under this limit. */
  readonly here: number;
  /** On the whole host. */
  readonly host: number;
  /** Counters begin anew with each boot. */
  readonly bootId: string | null;
}

const FIRST_LINE = '# Written by tasksctl. Changes of yours belong in a file of another name.';

/**
 * Base names for a file of ours, first choice first: sorted after what vendors and operators usually write, and the
 * later ones for where something sorts even later. `suffix` tells our files in one directory apart by what they set.
 */
export function ownBaseNames(suffix: string): readonly string[] {
  return ['90-', '99-zz-', 'zz-', 'zzzz-'].map((prefix) => `${prefix}${suffix}`);
}

export function ownFileText(file: OwnFile): string {
  const lines = [FIRST_LINE, ...file.comments.map((text) => `# ${ascii(text)}`)];
  if (file.rejections !== null) lines.push(rejectionsLine(file.rejections));
  if (file.section === null) lines.push(`${file.key} = ${file.value}`);
  else lines.push(`[${file.section}]`, `${file.key}=${file.value}`);
  return `${lines.join('\n')}\n`;
}

/** systemd refuses whole files for one line that is no UTF-8, old ones long lines too: our files are short and plain. */
function ascii(text: string): string {
  return text.replace(/[^ -~]/g, '?').slice(0, 400);
}

/**
 * What is at a path where one of our files would go: nothing, a file that is ours to the last line (its value may have
 * been edited), or something that is not ours to touch.
 */
export type OwnPath =
  | { readonly kind: 'absent' }
  | { readonly kind: 'ours'; readonly entry: FileEntry; readonly rejections: Rejections | null }
  | { readonly kind: 'masked' }
  | { readonly kind: 'foreign' };

export function ownPath(tree: FileTree, path: string): OwnPath {
  const entry = tree.get(path);
  if (entry === undefined) return tree.isDirectory(path) ? { kind: 'foreign' } : { kind: 'absent' };
  if (entry.type === 'symlink' && tree.resolve(path)?.path === '/dev/null') return { kind: 'masked' };
  if (entry.type === 'file' && entry.size === 0) return { kind: 'masked' };
  if (entry.type !== 'file' || entry.content === undefined) return { kind: 'foreign' };
  const text = Buffer.from(entry.content).toString('latin1');
  const ours = text.startsWith(`${FIRST_LINE}\n`) && /^(?:#.*\n)+(?:\[[A-Za-z]+\]\n)?[^\n[#;]+\n$/.test(text);
  return ours ? { kind: 'ours', entry, rejections: readRejections(text) } : { kind: 'foreign' };
}

function rejectionsLine({ here, host, bootId }: Rejections): string {
  return `# Forks rejected until then: ${here} here, ${host} on the host, in boot ${ascii(bootId ?? 'unknown')}`;
}

function readRejections(text: string): Rejections | null {
  const match =
    /^# Forks rejected until then: ([0-9]{1,15}) here, ([0-9]{1,15}) on the host, in boot (\S+)$/m.exec(text);
  if (match === null) return null;
  const boot = match[3] ?? 'unknown';
  return { here: Number(match[1]), host: Number(match[2]), bootId: boot === 'unknown' ? null : boot };
}

/** The most rejected forks on the whole host that any file of ours knows of in this boot. */
export function answeredOnHost(tree: FileTree, bootId: string | null): number {
  let most = 0;
  for (const { path } of tree.entries()) {
    if (!path.endsWith('tasksctl.conf')) continue;
    const there = ownPath(tree, path);
    if (there.kind !== 'ours' || there.rejections?.bootId !== bootId) continue;
    most = Math.max(most, there.rejections.host);
  }
  return most;
}
