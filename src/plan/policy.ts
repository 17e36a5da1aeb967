import type { Diagnostic } from '../systemd/diagnostic.ts';

/** The operator's intent, as a policy file says it. */
export interface Policy {
  readonly name: string;
  /** Hex SHA-256 of the policy's text. */
  readonly sha256: string;
}

/** What is wrong with a policy, and where. `line` and `column` start at 1. */
export type PolicyProblem = Diagnostic & { readonly column?: number };

export type ParsedPolicy =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly problems: readonly PolicyProblem[] };

/** Reads a policy; `file` is its name for messages. All problems are found at once, in the order of the text. */
export function parsePolicy(_text: string, _file: string): ParsedPolicy {
  throw new Error('not written yet');
}
