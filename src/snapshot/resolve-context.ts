import { type CapabilityEvidence, capabilitiesOf, defaultUnitPath } from '../systemd/capabilities.ts';
import type { FileTree } from '../systemd/file-tree.ts';
import type { ResolveContext } from '../systemd/resolve.ts';
import { fileTreeOf } from './file-tree.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * What the resolver needs of a host. Null where systemd is not installed there: nothing reads unit files then.
 */
export function resolveContextOf(snapshot: Snapshot): ResolveContext | null {
  if (snapshot.systemd === null) return null;
  const tree = fileTreeOf(snapshot);
  const capabilities = capabilitiesOf(snapshot.systemd.version, evidenceOf(snapshot, tree));
  const { unitPath } = snapshot.systemd;
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
