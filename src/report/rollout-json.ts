import { z } from 'zod';
import type { PlanGroup } from '../fleet/host-plan.ts';
import { type JournalHead, type JournalRecord, recordSchema } from '../fleet/journal.ts';
import type { RolloutResult } from '../fleet/rollout.ts';
import { planSchema } from '../plan/plan.ts';

const lostHost = z.strictObject({
  name: z.string(),
  target: z.string(),
  error: z.strictObject({ kind: z.string(), message: z.string() }),
});
type LostHost = z.infer<typeof lostHost>;

/** What `rollout` prints with --json. Fields may be added, none is removed or changes its meaning. */
export const rolloutSchema = z.strictObject({
  schema: z.literal('tasksctl/rollout/1'),
  run: z.string().nullable().describe('null: there was nothing to do, so there is no run'),
  verdict: z.enum(['done', 'stopped', 'rolled-back', 'rollback-incomplete', 'interrupted', 'paused']),
  why: z.string().nullable(),
  startedAt: z.string(),
  operator: z.string(),
  hosts: z.array(
    z.strictObject({
      name: z.string(),
      target: z.string(),
      policy: z.string().describe('The name of the one its plan is by'),
      wave: z.number().int().describe('From 1'),
      stage: z.string().nullable().describe('The hosts of its wave, as a fleet file names them'),
      state: z.enum([
        'waiting',
        'applying',
        'unsettled',
        'applied',
        'unchanged',
        'failed',
        'rolled-back',
        'rollback-failed',
      ]),
      run: z.string().nullable().describe('Its run on the host, while that is in place or may be'),
      detail: z.string(),
    }),
  ),
  nothingToDo: z.array(z.string()).describe('Hosts whose plan has no changes'),
  lost: z.array(lostHost).describe('Hosts that could not be read or planned'),
  timeline: z
    .array(recordSchema)
    .describe('What happened, in order, as in the journal of the rollout; waves from 0'),
});

export function rolloutJson(
  head: JournalHead,
  { verdict, why, state }: RolloutResult,
  records: readonly JournalRecord[],
  rest: { readonly nothingToDo: readonly string[]; readonly lost: readonly LostHost[] },
): z.infer<typeof rolloutSchema> {
  return {
    schema: 'tasksctl/rollout/1',
    run: head.hosts.length === 0 ? null : head.run,
    verdict,
    why,
    startedAt: head.startedAt,
    operator: head.operator,
    hosts: head.hosts.map(({ name, target, policy, wave, stage }) => {
      const host = state.of(name);
      return {
        name,
        target,
        policy,
        wave: wave + 1,
        stage,
        state: host.kind,
        run: 'run' in host ? host.run : null,
        detail: 'detail' in host ? host.detail : '',
      };
    }),
    nothingToDo: [...rest.nothingToDo],
    lost: [...rest.lost],
    timeline: [...records],
  };
}

/** What `plan --inventory` and `rollout --check` print with --json. */
export const fleetPlanSchema = z.strictObject({
  schema: z.literal('tasksctl/fleet-plan/1'),
  groups: z
    .array(
      z.strictObject({
        hosts: z.array(z.string()),
        policies: z.array(z.string()).describe('Names of the policies that come to this plan'),
        plan: planSchema.describe('That of the first of the hosts; those of the others do the same'),
      }),
    )
    .describe('Hosts with the same plan, the largest group first'),
  lost: z.array(lostHost).describe('Hosts that could not be read or planned'),
  failed: z
    .array(z.strictObject({ name: z.string(), detail: z.string() }))
    .describe('By rollout --check: what it found'),
});

export function fleetPlanJson(
  groups: readonly PlanGroup[],
  lost: readonly LostHost[],
  failed: readonly { readonly name: string; readonly detail: string }[] = [],
): z.infer<typeof fleetPlanSchema> {
  return {
    schema: 'tasksctl/fleet-plan/1',
    groups: groups.map(({ hosts, policies, plan }) => ({
      hosts: [...hosts],
      policies: [...policies],
      plan,
    })),
    lost: [...lost],
    failed: [...failed],
  };
}
