import { z } from 'zod';
import type { Diagnosis } from '../diagnose/diagnose.ts';
import type { Verdict } from '../diagnose/verdict.ts';
import { describeProvenance, provenancePlace } from '../snapshot/provenance.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/**
 * What `tasksctl diagnose --json` prints. Fields, causes and standings may be added under `tasksctl/diagnosis/1`; none
 * is removed or changes its meaning.
 */

const tasks = z.number().int().nonnegative().nullable();

const limit = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('unit'), unit: z.string() }),
  z.strictObject({ kind: z.literal('cgroup'), path: z.string() }),
  z.strictObject({ kind: z.literal('user-default') }),
  z.strictObject({ kind: z.literal('manager-default'), manager: z.enum(['system', 'user']) }),
  z.strictObject({ kind: z.literal('sysctl'), name: z.enum(['kernel.pid_max', 'kernel.threads-max']) }),
  z.strictObject({ kind: z.literal('rlimit-nproc'), uid: z.number().int() }),
  z.strictObject({ kind: z.literal('pid-namespace'), inode: z.number().int() }),
  z.strictObject({ kind: z.literal('memory') }),
]);

const verdict = z.strictObject({
  cause: z.enum(['pids-controller', 'rlimit-nproc', 'threads-max', 'pid-max', 'pid-namespace', 'memory']),
  confidence: z.enum(['certain', 'likely', 'possible']),
  standing: z
    .enum(['full', 'nearly-full', 'was-full', 'raised-since'])
    .describe('How the limit is now; raised-since: what refused forks was lower than what is in force now'),
  limit,
  name: z.string(),
  value: z
    .string()
    .regex(/^(?:[0-9]{1,20}|infinity)$/)
    .nullable(),
  used: tasks,
  rejected: tasks.describe('Forks rejected, at least; null where nothing counts them'),
  set: z
    .strictObject({ text: z.string(), file: z.string().optional(), line: z.number().int().optional() })
    .nullable()
    .describe('Where the value comes from'),
  evidence: z.array(z.string()),
  remedy: z
    .strictObject({
      count: tasks.describe('The limit it would take'),
      notes: z.array(z.string()),
      policy: z
        .record(z.string(), z.unknown())
        .nullable()
        .describe('A policy for tasksctl plan --policy that raises this limit and nothing else'),
      commands: z
        .array(z.array(z.string()))
        .describe('Commands for root on the host, where there is no policy'),
    })
    .nullable(),
});

export const diagnosisSchema = z.strictObject({
  schema: z.literal('tasksctl/diagnosis/1'),
  target: z.string(),
  takenAt: z.string(),
  hostname: z.string(),
  asked: z.string().nullable().describe('The unit, user or process asked about'),
  verdicts: z.array(verdict).describe('The best answer first; empty: no evidence of a rejected fork'),
  checks: z.array(
    z.strictObject({
      what: z.enum(['pids-counters', 'kernel-log', 'rlimit-nproc', 'threads-max', 'pid-max', 'memory']),
      result: z.enum(['clear', 'suspect', 'unknown']),
      text: z.string(),
    }),
  ),
  problems: z.array(z.strictObject({ part: z.string(), reason: z.string(), detail: z.string() })),
});

export type DiagnosisJson = z.infer<typeof diagnosisSchema>;

/** The machine-readable diagnosis; `asked` is the unit, user or process it is about, null: the host. */
export function diagnoseJson(snapshot: Snapshot, asked: string | null, diagnosis: Diagnosis): DiagnosisJson {
  return {
    schema: 'tasksctl/diagnosis/1',
    target: snapshot.target,
    takenAt: snapshot.takenAt,
    hostname: snapshot.host.hostname,
    asked,
    verdicts: diagnosis.verdicts.map(verdictJson),
    checks: diagnosis.checks.map((check) => ({ ...check })),
    problems: snapshot.problems,
  };
}

function verdictJson(verdict: Verdict): DiagnosisJson['verdicts'][number] {
  const { value, set, evidence, remedy } = verdict;
  return {
    ...verdict,
    value: value === null ? null : String(value),
    set: set === null ? null : { text: describeProvenance(set), ...provenancePlace(set) },
    evidence: [...evidence],
    remedy:
      remedy === null
        ? null
        : {
            count: remedy.count,
            notes: [...remedy.notes],
            policy: remedy.policy === null ? null : { ...remedy.policy },
            commands: remedy.commands.map((argv) => [...argv]),
          },
  };
}
