import { isRunId } from '../apply/run-id.ts';
import { listRuns, type RunDetail, type RunSummary, showRun } from '../apply/runs.ts';
import { runsJson } from '../report/apply-json.ts';
import { runsText, runText } from '../report/runs-text.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import type { HostOptions, OutputOptions } from './options.ts';

export interface RunsOptions extends HostOptions, OutputOptions {
  readonly run?: string;
}

/** `tasksctl runs` */
export async function runs(console: Console, options: RunsOptions): Promise<Outcome> {
  const { target, run } = options;
  if (run !== undefined && !isRunId(run)) return noSuchRun(target, run);
  const progress = console.progress(safe`Reading ${escapeText(target)}`);
  let shown: RunDetail | null = null;
  let listed: readonly RunSummary[];
  try {
    const connected = await connector(console, options, progress)();
    if (!connected.ok) return failed(connected.error);
    const { transport } = connected;
    try {
      if (run === undefined) {
        const answer = await listRuns(transport, console.io.signal);
        if (answer.kind === 'failed') return failed(answer.error);
        listed = answer.value;
      } else {
        const answer = await showRun(transport, run, console.io.signal);
        if (answer.kind === 'failed') return failed(answer.error);
        shown = answer.value;
        if (shown === null) return noSuchRun(target, run);
        listed = [shown];
      }
    } finally {
      await transport.close();
    }
  } finally {
    progress.pause();
  }
  if (console.json) return console.document(runsJson(target, listed, shown));
  return console.result(shown === null ? runsText(listed, console.style) : runText(shown, console.style));
}

/** `run` null: the host has none that is in place. */
export function noSuchRun(target: string, run: string | null): Failed {
  return failed({
    kind: 'input-invalid',
    message: run === null ? `${target} has no run that is in place.` : `${target} has no run ${run}.`,
    help: 'tasksctl runs lists what there is.',
  });
}
