import type { HostPlan } from '../fleet/host-plan.ts';
import type { Profile } from '../measure/profile.ts';
import type { Policy } from '../plan/policy.ts';
import { fleetPlanText } from '../report/fleet-text.ts';
import { fleetPlanJson } from '../report/rollout-json.ts';
import { escapeJson } from '../report/terminal-escape.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { failed, type Outcome } from './failure.ts';
import { hostsOf } from './inventory.ts';
import type { FleetOptions } from './options.ts';
import { lostJson, planFleet } from './plan-fleet.ts';
import { writeResult } from './write-file.ts';

export interface FleetPlanOptions extends FleetOptions {
  readonly out?: string;
  readonly detailedExitcode?: true;
  readonly diff: boolean;
  readonly verbose?: true;
}

/** `tasksctl plan --inventory` */
export async function fleetPlan(
  console: Console,
  options: FleetPlanOptions,
  by: { readonly policy: Policy; readonly profile: Profile | null },
): Promise<Outcome> {
  const found = await hostsOf(console, options);
  if (found.kind === 'failed') return found;
  const lines: string[] = [];
  const keep = async (plan: HostPlan): Promise<void> => {
    if (options.out !== undefined) lines.push(`${JSON.stringify(plan)}\n`);
  };
  const { groups, lost } = await planFleet(console, found.hosts, options, by, keep);
  if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
  if (options.out !== undefined) {
    const failure = await writeResult(options.out, escapeJson(lines.join('')));
    if (failure !== null) return failed(failure);
  }
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
