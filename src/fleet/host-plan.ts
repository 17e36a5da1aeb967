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
}

/** Puts plans into groups as they come, in whatever order; keeps one plan of each group. */
export class PlanGroups {
  readonly #order: ReadonlyMap<string, number>;
  readonly #groups = new Map<string, { plan: Plan; readonly hosts: string[] }>();

  /** `hosts`: all there may be, in the order of the inventory. */
  constructor(hosts: readonly { readonly name: string }[]) {
    this.#order = new Map(hosts.map(({ name }, i) => [name, i]));
  }

  add(name: string, plan: Plan): void {
    const key = planKey(plan);
    const group = this.#groups.get(key);
    if (group === undefined) {
      this.#groups.set(key, { plan, hosts: [name] });
      return;
    }
    const at = group.hosts.findIndex((other) => this.#at(other) > this.#at(name));
    group.hosts.splice(at < 0 ? group.hosts.length : at, 0, name);
    if (at === 0) group.plan = plan;
  }

  /** The largest first: what stands out comes last. The same whichever host answered first. */
  all(): readonly PlanGroup[] {
    const first = ({ hosts: [name = ''] }: PlanGroup): number => this.#at(name);
    return [...this.#groups.values()].sort((a, b) => b.hosts.length - a.hosts.length || first(a) - first(b));
  }

  #at(name: string): number {
    return this.#order.get(name) ?? this.#order.size;
  }
}
