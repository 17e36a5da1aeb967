import { createHash } from 'node:crypto';
import { type CapabilityEvidence, capabilitiesOf, defaultUnitPath } from '../systemd/capabilities.ts';
import type { FileTree } from '../systemd/file-tree.ts';
import type { ResolveContext } from '../systemd/resolve.ts';
import { fileTreeOf } from './file-tree.ts';
import type { Snapshot } from './snapshot.ts';

/** How many hosts' files are kept in mind. */
const MOST_CONTEXTS = 16;

/** Contexts by all they are made of, the one used last at the end. */
const contexts = new Map<string, ResolveContext>();

/**
 * What the resolver needs of a host. Null where systemd is not installed there: nothing reads unit files then.
 * Hosts made of one image have the same files, so they get the same context, with all that was resolved in it.
 */
export function resolveContextOf(snapshot: Snapshot): ResolveContext | null {
  const { systemd, files, host } = snapshot;
  if (systemd === null) return null;
  const { version, unitPath, generators } = systemd;
  const key = createHash('sha256')
    .update(JSON.stringify([version, unitPath, generators, host.osRelease, files]))
    .digest('base64');
  let ctx = contexts.get(key);
  if (ctx === undefined) {
    const tree = fileTreeOf(snapshot);
    const capabilities = capabilitiesOf(version, evidenceOf(snapshot, tree));
    ctx = {
      tree,
      capabilities,
      unitPath: unitPath.length > 0 ? unitPath : defaultUnitPath(capabilities, 'system'),
    };
  } else contexts.delete(key);
  contexts.set(key, ctx);
  const [oldest] = contexts.keys();
  if (contexts.size > MOST_CONTEXTS && oldest !== undefined) contexts.delete(oldest);
  return ctx;
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
