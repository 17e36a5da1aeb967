import { setMaxListeners } from 'node:events';

/** Calls `listener` when the signal is aborted, at once where it was before. Gives the way to stop listening. */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => {};
  // One signal stops a whole fleet; node would warn of a leak from the eleventh host on.
  setMaxListeners(0, signal);
  signal.addEventListener('abort', listener, { once: true });
  if (signal.aborted) listener();
  return () => signal.removeEventListener('abort', listener);
}
