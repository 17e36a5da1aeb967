import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { orderOf } from '../fleet/fleet-order.ts';
import type { HostPlan } from '../fleet/host-plan.ts';
import { HostPlanFile } from '../fleet/host-plan-file.ts';
import { fleetPlanText } from '../report/fleet-text.ts';
import { fleetPlanJson } from '../report/rollout-json.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { failed, type Outcome } from './failure.ts';
import { hostsOf } from './inventory.ts';
import type { FleetOptions } from './options.ts';
import type { PlanOptions } from './plan.ts';
import { type FleetPlanned, lostJson, planFleet, plannedBy } from './plan-fleet.ts';

export interface FleetPlanOptions
  extends FleetOptions,
    Pick<PlanOptions, 'policy' | 'policyGiven' | 'profile'> {
  readonly out?: string;
  readonly detailedExitcode?: true;
  readonly diff: boolean;
  readonly verbose?: true;
}

/** `tasksctl plan --inventory` */
export async function fleetPlan(console: Console, options: FleetPlanOptions): Promise<Outcome> {
  const found = await hostsOf(console, options);
  if (found.kind === 'failed') return found;
  // The policies first: a mistake in one should not cost logins on hosts.
  const by = await plannedBy(console, options, found);
  if (by.kind === 'failed') return by;
  const { out } = options;
  const [arrived, inOrder] = [`${out}.${randomUUID()}.tmp`, `${out}.${randomUUID()}.tmp`];
  const files: HostPlanFile[] = [];
  const create = async (path: string): Promise<HostPlanFile> => {
    const file = await HostPlanFile.create(path, orderOf(found));
    files.push(file);
    return file;
  };
  let planned: FleetPlanned;
  try {
    const file = out === undefined ? null : await create(arrived);
    planned = await planFleet(console, found.hosts, options, by, async (plan) => file?.add(plan));
    if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
    if (file !== null && out !== undefined) {
      const sorted = await create(inOrder);
      await file.copyTo(sorted);
      await sorted.sync();
      await rename(inOrder, out);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return failed({ kind: 'output-failed', message: `Cannot write ${out}: ${reason}` });
  } finally {
    for (const file of files) await file.close();
    for (const path of [arrived, inOrder]) await rm(path, { force: true });
  }
  const { groups, lost } = planned;
  const all = groups.all();
  const code = fleetPlanCode(all, lost.length, options.detailedExitcode === true);
  if (console.json) return console.document(fleetPlanJson(all, lostJson(lost)), code);
  const shown = { diff: options.diff, verbose: options.verbose === true };
  return console.result(fleetPlanText(all, lost.length, shown, console.style), code);
}

/** Hosts that nobody could look at outweigh all; then what cannot be had, then what can. */
export function fleetPlanCode(
  groups: readonly { readonly plan: HostPlan['plan'] }[],
  lost: number,
  detailed: boolean,
): number {
  if (lost > 0) return EXIT.someHostsFailed;
  if (!detailed) return EXIT.done;
  if (groups.some(({ plan }) => plan.refused.length > 0)) return EXIT.refused;
  return groups.some(({ plan }) => plan.changes.length > 0) ? EXIT.changesPending : EXIT.done;
}
