/**
 * The one way to a host. A transport carries a POSIX sh script on standard input, never on a command line, and
 * brings back its bytes. What a host prints is untrusted data.
 */
export interface Transport {
  /** The target as the operator named it (`local`, `[user@]host[:port]`), for messages. */
  readonly target: string;
  /**
   * Runs `script` with `sh -s` on the host. Never throws for anything a host or network does: those are
   * `{ kind: 'failed' }` values.
   */
  run(request: RunRequest): Promise<RunResult>;
  /** Closes the connection; further runs fail. Safe to call twice. */
  close(): Promise<void>;
}

export interface RunRequest {
  readonly script: string;
  /** Run as root: directly where the login is root, through sudo where not. */
  readonly asRoot: boolean;
  /** Hard limit on the whole run, milliseconds. */
  readonly timeoutMs: number;
  /** Output past this many bytes ends the run with `output-limit` (what came is kept). */
  readonly maxOutputBytes: number;
  readonly signal?: AbortSignal;
  /** Called with each chunk of standard output as it comes; the result then carries it all the same. */
  readonly onStdout?: (chunk: Uint8Array) => void;
  /** Standard output goes to `onStdout` alone, for as long as it may come: it is neither kept nor counted. */
  readonly streamOnly?: true;
}

export type RunResult =
  | {
      readonly kind: 'exit';
      /** Exit status; null where a signal ended the script. */
      readonly code: number | null;
      readonly signal: string | null;
      readonly stdout: Buffer;
      readonly stderr: Buffer;
    }
  | { readonly kind: 'failed'; readonly error: HostError; readonly stdout: Buffer; readonly stderr: Buffer };

/** Why a host could not be reached or a run not finished. `message` is one sentence that names host and next step. */
export interface HostError {
  readonly kind:
    | 'name-not-found'
    | 'refused'
    | 'unreachable'
    | 'connect-timeout'
    | 'host-key-unknown'
    | 'host-key-changed'
    | 'host-key-revoked'
    | 'auth-failed'
    | 'config-invalid'
    | 'sudo-missing'
    | 'sudo-denied'
    | 'sudo-password-needed'
    | 'sudo-password-wrong'
    | 'connection-lost'
    | 'timeout'
    | 'output-limit'
    | 'aborted'
    | 'spawn-failed'
    | 'unsupported';
  readonly target: string;
  readonly message: string;
  /** File and line at fault, such as the known_hosts line of a changed key. */
  readonly file?: string;
  readonly line?: number;
}

/** Asks the operator for a secret; absent where nobody can answer (no terminal). Never logged, never stored. */
export type AskSecret = (prompt: string) => Promise<string | null>;
