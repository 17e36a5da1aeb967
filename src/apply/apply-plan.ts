import { readTemplate } from '../host/template.ts';
import type { HostError, RunResult, Transport } from '../host/transport.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import type { Plan } from '../plan/plan.ts';
import { parseTransaction, type Refusal, type TransactionReport } from './parse-transaction.ts';
import type { RunId } from './run-id.ts';
import { runRecord } from './run-record.ts';
import {
  type Answer,
  ask,
  askOver,
  type Connect,
  MAX_OUTPUT_BYTES,
  pause,
  type SavedMode,
} from './saved-run.ts';
import { transactionScript } from './transaction.ts';

export interface ApplyOptions {
  readonly connect: Connect;
  readonly run: { readonly id: RunId; readonly startedAt: Date; readonly operator: string };
  /** Runs started before this run id may be pruned. */
  readonly keepSince: string;
  /** Run every check on the host and write nothing. */
  readonly check: boolean;
  /** False: `--no-dead-man`. */
  readonly deadMan: boolean;
  readonly deadManSeconds: number;
  readonly signal?: AbortSignal;
  /** Told each step of the script as it begins. */
  readonly onStep?: (step: string) => void;
}

/** How a change that could lock people out was shown not to. */
export type LoginProof =
  /** A new login over SSH came in and could start processes. */
  | 'new-login'
  /** A new process of this machine could start processes; no login was tried. */
  | 'new-process'
  /** No change of the plan could lock anybody out. */
  | 'not-needed'
  /** The operator wanted none. */
  | 'not-wanted';

/** What became of one plan on one host. */
export type ApplyResult =
  /** The plan has no changes. */
  | { readonly kind: 'nothing' }
  /** Every check passed and nothing was written. */
  | { readonly kind: 'checked'; readonly report: TransactionReport }
  /** The files are as the plan wants them already; the verdicts say what is enforced. */
  | { readonly kind: 'unchanged'; readonly report: TransactionReport }
  | {
      readonly kind: 'applied';
      readonly run: RunId;
      readonly proof: LoginProof;
      readonly report: TransactionReport;
    }
  /** Nothing was changed on the host. */
  | {
      readonly kind: 'refused';
      readonly reason: Refusal | 'plan-unsafe' | 'plan-damaged';
      readonly detail: string;
      /** null: the host was not even asked. */
      readonly report: TransactionReport | null;
    }
  /** The host has its old state back. `reason`: what was off at `step`. */
  | {
      readonly kind: 'restored' | 'restore-failed';
      readonly run: RunId;
      readonly step: string;
      readonly reason: string;
      readonly detail: string;
      readonly report: TransactionReport;
    }
  /** The host was not reached, or never began: nothing was changed. */
  | { readonly kind: 'unreachable'; readonly error: HostError }
  /**
   * The connection was lost and the host could not be asked since. It is at `step` or further; unless it got through, it
   * restores itself `seconds` after the run began.
   */
  | {
      readonly kind: 'unknown';
      readonly run: RunId;
      readonly step: string;
      readonly seconds: number;
      readonly error: HostError;
    };

/** Between two tries to reach a host again, milliseconds. */
const RETRY_MS = 1_000;
/** What a host may take on top of its own deadline until it has restored itself, milliseconds. */
const GRACE_MS = 60_000;
/** How often a login that came in may fail to confirm before it counts as none. */
const MAX_FAILED_LOGINS = 3;
/** The last moment at which confirming is still tried, seconds before the host restores itself. */
const CONFIRM_MARGIN_SECONDS = 3;

/**
 * Applies a plan to its host: one script in one round trip, then, where a change could lock people out, a second
 * connection that proves that login still works. Whatever happens on the way is a value. After a cut connection the
 * host is asked again what became of the run, and taken back to the old state where it had not come through.
 */
export async function applyPlan(plan: Plan, options: ApplyOptions): Promise<ApplyResult> {
  if (plan.changes.length === 0) return { kind: 'nothing' };
  const transaction = transactionScript(
    plan,
    {
      record: runRecord(plan, options.run),
      keepSince: options.keepSince,
      deadMan: options.deadMan,
      deadManSeconds: options.deadManSeconds,
      mode: options.check ? 'check' : 'apply',
      recorder: recorderFiles(),
    },
    readTemplate('transaction.sh'),
  );
  if (transaction.kind === 'refused') return { ...transaction, report: null };

  const connected = await options.connect();
  if (!connected.ok) return { kind: 'unreachable', error: connected.error };
  const { transport } = connected;
  const { guardSeconds } = transaction;
  const run = new RemoteRun(options, transport.target, guardSeconds);
  try {
    const result = await transport.run({
      script: transaction.script,
      asRoot: true,
      timeoutMs: guardSeconds * 1000 + GRACE_MS,
      maxOutputBytes: MAX_OUTPUT_BYTES,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.onStep === undefined ? {} : { onStdout: stepReader(options.run.id, options.onStep) }),
    });
    const report = parseTransaction(result.stdout, options.run.id);
    if (report.end === null) return await run.afterCut(result, report);
    return await run.conclude(report, transaction.confirm ? null : proofLeftOut(options), transport);
  } finally {
    await transport.close();
  }
}

function proofLeftOut(options: ApplyOptions): LoginProof {
  return options.deadMan ? 'not-needed' : 'not-wanted';
}

/** Finds the beginnings of steps in a stream of chunks. */
function stepReader(run: RunId, onStep: (step: string) => void): (chunk: Uint8Array) => void {
  let rest = '';
  return (chunk) => {
    const lines = (rest + Buffer.from(chunk).toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const step = /^%tasksctl (\S+) step ([a-z-]+) 0$/.exec(line);
      if (step?.[1] === run && step[2] !== undefined) onStep(step[2]);
    }
  };
}

/** The part of an apply that follows the first answer: confirming, and asking again after a cut. */
class RemoteRun {
  readonly #options: ApplyOptions;
  readonly #id: RunId;
  readonly #target: string;
  readonly #guardSeconds: number;
  readonly #startedMs = performance.now();

  constructor(options: ApplyOptions, target: string, guardSeconds: number) {
    this.#options = options;
    this.#id = options.run.id;
    this.#target = target;
    this.#guardSeconds = guardSeconds;
  }

  /** From the script's own last word to the result; `first` is a connection that is still open, where there is one. */
  async conclude(
    report: TransactionReport,
    proof: LoginProof | null,
    first: Transport | null,
  ): Promise<ApplyResult> {
    const { end } = report;
    const run = this.#id;
    switch (end?.kind) {
      case 'checked':
      case 'unchanged':
        return { kind: end.kind, report };
      case 'applied':
        return { kind: 'applied', run, proof: proof ?? 'new-login', report };
      case 'refused':
        return { kind: 'refused', reason: end.reason, detail: end.detail, report };
      case 'awaiting':
        return this.#confirm(report, end.seconds, first);
      case 'restored':
      case 'restore-failed':
        return { kind: end.kind, run, step: end.step, reason: end.reason, detail: end.detail, report };
      case 'rolled-back':
        return { kind: 'restored', run, step: 'commit', reason: 'rolled-back', detail: '', report };
      case undefined:
        throw new Error('a report without an end');
    }
  }

  /** Proves over a new connection that people can still log in and work; else takes the host back. */
  async #confirm(report: TransactionReport, seconds: number, first: Transport | null): Promise<ApplyResult> {
    const run = this.#id;
    const lastTry = performance.now() + (seconds - CONFIRM_MARGIN_SECONDS) * 1000;
    let why = 'the operator interrupted';
    let failures = 0;
    while (!this.#aborted && failures < MAX_FAILED_LOGINS) {
      const tried = await this.#ask('confirm', lastTry - performance.now(), this.#options.signal);
      if (tried.kind === 'answer') {
        const { end } = tried.report;
        if (end?.kind === 'applied') {
          const problems = [...report.problems, ...tried.report.problems];
          return { kind: 'applied', run, proof: this.#proof, report: { ...report, problems } };
        }
        if (end?.kind === 'restored') {
          return { ...end, run, reason: 'not-confirmed', detail: 'the time to confirm was over', report };
        }
        why =
          end?.kind === 'refused' ? `${end.reason}: ${end.detail}` : 'a new login could not start processes';
        failures++;
      } else {
        why = tried.error.message;
      }
      if (performance.now() + RETRY_MS >= lastTry) break;
      await pause(RETRY_MS, this.#options.signal);
    }
    return this.#takeBack({ step: 'commit', reason: 'not-confirmed', detail: why }, report, first);
  }

  /** The script ended without its last word: the connection was cut, or it was killed. */
  async afterCut(result: RunResult, report: TransactionReport): Promise<ApplyResult> {
    const failure = { step: report.step, reason: 'cut', detail: cutDetail(result) };
    // Nothing was started where the shell never was.
    if (result.kind === 'failed' && report.step === 'start' && NEVER_STARTED.has(result.error.kind)) {
      return { kind: 'unreachable', error: result.error };
    }
    let error = result.kind === 'failed' ? result.error : this.#lost('the script ended without a word');
    const until = this.#startedMs + this.#guardSeconds * 1000 + GRACE_MS;
    let absent = 0;
    while (performance.now() < until) {
      // Interrupted or not, what became of the host is worth one question.
      const signal = this.#aborted ? undefined : this.#options.signal;
      const asked = await this.#ask('status', until - performance.now(), signal);
      if (asked.kind === 'failed') {
        error = asked.error;
        if (this.#aborted) break;
      } else {
        const { state, by } = asked.status;
        if (by === 'absent') {
          // It may just be starting: only the second time nothing is there, there is nothing.
          absent++;
          if (absent > 1) return { kind: 'unreachable', error };
        } else if (by === 'nobody') {
          if (state === 'awaiting' && !this.#aborted && asked.report.end?.kind === 'awaiting') {
            return this.#confirm(asked.report, asked.status.seconds, null);
          }
          if ((state === 'closed' || state === 'restored') && asked.report.end !== null) {
            return this.conclude(asked.report, proofLeftOut(this.#options), null);
          }
          return this.#takeBack(failure, asked.report, null);
        }
      }
      await pause(RETRY_MS);
    }
    return { kind: 'unknown', run: this.#id, step: report.step, seconds: this.#guardSeconds, error };
  }

  /** Has the host restore itself now rather than at its deadline, over any connection that works. */
  async #takeBack(
    failure: { readonly step: string; readonly reason: string; readonly detail: string },
    report: TransactionReport,
    first: Transport | null,
  ): Promise<ApplyResult> {
    const run = this.#id;
    const until = this.#startedMs + this.#guardSeconds * 1000 + GRACE_MS;
    let error = this.#lost(failure.detail);
    let over = first;
    while (performance.now() < until) {
      const asked =
        over === null
          ? await this.#ask('recover now', until - performance.now(), undefined)
          : await askOver(over, run, 'recover now', { timeoutMs: GRACE_MS });
      // A connection that failed once is not tried again.
      over = null;
      if (asked.kind === 'answer' && asked.report.end !== null) {
        const kind = asked.report.end.kind;
        // Somebody else confirmed it in the meantime.
        if (kind === 'applied') return { kind, run, proof: this.#proof, report };
        if (kind === 'restored' || kind === 'restore-failed') {
          return { kind, run, ...failure, report: { ...asked.report, verdicts: report.verdicts } };
        }
      }
      if (asked.kind === 'failed') error = asked.error;
      if (this.#aborted && asked.kind === 'failed') break;
      await pause(RETRY_MS);
    }
    return { kind: 'unknown', run, step: failure.step, seconds: this.#guardSeconds, error };
  }

  #ask(mode: SavedMode, timeoutMs: number, signal: AbortSignal | undefined): Promise<Answer> {
    return ask(this.#options.connect, this.#id, mode, { timeoutMs, signal });
  }

  get #aborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  get #proof(): LoginProof {
    return this.#target === 'local' ? 'new-process' : 'new-login';
  }

  #lost(detail: string): HostError {
    return { kind: 'connection-lost', target: this.#target, message: `${this.#target}: ${detail}.` };
  }
}

/** Errors that come before the shell that would have run the script. */
const NEVER_STARTED: ReadonlySet<HostError['kind']> = new Set([
  'sudo-missing',
  'sudo-denied',
  'sudo-password-needed',
  'sudo-password-wrong',
  'spawn-failed',
  'unsupported',
]);

function cutDetail(result: RunResult): string {
  if (result.kind === 'failed') return result.error.message;
  if (result.signal !== null) return `the script was ended by ${result.signal}`;
  const words = result.stderr.toString().trim().split('\n').at(-1) ?? '';
  return `the script ended with status ${result.code}${words === '' ? '' : `: ${words}`}`;
}
