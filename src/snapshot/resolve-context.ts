import { type CapabilityEvidence, capabilitiesOf, defaultUnitPath } from '../systemd/capabilities.ts';
import { type FileEntry, FileTree } from '../systemd/file-tree.ts';
import type { ResolveContext } from '../systemd/resolve.ts';
import { fileEntriesOf } from './file-tree.ts';
import type { Snapshot } from './snapshot.ts';

/** How many hosts' files are kept in mind. */
const MOST_CONTEXTS = 16;

interface KnownContext {
  /** All that the context is made of beside the files. */
  readonly about: string;
  readonly files: readonly FileEntry[];
  readonly ctx: ResolveContext;
}

/** Contexts of hosts looked at before, the one used last at the end. */
const contexts: KnownContext[] = [];

/**
 * What the resolver needs of a host. Null where systemd is not installed there: nothing reads unit files then.
 * Hosts made of one image have the same files, so they get the same context, with all that was resolved in it.
 */
export function resolveContextOf(snapshot: Snapshot): ResolveContext | null {
  const { systemd, host } = snapshot;
  if (systemd === null) return null;
  const { version, unitPath, generators } = systemd;
  const about = JSON.stringify([version, unitPath, generators, host.osRelease]);
  const files = fileEntriesOf(snapshot);
  const at = contexts.findIndex((known) => known.about === about && areSame(known.files, files));
  const known = contexts[at] ?? { about, files, ctx: newContext(snapshot, version, unitPath, files) };
  if (at >= 0) contexts.splice(at, 1);
  contexts.push(known);
  if (contexts.length > MOST_CONTEXTS) contexts.shift();
  return known.ctx;
}

function areSame(some: readonly FileEntry[], others: readonly FileEntry[]): boolean {
  return some.length === others.length && some.every((entry, index) => entry === others[index]);
}

function newContext(
  snapshot: Snapshot,
  version: number,
  unitPath: readonly string[],
  files: readonly FileEntry[],
): ResolveContext {
  const tree = new FileTree(files);
  const capabilities = capabilitiesOf(version, evidenceOf(snapshot, tree));
  return {
    tree,
    capabilities,
    unitPath: unitPath.length > 0 ? unitPath : defaultUnitPath(capabilities, 'system'),
  };
}

function evidenceOf(snapshot: Snapshot, tree: FileTree): CapabilityEvidence {
  const lib = tree.get('/lib');
  return {
    osRelease: snapshot.host.osRelease,
    // openSUSE/systemd src/login/compat-tasks-max-generator.c installs under this name.
    compatGenerator: snapshot.systemd?.generators.includes('logind-compat-tasks-max-generator') ?? false,
    vendorUserSliceDropIn: ['/usr/lib', '/lib'].some((root) =>
      tree.list(`${root}/systemd/system/user-.slice.d`).some((name) => name.endsWith('.conf')),
    ),
    splitUsr: lib?.type === 'directory',
  };
}
