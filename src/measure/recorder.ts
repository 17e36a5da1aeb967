import type { SnapshotCgroup } from '../snapshot/snapshot.ts';
import { compareBytes } from '../systemd/file-tree.ts';
import { unitOfCgroup } from '../systemd/unit-name.ts';
import { bucketOf } from './buckets.ts';
import { MOST_MEMBERS, topMembers } from './members.ts';
import { patternOf } from './pattern-of.ts';
import type { HostProfile, UnitProfile } from './profile.ts';
import type { HostFacts, SamplerEvent } from './sampler-stream.ts';

/** A unit that there is now. */
export interface LiveUnit {
  readonly path: string;
  readonly unit: string;
  readonly tasks: number;
  /** The most there were, by the kernel where it tells. */
  readonly peak: number;
  /** pids.max; null: none, or not read yet. */
  readonly limit: number | null;
}

interface Live {
  readonly path: string;
  readonly unit: string;
  readonly entry: Entry;
  tasks: number;
  /** Since when there are so many. */
  since: number;
  sampledPeak: number;
  kernelPeak: number | null;
  limit: number | null;
}

/** What is kept of a unit or pattern. */
interface Entry {
  readonly isPattern: boolean;
  readonly histogram: Map<number, number>;
  readonly members: Map<string, number>;
  peak: number;
  peakByKernel: boolean;
  rejections: number;
  reached: number | null;
  burst: number;
  now: number;
  instances: number;
}

/**
 * Makes what was sampled on a host into its profile. A count stands for the time until the next sample, the last one for
 * one interval.
 */
export class Recorder {
  #facts: HostFacts | null = null;
  readonly #live = new Map<string, Live>();
  readonly #entries = new Map<string, Entry>();
  /** Rejected forks by cgroup, as they were counted last; null before the first counters. */
  #events: Map<string, number> | null = null;
  #tree: ReadonlyMap<string, SnapshotCgroup> = new Map();
  #countersAt = 0;
  #countsEvents = false;
  #kernelPeak: number | null = null;
  #first: number | null = null;
  #last = 0;
  #samples = 0;

  /** What the host said of itself; null before it did. */
  get facts(): HostFacts | null {
    return this.#facts;
  }

  get samples(): number {
    return this.#samples;
  }

  /** Time that was measured so far, milliseconds. */
  get measuredMs(): number {
    return this.#first === null ? 0 : this.#last - this.#first + (this.#facts?.intervalMs ?? 0);
  }

  take(event: SamplerEvent): void {
    switch (event.kind) {
      case 'host':
        this.#facts = event.facts;
        return;
      case 'sample':
        this.#sample(event);
        return;
      case 'counters':
        this.#counters(event);
        return;
      case 'end':
    }
  }

  /** The units there are now. */
  live(): LiveUnit[] {
    return [...this.#live.values()].map(({ path, unit, tasks, sampledPeak, kernelPeak, limit }) => {
      return { path, unit, tasks, peak: Math.max(sampledPeak, kernelPeak ?? 0), limit };
    });
  }

  /** What was measured so far; null where nothing was. */
  profile(): HostProfile | null {
    const facts = this.#facts;
    if (facts === null || this.#first === null) return null;
    const end = this.#last + facts.intervalMs;
    const peaksAreNew = this.#countersAt + facts.intervalMs >= this.#last;
    const missed = new Set<Entry>();
    for (const live of this.#live.values()) {
      this.#settle(live, end);
      if (!peaksAreNew || live.kernelPeak === null) missed.add(live.entry);
    }
    const iso = (at: number): string => new Date(facts.clockMs + at - facts.bootMs).toISOString();
    return {
      hostname: facts.hostname,
      machineId: facts.machineId,
      boots: facts.bootId === null ? [] : [facts.bootId],
      from: iso(this.#first),
      to: iso(this.#last),
      measuredMs: end - this.#first,
      samples: this.#samples,
      intervalMs: facts.intervalMs,
      kernel: { pidMax: facts.pidMax, threadsMax: facts.threadsMax, peak: this.#kernelPeak },
      units: [...this.#entries]
        .sort(([a], [b]) => compareBytes(a, b))
        .map(([unit, entry]) => this.#unitProfile(unit, entry, !missed.has(entry))),
    };
  }

  #unitProfile(unit: string, entry: Entry, peaksAreRead: boolean): UnitProfile {
    const { peak, reached, burst, instances } = entry;
    return {
      unit,
      histogram: [...entry.histogram].sort(([a], [b]) => a - b),
      peak,
      peakByKernel: entry.peakByKernel && peaksAreRead,
      rejections: this.#countsEvents ? entry.rejections : null,
      reached,
      burst,
      instances,
      ...(entry.isPattern ? { members: topMembers(entry.members) } : {}),
    };
  }

  #sample({ at, changes, kernelTasks }: SamplerEvent & { readonly kind: 'sample' }): void {
    // A clock that goes backwards is a host's nonsense.
    if (at < this.#last) return;
    const elapsed = at - this.#last;
    const first = this.#first === null;
    this.#first ??= at;
    this.#last = at;
    this.#samples += 1;
    if (kernelTasks !== null) this.#kernelPeak = Math.max(kernelTasks, this.#kernelPeak ?? 0);
    for (const [path, tasks] of changes) {
      if (tasks === null) {
        this.#leave(path, at);
        continue;
      }
      const known = this.#live.get(path);
      const before = known?.tasks ?? 0;
      const live = known ?? this.#enter(path, at);
      if (live === null) continue;
      if (tasks !== live.tasks) this.#settle(live, at);
      live.tasks = tasks;
      live.sampledPeak = Math.max(live.sampledPeak, tasks);
      this.#peak(live, tasks);
      if (live.limit !== null && tasks >= live.limit) reach(live.entry, live.limit);
      // What is there at the first sample did not start just now.
      if (!first && tasks > before) {
        live.entry.burst = Math.max(live.entry.burst, Math.ceil(((tasks - before) * 1000) / elapsed));
      }
    }
  }

  #enter(path: string, at: number): Live | null {
    const unit = unitAt(path);
    if (unit === null) return null;
    const pattern = patternOf(unit);
    const entry = this.#entry(pattern ?? unit, pattern !== null);
    entry.now += 1;
    entry.instances = Math.max(entry.instances, entry.now);
    const live: Live = {
      path,
      unit,
      entry,
      tasks: 0,
      since: at,
      sampledPeak: 0,
      kernelPeak: null,
      limit: null,
    };
    this.#live.set(path, live);
    this.#limits(live);
    return live;
  }

  /** Takes over what the last counters say of a unit. */
  #limits(live: Live): void {
    const cgroup = this.#tree.get(live.path);
    if (cgroup === undefined) return;
    const { max, peak } = cgroup;
    live.limit = typeof max === 'number' ? max : null;
    if (peak === undefined) return;
    live.kernelPeak = peak;
    this.#peak(live, peak);
    if (live.limit !== null && peak >= live.limit) reach(live.entry, live.limit);
  }

  #leave(path: string, at: number): void {
    const live = this.#live.get(path);
    if (live === undefined) return;
    this.#settle(live, at);
    live.entry.now -= 1;
    // The kernel's peak went with it, and may have risen since it was read.
    live.entry.peakByKernel = false;
    this.#live.delete(path);
  }

  /** Puts the time a count has stood for into the histogram. */
  #settle(live: Live, until: number): void {
    const ms = until - live.since;
    if (ms <= 0) return;
    const bucket = bucketOf(live.tasks);
    live.entry.histogram.set(bucket, (live.entry.histogram.get(bucket) ?? 0) + ms);
    live.since = until;
  }

  #peak({ entry, unit }: Live, tasks: number): void {
    entry.peak = Math.max(entry.peak, tasks);
    if (!entry.isPattern) return;
    entry.members.set(unit, Math.max(tasks, entry.members.get(unit) ?? 0));
    if (entry.members.size <= 8 * MOST_MEMBERS) return;
    const kept = topMembers(entry.members);
    entry.members.clear();
    for (const [member, peak] of kept) entry.members.set(member, peak);
  }

  #entry(name: string, isPattern: boolean): Entry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = {
        isPattern,
        histogram: new Map(),
        members: new Map(),
        peak: 0,
        peakByKernel: true,
        rejections: 0,
        reached: null,
        burst: 0,
        now: 0,
        instances: 0,
      };
      this.#entries.set(name, entry);
    }
    return entry;
  }

  #counters({ at, cgroups, eventsScope }: SamplerEvent & { readonly kind: 'counters' }): void {
    const before = this.#events;
    const events = new Map<string, number>();
    this.#tree = new Map(cgroups.map((cgroup) => [cgroup.path, cgroup]));
    this.#countersAt = at;
    for (const live of this.#live.values()) this.#limits(live);
    for (const cgroup of cgroups) {
      const { path } = cgroup;
      const count = eventsScope === 'limiting' ? (cgroup.eventsLocal ?? cgroup.events) : cgroup.events;
      if (count === undefined) continue;
      events.set(path, count);
      if (before === null) continue;
      this.#countsEvents = true;
      const old = before.get(path) ?? 0;
      // Made anew since, the cgroup counts from zero again.
      const rejected = count >= old ? count - old : count;
      if (rejected > 0) this.#blame(path, rejected, eventsScope);
    }
    this.#events = events;
  }

  /**
   * Puts rejected forks down to units. Where the kernel counts them at the cgroup that forked, the limit that was hit is
   * not told: then the lowest on the way up is taken to be it, and all below it could not get what they needed.
   */
  #blame(path: string, rejected: number, eventsScope: 'forking' | 'limiting'): void {
    const chain = eventsScope === 'limiting' ? [path] : chainOf(path);
    let limiting: { readonly path: string; readonly max: number } | null = null;
    for (const at of chain) {
      const max = this.#tree.get(at)?.max;
      if (typeof max === 'number' && (limiting === null || max < limiting.max)) limiting = { path: at, max };
    }
    const refused = limiting === null ? [path] : chain.slice(0, chain.indexOf(limiting.path) + 1);
    const entries = new Set<Entry>();
    for (const at of refused) {
      const name = unitAt(at);
      if (name === null) continue;
      const pattern = patternOf(name);
      entries.add(this.#entry(pattern ?? name, pattern !== null));
    }
    for (const entry of entries) entry.rejections += rejected;
    const name = limiting === null ? null : unitAt(limiting.path);
    if (limiting !== null && name !== null) reach(this.#entry(patternOf(name) ?? name, false), limiting.max);
  }
}

function reach(entry: Entry, limit: number): void {
  entry.reached = Math.max(limit, entry.reached ?? 0);
}

/** The unit whose own cgroup this is; null for the root and for cgroups below a unit. */
export function unitAt(path: string): string | null {
  const unit = unitOfCgroup(path);
  if (unit === null || path === '/') return null;
  const last = path.slice(path.lastIndexOf('/') + 1);
  return last === unit || last === `_${unit}` ? unit : null;
}

/** A cgroup and all above it, without the root. */
function chainOf(path: string): string[] {
  const chain: string[] = [];
  for (let at = path; at !== '' && at !== '/'; at = at.slice(0, at.lastIndexOf('/'))) chain.push(at);
  return chain;
}
