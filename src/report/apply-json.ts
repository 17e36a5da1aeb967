import { z } from 'zod';
import type { ApplyResult } from '../apply/apply-plan.ts';
import { changedFiles } from '../apply/changed-files.ts';
import type { TransactionReport } from '../apply/parse-transaction.ts';
import type { RollbackResult } from '../apply/rollback.ts';
import { runRecordSchema } from '../apply/run-record.ts';
import { type RunDetail, type RunSummary, verificationSchema } from '../apply/runs.ts';
import type { RunStanding } from '../apply/verify.ts';
import { type Plan, planSchema } from '../plan/plan.ts';

/**
 * What `apply`, `rollback`, `runs` and `verify` print with --json. Limits are strings, decimal digits or `infinity`;
 * `none` is a running unit without a pids controller; null is a unit that does not run. Fields may be added, none is
 * removed or changes its meaning.
 */

const reading = z.strictObject({
  unit: z.string(),
  manager: z.string().nullable(),
  live: z.string().nullable(),
});

const report = z.strictObject({
  step: z.string().describe('The last step of the script that was begun'),
  changes: z.array(
    z.strictObject({
      title: z.string(),
      from: z.string(),
      to: z.string(),
      state: z.enum(['enforced', 'pending']),
      until: z.string().nullable(),
      waiting: z.array(z.string()).describe('What is still under the old limit'),
      readings: z.array(reading),
    }),
  ),
  before: z.record(z.string(), z.string()).describe('What the kernel enforced before, by unit'),
  now: z.array(reading).describe('After the old state was brought back: what is enforced'),
  drift: z.array(
    z.strictObject({
      file: z.string(),
      found: z.string().describe('absent, SHA256:MODE:UID:GID, or what else is there'),
      base64: z.string().nullable().describe('The bytes there now, the first 64 KiB of them'),
    }),
  ),
  unfinished: z.array(z.strictObject({ run: z.string(), state: z.string() })),
  left: z.array(z.string()).describe('Files somebody else has changed, which were left as they are'),
  problems: z.array(z.string()),
  notes: z.array(z.string()),
});

const error = z.strictObject({ kind: z.string(), message: z.string() });

const applyResult = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('nothing') }),
  z.strictObject({ kind: z.enum(['checked', 'unchanged']), report }),
  z.strictObject({
    kind: z.literal('applied'),
    run: z.string(),
    proof: z.enum(['new-login', 'new-process', 'not-needed', 'not-wanted']),
    report,
  }),
  z.strictObject({
    kind: z.literal('refused'),
    reason: z.string(),
    detail: z.string(),
    report: report.nullable(),
  }),
  z.strictObject({
    kind: z.enum(['restored', 'restore-failed']),
    run: z.string(),
    step: z.string(),
    reason: z.string(),
    detail: z.string(),
    report,
  }),
  z.strictObject({ kind: z.literal('unreachable'), error }),
  z.strictObject({
    kind: z.literal('unknown'),
    run: z.string(),
    step: z.string(),
    seconds: z.number(),
    error,
  }),
]);

const standing = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('holds'), enforced: z.number().int() }),
  z.strictObject({ kind: z.literal('pending'), until: z.string(), waiting: z.array(z.string()) }),
  z.strictObject({ kind: z.literal('lost'), found: z.array(z.string()) }),
]);

export const verifySchema = z.strictObject({
  schema: z.literal('tasksctl/verify/1'),
  target: z.string(),
  run: z.string(),
  holds: z.boolean(),
  rebooted: z.boolean(),
  changes: z.array(z.strictObject({ title: z.string(), wanted: z.string(), standing })),
});

export const applySchema = z.strictObject({
  schema: z.literal('tasksctl/apply/1'),
  target: z.string(),
  result: applyResult,
  refused: z
    .array(z.strictObject({ title: z.string(), wanted: z.string(), code: z.string(), message: z.string() }))
    .describe('What the policy wants and the planner refused: no part of the plan'),
  verified: verifySchema.nullable().describe('With --reboot: what was found after it'),
});

export const rollbackSchema = z.strictObject({
  schema: z.literal('tasksctl/rollback/1'),
  target: z.string(),
  run: z.string().nullable().describe('null: there was none to undo'),
  kind: z.enum([
    'rolled-back',
    'unchanged',
    'refused',
    'restore-failed',
    'no-such-run',
    'unreachable',
    'unknown',
  ]),
  reason: z.string().nullable(),
  detail: z.string().nullable(),
  problems: z.array(z.string()),
  now: z.array(reading),
});

const runSummary = z.strictObject({
  id: z.string(),
  state: z.enum(['applied', 'awaiting', 'restored', 'rolled-back', 'unfinished']),
  bootId: z.string(),
  pending: z.number().int(),
  verified: z.boolean(),
  record: runRecordSchema.nullable(),
});

export const runsSchema = z.strictObject({
  schema: z.literal('tasksctl/runs/1'),
  target: z.string(),
  runs: z.array(runSummary),
  detail: z
    .strictObject({
      plan: planSchema.nullable(),
      report: report.nullable(),
      verification: verificationSchema.nullable(),
    })
    .nullable()
    .describe('Of the one run that was named'),
});

export function applyJson(
  plan: Plan,
  result: ApplyResult,
  verified: z.infer<typeof verifySchema> | null,
): z.infer<typeof applySchema> {
  return {
    schema: 'tasksctl/apply/1',
    target: plan.target,
    result: resultJson(plan, result),
    refused: plan.refused.map(({ title, wanted, diagnostic: { code, message } }) => ({
      title,
      wanted,
      code,
      message,
    })),
    verified,
  };
}

function resultJson(plan: Plan, result: ApplyResult): z.infer<typeof applyResult> {
  switch (result.kind) {
    case 'nothing':
      return result;
    case 'checked':
    case 'unchanged':
    case 'applied':
    case 'restored':
    case 'restore-failed':
      return { ...result, report: reportJson(plan, result.report) };
    case 'refused':
      return { ...result, report: result.report === null ? null : reportJson(plan, result.report) };
    case 'unreachable':
    case 'unknown':
      return { ...result, error: { kind: result.error.kind, message: result.error.message } };
  }
}

function reportJson(plan: Plan, found: TransactionReport): z.infer<typeof report> {
  const files = changedFiles(plan);
  const path = (file: number): string => files[file - 1]?.path ?? `file ${file}`;
  return {
    step: found.step,
    changes: found.verdicts.flatMap(({ change, state, until, waiting, readings }) => {
      const planned = plan.changes[change - 1];
      if (planned === undefined) return [];
      const { title, from, to } = planned;
      return [
        {
          title,
          from: from.text,
          to: to.text,
          state,
          until,
          waiting: [...waiting],
          readings: [...readings],
        },
      ];
    }),
    before: Object.fromEntries(found.before),
    now: [...found.restored],
    drift: found.drifts.map(({ file, found: what, content }) => ({
      file: path(file),
      found: what,
      base64: content?.toString('base64') ?? null,
    })),
    unfinished: [...found.unfinished],
    left: found.left.map(path),
    problems: [...found.problems],
    notes: [...found.notes],
  };
}

/** `result` null: no run is in place, so there was nothing to undo. */
export function rollbackJson(
  target: string,
  run: string | null,
  result: RollbackResult | null,
): z.infer<typeof rollbackSchema> {
  const report = result !== null && 'report' in result ? result.report : null;
  const refused = result?.kind === 'refused' ? result : null;
  const error = result !== null && 'error' in result ? result.error.message : null;
  return {
    schema: 'tasksctl/rollback/1',
    target,
    run,
    kind: result?.kind ?? 'unchanged',
    reason: refused?.reason ?? null,
    detail: refused?.detail ?? error,
    problems: [...(report?.problems ?? [])],
    now: [...(report?.restored ?? [])],
  };
}

export function runsJson(
  target: string,
  runs: readonly RunSummary[],
  detail: RunDetail | null,
): z.infer<typeof runsSchema> {
  return {
    schema: 'tasksctl/runs/1',
    target,
    runs: runs.map(({ id, state, bootId, pending, verified, record }) => ({
      id,
      state,
      bootId,
      pending,
      verified,
      record,
    })),
    detail:
      detail === null
        ? null
        : {
            plan: detail.plan,
            report: detail.plan === null ? null : reportJson(detail.plan, detail.report),
            verification: detail.verification,
          },
  };
}

export function verifyJson(target: string, run: string, found: RunStanding): z.infer<typeof verifySchema> {
  return {
    schema: 'tasksctl/verify/1',
    target,
    run,
    holds: found.holds,
    rebooted: found.rebooted,
    changes: found.changes.map(({ title, wanted, standing: one }) => ({
      title,
      wanted,
      standing:
        one.kind === 'holds'
          ? one
          : one.kind === 'pending'
            ? { ...one, waiting: [...one.waiting] }
            : { ...one, found: [...one.found] },
    })),
  };
}
