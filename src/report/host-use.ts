import { patternOf } from '../measure/pattern-of.ts';
import { hostKey, type Profile } from '../measure/profile.ts';
import type { SamplerEvent } from '../measure/sampler-stream.ts';
import { unitTraces } from '../measure/unit-traces.ts';
import type { HostReport } from './host-report.ts';

/** What was measured on one host. */
export interface HostUse {
  readonly hostname: string;
  /** ISO 8601, by the host's clock. */
  readonly from: string;
  readonly to: string;
  /** Those nearest to their limit first. */
  readonly units: readonly UnitUse[];
}

export interface UnitUse {
  /** A unit, or the pattern of those that come and go. */
  readonly unit: string;
  readonly peak: number;
  readonly rejections: number | null;
  /** The lowest effective limit of such a unit in the host's snapshot; null: none, or there is no snapshot. */
  readonly limit: number | null;
  /** Pairs of tasks and milliseconds, ascending: for how long at most so many, and more than in the pair before. */
  readonly histogram: readonly (readonly [number, number])[];
  /** Milliseconds since 1970 and tasks, ascending; empty where the order of what happened is not known. */
  readonly series: readonly (readonly [number, number])[];
}

/** Points that are kept of a series: more are not to be told apart on a screen. */
export const MOST_POINTS = 240;

/** Profiles, with the series of those that came as samples, beside the limits of the hosts they were measured on. */
export function hostUses(
  profile: Profile,
  traces: readonly (readonly SamplerEvent[])[],
  hosts: readonly HostReport[],
): HostUse[] {
  const series = new Map<string, Map<string, [number, number][]>>();
  for (const events of traces) addSeries(series, events);
  return profile.hosts
    .map((host) => {
      const limits = limitsOf(hosts.find((one) => isSameHost(one, host)));
      const points = series.get(hostKey(host));
      const units = host.units.map(
        ({ unit, peak, rejections, histogram }): UnitUse => ({
          unit,
          peak,
          rejections,
          limit: limits.get(unit) ?? null,
          histogram,
          series: thin(
            (points?.get(unit) ?? []).sort(([a], [b]) => a - b),
            MOST_POINTS,
          ),
        }),
      );
      const share = ({ peak, limit }: UnitUse): number => (limit === null ? -1 : peak / Math.max(1, limit));
      units.sort((a, b) => share(b) - share(a) || b.peak - a.peak || (a.unit < b.unit ? -1 : 1));
      return { hostname: host.hostname, from: host.from, to: host.to, units };
    })
    .sort((a, b) => (a.hostname < b.hostname ? -1 : 1));
}

function isSameHost(
  report: HostReport,
  { machineId, hostname }: { readonly machineId: string | null; readonly hostname: string },
): boolean {
  return machineId === null ? report.hostname === hostname : report.machineId === machineId;
}

/** The lowest finite limit of each unit or pattern. */
function limitsOf(host: HostReport | undefined): Map<string, number> {
  const limits = new Map<string, number>();
  for (const { name, limit } of host?.rows ?? []) {
    if (limit === 'infinity') continue;
    const key = patternOf(name) ?? name;
    limits.set(key, Math.min(Number(limit), limits.get(key) ?? Number.POSITIVE_INFINITY));
  }
  return limits;
}

function addSeries(
  series: Map<string, Map<string, [number, number][]>>,
  events: readonly SamplerEvent[],
): void {
  const host = events.find((event) => event.kind === 'host');
  if (host === undefined) return;
  const { facts } = host;
  const units = series.get(hostKey(facts)) ?? new Map<string, [number, number][]>();
  series.set(hostKey(facts), units);
  for (const { unit, points } of unitTraces(events)) {
    const all = units.get(unit) ?? [];
    units.set(unit, all);
    for (const [at, tasks] of points) all.push([facts.clockMs + at - facts.bootMs, tasks]);
  }
}

/** At most so many points, each the highest of those it stands for: peaks are what matters. */
export function thin(
  points: readonly (readonly [number, number])[],
  most: number,
): (readonly [number, number])[] {
  const [first, last] = [points[0], points.at(-1)];
  if (points.length <= most || first === undefined || last === undefined) return [...points];
  const step = Math.max(1, (last[0] - first[0]) / (most - 1));
  const kept = new Map<number, readonly [number, number]>();
  for (const point of points) {
    const slot = Math.floor((point[0] - first[0]) / step);
    const highest = kept.get(slot);
    if (highest === undefined || point[1] > highest[1]) kept.set(slot, point);
  }
  return [...kept.values()];
}
