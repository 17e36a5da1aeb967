import type { Fleet } from '../fleet/fleet-file.ts';
import { baselineOf, type HostPlan, PlanGroups } from '../fleet/host-plan.ts';
import type { FleetOrder } from '../fleet/host-plan-file.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import type { Profile } from '../measure/profile.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { planHost } from '../plan/plan-host.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Console } from './console.ts';
import type { Failed } from './failure.ts';
import { type PolicyOf, policiesOf } from './fleet-policies.ts';
import type { FleetOptions } from './options.ts';
import type { PlanOptions } from './plan.ts';
import { type LostHost, readFleet } from './read-fleet.ts';
import { mergedProfile, profileOfHost, readMeasured } from './read-profiles.ts';

export interface FleetPlanned {
  readonly groups: PlanGroups;
  readonly lost: readonly LostHost[];
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

/** What a file of the plans of these hosts is to say of them all. */
export function orderOf({ hosts, stages, maxUnavailable }: Fleet): FleetOrder {
  const wanted = new Set(hosts.map(({ name }) => name));
  return {
    schema: 'tasksctl/fleet-order/1',
    stages: stages.map((stage) => ({ ...stage, hosts: stage.hosts.filter((name) => wanted.has(name)) })),
    maxUnavailable: maxUnavailable.map(([group, most]) => [group, most]),
  };
}

/** Plans every host as it is read and hands the plan on; of plans that do the same one is kept. */
export async function planFleet(
  console: Console,
  hosts: readonly InventoryHost[],
  options: FleetOptions,
  { policyOf, profile }: PlannedBy,
  take: (plan: HostPlan) => Promise<void>,
): Promise<FleetPlanned> {
  const groups = new PlanGroups(hosts.map(({ name }) => name));
  const lost = await readFleet(console, hosts, options, async ({ name, target, groups: of }, snapshot) => {
    const use = profile === null ? null : profileOfHost(profile, snapshot);
    if (use?.kind === 'failed') return use.failure;
    // Where an alias of an inventory is, only the inventory knows: the plan is of the target.
    const plan = { ...planHost(snapshot, policyOf(name), use?.host ?? null, recorderFiles()), target };
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
