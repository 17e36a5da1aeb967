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
import type { Progress } from './progress.ts';

/** A rollout that is held by this process. */
export interface HeldRollout {
  readonly head: JournalHead;
  /** Those there were, to which those that are made are added. */
  readonly records: JournalRecord[];
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
  const progress = console.progress(() => safe`Rolling out: ${ended} of ${head.hosts.length} hosts`);
  const say = (line: SafeText): void => {
    void console.aside(safe`${line}\n`);
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
    command: (command, env) => runCommand(console, command, env),
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
      append: async (record) => {
        await journal.append(record);
        records.push(record);
      },
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
        void console.aside(safe`  | ${escapeText(line)}\n`);
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
