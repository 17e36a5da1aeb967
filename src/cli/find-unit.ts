import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { type Failed, failed } from './failure.ts';
import { suggestUnits } from './suggest.ts';

type Found = { readonly kind: 'found'; readonly unit: UnitLimit } | Failed;

/**
 * The row an operator means: a unit's name or alias, `.service` left out as for systemctl, or the path of a bare
 * cgroup.
 */
export function findUnit(snapshot: Snapshot, limits: HostLimits, name: string): Found {
  const candidates = [name, `${name}.service`];
  for (const candidate of candidates) {
    const alias = snapshot.units.find(({ names }) => names?.includes(candidate) === true);
    const unit =
      limits.units.find((row) => row.type !== 'cgroup' && row.name === candidate) ??
      limits.units.find((row) => row.cgroup === candidate) ??
      limits.units.find((row) => row.type !== 'cgroup' && row.name === alias?.id);
    if (unit !== undefined) return { kind: 'found', unit };
  }
  const known = limits.units.map((row) => (row.type === 'cgroup' ? (row.cgroup ?? row.name) : row.name));
  const similar = suggestUnits(name, known);
  return failed({
    kind: 'unit-not-found',
    message: `${snapshot.host.hostname} has no unit ${name}.`,
    help:
      similar.length > 0
        ? `Did you mean ${similar.join(' or ')}?`
        : 'tasksctl status --all shows every unit and cgroup.',
  });
}
