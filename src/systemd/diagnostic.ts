/** One finding about a host's configuration: what is wrong, where, and what to do about it. */
export interface Diagnostic {
  /** Stable kebab-case code, documented in docs/diagnostics.md; what programs and tests match on. */
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'note';
  /** One sentence, plain English, raw text of the host allowed: renderers escape it. */
  readonly message: string;
  /** Where it is; `line` starts at 1. */
  readonly file?: string;
  readonly line?: number;
  readonly unit?: string;
  /** The next step, one sentence. */
  readonly help?: string;
}
