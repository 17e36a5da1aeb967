import { PassThrough, Readable, Writable } from 'node:stream';
import { main } from '../../../src/cli/program.ts';
import type { Output } from '../../../src/cli/terminal.ts';

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Surroundings {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Columns of the terminal that standard output and error are; a file or pipe if left out. */
  readonly terminal?: number;
  readonly signal?: AbortSignal;
}

/** Runs a command line in this process, with surroundings of its own. */
export async function runCli(argv: readonly string[], around: Surroundings = {}): Promise<CliRun> {
  const stdout = new Captured(around.terminal);
  const stderr = new Captured(around.terminal);
  const stdin = around.stdin === undefined ? new PassThrough() : Readable.from([Buffer.from(around.stdin)]);
  const signal = around.signal ?? new AbortController().signal;
  const code = await main(argv, { stdin, stdout, stderr, env: around.env ?? {}, signal });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class Captured extends Writable implements Output {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(columns: number | undefined) {
    super({ decodeStrings: false });
    this.isTTY = columns !== undefined;
    this.columns = columns ?? 0;
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.text += chunk;
    done();
  }
}
