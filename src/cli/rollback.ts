import { type RollbackResult, rollbackRun } from '../apply/rollback.ts';
import { isRunId } from '../apply/run-id.ts';
import { latestApplied, listRuns, type RunSummary } from '../apply/runs.ts';
import { rollbackJson } from '../report/apply-json.ts';
import { rollbackText } from '../report/apply-text.ts';
import { runsText } from '../report/runs-text.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { askYes, canAsk } from './ask-yes.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import { isRollout } from './open-rollout.ts';
import type { HostOptions, OutputOptions } from './options.ts';
import { noSuchRun } from './runs.ts';
import { write } from './terminal.ts';

export interface RollbackOptions extends HostOptions, OutputOptions {
  readonly run?: string;
  /** `-t` was given, so the run is one on that host, not a rollout. */
  readonly targetGiven: boolean;
  readonly limit?: string;
  readonly yes?: true;
}

/** `tasksctl rollback` */
export async function rollback(console: Console, options: RollbackOptions): Promise<Outcome> {
  const { target } = options;
  if (options.run !== undefined && !options.targetGiven && (await isRollout(console, options.run))) {
    const { rollbackRollout } = await import('./rollback-rollout.ts');
    return rollbackRollout(console, options, options.run);
  }
  if (options.limit !== undefined) {
    return failed({
      kind: 'usage',
      message: '--limit chooses hosts of a rollout, and none of that name was begun on this machine.',
    });
  }
  if (options.run !== undefined && !isRunId(options.run)) return noSuchRun(target, options.run);
  const progress = console.progress(safe`Rolling back ${escapeText(target)}`);
  const connect = connector(console, options, progress);
  try {
    const found = await findRun(console, options, connect);
    if (found.kind === 'failed') return found;
    if (found.kind === 'none') {
      return console.json
        ? console.document(rollbackJson(target, null, null))
        : console.result(safe`Nothing to undo on ${escapeText(target)}.\n`);
    }
    const { run } = found;
    progress.pause();
    if (options.yes !== true) {
      if (console.json || !canAsk(console.io)) {
        return failed({
          kind: 'usage',
          message: `There is no terminal to ask whether to undo run ${run.id}.`,
          help: 'Say so with --yes.',
        });
      }
      await write(console.io.stderr, runsText([run], console.style));
      if (!(await askYes(console.io, safe`Undo this on ${escapeText(target)}?`))) {
        if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
        return console.result(safe`Nothing was changed.\n`, EXIT.done);
      }
    }
    progress.resume();
    const result = await rollbackRun(run.id, { connect, signal: console.io.signal });
    progress.pause();
    const code = exitCode(result);
    return console.json
      ? console.document(rollbackJson(target, run.id, result), code)
      : console.result(rollbackText(target, run.record?.files ?? [], result, console.style), code);
  } finally {
    progress.pause();
  }
}

async function findRun(
  console: Console,
  options: RollbackOptions,
  connect: ReturnType<typeof connector>,
): Promise<{ readonly kind: 'ok'; readonly run: RunSummary } | { readonly kind: 'none' } | Failed> {
  const connected = await connect();
  if (!connected.ok) return failed(connected.error);
  try {
    const listed = await listRuns(connected.transport, console.io.signal);
    if (listed.kind === 'failed') return failed(listed.error);
    if (options.run === undefined) {
      const latest = latestApplied(listed.value);
      return latest === null ? { kind: 'none' } : { kind: 'ok', run: latest };
    }
    const run = listed.value.find(({ id }) => id === options.run);
    return run === undefined ? noSuchRun(options.target, options.run) : { kind: 'ok', run };
  } finally {
    await connected.transport.close();
  }
}

function exitCode(result: RollbackResult): number {
  switch (result.kind) {
    case 'rolled-back':
    case 'unchanged':
      return EXIT.done;
    case 'refused':
      return EXIT.refused;
    case 'restore-failed':
      return EXIT.someHostsFailed;
    case 'no-such-run':
    case 'unreachable':
      return EXIT.error;
    case 'unknown':
      return result.error.kind === 'aborted' ? EXIT.interrupted : EXIT.error;
  }
}
