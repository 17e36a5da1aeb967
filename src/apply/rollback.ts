import type { HostError } from '../host/transport.ts';
import type { Refusal, TransactionReport } from './parse-transaction.ts';
import type { RunId } from './run-id.ts';
import { ask, type Connect, pause } from './saved-run.ts';

/** What became of undoing a run. */
export type RollbackResult =
  /** The files, and what systemd and the kernel made of them, are as before the run. */
  | { readonly kind: 'rolled-back'; readonly run: RunId; readonly report: TransactionReport }
  /** They were already. */
  | { readonly kind: 'unchanged'; readonly run: RunId }
  /** Nothing was changed: somebody has changed a file since, or another run is at work. */
  | {
      readonly kind: 'refused';
      readonly run: RunId;
      readonly reason: Refusal;
      readonly detail: string;
      readonly report: TransactionReport;
    }
  /** Not everything could be brought back; the run stays open on the host and can be rolled back again. */
  | { readonly kind: 'restore-failed'; readonly run: RunId; readonly report: TransactionReport }
  | { readonly kind: 'no-such-run'; readonly run: RunId }
  | { readonly kind: 'unreachable'; readonly error: HostError }
  /** The connection was lost on the way. What has begun goes on by itself, now or at the next boot. */
  | { readonly kind: 'unknown'; readonly run: RunId; readonly error: HostError };

/** A rollback reloads systemd, which has its own limits of time in the script. */
const TIMEOUT_MS = 180_000;
const RETRY_MS = 1_000;

/** Undoes a run by the program it left on its host. Idempotent; after a cut connection the host is asked again. */
export async function rollbackRun(
  run: RunId,
  { connect, signal }: { readonly connect: Connect; readonly signal?: AbortSignal },
): Promise<RollbackResult> {
  const first = await ask(connect, run, 'rollback', { timeoutMs: TIMEOUT_MS, signal });
  if (first.kind === 'failed' && !CUT.has(first.error.kind))
    return { kind: 'unreachable', error: first.error };
  let answer = first;
  const until = performance.now() + TIMEOUT_MS;
  let error: HostError | null = null;
  for (;;) {
    if (answer.kind === 'answer') {
      const { report, status } = answer;
      if (report.end === null && status.by === 'absent') return { kind: 'no-such-run', run };
      if (status.by !== 'running') {
        const result = conclude(run, report);
        if (result !== null) return result;
      }
    } else {
      error = answer.error;
    }
    if (performance.now() > until || signal?.aborted === true) break;
    await pause(RETRY_MS, signal);
    // Whatever it was cut at: rolling back again goes on where it was.
    answer = await ask(connect, run, 'rollback', { timeoutMs: until - performance.now(), signal });
  }
  const message = 'the host did not say how the rollback ended; tasksctl runs tells';
  return { kind: 'unknown', run, error: error ?? { kind: 'connection-lost', target: '', message } };
}

function conclude(run: RunId, report: TransactionReport): RollbackResult | null {
  const { end } = report;
  switch (end?.kind) {
    case 'rolled-back':
    case 'restored':
      return { kind: 'rolled-back', run, report };
    case 'unchanged':
      return { kind: 'unchanged', run };
    case 'refused':
      return { kind: 'refused', run, reason: end.reason, detail: end.detail, report };
    case 'restore-failed':
      return { kind: 'restore-failed', run, report };
    default:
      return null;
  }
}

/** Errors after which the script may have run. */
const CUT: ReadonlySet<HostError['kind']> = new Set(['connection-lost', 'timeout', 'aborted']);
