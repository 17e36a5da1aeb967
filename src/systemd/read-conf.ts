import type { SystemdCapabilities } from './capabilities.ts';
import type { Diagnostic } from './diagnostic.ts';
import { type ConfFile, parseConf } from './dialect.ts';
import type { FileEntry, FileTree } from './file-tree.ts';

/**
 * A file as systemd opens and reads it, or why there is nothing to read: `missing` (nothing there, or a dangling
 * link: systemd goes on without it), `not-a-file` (a directory or a link loop: an error), `masked` (empty or a
 * device), `not-kept` (the snapshot has no bytes of it, since nothing in it concerns task limits or it could not be
 * read).
 */
export type ReadConf =
  | { readonly kind: 'read'; readonly conf: ConfFile }
  | { readonly kind: 'missing' | 'not-a-file' | 'masked' | 'not-kept' };

/** Parsed files by their bytes; a tree and its edited copy share the bytes of what was not edited. */
const parsed = new WeakMap<Uint8Array, { capabilities: SystemdCapabilities; conf: ConfFile }>();

/** Reads the file at `path`, links followed. */
export function readConf(tree: FileTree, path: string, capabilities: SystemdCapabilities): ReadConf {
  const real = tree.realPath(path);
  if (real === undefined) return { kind: 'not-a-file' };
  const entry = tree.resolve(real);
  if (entry === undefined) return { kind: tree.isDirectory(real) ? 'not-a-file' : 'missing' };
  if (entry.type === 'directory') return { kind: 'not-a-file' };
  if (entry.type !== 'file' || entry.size === 0) return { kind: 'masked' };
  if (entry.content === undefined) return { kind: 'not-kept' };
  const known = parsed.get(entry.content);
  if (known?.capabilities === capabilities) return { kind: 'read', conf: known.conf };
  const conf = parseConf(entry.content, capabilities);
  parsed.set(entry.content, { capabilities, conf });
  return { kind: 'read', conf };
}

/** A file that may set a limit, of which the snapshot has no bytes. */
export function fileNotAvailable(path: string, problem: NonNullable<FileEntry['problem']>): Diagnostic {
  const large = problem === 'too-large';
  return {
    code: 'file-not-available',
    severity: 'warning',
    message: `${large ? 'this file was too large to read' : 'this file could not be read'}: whether it sets a limit is not known`,
    file: path,
    help: large ? 'Look into it on the host; no file of settings is that large.' : 'Read the host as root.',
  };
}
