import type { Failure } from './failure.ts';

/** Every exit code of tasksctl. docs/exit-codes.md says the same to people. */
export const EXIT = {
  /** Done; for `plan --detailed-exitcode`: nothing to change. */
  done: 0,
  /** An error: the command could not do its work, or (lint) it found errors, or (verify) something did not hold. */
  error: 1,
  /** `plan --detailed-exitcode`: there are changes to make; `verify`: something is pending. */
  changesPending: 2,
  /** Some of several hosts failed. */
  someHostsFailed: 3,
  /** Refused for safety: an unknown or changed host key, a limit that cannot be set safely. */
  refused: 4,
  /** Interrupted by Ctrl-C. */
  interrupted: 130,
} as const;

/** The one table from kinds of failure to exit codes. */
export const FAILURE_EXIT: Readonly<Record<Failure['kind'], number>> = {
  usage: EXIT.error,
  'input-unreadable': EXIT.error,
  'input-invalid': EXIT.error,
  'unit-not-found': EXIT.error,
  'user-not-found': EXIT.error,
  'process-not-found': EXIT.error,
  'output-failed': EXIT.error,
  internal: EXIT.error,
  'name-not-found': EXIT.error,
  refused: EXIT.error,
  unreachable: EXIT.error,
  'connect-timeout': EXIT.error,
  'host-key-unknown': EXIT.refused,
  'host-key-changed': EXIT.refused,
  'host-key-revoked': EXIT.refused,
  'auth-failed': EXIT.error,
  'config-invalid': EXIT.error,
  'sudo-missing': EXIT.error,
  'sudo-denied': EXIT.error,
  'sudo-password-needed': EXIT.error,
  'sudo-password-wrong': EXIT.error,
  'connection-lost': EXIT.error,
  timeout: EXIT.error,
  'output-limit': EXIT.error,
  aborted: EXIT.interrupted,
  'spawn-failed': EXIT.error,
  unsupported: EXIT.error,
};
