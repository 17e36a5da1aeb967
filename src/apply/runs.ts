import { z } from 'zod';
import { readTemplate } from '../host/template.ts';
import type { HostError, Transport } from '../host/transport.ts';
import { type Plan, planSchema } from '../plan/plan.ts';
import { readFrames } from './frames.ts';
import { parseTransaction, type TransactionReport } from './parse-transaction.ts';
import { isRunId, type RunId } from './run-id.ts';
import { type RunRecord, runRecordSchema } from './run-record.ts';
import { MAX_OUTPUT_BYTES } from './saved-run.ts';

/** What the words of a run's state file come to. */
export type RunState =
  /** Its changes are in place. */
  | 'applied'
  /** In place and read back, but the host restores itself unless it is confirmed. */
  | 'awaiting'
  /** The old files came back by themselves. */
  | 'restored'
  | 'rolled-back'
  /** It was cut off; the next apply or rollback on the host brings it to an end. */
  | 'unfinished';

/** One run kept on a host. */
export interface RunSummary {
  readonly id: RunId;
  readonly state: RunState;
  /** The boot it ran in. */
  readonly bootId: string;
  /** Changes that waited for a login, a restart or a reboot when it ended. */
  readonly pending: number;
  /** A later `verify` found all of them in force. */
  readonly verified: boolean;
  /** null where the host's copy is not readable. */
  readonly record: RunRecord | null;
}

/** What `verify` found when all was in force. */
export const verificationSchema = z.strictObject({
  schema: z.literal('tasksctl/verified/1'),
  at: z.string(),
  bootId: z.string().nullable(),
});
export type Verification = z.infer<typeof verificationSchema>;

/** A run with all that its host keeps of it. */
export interface RunDetail extends RunSummary {
  /** null where it is not readable or of another version of tasksctl. */
  readonly plan: Plan | null;
  readonly report: TransactionReport;
  readonly verification: Verification | null;
}

export type RunsResult<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: HostError };

const TIMEOUT_MS = 60_000;

/** The runs kept on a host, oldest first. */
export async function listRuns(
  transport: Transport,
  signal?: AbortSignal,
): Promise<RunsResult<readonly RunSummary[]>> {
  const read = await readRuns(transport, null, signal);
  return read.kind === 'failed' ? read : { kind: 'ok', value: parseRuns(read.value) };
}

/** One run kept on a host; null where it has none of that name. */
export async function showRun(
  transport: Transport,
  id: RunId,
  signal?: AbortSignal,
): Promise<RunsResult<RunDetail | null>> {
  const read = await readRuns(transport, id, signal);
  return read.kind === 'failed' ? read : { kind: 'ok', value: parseRun(read.value, id) };
}

/** Writes down on the host that everything a run wanted was found in force. */
export async function noteVerification(
  transport: Transport,
  id: RunId,
  verification: Verification,
  signal?: AbortSignal,
): Promise<RunsResult<null>> {
  if (!isRunId(id)) throw new Error(`not a run id: ${JSON.stringify(id)}`);
  // JSON.stringify leaves a single quote as it is; in a string of JSON an escape says the same.
  const json = JSON.stringify(verification).replaceAll("'", '\\u0027');
  const script = `umask 077
cd /var/lib/tasksctl/runs/${id} || exit 1
printf '%s\\n' '${json}' >.verified.new && mv -f .verified.new verified.json`;
  const result = await transport.run({
    script,
    asRoot: true,
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: MAX_OUTPUT_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.kind === 'failed') return { kind: 'failed', error: result.error };
  if (result.code === 0) return { kind: 'ok', value: null };
  return { kind: 'failed', error: notRead(transport, result.stderr) };
}

async function readRuns(
  transport: Transport,
  only: RunId | null,
  signal: AbortSignal | undefined,
): Promise<RunsResult<Buffer>> {
  if (only !== null && !isRunId(only)) throw new Error(`not a run id: ${JSON.stringify(only)}`);
  const result = await transport.run({
    script: `only='${only ?? ''}'\n${readTemplate('runs.sh')}`,
    asRoot: true,
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: MAX_OUTPUT_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.kind === 'failed') return { kind: 'failed', error: result.error };
  const ended = readFrames(result.stdout, 'list').some(({ kind }) => kind === 'end');
  return ended
    ? { kind: 'ok', value: result.stdout }
    : { kind: 'failed', error: notRead(transport, result.stderr) };
}

function notRead({ target }: Transport, stderr: Buffer): HostError {
  const words = stderr.toString().trim().split('\n').at(-1) ?? '';
  const message = `${target}: the runs kept there cannot be read${words === '' ? '' : `: ${words}`}`;
  return { kind: 'unsupported', target, message };
}

/** Reads what templates/runs.sh prints. What a host keeps is as untrusted as what it says. */
export function parseRuns(output: Buffer): RunSummary[] {
  return readFrames(output, 'list')
    .filter(({ kind, args: [id = ''] }) => kind === 'run' && isRunId(id))
    .map(({ args: [id = '', state = '', bootId = '', verified, pending], payload }) => ({
      id,
      state: runState(state),
      bootId,
      pending: Number(pending) || 0,
      verified: verified === 'yes',
      record: parseJson(payload, runRecordSchema),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** The same of one run in full. */
export function parseRun(output: Buffer, id: RunId): RunDetail | null {
  const summary = parseRuns(output).find((run) => run.id === id);
  if (summary === undefined) return null;
  const frames = readFrames(output, 'list');
  const payload = (kind: string) => frames.find((frame) => frame.kind === kind)?.payload ?? Buffer.alloc(0);
  return {
    ...summary,
    plan: parseJson(payload('plan'), planSchema),
    report: parseTransaction(payload('report'), id),
    verification: parseJson(payload('verified'), verificationSchema),
  };
}

function runState(word: string): RunState {
  switch (word) {
    case 'closed':
    case 'applied':
      return 'applied';
    case 'awaiting':
    case 'restored':
    case 'rolled-back':
      return word;
    default:
      return 'unfinished';
  }
}

function parseJson<T>(bytes: Buffer, schema: z.ZodType<T>): T | null {
  try {
    return schema.safeParse(JSON.parse(bytes.toString())).data ?? null;
  } catch {
    return null;
  }
}

/** The run that `rollback` and `verify` mean when none is named: the newest whose changes are in place. */
export function latestApplied(runs: readonly RunSummary[]): RunSummary | null {
  return (
    runs.findLast(({ state }) => state === 'applied' || state === 'awaiting' || state === 'unfinished') ??
    null
  );
}
