import { escapeJson } from '../report/terminal-escape.ts';
import { formatSnapshot } from '../snapshot/load-snapshot.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { failed, type Outcome } from './failure.ts';
import type { HostOptions, OutputOptions } from './options.ts';
import { readHost } from './read-host.ts';
import { notePartialData } from './read-source.ts';
import { writeResult } from './write-file.ts';

export interface SnapshotOptions extends HostOptions, OutputOptions {
  readonly out?: string;
}

/** `tasksctl snapshot` */
export async function snapshot(console: Console, options: SnapshotOptions): Promise<Outcome> {
  const source = await readHost(console, options);
  if (source.kind === 'failed') return source;
  await notePartialData(console, source.snapshot);
  const text = escapeJson(formatSnapshot(source.snapshot));
  if (options.out === undefined) return console.result(text);
  const failure = await writeResult(options.out, text);
  return failure === null ? { kind: 'exit', code: EXIT.done } : failed(failure);
}
