import type { Diagnosis } from '../diagnose/diagnose.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import { profileOf } from '../measure/host-of.ts';
import type { Profile } from '../measure/profile.ts';
import { limitKey } from '../plan/need.ts';
import type { PlanLimit } from '../plan/plan.ts';
import { byLeastHeadroom, selectUnits } from '../report/select-units.ts';
import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { rowsUnder } from './effect.ts';

/** A host of an inventory that was read: what its line says, and how to get at all that was read. */
export interface FleetHost {
  readonly host: InventoryHost;
  readonly identity: Pick<Snapshot['host'], 'hostname' | 'machineId'>;
  /** Without it there is no limit to change. */
  readonly systemd: boolean;
  /** The row with the least room; null: no unit is under a limit. */
  readonly tightest: UnitLimit | null;
  readonly rejected: number;
  readonly diagnosis: Diagnosis;
  /** Units by name, and other limits, with the most tasks that were seen at once under each. */
  readonly used: ReadonlyMap<string, number>;
  /** Of a thousand hosts not every snapshot can lie about unpacked. */
  readonly snapshot: () => Snapshot;
}

const OF_INTEREST = { all: false, globs: [], over: null };

export function fleetHost(
  host: InventoryHost,
  snapshot: Snapshot,
  limits: HostLimits,
  diagnosis: Diagnosis,
  unpack: () => Snapshot,
): FleetHost {
  const shown = selectUnits(limits.units, OF_INTEREST);
  const [tightest = null] = byLeastHeadroom(shown);
  const used = new Map<string, number>();
  for (const row of limits.units) {
    if (row.type !== 'cgroup') used.set(limitKey({ kind: 'unit', unit: row.name }), usedOf(row));
  }
  for (const limit of [{ kind: 'user-default' }, { kind: 'manager-default', manager: 'system' }] as const) {
    used.set(limitKey(limit), Math.max(0, ...rowsUnder(limits, limit).map(usedOf)));
  }
  const { hostname, machineId } = snapshot.host;
  return {
    host,
    identity: { hostname, machineId },
    systemd: snapshot.systemd !== null,
    tightest: tightest?.utilization == null ? null : tightest,
    rejected: shown.reduce((sum, { rejections }) => sum + (rejections ?? 0), 0),
    diagnosis,
    used,
    snapshot: unpack,
  };
}

function usedOf({ current, peak }: UnitLimit): number {
  return Math.max(current ?? 0, peak ?? 0);
}

/** The hosts that have something under a limit, the one that used most of it first; of equals the first. */
export function byUse(
  hosts: readonly FleetHost[],
  limit: PlanLimit,
  profile: Profile | null,
): readonly FleetHost[] {
  const key = limitKey(limit);
  const use = ({ used, identity }: FleetHost): number => {
    const own = used.get(key) ?? 0;
    if (profile === null || limit.kind !== 'unit') return own;
    const units = profileOf(profile, identity)?.units ?? [];
    return Math.max(own, units.find(({ unit }) => unit === limit.unit)?.peak ?? 0);
  };
  return hosts
    .filter(({ used }) => limit.kind !== 'unit' || used.has(key))
    .map((host) => ({ host, use: use(host) }))
    .sort((a, b) => b.use - a.use)
    .map(({ host }) => host);
}
