import type { RunId } from '../apply/run-id.ts';
import { latestApplied, listRuns, noteVerification, showRun } from '../apply/runs.ts';
import { type RunStanding, verifyRun } from '../apply/verify.ts';
import type { Transport } from '../host/transport.ts';
import { verifyJson } from '../report/apply-json.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { verifyText } from '../report/verify-text.ts';
import { hostLimits } from '../snapshot/limits.ts';
import { readSnapshot } from '../snapshot/read-snapshot.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import type { HostOptions, OutputOptions } from './options.ts';
import { noSuchRun } from './runs.ts';

export interface VerifyOptions extends HostOptions, OutputOptions {
  readonly run?: string;
}

/** `tasksctl verify` */
export async function verify(console: Console, options: VerifyOptions): Promise<Outcome> {
  const found = await standingOfRun(console, options, options.run ?? null);
  if (found.kind === 'failed') return found;
  const { run, standing } = found;
  const lost = standing.changes.some((change) => change.standing.kind === 'lost');
  const code = standing.holds ? EXIT.done : lost ? EXIT.error : EXIT.changesPending;
  return console.json
    ? console.document(verifyJson(options.target, run, standing), code)
    : console.result(verifyText(options.target, run, standing, console.style), code);
}

export type Found = { readonly kind: 'ok'; readonly run: RunId; readonly standing: RunStanding } | Failed;

/**
 * Compares the host as it is with what a run wanted (the newest one that is in place where none is named), and writes
 * down there that it holds if it does.
 */
export async function standingOfRun(
  console: Console,
  options: HostOptions,
  id: RunId | null,
): Promise<Found> {
  const progress = console.progress(safe`Reading ${escapeText(options.target)}`);
  try {
    const connected = await connector(console, options, progress)();
    if (!connected.ok) return failed(connected.error);
    try {
      return await standingOver(connected.transport, id, console.io.signal);
    } finally {
      await connected.transport.close();
    }
  } finally {
    progress.pause();
  }
}

async function standingOver(transport: Transport, named: RunId | null, signal: AbortSignal): Promise<Found> {
  let id = named;
  if (id === null) {
    const listed = await listRuns(transport, signal);
    if (listed.kind === 'failed') return failed(listed.error);
    id = latestApplied(listed.value)?.id ?? null;
  }
  if (id === null) return noSuchRun(transport.target, null);
  const shown = await showRun(transport, id, signal);
  if (shown.kind === 'failed') return failed(shown.error);
  const run = shown.value;
  if (run === null) return noSuchRun(transport.target, id);
  if (run.state !== 'applied' || run.plan === null) {
    const why = run.plan === null ? 'its plan cannot be read' : 'its changes are not in place';
    return failed({
      kind: 'input-invalid',
      message: `Run ${id} on ${transport.target} cannot be verified: ${why}.`,
      help: 'tasksctl runs shows what became of it.',
    });
  }
  const read = await readSnapshot(transport, { signal });
  if (read.kind === 'failed') return failed(read.error);
  const { snapshot } = read;
  const standing = verifyRun(run.plan, run, snapshot, hostLimits(snapshot));
  if (standing.holds && !run.verified) {
    const { bootId } = snapshot.host;
    const noted = await noteVerification(
      transport,
      id,
      { schema: 'tasksctl/verified/1', at: snapshot.takenAt, bootId },
      signal,
    );
    if (noted.kind === 'failed') return failed(noted.error);
  }
  return { kind: 'ok', run: id, standing };
}
