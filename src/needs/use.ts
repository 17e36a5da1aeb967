/**
 * Measured use as the recommender takes it. A profile file has exactly this form (the schema is src/measure/profile.ts);
 * it is said here again as plain types because measuring and thinking about it are rooms of their own.
 */

/** One unit, or all of a pattern such as `user-.slice` together. */
export interface UnitUse {
  readonly unit: string;
  /** How long there were at most so many tasks (and more than in the entry before), milliseconds. Ascending. */
  readonly histogram: readonly (readonly [tasks: number, ms: number])[];
  /** The most tasks any one of them had. */
  readonly peak: number;
  /** The peak is the kernel's own, so nothing between two samples was missed. */
  readonly peakByKernel: boolean;
  /** Forks that were rejected there in the window; null: this kernel does not count them. */
  readonly rejections: number | null;
  /** The highest limit of its own at which forks were rejected, or that was reached; null: none. */
  readonly reached: number | null;
  /** Tasks per second at the steepest rise between two samples. */
  readonly burst: number;
  /** How many of the pattern there were at once, at most; 1 for a unit. */
  readonly instances: number;
  /** Of a pattern: the instances with the highest peaks, highest first. */
  readonly members?: readonly (readonly [unit: string, peak: number])[] | undefined;
}

/** What was measured on one host. */
export interface HostUse {
  readonly hostname: string;
  /** Time that was measured, milliseconds; less than from the first to the last sample where there are gaps. */
  readonly measuredMs: number;
  /** The longest time between two samples that was asked for, milliseconds. */
  readonly intervalMs: number;
  readonly kernel: {
    readonly pidMax: number | null;
    readonly threadsMax: number | null;
    /** The most tasks that existed on the whole kernel. */
    readonly peak: number | null;
  };
  readonly units: readonly UnitUse[];
}

/** The least number of tasks that was enough for `share` (hundredths of a percent) of the time; 0 without samples. */
export function percentile({ histogram, peak }: Pick<UnitUse, 'histogram' | 'peak'>, share: bigint): number {
  let total = 0;
  for (const [, ms] of histogram) total += ms;
  const enough = (total * Number(share)) / 10_000;
  let sum = 0;
  for (const [tasks, ms] of histogram) {
    sum += ms;
    // The upper end of a bucket may be above what was ever there.
    if (sum >= enough) return Math.min(tasks, peak);
  }
  return total === 0 ? 0 : peak;
}
