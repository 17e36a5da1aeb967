import { type FileEntry, FileTree } from '../systemd/file-tree.ts';
import type { Snapshot, SnapshotFile } from './snapshot.ts';

/** The files of a snapshot as the tree that the resolver works on. */
export function fileTreeOf(snapshot: Snapshot): FileTree {
  return new FileTree(fileEntriesOf(snapshot));
}

/**
 * The files of a snapshot as the entries of a tree. A file that is the same on several hosts is one object, and with it
 * goes what is remembered of its bytes.
 */
export function fileEntriesOf({ files }: Snapshot): FileEntry[] {
  return files.map((file) => {
    const same = known.get(file.path)?.find((version) => isSame(version.file, file));
    if (same !== undefined) return same.entry;
    // To the last character: the caller may change the snapshot, whose strings may also be parts of much longer ones.
    const copy = structuredClone(file);
    const entry = entryOf(copy);
    keep(copy, entry);
    return entry;
  });
}

interface KnownFile {
  readonly file: SnapshotFile;
  readonly entry: FileEntry;
}

/** How many versions of one file are kept in mind, and how many characters of all: what some hundred hosts have. */
const MOST_VERSIONS = 16;
const MOST_CHARACTERS = 4 * 1024 * 1024;

/** Files of hosts looked at before, by path, the latest version first. */
const known = new Map<string, KnownFile[]>();
let charactersKnown = 0;

function keep(file: SnapshotFile, entry: FileEntry): void {
  const cost = costOf(file);
  if (cost > MOST_CHARACTERS) return;
  charactersKnown += cost;
  if (charactersKnown > MOST_CHARACTERS) {
    known.clear();
    charactersKnown = cost;
  }
  const versions = known.get(file.path) ?? [];
  known.set(file.path, versions);
  versions.unshift({ file, entry });
  const dropped = versions.length > MOST_VERSIONS ? versions.pop() : undefined;
  if (dropped !== undefined) charactersKnown -= costOf(dropped.file);
}

/** Characters, with something for the file itself. */
function costOf({ text = '', base64 = '' }: SnapshotFile): number {
  return 256 + text.length + base64.length;
}

function isSame(a: SnapshotFile, b: SnapshotFile): boolean {
  return (
    a.type === b.type &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.size === b.size &&
    a.target === b.target &&
    a.text === b.text &&
    a.base64 === b.base64 &&
    a.problem === b.problem
  );
}

// Unlike Buffer.from() it takes no small share of a large piece of memory, all of which would be kept along with it.
const encoder = new TextEncoder();

function entryOf(file: SnapshotFile): FileEntry {
  const { path, type, mode, uid, gid, size, target, text, base64, problem } = file;
  const content =
    text !== undefined
      ? encoder.encode(text)
      : base64 !== undefined
        ? Buffer.from(base64, 'base64')
        : undefined;
  return {
    path,
    type,
    mode,
    uid,
    gid,
    size,
    ...(target === undefined ? {} : { target }),
    ...(content === undefined ? {} : { content }),
    ...(problem === undefined ? {} : { problem }),
  };
}
