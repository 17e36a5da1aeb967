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
