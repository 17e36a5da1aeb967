import type { LimitRef } from '../snapshot/limits.ts';
import type { Provenance } from '../snapshot/provenance.ts';
import type { TaskCount } from '../systemd/tasks-max.ts';

/** The checks of the kernel's copy_process() that can refuse a fork. All but `memory` (ENOMEM) say EAGAIN. */
export type Cause =
  | 'pids-controller'
  | 'rlimit-nproc'
  | 'threads-max'
  | 'pid-max'
  | 'pid-namespace'
  | 'memory';

/** What refuses, or refused, forks. */
export type VerdictLimit =
  | LimitRef
  | { readonly kind: 'rlimit-nproc'; readonly uid: number }
  | { readonly kind: 'pid-namespace'; readonly inode: number }
  | { readonly kind: 'memory' };

/** One answer to the question why fork failed. Text of the host is in it raw: renderers escape it. */
export interface Verdict {
  readonly cause: Cause;
  /**
   * `certain`: the kernel counted or logged rejected forks, and only this limit can have been it. `likely`: it did and
   * this limit fits best, or the limit is full and nothing counts rejections. `possible`: it is nearly full.
   */
  readonly confidence: 'certain' | 'likely' | 'possible';
  /**
   * How the limit is now: `full`: the next fork fails; `nearly-full`; `was-full`: it has been, and has room now;
   * `raised-since`: whatever refused forks was lower than what is in force now.
   */
  readonly standing: 'full' | 'nearly-full' | 'was-full' | 'raised-since';
  readonly limit: VerdictLimit;
  /** The limit's name for people: `ci-runner.service`, `alice (uid 1000)`, `kernel.pid_max`. */
  readonly name: string;
  readonly value: TaskCount | null;
  /** Tasks that count against it now. */
  readonly used: number | null;
  /** Forks that were rejected, at least; null where nothing counts them. */
  readonly rejected: number | null;
  /** Where the value comes from. */
  readonly set: Provenance | null;
  /** What the verdict rests on, a sentence each. */
  readonly evidence: readonly string[];
  readonly remedy: Remedy | null;
}

/** What to do about a limit that is too low. */
export interface Remedy {
  /** The limit it would take; null where that is no number of tasks. */
  readonly count: number | null;
  /** How the number came about and what else has to be known, a sentence each. */
  readonly notes: readonly string[];
  /** A policy for `tasksctl plan`, as JSON; null where plan has no hand in such a limit. */
  readonly policy: Readonly<Record<string, unknown>> | null;
  /** Commands for a root shell on the host where there is no policy. */
  readonly commands: readonly (readonly string[])[];
}

/**
 * Room for half as much again, and for no fewer than 64 more, which plan keeps free for logins: what would have been
 * used at a limit that was hit is not known.
 */
export function raised(limit: number): number {
  const wanted = Math.max(Math.ceil(limit * 1.5), limit + 64);
  const step = wanted < 1024 ? 64 : wanted < 16_384 ? 256 : 1024;
  return Math.ceil(wanted / step) * step;
}
