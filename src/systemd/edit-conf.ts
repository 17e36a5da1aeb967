import type { SystemdCapabilities } from './capabilities.ts';

/** Sets `key` in `section` with the least change to the bytes. */
export function setAssignment(
  _bytes: Uint8Array,
  _wanted: { readonly section: string; readonly key: string; readonly value: string },
  _capabilities: SystemdCapabilities,
): Uint8Array {
  throw new Error('not written yet');
}

/** Removes every assignment of `key` in `section`; all other bytes stay. */
export function removeAssignment(
  _bytes: Uint8Array,
  _unwanted: { readonly section: string; readonly key: string },
  _capabilities: SystemdCapabilities,
): Uint8Array {
  throw new Error('not written yet');
}
