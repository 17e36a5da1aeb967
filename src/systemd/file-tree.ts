/** What is known of one path of a host. Paths are absolute and normalised; symbolic links are not followed. */
export interface FileEntry {
  readonly path: string;
  readonly type: 'file' | 'symlink' | 'directory' | 'other';
  /** Permission bits, as `stat -c %a` (octal value as a number). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size in bytes; 0 tells an empty (masking) file. */
  readonly size: number;
  /** Symbolic link: its target exactly as stored. */
  readonly target?: string;
  /**
   * Regular file: its bytes. Absent where the reader left them out because nothing in the file can concern
   * task limits, or could not read them (see `problem`).
   */
  readonly content?: Uint8Array;
  /** Why `content` is missing although the file matters. */
  readonly problem?: 'too-large' | 'unreadable';
}

/** One write to a file: `content` null removes it. Mode and owner are kept where the file exists. */
export interface FileEdit {
  readonly path: string;
  readonly content: Uint8Array | null;
}

/** Links followed before the kernel gives up with ELOOP (MAXSYMLINKS). */
const MAX_LINKS = 40;

const NULL_DEVICE: FileEntry = { path: '/dev/null', type: 'other', mode: 0o666, uid: 0, gid: 0, size: 0 };

/** What is in a directory. */
interface Directory {
  /** Names, with their entries where they have one. */
  readonly children: Map<string, FileEntry | undefined>;
  /** The names in byte order, once they were asked for. */
  sorted: readonly string[] | null;
}

/** All that is made of a tree's entries, for a tree that is mostly the same. */
interface TreeParts {
  readonly entries: ReadonlyMap<string, FileEntry>;
  readonly directories: ReadonlyMap<string, Directory>;
  readonly realDirectories: Map<string, string | null>;
  readonly links: boolean;
}

/**
 * The files of a host that were read, as an immutable tree. Parents of an entry exist even where they have no entry
 * of their own. Paths given to its methods are absolute; `.`, `..`, repeated slashes are allowed.
 */
export class FileTree {
  readonly #entries: ReadonlyMap<string, FileEntry>;
  readonly #directories: ReadonlyMap<string, Directory>;
  /** Directories with their links resolved, null for a loop. */
  readonly #realDirectories: Map<string, string | null>;
  /** Whether any entry is a link: only then need paths be walked component by component. */
  readonly #links: boolean;

  /** Of two entries with one path the later one counts. `parts`: what is made of these entries, where that is known. */
  constructor(entries: Iterable<FileEntry>, parts: TreeParts = partsOf(entries)) {
    this.#entries = parts.entries;
    this.#directories = parts.directories;
    this.#realDirectories = parts.realDirectories;
    this.#links = parts.links;
  }

  /** The entry at `path`, itself not followed if it is a link; directory links on the way to it are. */
  get(path: string): FileEntry | undefined {
    const direct = this.#entries.get(path);
    if (direct !== undefined) return direct;
    const real = this.#walk(path, false);
    return real === undefined ? undefined : this.#entries.get(real);
  }

  /**
   * The entry `path` leads to once all links are followed; undefined for a loop, a dangling link or a path that is
   * not in the tree. `/dev/null` is always there.
   */
  resolve(path: string): FileEntry | undefined {
    const direct = this.#entries.get(path);
    if (direct !== undefined && direct.type !== 'symlink') return direct;
    const real = this.#walk(path, true);
    if (real === undefined) return undefined;
    return this.#entries.get(real) ?? (real === NULL_DEVICE.path ? NULL_DEVICE : undefined);
  }

  /** `path` with every link in it followed, whether or not anything is there; undefined for a loop. */
  realPath(path: string): string | undefined {
    return this.#walk(path, true);
  }

  /** As `realPath`, but the last component is not followed if it is a link. */
  realParent(path: string): string | undefined {
    return this.#walk(path, false);
  }

  /** The path itself, or what it leads to, is a directory, be it only because something in the tree lies below it. */
  isDirectory(path: string): boolean {
    const real = this.#walk(path, true);
    if (real === undefined) return false;
    const entry = this.#entries.get(real);
    return entry === undefined ? this.#directories.has(real) : entry.type === 'directory';
  }

  /** Names in the directory `dir` (links to a directory followed), in byte order; none where it does not exist. */
  list(dir: string): readonly string[] {
    const real = this.#walk(dir, true);
    if (real === undefined) return [];
    const directory = this.#directories.get(real);
    if (directory === undefined) return [];
    directory.sorted ??= [...directory.children.keys()].sort(compareBytes);
    return directory.sorted;
  }

  /** The entry `name` in a directory whose links are resolved, itself not followed. */
  child(realDir: string, name: string): FileEntry | undefined {
    return this.#directories.get(realDir)?.children.get(name);
  }

  /** Every entry, in the order given. */
  entries(): Iterable<FileEntry> {
    return this.#entries.values();
  }

  /**
   * The tree after the edits, in order. A written path replaces whatever was there (as write-and-rename does: a link
   * is replaced, not followed); directories on the way may be links. A file that is new belongs to root, mode 0644.
   */
  withEdits(edits: readonly FileEdit[]): FileTree {
    const entries = new Map(this.#entries);
    const directories = new Map(this.#directories);
    let linksStay = true;
    for (const { path, content } of edits) {
      const real = this.#walk(path, false) ?? path;
      const old = entries.get(real);
      linksStay &&= old?.type !== 'symlink';
      if (content === null) {
        if (entries.delete(real)) removeFromParents({ entries, directories }, real, this.#directories);
        continue;
      }
      const kept = old?.type === 'file' ? old : { mode: 0o644, uid: 0, gid: 0 };
      const entry: FileEntry = {
        path: real,
        type: 'file',
        mode: kept.mode,
        uid: kept.uid,
        gid: kept.gid,
        size: content.length,
        content,
      };
      entries.set(real, entry);
      addToParents(directories, entry, this.#directories);
    }
    return new FileTree([], {
      entries,
      directories,
      realDirectories: linksStay ? this.#realDirectories : new Map(),
      links: this.#links,
    });
  }

  /**
   * The path with links resolved: of every component, or (`followLast` false) of all but the last. A path that does
   * not exist is returned as far as it can be resolved, since the tree need not hold every directory. Undefined for a
   * loop.
   */
  #walk(path: string, followLast: boolean): string | undefined {
    if (!this.#links) return normalise(path);
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (name === '' || name === '.' || name === '..') return this.#walkAll(path, followLast);
    const dir = this.#realDirectory(path.slice(0, slash));
    if (dir === undefined) return undefined;
    const real = `${dir}/${name}`;
    const entry = followLast ? this.#entries.get(real) : undefined;
    if (entry?.type !== 'symlink' || entry.target === undefined) return real;
    return this.#oneLink(dir, entry.target) ?? this.#walkAll(real, true);
  }

  /** Where a link in the directory `dir` leads to; undefined where that takes a closer look. Most lead to no other link. */
  #oneLink(dir: string, target: string): string | undefined {
    const slash = target.lastIndexOf('/');
    const name = target.slice(slash + 1);
    if (name === '' || name === '.' || name === '..') return undefined;
    const parent = target.slice(0, Math.max(slash, 0));
    const realParent = this.#realDirectory(target.startsWith('/') ? parent : `${dir}/${parent}`);
    if (realParent === undefined) return undefined;
    const real = `${realParent}/${name}`;
    return this.#entries.get(real)?.type === 'symlink' ? undefined : real;
  }

  /** Directories are asked for again and again; without the final slash of `/`. */
  #realDirectory(dir: string): string | undefined {
    let real = this.#realDirectories.get(dir);
    if (real === undefined) {
      real = this.#walkAll(dir, true) ?? null;
      if (real === '/') real = '';
      this.#realDirectories.set(dir, real);
    }
    return real ?? undefined;
  }

  #walkAll(path: string, followLast: boolean): string | undefined {
    const pending = path.split('/').reverse();
    let at = '';
    let links = 0;
    while (pending.length > 0) {
      const part = pending.pop();
      if (part === undefined || part === '' || part === '.') continue;
      if (part === '..') {
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      const next = `${at}/${part}`;
      const entry = this.#entries.get(next);
      const last = pending.length === 0;
      if (entry?.type !== 'symlink' || entry.target === undefined || (last && !followLast)) {
        at = next;
        continue;
      }
      links += 1;
      if (links > MAX_LINKS) return undefined;
      if (entry.target.startsWith('/')) at = '';
      pending.push(...entry.target.split('/').reverse());
    }
    return at === '' ? '/' : at;
  }
}

function partsOf(all: Iterable<FileEntry>): TreeParts {
  const entries = new Map<string, FileEntry>();
  const directories = new Map<string, Directory>();
  let links = false;
  for (const entry of all) {
    entries.set(entry.path, entry);
    addToParents(directories, entry);
    links ||= entry.type === 'symlink';
  }
  return { entries, directories, realDirectories: new Map(), links };
}

/** `shared`: directories that another tree has too, which are copied before they are changed. */
function addToParents(
  directories: Map<string, Directory>,
  entry: FileEntry,
  shared?: ReadonlyMap<string, Directory>,
): void {
  let child = entry.path;
  while (child !== '/') {
    const { parent, name } = split(child);
    const known = directories.has(parent);
    const { children } = toChange(directories, parent, shared);
    if (child === entry.path) children.set(name, entry);
    else if (!children.has(name)) children.set(name, undefined);
    if (known) return;
    child = parent;
  }
}

function removeFromParents(
  {
    entries,
    directories,
  }: { readonly entries: TreeParts['entries']; readonly directories: Map<string, Directory> },
  path: string,
  shared: ReadonlyMap<string, Directory>,
): void {
  let child = path;
  while (child !== '/') {
    const { parent, name } = split(child);
    const { children } = toChange(directories, parent, shared);
    if (directories.has(child)) {
      children.set(name, undefined);
      return;
    }
    children.delete(name);
    if (children.size > 0) return;
    // Without an entry of its own a directory is there for what is in it alone.
    directories.delete(parent);
    if (entries.has(parent)) return;
    child = parent;
  }
}

function toChange(
  directories: Map<string, Directory>,
  dir: string,
  shared?: ReadonlyMap<string, Directory>,
): Directory {
  const directory = directories.get(dir);
  if (directory !== undefined && directory !== shared?.get(dir)) {
    directory.sorted = null;
    return directory;
  }
  const own: Directory = { children: new Map(directory?.children), sorted: null };
  directories.set(dir, own);
  return own;
}

function split(path: string): { parent: string; name: string } {
  const slash = path.lastIndexOf('/');
  return { parent: slash <= 0 ? '/' : path.slice(0, slash), name: path.slice(slash + 1) };
}

function normalise(path: string): string {
  if (!/\/\/|\/\.{0,2}(?:\/|$)/.test(path)) return path;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/**
 * Order of `strcmp` on the UTF-8 bytes, which is how systemd sorts file names. JavaScript's own order differs where
 * one name has a character beyond U+FFFF.
 */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for characters above all others of the same length in code units.
    if (x >= 0xd800 && y >= 0xd800) {
      x = x >= 0xe000 ? x - 0x800 : x + 0x2000;
      y = y >= 0xe000 ? y - 0x800 : y + 0x2000;
    }
    return x - y;
  }
  return a.length - b.length;
}
