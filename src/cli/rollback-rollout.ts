import { selectHosts } from '../fleet/host-pattern.ts';
import type { HostState } from '../fleet/journal.ts';
import { RolloutState } from '../fleet/journal.ts';
import { rollBackRollout } from '../fleet/rollout.ts';
import { rolloutText } from '../report/fleet-text.ts';
import { rolloutJson } from '../report/rollout-json.ts';
import { escapeText, join, safe } from '../report/terminal-escape.ts';
import { askYes, canAsk } from './ask-yes.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { failed, type Outcome } from './failure.ts';
import { openRollout } from './open-rollout.ts';
import type { ConnectionOptions } from './options.ts';
import { exitCode, rollbackCommand } from './rollout.ts';
import { withRollout } from './run-rollout.ts';
import { write } from './terminal.ts';

export interface RollbackRolloutOptions extends ConnectionOptions {
  readonly limit?: string;
  readonly yes?: true;
}

/** Hosts named in the question. */
const HOSTS_SHOWN = 10;

/** `tasksctl rollback RUN`, where the run is a rollout of this controller: takes it back, or some hosts of it. */
export async function rollbackRollout(
  console: Console,
  options: RollbackRolloutOptions,
  run: string,
): Promise<Outcome> {
  const opened = await openRollout(console, run);
  if (opened.kind === 'failed') return opened;
  const { head, records, journal, plans } = opened;
  try {
    const selected = options.limit === undefined ? head.hosts : selectHosts(head.hosts, options.limit);
    if ('error' in selected) return failed({ kind: 'usage', message: `--limit: ${selected.error}.` });
    const names = new Set(selected.map(({ name }) => name));
    const state = new RolloutState(head, records);
    const hosts = head.hosts.filter(({ name }) => names.has(name) && HAS_CHANGES.has(state.of(name).kind));
    if (hosts.length > 0 && options.yes !== true) {
      if (console.json || !canAsk(console.io)) {
        return failed({
          kind: 'usage',
          message: `There is no terminal to ask whether to undo rollout ${run}.`,
          help: 'Say so with --yes.',
        });
      }
      const shown = hosts.slice(0, HOSTS_SHOWN).map(({ name }) => escapeText(name));
      const more = hosts.length > HOSTS_SHOWN ? safe` and ${hosts.length - HOSTS_SHOWN} more` : safe``;
      await write(console.io.stderr, safe`${join(shown, safe`, `)}${more}\n`);
      const count = hosts.length === 1 ? safe`this host` : safe`these ${hosts.length} hosts`;
      if (!(await askYes(console.io, safe`Undo rollout ${escapeText(run)} on ${count}?`))) {
        if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
        return console.result(safe`Nothing was changed.\n`, EXIT.done);
      }
    }
    // Also to go on with it: resumed, the rollout would go forward.
    const commands = {
      again: rollbackCommand(head, options, options.limit),
      undo: rollbackCommand(head, options),
    };
    const work = { label: safe`Rolling back`, ended: [], hosts: hosts.length, again: commands.again };
    const result = await withRollout(console, options, { head, records, journal, plans }, work, (rollout) =>
      rollBackRollout(rollout, hosts),
    );
    const code = result.verdict === 'rolled-back' ? EXIT.done : exitCode(result, 0, false);
    return console.json
      ? console.document(rolloutJson(head, result, records, { nothingToDo: [], lost: [] }), code)
      : console.result(rolloutText(head, result, commands, console.style), code);
  } finally {
    await journal.close();
    await plans.close();
  }
}

const HAS_CHANGES: ReadonlySet<HostState['kind']> = new Set([
  'applying',
  'applied',
  'unsettled',
  'rollback-failed',
]);
