import { compareBytes, type FileTree } from './file-tree.ts';

/**
 * The `.conf` files of drop-in directories, as `conf_files_list_strv()` of systemd's conf-files.c picks and orders
 * them: of files with one name the first found counts, the survivors are sorted by name. Links are not looked through:
 * a file that masks (empty, or a link to /dev/null) is in the result, and so is a dangling link.
 *
 * `dirs` are directories with their own links resolved, highest precedence first.
 */
export function listDropIns(
  tree: FileTree,
  dirs: Iterable<string>,
  options: { loopsSkipped: boolean },
): string[] {
  const byName = new Map<string, string>();
  for (const dir of dirs) {
    for (const name of tree.list(dir)) {
      if (!name.endsWith('.conf') || name.startsWith('.') || byName.has(name)) continue;
      const path = `${dir}/${name}`;
      if (options.loopsSkipped && tree.realPath(path) === undefined) continue;
      byName.set(name, path);
    }
  }
  return [...byName.keys()].sort(compareBytes).map((name) => byName.get(name) ?? name);
}
