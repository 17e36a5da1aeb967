import type { SystemdCapabilities, TasksMaxKey } from './capabilities.ts';

/**
 * A value that a `TasksMax=`, `DefaultTasksMax=` or `UserTasksMax=` assignment can hold.
 *
 * A union, never a number with a magic value: a count of tasks, a fraction of the system's maximum
 * (`33%` is 33/100, `12.5‰` is 125/10000), or no limit.
 */
export type TasksMax =
  | { readonly kind: 'count'; readonly count: bigint }
  | { readonly kind: 'fraction'; readonly numerator: bigint; readonly denominator: bigint }
  | { readonly kind: 'infinity' };

/** A number of tasks a limit allows, after fractions were resolved. */
export type TaskCount = bigint | 'infinity';

/** What a value's text is read as: `unset` for an empty one that resets the setting, or why it is ignored. */
export type ParsedTasksMax =
  | { readonly ok: true; readonly value: TasksMax | 'unset' }
  | { readonly ok: false; readonly reason: string };

/** Kernel numbers that bound the number of tasks. */
export interface KernelTaskLimits {
  /** kernel.pid_max */
  readonly pidMax: bigint;
  /** kernel.threads-max */
  readonly threadsMax: bigint;
  /** pids.max of the cgroup systemd has as its root, where there is one (a container). */
  readonly rootPidsMax?: TaskCount;
}

/** Reads the text of a value as this systemd version reads it. */
export function parseTasksMax(
  _raw: string,
  _key: TasksMaxKey,
  _capabilities: SystemdCapabilities,
): ParsedTasksMax {
  throw new Error('not written yet');
}

/** The value as every version that accepts its kind reads it: `4096`, `33%`, `12.5%`, `infinity`. */
export function formatTasksMax(_value: TasksMax): string {
  throw new Error('not written yet');
}

/** The number of tasks a value allows where fractions are of `base` (`systemTasksMax`); rounded down as systemd does. */
export function resolveTasksMax(_value: TasksMax, _base: bigint): TaskCount {
  throw new Error('not written yet');
}

/** What systemd of this version takes fractions of. */
export function systemTasksMax(_limits: KernelTaskLimits, _capabilities: SystemdCapabilities): bigint {
  throw new Error('not written yet');
}

/** The lower of the two. */
export function minTaskCount(a: TaskCount, b: TaskCount): TaskCount {
  return compareTaskCount(a, b) <= 0 ? a : b;
}

/** Negative, zero or positive as `a` allows fewer, as many or more tasks than `b`. */
export function compareTaskCount(a: TaskCount, b: TaskCount): number {
  if (a === b) return 0;
  if (a === 'infinity') return 1;
  if (b === 'infinity') return -1;
  return a < b ? -1 : 1;
}
