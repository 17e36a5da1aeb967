import type { Transport } from '../host/transport.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { type Asked, readSnapshot } from '../snapshot/read-snapshot.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { failed } from './failure.ts';
import type { HostOptions } from './options.ts';
import type { Source } from './read-source.ts';

export interface Reading {
  /** A user or process to find on the host. */
  readonly asked?: Asked;
  /** Called once the host is at work: the time to load what its answer is for. */
  readonly meanwhile?: () => Promise<unknown>;
  /** Takes over the connection of a reading that succeeded, and has to close it; without it nobody keeps it. */
  readonly keep?: (transport: Transport) => void;
}

/** Reads the host the options name, in one round trip. */
export async function readHost(
  console: Console,
  options: HostOptions,
  { asked, meanwhile, keep }: Reading = {},
): Promise<Source> {
  const { signal } = console.io;
  const timeoutMs = options.timeout * 1000;
  const progress = console.progress(safe`Reading ${escapeText(options.target)}`);
  try {
    const connected = await connector(console, options, progress, signal)();
    if (!connected.ok) return failed(connected.error);
    const { transport } = connected;
    let kept = false;
    try {
      const reading = readSnapshot(transport, {
        timeoutMs,
        signal,
        ...(asked === undefined ? {} : { asked }),
      });
      // Whoever needs it imports it again, and is told then of what went wrong.
      meanwhile?.().catch(() => {});
      const read = await reading;
      if (read.kind === 'failed') return failed(read.error);
      keep?.(transport);
      kept = keep !== undefined;
      return { kind: 'ok', snapshot: read.snapshot };
    } finally {
      if (!kept) await transport.close();
    }
  } finally {
    progress.pause();
  }
}
