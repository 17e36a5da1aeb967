import { randomInt } from 'node:crypto';
import { hostEffects } from '../fleet/host-effects.ts';
import type { HostPlanFile } from '../fleet/host-plan-file.ts';
import type { HostState, JournalHead, JournalRecord } from '../fleet/journal.ts';
import type { JournalFile } from '../fleet/journal-file.ts';
import type { RolloutEvent, RolloutResult, RolloutRun } from '../fleet/rollout.ts';
import { eventLines } from '../report/fleet-text.ts';
import { escapeText, type SafeText, safe } from '../report/terminal-escape.ts';
import { askYes, canAsk } from './ask-yes.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import type { ConnectionOptions } from './options.ts';
import { runCommand } from './run-command.ts';

/** A rollout that is held by this process. */
export interface HeldRollout {
  readonly head: JournalHead;
  /** Those there were, to which those that are made are added. */
  readonly records: JournalRecord[];
  readonly journal: JournalFile;
  readonly plans: HostPlanFile;
}

/** What is done with it, for whoever waits for it or wants to leave. */
export interface Work {
  /** `Rolling out` */
  readonly label: SafeText;
  /** The hosts that have it behind them, of so many. */
  readonly ended: readonly string[];
  readonly hosts: number;
  /** The command that goes on with it. */
  readonly again: SafeText;
}

const OPEN: ReadonlySet<HostState['kind']> = new Set(['waiting', 'applying', 'unsettled']);

/** Whether a rollout has nothing more to do on a host in this state, however it came out. */
export function hasEnded({ kind }: HostState): boolean {
  return !OPEN.has(kind);
}

/** Does something with a rollout on its real hosts, telling what happens; closes its journal. */
export async function withRollout(
  console: Console,
  options: ConnectionOptions & { readonly yes?: true },
  { head, journal, plans, records }: HeldRollout,
  work: Work,
  act: (run: RolloutRun) => Promise<RolloutResult>,
): Promise<RolloutResult> {
  const { signal } = console.io;
  const ended = new Set(work.ended);
  let isAsking = false;
  const progress = console.progress(() => safe`${work.label}: ${ended.size} of ${work.hosts} hosts`);
  const say = (line: SafeText): void => {
    void console.aside(safe`${line}\n`);
  };
  const onInterrupt = (): void => {
    // Between waves nothing is begun.
    if (isAsking) return;
    say(
      safe`Interrupted: hosts that were begun are finished, no more are begun. Press Ctrl-C again to leave at once;\nthen go on with: ${work.again}`,
    );
  };
  signal.addEventListener('abort', onInterrupt, { once: true });
  const effects = hostEffects({
    settings: head.settings,
    connect: (target, mostSeconds = options.timeout) =>
      connector(console, { ...options, target, timeout: Math.min(options.timeout, mostSeconds) }, progress),
    planOf: (name) => plans.get(name),
    operator: head.operator,
    timeoutMs: options.timeout * 1000,
    command: (command, env, atInterrupt) =>
      runCommand(
        command,
        { ...console.io.env, ...env },
        { atInterrupt, signal, say: (line) => say(safe`  | ${escapeText(line)}`) },
      ),
    proceed: async (wave, resumed) => {
      if (console.json || !canAsk(console.io) || (resumed && options.yes === true)) return resumed;
      isAsking = true;
      progress.pause();
      const yes = await askYes(console.io, safe`Wave ${wave + 1} is through. Go on with wave ${wave + 2}?`);
      progress.resume();
      isAsking = false;
      return yes;
    },
    random: () => randomInt(0x10000),
    run: head.run,
    signal,
  });
  const onEvent = (event: RolloutEvent): void => {
    if (event.kind === 'host' && hasEnded(event.state)) ended.add(event.host.name);
    for (const line of eventLines(event, console.errorStyle)) say(line);
  };
  try {
    return await act({
      head,
      records,
      append: async (record) => {
        await journal.append(record);
        records.push(record);
      },
      effects,
      interrupted: () => signal.aborted,
      onEvent,
    });
  } finally {
    signal.removeEventListener('abort', onInterrupt);
    progress.pause();
    await journal.close();
  }
}
