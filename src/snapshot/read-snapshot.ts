import type { HostError, Transport } from '../host/transport.ts';
import type { Snapshot } from './snapshot.ts';

export type ReadResult =
  | { readonly kind: 'ok'; readonly snapshot: Snapshot }
  | { readonly kind: 'failed'; readonly error: HostError };

export interface ReadOptions {
  /** Hard limit on the whole reading, milliseconds. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Reads a host in one round trip. Root is asked for first; where sudo cannot give it, the host is read as the login
 * user and the snapshot's `problems` say so.
 */
export async function readSnapshot(transport: Transport, _options: ReadOptions = {}): Promise<ReadResult> {
  return {
    kind: 'failed',
    error: {
      kind: 'unsupported',
      target: transport.target,
      message: `${transport.target}: reading hosts is not built yet`,
    },
  };
}
