import { isRunId } from '../apply/run-id.ts';
import { listRuns, showRun } from '../apply/runs.ts';
import { runsJson } from '../report/apply-json.ts';
import { runsText, runText } from '../report/runs-text.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import type { HostOptions, OutputOptions } from './options.ts';
import { Progress } from './progress.ts';

export interface RunsOptions extends HostOptions, OutputOptions {
  readonly run?: string;
}

/** `tasksctl runs` */
export async function runs(console: Console, options: RunsOptions): Promise<Outcome> {
  const { target, run } = options;
  if (run !== undefined && !isRunId(run)) return noSuchRun(target, run);
  const progress = new Progress(console.io, safe`Reading ${escapeText(target)}`);
  try {
    const connected = await connector(console, options, progress)();
    if (!connected.ok) return failed(connected.error);
    const { transport } = connected;
    try {
      if (run === undefined) {
        const listed = await listRuns(transport, console.io.signal);
        if (listed.kind === 'failed') return failed(listed.error);
        return console.json
          ? console.document(runsJson(target, listed.value, null))
          : console.result(runsText(listed.value, console.style));
      }
      const shown = await showRun(transport, run, console.io.signal);
      if (shown.kind === 'failed') return failed(shown.error);
      if (shown.value === null) return noSuchRun(target, run);
      return console.json
        ? console.document(runsJson(target, [shown.value], shown.value))
        : console.result(runText(shown.value, console.style));
    } finally {
      await transport.close();
    }
  } finally {
    progress.pause();
  }
}

/** `run` null: the host has none that is in place. */
export function noSuchRun(target: string, run: string | null): Failed {
  return failed({
    kind: 'input-invalid',
    message: run === null ? `${target} has no run that is in place.` : `${target} has no run ${run}.`,
    help: 'tasksctl runs lists what there is.',
  });
}
