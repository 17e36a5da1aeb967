import { baselineOf, type HostPlan, PlanGroups } from '../fleet/host-plan.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import type { Profile } from '../measure/profile.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { planHost } from '../plan/plan-host.ts';
import type { Policy } from '../plan/policy.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Console } from './console.ts';
import type { FleetOptions } from './options.ts';
import { type LostHost, readFleet } from './read-fleet.ts';
import { profileOfHost } from './read-profiles.ts';

export interface FleetPlanned {
  readonly groups: PlanGroups;
  readonly lost: readonly LostHost[];
}

/** Plans every host as it is read and hands the plan on; of plans that do the same one is kept. */
export async function planFleet(
  console: Console,
  hosts: readonly InventoryHost[],
  options: FleetOptions,
  { policy, profile }: { readonly policy: Policy; readonly profile: Profile | null },
  take: (plan: HostPlan) => Promise<void>,
): Promise<FleetPlanned> {
  const groups = new PlanGroups();
  const lost = await readFleet(console, hosts, options, async ({ name, target, groups: of }, snapshot) => {
    const use = profile === null ? null : profileOfHost(profile, snapshot);
    if (use?.kind === 'failed') return use.failure;
    // Where an alias of an inventory is, only the inventory knows: the plan is of the target.
    const plan = { ...planHost(snapshot, policy, use?.host ?? null, recorderFiles()), target };
    groups.add(name, plan);
    await take({
      schema: 'tasksctl/host-plan/1',
      name,
      groups: [...of],
      plan,
      before: baselineOf(snapshot, hostLimits(snapshot)),
    });
    return null;
  });
  return { groups, lost };
}

/** Hosts that are not in the result, for documents. */
export function lostJson(lost: readonly LostHost[]) {
  return lost.map(({ host: { name, target }, failure: { kind, message } }) => ({
    name,
    target,
    error: { kind, message },
  }));
}
