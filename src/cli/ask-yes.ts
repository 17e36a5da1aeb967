import { createInterface } from 'node:readline/promises';
import type { SafeText } from '../report/terminal-escape.ts';
import type { Io } from './terminal.ts';

/** Somebody is there who can be asked. */
export function canAsk(io: Io): boolean {
  return (io.stdin as { isTTY?: boolean }).isTTY === true && io.stderr.isTTY === true;
}

/** Asks a question that only a plain `yes` (or `y`) answers with yes. */
export async function askYes(io: Io, question: SafeText): Promise<boolean> {
  const lines = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: io.signal });
    return /^y(?:es)?$/i.test(answer.trim());
  } catch {
    return false;
  } finally {
    lines.close();
  }
}
