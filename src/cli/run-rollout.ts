import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createInterface } from 'node:readline';
import { hostEffects } from '../fleet/host-effects.ts';
import type { HostPlanFile } from '../fleet/host-plan-file.ts';
import type { JournalHead, JournalRecord } from '../fleet/journal.ts';
import type { JournalFile } from '../fleet/journal-file.ts';
import type { RolloutEvent, RolloutResult, RolloutRun } from '../fleet/rollout.ts';
import { eventLines } from '../report/fleet-text.ts';
import { escapeText, type SafeText, safe } from '../report/terminal-escape.ts';
import { askYes, canAsk } from './ask-yes.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import type { ConnectionOptions } from './options.ts';
import { Progress } from './progress.ts';
import { tell } from './read-fleet.ts';

/** A rollout that is held by this process. */
export interface HeldRollout {
  readonly head: JournalHead;
  readonly records: readonly JournalRecord[];
  readonly journal: JournalFile;
  readonly plans: HostPlanFile;
}

/** Does something with a rollout on its real hosts, telling what happens; closes its journal. */
export async function withRollout(
  console: Console,
  options: ConnectionOptions,
  { head, journal, plans, records }: HeldRollout,
  act: (run: RolloutRun) => Promise<RolloutResult>,
): Promise<RolloutResult> {
  const { signal } = console.io;
  let ended = 0;
  const progress = new Progress(console.io, () => safe`Rolling out: ${ended} of ${head.hosts.length} hosts`);
  const say = (line: SafeText): void => {
    if (!console.json) void tell(console, progress, line);
  };
  const onAbort = (): void => {
    say(
      safe`Interrupted: hosts that were begun are finished, no more are begun. Press Ctrl-C again to leave at once.`,
    );
  };
  signal.addEventListener('abort', onAbort, { once: true });
  const effects = hostEffects({
    settings: head.settings,
    connect: (target, mostSeconds = options.timeout) =>
      connector(console, { ...options, target, timeout: Math.min(options.timeout, mostSeconds) }, progress),
    planOf: (name) => plans.get(name),
    operator: head.operator,
    timeoutMs: options.timeout * 1000,
    command: (command, env) => runCommand(console, progress, command, env),
    proceed: (wave) => proceed(console, progress, wave),
    random: () => randomInt(0x10000),
    run: head.run,
    signal,
  });
  const onEvent = (event: RolloutEvent): void => {
    if (event.kind === 'host' && !('run' in event.state && event.state.kind !== 'applied')) ended++;
    for (const line of eventLines(event, console.errorStyle)) say(line);
  };
  try {
    return await act({
      head,
      records,
      append: (record) => journal.append(record),
      effects,
      interrupted: () => signal.aborted,
      onEvent,
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    progress.pause();
    await journal.close();
  }
}

/** What a command of the operator's may take. */
const COMMAND_TIMEOUT_MS = 15 * 60_000;

/** Runs a command by sh on this machine; what it prints goes to standard error. Text: what is wrong. */
function runCommand(
  console: Console,
  progress: Progress,
  command: string,
  env: Readonly<Record<string, string>>,
): Promise<string | null> {
  return new Promise((done) => {
    const child = spawn('/bin/sh', ['-c', command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...console.io.env, ...env },
      timeout: COMMAND_TIMEOUT_MS,
    });
    let last = '';
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line.trim() !== '') last = line.trim();
        if (!console.json) void tell(console, progress, safe`  | ${escapeText(line)}`);
      });
    }
    child.on('error', (error) => done(error.message));
    child.on('close', (code, signal) => {
      const how = code === null ? `it was ended by ${signal}` : `it ended with status ${code}`;
      done(code === 0 ? null : `${how}${last === '' ? '' : `: ${last}`}`);
    });
  });
}

async function proceed(console: Console, progress: Progress, wave: number): Promise<boolean> {
  if (console.json || !canAsk(console.io)) return false;
  progress.pause();
  const yes = await askYes(console.io, safe`Wave ${wave + 1} is through. Go on with wave ${wave + 2}?`);
  progress.resume();
  return yes;
}
