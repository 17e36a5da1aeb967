import { z } from 'zod';
import type { FailedFork } from '../diagnose/parse-trace.ts';

/** What `tasksctl trace --json` prints when the time is over. Fields may be added under `tasksctl/trace/1`. */

const refusal = z.enum([
  'pids-controller',
  'rlimit-nproc',
  'threads-max',
  'pid-max',
  'memory',
  'security-module',
  'sched-deadline',
  'unknown',
]);

export const traceSchema = z.strictObject({
  schema: z.literal('tasksctl/trace/1'),
  target: z.string(),
  forks: z
    .array(
      z.strictObject({
        at: z.string().nullable(),
        pid: z.number().int(),
        comm: z.string(),
        uid: z.number().int().nullable(),
        cgroup: z.string().nullable(),
        errno: z.string(),
        refusedBy: refusal,
      }),
    )
    .describe('Failed forks in the order they happened, at most 100000'),
  counts: z.array(
    z.strictObject({
      refusedBy: refusal,
      cgroup: z.string().nullable(),
      uid: z.number().int().nullable(),
      count: z.number().int(),
    }),
  ),
  total: z.number().int(),
  lost: z.number().int().describe('Events that came too fast for the kernel to keep'),
  absent: z.array(z.string()).describe('Checks that cannot be watched on this kernel'),
  complete: z.boolean().describe('false: interrupted or cut off before the time was over'),
});

export type TraceJson = z.infer<typeof traceSchema>;

/** Forks kept one by one; the rest is counted. */
export const KEPT_FORKS = 100_000;

/** What was seen, by who was refused by what; the most first. */
export class TraceSummary {
  readonly forks: FailedFork[] = [];
  total = 0;
  lost = 0;
  absent: readonly string[] = [];
  readonly #counts = new Map<string, TraceJson['counts'][number]>();

  add(fork: FailedFork): void {
    const { refusedBy, cgroup, uid } = fork;
    this.total += 1;
    if (this.forks.length < KEPT_FORKS) this.forks.push(fork);
    const key = JSON.stringify([refusedBy, cgroup, uid]);
    const known = this.#counts.get(key);
    if (known === undefined) this.#counts.set(key, { refusedBy, cgroup, uid, count: 1 });
    else known.count += 1;
  }

  get counts(): TraceJson['counts'] {
    return [...this.#counts.values()].sort((a, b) => b.count - a.count);
  }
}

export function traceJson(target: string, summary: TraceSummary, complete: boolean): TraceJson {
  const { forks, counts, total, lost, absent } = summary;
  return {
    schema: 'tasksctl/trace/1',
    target,
    forks: forks.map((fork) => ({ ...fork })),
    counts,
    total,
    lost,
    absent: [...absent],
    complete,
  };
}
