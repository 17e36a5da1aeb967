import type { HostError } from '../host/transport.ts';
import type { YamlProblem } from '../plan/read-yaml.ts';

/** Why a command could not do its work. `message` is one sentence; raw text of hosts and files is allowed in it. */
export interface Failure {
  readonly kind:
    | HostError['kind']
    /** The command line itself. */
    | 'usage'
    /** A file the operator named cannot be read. */
    | 'input-unreadable'
    /** It can, but is not what it has to be. */
    | 'input-invalid'
    /** The host has no such unit or cgroup. */
    | 'unit-not-found'
    /** The host has no such user, or no such process. */
    | 'user-not-found'
    | 'process-not-found'
    /** The result could not be written to where it should go. */
    | 'output-failed'
    /** A fault of tasksctl itself. */
    | 'internal';
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  /** The next step. */
  readonly help?: string;
  /** What is wrong with a file in particular, in the order of its text. */
  readonly problems?: readonly YamlProblem[];
}

/** What a command comes to: an exit code of its own choosing, or a failure that the table gives one. */
export type Outcome = { readonly kind: 'exit'; readonly code: number } | Failed;

export interface Failed {
  readonly kind: 'failed';
  readonly failure: Failure;
}

export function failed(failure: Failure): Failed {
  return { kind: 'failed', failure };
}
