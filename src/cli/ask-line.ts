import { createInterface } from 'node:readline';
import type { SafeText } from '../report/terminal-escape.ts';
import type { Io } from './terminal.ts';

/**
 * What is typed after a prompt, up to the end of the line; null where input ends first or Ctrl-C is pressed. The terminal
 * itself edits the line: nothing here moves the cursor, and Ctrl-C stays the signal that it is.
 */
export function askLine(io: Io, prompt: SafeText): Promise<string | null> {
  return new Promise((resolve) => {
    if (io.signal.aborted || io.stdin.readableEnded) return resolve(null);
    const lines = createInterface({ input: io.stdin, output: io.stderr, terminal: false });
    const end = (line: string | null): void => {
      lines.removeListener('close', interrupted);
      io.signal.removeEventListener('abort', interrupted);
      lines.close();
      // What comes next is not to stand behind the question.
      if (line === null) io.stderr.write('\n');
      resolve(line);
    };
    const interrupted = (): void => end(null);
    io.signal.addEventListener('abort', interrupted);
    lines.once('line', end);
    lines.once('close', interrupted);
    io.stderr.write(prompt);
  });
}
