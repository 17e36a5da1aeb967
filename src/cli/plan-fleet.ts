import type { Fleet } from '../fleet/fleet-file.ts';
import { baselineOf, type HostPlan, PlanGroups } from '../fleet/host-plan.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import type { Profile } from '../measure/profile.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { planHost } from '../plan/plan-host.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Console } from './console.ts';
import type { Failed } from './failure.ts';
import { type PolicyOf, policiesOf } from './fleet-policies.ts';
import type { FleetOptions } from './options.ts';
import type { PlanOptions } from './plan.ts';
import { readFleet } from './read-fleet.ts';
import { mergedProfile, profileOfHost, readMeasured } from './read-profiles.ts';

export interface FleetPlanned {
  readonly groups: PlanGroups;
  readonly lost: readonly Lost[];
}

/** A host that could not be read or planned, and why. */
interface Lost {
  readonly host: InventoryHost;
  readonly failure: { readonly kind: string; readonly message: string };
}

/** What the hosts of a fleet are planned by. */
export interface PlannedBy {
  readonly policyOf: PolicyOf;
  readonly profile: Profile | null;
}

/** The policies and profiles that the options and a fleet file name. */
export async function plannedBy(
  console: Console,
  options: Pick<PlanOptions, 'policy' | 'policyGiven' | 'profile'>,
  fleet: Pick<Fleet, 'file' | 'policies'>,
): Promise<({ readonly kind: 'ok' } & PlannedBy) | Failed> {
  const policies = await policiesOf(console, options, fleet);
  if (policies.kind === 'failed') return policies;
  const read = await readMeasured(options.profile, console.io);
  if (read.kind === 'failed') return read;
  const profile = options.profile.length === 0 ? null : mergedProfile(read.measured);
  return { kind: 'ok', policyOf: policies.policyOf, profile };
}

/** Plans every host as it is read and hands the plan on; of plans that do the same one is kept. */
export async function planFleet(
  console: Console,
  hosts: readonly InventoryHost[],
  options: FleetOptions,
  by: PlannedBy,
  take: (plan: HostPlan) => Promise<void>,
): Promise<FleetPlanned> {
  const groups = new PlanGroups(hosts.map(({ name }) => name));
  const lost = await readFleet(console, hosts, options, async (host, snapshot) => {
    const planned = planOf(host, snapshot, by);
    if (planned.kind === 'failed') return planned.failure;
    groups.add(host.name, planned.plan.plan);
    await take(planned.plan);
    return null;
  });
  return { groups, lost };
}

/** The plan of one host of an inventory that was read. */
export function planOf(
  { name, target, groups }: InventoryHost,
  snapshot: Snapshot,
  { policyOf, profile }: PlannedBy,
): { readonly kind: 'ok'; readonly plan: HostPlan } | Failed {
  const use = profile === null ? null : profileOfHost(profile, snapshot);
  if (use?.kind === 'failed') return use;
  return {
    kind: 'ok',
    plan: {
      schema: 'tasksctl/host-plan/1',
      name,
      groups: [...groups],
      // Where an alias of an inventory is, only the inventory knows: the plan is of the target.
      plan: { ...planHost(snapshot, policyOf(name), use?.host ?? null, recorderFiles()), target },
      before: baselineOf(snapshot, hostLimits(snapshot)),
    },
  };
}

/** Hosts that are not in the result, for documents. */
export function lostJson(lost: readonly Lost[]) {
  return lost.map(({ host: { name, target }, failure: { kind, message } }) => ({
    name,
    target,
    error: { kind, message },
  }));
}
