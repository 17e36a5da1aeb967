import type { HostUse } from './use.ts';

/** How many tasks one unit had, in order: from the time on, so many. Times are milliseconds. */
export interface UnitTrace {
  /** The unit, or the pattern that it is one of. */
  readonly unit: string;
  readonly points: readonly (readonly [at: number, tasks: number])[];
}

/** What a limit would have done to a unit (of a pattern: to each one of it). */
export interface UnitBacktest {
  readonly unit: string;
  readonly limit: bigint;
  readonly peak: number;
  /** Tasks that could not have been created. From a profile alone it is only known that there were at least so many. */
  readonly rejections: number;
  readonly exact: boolean;
  /** For how long there were more tasks than the limit allows, milliseconds; of histograms up to 5 % off. */
  readonly overMs: number;
  /** limit - peak: negative where it is too low. */
  readonly headroom: bigint;
  /** limit / peak; null where nothing ever ran. */
  readonly factor: number | null;
  /** A limit of then cut off what was measured, so there may have been need for more. */
  readonly truncated: boolean;
}

/** What a set of limits, such as those of a policy, would have done. */
export interface Backtest {
  readonly name: string;
  readonly units: readonly UnitBacktest[];
  /** Units of which at least one task could not have been created. */
  readonly hit: number;
  readonly rejections: number;
  readonly exact: boolean;
  /** Half of the units have a larger factor than this; null where nothing ran. */
  readonly medianFactor: number | null;
  readonly largestFactor: number | null;
}

/**
 * Replays what was measured against limits. `limitOf` gives the limit of a unit or pattern, null where it is to have none.
 * `traces` has the order of what happened where it is known; units that are not in it are judged by their histograms.
 */
export function backtest(
  name: string,
  hosts: readonly HostUse[],
  traces: readonly UnitTrace[],
  limitOf: (unit: string) => bigint | null,
): Backtest {
  const byUnit = new Map<string, UnitTrace[]>();
  for (const trace of traces) {
    const known = byUnit.get(trace.unit);
    if (known === undefined) byUnit.set(trace.unit, [trace]);
    else known.push(trace);
  }
  const units = new Map<string, UnitBacktest>();
  for (const host of hosts) {
    for (const use of host.units) {
      const limit = limitOf(use.unit);
      if (limit === null) continue;
      const most = Number(limit);
      const before = units.get(use.unit);
      const peak = Math.max(use.peak, before?.peak ?? 0);
      const over = use.histogram.reduce((sum, [tasks, ms]) => (tasks > most ? sum + ms : sum), 0);
      const own = byUnit.get(use.unit);
      const rejections =
        own === undefined
          ? (before?.rejections ?? 0) + Math.max(0, use.peak - most)
          : own.reduce((sum, trace) => sum + rejectionsOf(trace, most), 0);
      units.set(use.unit, {
        unit: use.unit,
        limit,
        peak,
        rejections,
        exact: own !== undefined,
        overMs: over + (before?.overMs ?? 0),
        headroom: limit - BigInt(peak),
        factor: peak === 0 ? null : most / peak,
        truncated: (use.rejections ?? 0) > 0 || before?.truncated === true,
      });
    }
  }
  const rows = [...units.values()].sort(
    (a, b) => b.rejections - a.rejections || (b.factor ?? 0) - (a.factor ?? 0) || (a.unit < b.unit ? -1 : 1),
  );
  const factors = rows.flatMap(({ factor }) => (factor === null ? [] : [factor])).sort((a, b) => a - b);
  return {
    name,
    units: rows,
    hit: rows.filter(({ rejections }) => rejections > 0).length,
    rejections: rows.reduce((sum, row) => sum + row.rejections, 0),
    exact: rows.every(({ exact, rejections }) => exact || rejections === 0),
    medianFactor: factors[Math.floor((factors.length - 1) / 2)] ?? null,
    largestFactor: factors.at(-1) ?? null,
  };
}

/** Tasks of a trace's rises that are over the limit: those are what the kernel would have refused. */
function rejectionsOf({ points }: UnitTrace, limit: number): number {
  let rejections = 0;
  let before = 0;
  for (const [, tasks] of points) {
    rejections += Math.max(0, tasks - Math.max(limit, before));
    before = tasks;
  }
  return rejections;
}
