import { type FileEntry, FileTree } from '../systemd/file-tree.ts';
import type { Snapshot, SnapshotFile } from './snapshot.ts';

/** The files of a snapshot as the tree that the resolver works on. */
export function fileTreeOf(snapshot: Snapshot): FileTree {
  return new FileTree(snapshot.files.map(entryOf));
}

function entryOf(file: SnapshotFile): FileEntry {
  const { path, type, mode, uid, gid, size, target, text, base64, problem } = file;
  const content =
    text !== undefined ? Buffer.from(text) : base64 !== undefined ? Buffer.from(base64, 'base64') : undefined;
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
