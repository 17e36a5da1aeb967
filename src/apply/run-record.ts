import { z } from 'zod';
import type { Plan } from '../plan/plan.ts';
import { changedFiles } from './changed-files.ts';
import type { RunId } from './run-id.ts';

/** What a host keeps about a run for people: small, so that many can be listed in one round trip. */
export const runRecordSchema = z.strictObject({
  schema: z.literal('tasksctl/run/1'),
  id: z.string(),
  /** By the controller's clock, ISO 8601 in UTC. */
  startedAt: z.string(),
  /** Who ran tasksctl, as `user@machine`. */
  operator: z.string(),
  target: z.string(),
  policy: z.string(),
  changes: z.array(z.strictObject({ title: z.string(), from: z.string(), to: z.string() })),
  /** The files that were changed; what the host says of "file N" is the N-th of these. */
  files: z.array(z.string()),
});

export type RunRecord = z.infer<typeof runRecordSchema>;

export function runRecord(plan: Plan, run: { id: RunId; startedAt: Date; operator: string }): RunRecord {
  return {
    schema: 'tasksctl/run/1',
    id: run.id,
    startedAt: run.startedAt.toISOString(),
    operator: run.operator,
    target: plan.target,
    policy: plan.policy.name,
    changes: plan.changes.map(({ title, from, to }) => ({ title, from: from.text, to: to.text })),
    files: changedFiles(plan).map(({ path }) => path),
  };
}
