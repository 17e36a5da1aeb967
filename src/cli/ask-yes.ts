import { setTimeout as sleep } from 'node:timers/promises';
import { type SafeText, safe } from '../report/terminal-escape.ts';
import { askLine } from './ask-line.ts';
import type { Io } from './terminal.ts';

/** Somebody is there who can be asked. */
export function canAsk(io: Io): boolean {
  return (io.stdin as { isTTY?: boolean }).isTTY === true && io.stderr.isTTY === true;
}

/** What the terminal holds comes at once. */
const TYPED_AHEAD_MS = 20;

/** Lines that were typed before a question was there are no answer to it. */
async function dropTypedAhead(io: Io): Promise<void> {
  if (!canAsk(io)) return;
  const drop = (): void => {};
  io.stdin.on('data', drop).resume();
  await sleep(TYPED_AHEAD_MS);
  io.stdin.off('data', drop);
  io.stdin.pause();
}

/** Asks a question that only a plain `yes` (or `y`) answers with yes. */
export async function askYes(io: Io, question: SafeText): Promise<boolean> {
  await dropTypedAhead(io);
  const answer = await askLine(io, safe`${question} [y/N] `);
  return answer !== null && /^y(?:es)?$/i.test(answer.trim());
}

/** Who names no command, on a terminal, may not know which. */
export async function offerWizard(io: Io): Promise<boolean> {
  return (
    canAsk(io) && (await askYes(io, safe`No command was given. Start the wizard, which asks step by step?`))
  );
}
