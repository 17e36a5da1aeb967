import type { HostError } from '../host/transport.ts';
import type { RunId } from './run-id.ts';
import { ask, type Connect, pause } from './saved-run.ts';

/** What became of a run whose controller went away before it heard. */
export type Settled =
  /** It is in place; where it still waited for its confirmation, this login was it. */
  | { readonly kind: 'applied' }
  /** The host knows no such run, or has its old state back: nothing of it is in place. */
  | { readonly kind: 'not-applied' }
  | { readonly kind: 'restore-failed' }
  | { readonly kind: 'unknown'; readonly error: HostError };

const RETRY_MS = 1_000;

/** Asks a host what became of a run, and brings one that was cut off to an end. Idempotent. */
export async function settleRun(
  run: RunId,
  { connect, timeoutMs, signal }: { connect: Connect; timeoutMs: number; signal?: AbortSignal },
): Promise<Settled> {
  const until = performance.now() + timeoutMs;
  let mode: 'status' | 'confirm' | 'recover now' = 'status';
  let absent = 0;
  let error: HostError | null = null;
  while (performance.now() < until && signal?.aborted !== true) {
    const answer = await ask(connect, run, mode, { timeoutMs: until - performance.now(), signal });
    if (answer.kind === 'failed') {
      error = answer.error;
    } else {
      const { end } = answer.report;
      if (mode !== 'status' && end !== null) {
        if (end.kind === 'applied') return { kind: 'applied' };
        if (end.kind === 'restored' || end.kind === 'rolled-back') return { kind: 'not-applied' };
        if (end.kind === 'restore-failed') return { kind: 'restore-failed' };
      }
      const { by, state } = answer.status;
      if (by === 'absent') {
        // It may just be starting: only the second time nothing is there, there is nothing.
        absent++;
        if (absent > 1) return { kind: 'not-applied' };
      } else if (mode === 'status' && by === 'nobody') {
        if (state === 'awaiting') {
          mode = 'confirm';
          continue;
        }
        if ((state === 'closed' || state === 'restored') && end !== null) {
          return { kind: end.kind === 'applied' || end.kind === 'unchanged' ? 'applied' : 'not-applied' };
        }
        mode = 'recover now';
        continue;
      } else {
        mode = 'status';
      }
    }
    await pause(RETRY_MS, signal);
  }
  const message = `the host did not say what became of run ${run}`;
  return { kind: 'unknown', error: error ?? { kind: 'timeout', target: '', message } };
}
