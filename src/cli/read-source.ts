import { escapeText, safe } from '../report/terminal-escape.ts';
import { parseSnapshot } from '../snapshot/load-snapshot.ts';
import type { Asked } from '../snapshot/read-snapshot.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Console } from './console.ts';
import { type Failed, failed } from './failure.ts';
import type { SourceOptions } from './options.ts';
import { readText } from './read-file.ts';

export type Source = { readonly kind: 'ok'; readonly snapshot: Snapshot } | Failed;

/**
 * The snapshot a read-only command works on: a saved one, or the host's as it is now, with what was asked for in
 * particular.
 */
export async function readSource(console: Console, options: SourceOptions, asked?: Asked): Promise<Source> {
  if (options.snapshot === undefined) {
    // SSH is the largest part of the program; a saved snapshot needs none of it.
    const { readHost } = await import('./read-host.ts');
    return readHost(console, options, asked);
  }
  const file = await readText(options.snapshot, console.io);
  if (!file.ok) return failed(file.failure);
  const loaded = parseSnapshot(file.text);
  if (loaded.ok) return { kind: 'ok', snapshot: loaded.snapshot };
  return failed({
    kind: 'input-invalid',
    message: `${file.name}: ${loaded.message}`,
    help: 'Save one with: tasksctl snapshot -t HOST -o FILE',
  });
}

/** Says on standard error which parts of a snapshot are missing: what is shown may not be all there is. */
export async function notePartialData(console: Console, snapshot: Snapshot): Promise<void> {
  for (const { part, reason, detail } of snapshot.problems) {
    const what = escapeText(`${snapshot.host.hostname}: ${part}: ${reason.replaceAll('-', ' ')}`);
    await console.notice('warning', detail === '' ? what : safe`${what}: ${escapeText(detail)}`);
  }
}
