import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { onAbort } from '../host/abort.ts';

/** What a command of the operator's may take. */
const TIMEOUT_MS = 15 * 60_000;

export interface CommandOptions {
  /** Ctrl-C lets it come to its end, or ends it. */
  readonly atInterrupt: 'finish' | 'end';
  readonly signal: AbortSignal;
  /** Told each line that it prints. */
  readonly say: (line: string) => void;
  readonly timeoutMs?: number;
}

/**
 * Runs a command by sh on this machine; text: what is wrong. It stays on the terminal, where it may ask for something, so
 * Ctrl-C there reaches it, too.
 */
export function runCommand(
  command: string,
  env: NodeJS.ProcessEnv,
  { atInterrupt, signal, say, timeoutMs = TIMEOUT_MS }: CommandOptions,
): Promise<string | null> {
  return new Promise((done) => {
    const script = atInterrupt === 'finish' ? `trap '' INT\n${command}` : command;
    const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'], env });
    let last = '';
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line.trim() !== '') last = line.trim();
        say(line);
      });
    }
    const end = (fault: string | null): void => {
      clearTimeout(timer);
      ignoreAbort();
      done(fault === null || last === '' ? fault : `${fault}: ${last}`);
    };
    const giveUp = (fault: string): void => {
      child.kill();
      // What it has started may hold its output open for longer than it lives.
      child.stdout.destroy();
      child.stderr.destroy();
      end(fault);
    };
    const timer = setTimeout(
      () => giveUp(`it took longer than ${Math.round(timeoutMs / 1000)} s`),
      timeoutMs,
    );
    const ignoreAbort =
      atInterrupt === 'end' ? onAbort(signal, () => giveUp('it was interrupted')) : () => {};
    child.on('error', (error) => end(error.message));
    child.on('close', (code, by) => {
      if (code === 0) end(null);
      else end(code === null ? `it was ended by ${by}` : `it ended with status ${code}`);
    });
  });
}
