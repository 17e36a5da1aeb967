import type { Dialect, SystemdCapabilities } from './capabilities.ts';
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

/** Parsed files by their bytes; hosts of one image and the trees after edits share those of a file that is the same. */
const parsed = new WeakMap<Dialect, WeakMap<Uint8Array, ConfFile>>();

/** Reads the file at `path`, links followed. */
export function readConf(tree: FileTree, path: string, capabilities: SystemdCapabilities): ReadConf {
  const real = tree.realPath(path);
  if (real === undefined) return { kind: 'not-a-file' };
  const entry = tree.resolve(real);
  if (entry === undefined) return { kind: tree.isDirectory(real) ? 'not-a-file' : 'missing' };
  if (entry.type === 'directory') return { kind: 'not-a-file' };
  if (entry.type !== 'file' || entry.size === 0) return { kind: 'masked' };
  if (entry.content === undefined) return { kind: 'not-kept' };
  return { kind: 'read', conf: confOf(entry.content, capabilities) };
}

function confOf(content: Uint8Array, capabilities: SystemdCapabilities): ConfFile {
  const known = parsed.get(capabilities.dialect) ?? new WeakMap<Uint8Array, ConfFile>();
  parsed.set(capabilities.dialect, known);
  const conf = known.get(content) ?? parseConf(content, capabilities);
  known.set(content, conf);
  return conf;
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
