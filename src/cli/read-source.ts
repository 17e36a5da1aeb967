import { escapeText, safe } from '../report/terminal-escape.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Console } from './console.ts';
import { type Failed, failed } from './failure.ts';
import type { SourceOptions } from './options.ts';
import type { Reading } from './read-host.ts';

export type Source = { readonly kind: 'ok'; readonly snapshot: Snapshot } | Failed;

/** The snapshot a read-only command works on: a saved one, or the host's as it is now. */
export async function readSource(
  console: Console,
  options: SourceOptions,
  reading: Reading = {},
): Promise<Source> {
  if (options.snapshot === undefined) {
    // SSH is the largest part of the program; a saved snapshot needs none of it.
    const { readHost } = await import('./read-host.ts');
    return readHost(console, options, reading);
  }
  const { readText } = await import('./read-file.ts');
  const { parseSnapshot } = await import('../snapshot/load-snapshot.ts');
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
