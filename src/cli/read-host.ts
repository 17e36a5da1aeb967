import { escapeText, safe } from '../report/terminal-escape.ts';
import { type Asked, readSnapshot } from '../snapshot/read-snapshot.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { failed } from './failure.ts';
import type { HostOptions } from './options.ts';
import type { Source } from './read-source.ts';

/** Reads the host the options name, in one round trip; `asked` is a user or process to find there. */
export async function readHost(console: Console, options: HostOptions, asked?: Asked): Promise<Source> {
  const { signal } = console.io;
  const timeoutMs = options.timeout * 1000;
  const progress = console.progress(safe`Reading ${escapeText(options.target)}`);
  try {
    const connected = await connector(console, options, progress, signal)();
    if (!connected.ok) return failed(connected.error);
    try {
      const read = await readSnapshot(connected.transport, {
        timeoutMs,
        signal,
        ...(asked === undefined ? {} : { asked }),
      });
      return read.kind === 'ok' ? { kind: 'ok', snapshot: read.snapshot } : failed(read.error);
    } finally {
      await connected.transport.close();
    }
  } finally {
    progress.pause();
  }
}
