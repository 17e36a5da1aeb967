import { z } from 'zod';
import { rejectionsByLimit } from '../plan/need.ts';
import { type Plan, type PlannedFile, planSchema } from '../plan/plan.ts';
import type { HostLimits } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** How a host was when it was read, for what comes later to be compared with. */
export const baselineSchema = z.strictObject({
  bootId: z.string().nullable(),
  /** Forks rejected since the boot, by limit. */
  rejections: z.record(z.string(), z.number()),
  failedUnits: z.array(z.string()),
});
export type Baseline = z.infer<typeof baselineSchema>;

/** The plan of one host of an inventory: one line of a saved fleet plan. */
export const hostPlanSchema = z.strictObject({
  schema: z.literal('tasksctl/host-plan/1'),
  name: z.string(),
  groups: z.array(z.string()),
  plan: planSchema,
  before: baselineSchema,
});
export type HostPlan = z.infer<typeof hostPlanSchema>;

export function baselineOf(snapshot: Snapshot, limits: HostLimits): Baseline {
  return {
    bootId: snapshot.host.bootId,
    rejections: Object.fromEntries(rejectionsByLimit(snapshot, limits)),
    failedUnits: snapshot.units.filter(({ active }) => active === 'failed').map(({ id }) => id),
  };
}

/**
 * Equal for plans that do the same to their hosts: the same values, settings in files, and refusals. What is told of
 * single sessions and processes, and the arithmetic of each host, which is in comments of files too, is left out.
 */
export function planKey({ changes, files, refused }: Plan): string {
  return JSON.stringify([
    changes.map(({ title, from, to, activation }) => [
      title,
      from.text,
      to.text,
      activation.when,
      activation.reboot.needed,
    ]),
    files.map(({ path, before, after }) => [path, settingsOf(before), settingsOf(after)]),
    refused.map(({ title, wanted, diagnostic }) => [title, wanted, diagnostic.code]),
  ]);
}

function settingsOf(
  file: { readonly content: NonNullable<PlannedFile['after']>['content'] } | null,
): string | null {
  if (file === null) return null;
  const { content } = file;
  if (!('text' in content)) return content.base64;
  return content.text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n');
}

/** Hosts that have the same plan; that of the first stands for all. */
export interface PlanGroup {
  readonly plan: Plan;
  readonly hosts: readonly string[];
  /** Names of the policies it came from. */
  readonly policies: readonly string[];
}

/** Puts plans into groups as they come; keeps one plan of each group. `names` are the hosts in their order. */
export class PlanGroups {
  readonly #order: ReadonlyMap<string, number>;
  readonly #groups = new Map<
    string,
    { plan: Plan; first: number; readonly hosts: string[]; readonly policies: Set<string> }
  >();

  constructor(names: readonly string[]) {
    this.#order = new Map(names.map((name, i) => [name, i]));
  }

  add(name: string, plan: Plan): void {
    const key = planKey(plan);
    const at = this.#at(name);
    const group = this.#groups.get(key) ?? { plan, first: at, hosts: [], policies: new Set() };
    this.#groups.set(key, group);
    group.hosts.push(name);
    group.policies.add(plan.policy.name);
    // Whichever host was read first, the same one stands for all.
    if (at < group.first) {
      group.first = at;
      group.plan = plan;
    }
  }

  /** The largest first: what stands out comes last. */
  all(): readonly PlanGroup[] {
    return [...this.#groups.values()]
      .sort((a, b) => b.hosts.length - a.hosts.length || a.first - b.first)
      .map(({ plan, hosts, policies }) => ({
        plan,
        hosts: hosts.sort((a, b) => this.#at(a) - this.#at(b)),
        policies: [...policies].sort(),
      }));
  }

  #at(name: string): number {
    return this.#order.get(name) ?? this.#order.size;
  }
}
