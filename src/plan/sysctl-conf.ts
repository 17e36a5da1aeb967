import { compareBytes, type FileTree } from '../systemd/file-tree.ts';

export type TaskSysctl = 'kernel.pid_max' | 'kernel.threads-max';

/** One line that sets a sysctl. */
export interface SysctlAssignment {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** The text after the equals sign; kernel numbers are read from it with `sysctlNumber`. */
  readonly raw: string;
}

/** Directories of sysctl.d(5), highest precedence first. */
const DIRECTORIES = ['/etc', '/run', '/usr/local/lib', '/usr/lib', '/lib'].map((root) => `${root}/sysctl.d`);

/** What procps reads after everything else, and systemd only through a link in one of the directories. */
const SYSCTL_CONF = '/etc/sysctl.conf';

/**
 * The line that counts for a sysctl at boot, when systemd-sysctl reads the files in the order of their base names
 * (sysctl.d(5)), and when an operator runs `sysctl --system` (procps reads /etc/sysctl.conf last). null: none.
 */
export function resolveSysctl(
  tree: FileTree,
  name: TaskSysctl,
): { readonly atBoot: SysctlAssignment | null; readonly byProcps: SysctlAssignment | null } {
  let atBoot: SysctlAssignment | null = null;
  for (const file of sysctlFiles(tree)) atBoot = lastAssignment(tree, file, name) ?? atBoot;
  return { atBoot, byProcps: lastAssignment(tree, SYSCTL_CONF, name) ?? atBoot };
}

/** The number a sysctl would be set to; null where the kernel would refuse the text. */
export function sysctlNumber({ raw }: SysctlAssignment): number | null {
  return /^[0-9]{1,10}$/.test(raw) ? Number(raw) : null;
}

/** The files of all directories by base name; of one name in several, that of the highest counts. */
function sysctlFiles(tree: FileTree): string[] {
  const byName = new Map<string, string>();
  for (const directory of DIRECTORIES) {
    for (const name of tree.list(directory)) {
      if (name.endsWith('.conf') && !byName.has(name)) byName.set(name, `${directory}/${name}`);
    }
  }
  return [...byName].sort(([a], [b]) => compareBytes(a, b)).map(([, path]) => path);
}

function lastAssignment(tree: FileTree, file: string, name: TaskSysctl): SysctlAssignment | null {
  const content = tree.resolve(file)?.content;
  if (content === undefined) return null;
  let found: SysctlAssignment | null = null;
  for (const [index, text] of Buffer.from(content).toString('latin1').split('\n').entries()) {
    const match = /^\s*-?\s*([^=#;\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(text);
    if (match === null || sysctlName(match[1] ?? '') !== name) continue;
    found = { file, line: index + 1, raw: match[2] ?? '' };
  }
  return found;
}

/** `kernel/pid_max` and `kernel.pid_max` are one: whichever separator comes first is the separator. */
function sysctlName(text: string): string {
  const first = /[./]/.exec(text)?.[0];
  return first === '/' ? text.replaceAll('/', '.') : text;
}
