import type { SystemdCapabilities } from './capabilities.ts';
import type { Diagnostic } from './diagnostic.ts';

/** A stretch of a file: bytes `start` up to but not including `end`, beginning on `line` (from 1). */
export interface Span {
  readonly line: number;
  readonly start: number;
  readonly end: number;
}

/** One `Key=value`, over as many lines as it is continued on. */
export interface ConfAssignment {
  /** Name of the section it is in, null before the first. */
  readonly section: string | null;
  readonly key: string;
  /** As systemd sees it: continuation lines joined, outer white space gone. */
  readonly value: string;
  readonly span: Span;
}

/** A file in systemd's INI dialect, with every byte accounted for. */
export interface ConfFile {
  readonly bytes: Uint8Array;
  readonly sections: readonly { readonly name: string; readonly span: Span }[];
  readonly assignments: readonly ConfAssignment[];
  /**
   * Where this systemd stops reading the file with an error; assignments before it have been carried out, none after
   * it is listed. null where it reads to the end.
   */
  readonly failure: { readonly line: number; readonly reason: string } | null;
  /** Lines systemd takes no notice of, with the reason. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads a file as this systemd version does. Never throws, whatever the bytes. */
export function parseConf(_bytes: Uint8Array, _capabilities: SystemdCapabilities): ConfFile {
  throw new Error('not written yet');
}
