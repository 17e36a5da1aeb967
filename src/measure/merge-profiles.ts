import { compareBytes } from '../systemd/file-tree.ts';
import { topMembers } from './members.ts';
import { type HostProfile, hostKey, type Profile, type UnitProfile } from './profile.ts';

/**
 * Two profiles as one: hosts side by side, and of the same host the times added up. In whatever order and grouping
 * profiles are merged, the result is the same. The same profile twice counts twice.
 */
export function mergeProfiles(a: Profile, b: Profile): Profile {
  const hosts = joined(a.hosts, b.hosts, hostKey, mergeHosts);
  return { schema: a.schema, hosts };
}

/** A profile of nothing, which changes nothing where it is merged. */
export const EMPTY_PROFILE: Profile = { schema: 'tasksctl/profile/1', hosts: [] };

function mergeHosts(a: HostProfile, b: HostProfile): HostProfile {
  // Of what can only be one or the other, the later one counts.
  const later = laterFirst(a, b) <= 0 ? a : b;
  return {
    hostname: later.hostname,
    machineId: later.machineId,
    boots: [...new Set([...a.boots, ...b.boots])].sort(compareBytes),
    from: a.from < b.from ? a.from : b.from,
    to: a.to > b.to ? a.to : b.to,
    measuredMs: a.measuredMs + b.measuredMs,
    samples: a.samples + b.samples,
    intervalMs: Math.max(a.intervalMs, b.intervalMs),
    kernel: {
      pidMax: later.kernel.pidMax,
      threadsMax: later.kernel.threadsMax,
      peak: most(a.kernel.peak, b.kernel.peak),
    },
    units: joined(a.units, b.units, ({ unit }) => unit, mergeUnits),
  };
}

/** An order that is total over what is taken from the later one, so that it does not matter who comes first. */
function laterFirst(a: HostProfile, b: HostProfile): number {
  const key = ({ to, hostname, kernel }: HostProfile): string =>
    JSON.stringify([to, hostname, kernel.pidMax, kernel.threadsMax]);
  return compareBytes(key(b), key(a));
}

function mergeUnits(a: UnitProfile, b: UnitProfile): UnitProfile {
  const histogram = joined(
    a.histogram,
    b.histogram,
    ([tasks]) => tasks,
    ([tasks, ms], [, more]): [number, number] => [tasks, ms + more],
  );
  const members =
    a.members === undefined && b.members === undefined
      ? {}
      : { members: topMembers([...(a.members ?? []), ...(b.members ?? [])]) };
  return {
    unit: a.unit,
    histogram,
    peak: Math.max(a.peak, b.peak),
    peakByKernel: a.peakByKernel && b.peakByKernel,
    rejections:
      a.rejections === null
        ? b.rejections
        : b.rejections === null
          ? a.rejections
          : a.rejections + b.rejections,
    reached: most(a.reached, b.reached),
    burst: Math.max(a.burst, b.burst),
    instances: Math.max(a.instances, b.instances),
    ...members,
  };
}

function most(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b);
}

/** Two lists in the order of their keys, entries of one key merged. */
function joined<T, K extends string | number>(
  a: readonly T[],
  b: readonly T[],
  keyOf: (entry: T) => K,
  merge: (a: T, b: T) => T,
): T[] {
  const entries = new Map<K, T>();
  for (const entry of [...a, ...b]) {
    const known = entries.get(keyOf(entry));
    entries.set(keyOf(entry), known === undefined ? entry : merge(known, entry));
  }
  const inOrder = (x: K, y: K): number =>
    typeof x === 'number' && typeof y === 'number' ? x - y : compareBytes(String(x), String(y));
  return [...entries].sort(([x], [y]) => inOrder(x, y)).map(([, entry]) => entry);
}
