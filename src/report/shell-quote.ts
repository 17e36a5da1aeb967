import type { PlanStep } from '../plan/plan.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

const BARE = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * One word of a command line as a shell has to be given it. Words with control or invisible characters are written as
 * `$'\033'` (bash, zsh, ksh, busybox; POSIX since 2024), so that what is shown is what is pasted.
 */
export function shellWord(word: string): SafeText {
  // A leading `=` or `~` is expanded by some shells; a word `A=b` in front would be an assignment, never a command.
  if (BARE.test(word) && !word.startsWith('=')) return escapeText(word);
  if (escapeText(word) === word) return escapeText(`'${word.replaceAll("'", "'\\''")}'`);
  let quoted = '';
  for (const byte of new TextEncoder().encode(word)) {
    const character = String.fromCharCode(byte);
    if (byte < 0x20 || byte >= 0x7f) quoted += `\\${byte.toString(8).padStart(3, '0')}`;
    else quoted += character === "'" || character === '\\' ? `\\${character}` : character;
  }
  return escapeText(`$'${quoted}'`);
}

/** The command of a plan's step, ready to be pasted into a root shell on the host. */
export function shellCommand(command: PlanStep['command']): SafeText {
  switch (command.kind) {
    case 'argv':
      return join(command.argv.map(shellWord), safe` `);
    case 'write':
      return safe`echo ${shellWord(command.value)} > ${shellWord(command.path)}`;
  }
}
