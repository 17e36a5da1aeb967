import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupTreeOf, eventsScopeOf } from '../snapshot/probe-cgroups.ts';
import type { SamplerEvent } from './sampler-stream.ts';

/** The counters are read again soon after the first time, for measurements that are cut short, milliseconds. */
const FIRST_COUNTERS_MS = 10_000;
/** How often counters are read, and everything else whether or not it seems to have changed, milliseconds. */
const FULL_MS = 60_000;
const COUNTERS = ['pids.max', 'pids.peak', 'pids.events', 'pids.events.local'];
/** Types of unit that have a cgroup. */
const UNIT = /\.(?:service|scope|slice|socket|mount|swap)$/;

export interface LocalOptions {
  readonly durationMs: number;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: SamplerEvent) => void;
  /** Where systemd's root is in the hierarchy with the pids controller; found if left out. */
  readonly pidsRoot?: string;
}

/**
 * Samples this machine, as templates/sampler.sh does others, by reading the kernel's files; no process is started.
 * Ends when the time is over or the signal is aborted. A slice whose own count did not change is not looked into.
 */
export async function sampleLocal(options: LocalOptions): Promise<void> {
  const { intervalMs, signal, onEvent } = options;
  const started = performance.now();
  const mounts = lines('/proc/self/mountinfo').filter((line) => / - cgroup2? /.test(line));
  const pidsRoot = options.pidsRoot ?? findPidsRoot(mounts);
  const boot = bootMs();
  const at = (): number => Math.round(boot + performance.now() - started);
  onEvent({
    kind: 'host',
    facts: {
      hostname: line('/proc/sys/kernel/hostname'),
      machineId: line('/etc/machine-id') || null,
      bootId: line('/proc/sys/kernel/random/boot_id') || null,
      pidMax: number(line('/proc/sys/kernel/pid_max')),
      threadsMax: number(line('/proc/sys/kernel/threads-max')),
      intervalMs,
      clockMs: Date.now(),
      bootMs: boot,
      pidsRoot,
    },
  });
  if (pidsRoot === null) return;
  const counters = (): void => {
    const cgroups = cgroupTreeOf(readCounters(pidsRoot));
    onEvent({ kind: 'counters', at: at(), cgroups, eventsScope: eventsScopeOf(mounts, cgroups) });
  };
  const tree = new LocalTree(pidsRoot);
  counters();
  const begun = at();
  let nextFull = begun;
  let nextCounters = begun + FIRST_COUNTERS_MS;
  for (let due = begun; !signal.aborted && at() < begun + options.durationMs; ) {
    const now = at();
    const everything = now >= nextFull;
    if (everything) nextFull = now + FULL_MS;
    if (now >= nextCounters) {
      counters();
      nextCounters = now + FULL_MS;
    }
    const kernelTasks = number(/\/([0-9]+) /.exec(line('/proc/loadavg'))?.[1] ?? '');
    onEvent({ kind: 'sample', at: now, changes: tree.sample(everything), kernelTasks });
    // Late on a machine that is too busy: what was missed is not made up for.
    due = Math.max(due + intervalMs, at());
    await sleep(due - at(), null, { signal }).catch(() => {});
  }
  counters();
  if (!signal.aborted) onEvent({ kind: 'end' });
}

interface Slice {
  readonly path: string;
  own: number | null;
  units: Map<string, number | null>;
  slices: Map<string, Slice>;
}

/** The units of a host with their counts, as they were read last. */
class LocalTree {
  readonly #root: string;
  readonly #top: Slice = { path: '', own: null, units: new Map(), slices: new Map() };

  constructor(root: string) {
    this.#root = root;
  }

  /** Reads the tree, all of it or what may have changed, and gives the differences. */
  sample(everything: boolean): [string, number | null][] {
    const changes: [string, number | null][] = [];
    const pending = [this.#top];
    for (let slice = pending.pop(); slice !== undefined; slice = pending.pop()) {
      this.#slice(slice, everything, changes, pending);
    }
    return changes;
  }

  #slice(slice: Slice, everything: boolean, changes: [string, number | null][], pending: Slice[]): void {
    const units = new Map<string, number | null>();
    const slices = new Map<string, Slice>();
    for (const name of list(`${this.#root}${slice.path}`)) {
      const path = `${slice.path}/${name}`;
      const count = readCount(`${this.#root}${path}/pids.current`);
      if (count === null) continue;
      if (!name.endsWith('.slice')) {
        units.set(name, count);
        if (slice.units.get(name) !== count) changes.push([path, count]);
        continue;
      }
      const known = slice.slices.get(name);
      const below: Slice = known ?? { path, own: null, units: new Map(), slices: new Map() };
      slices.set(name, below);
      if (below.own === count && !everything) continue;
      if (below.own !== count) changes.push([path, count]);
      below.own = count;
      pending.push(below);
    }
    for (const name of slice.units.keys())
      if (!units.has(name)) changes.push([`${slice.path}/${name}`, null]);
    for (const [name, gone] of slice.slices) if (!slices.has(name)) leave(gone, changes);
    slice.units = units;
    slice.slices = slices;
  }
}

function leave(slice: Slice, changes: [string, number | null][]): void {
  const pending = [slice];
  for (let gone = pending.pop(); gone !== undefined; gone = pending.pop()) {
    changes.push([gone.path, null]);
    for (const name of gone.units.keys()) changes.push([`${gone.path}/${name}`, null]);
    pending.push(...gone.slices.values());
  }
}

const buffer = Buffer.alloc(64);

/** A file of one number; null where the cgroup is gone, or has no such file. */
function readCount(path: string): number | null {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return null;
  }
  try {
    return number(buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0)).trim());
  } catch {
    // ENODEV: it went away in between.
    return null;
  } finally {
    closeSync(file);
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => UNIT.test(name));
  } catch {
    return [];
  }
}

/** The counters of everything below, in the form that `grep -H` prints them. */
function readCounters(root: string): string[] {
  const rows: string[] = [];
  const pending = [''];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    for (const name of COUNTERS) {
      for (const row of lines(`${root}${path}/${name}`)) rows.push(`.${path}/${name}:${row}`);
    }
    try {
      for (const entry of readdirSync(`${root}${path}`, { withFileTypes: true })) {
        // A name with a line break would end a row; no unit has one.
        if (entry.isDirectory() && !entry.name.includes('\n')) pending.push(`${path}/${entry.name}`);
      }
    } catch {
      // Gone.
    }
  }
  return rows;
}

/** Where systemd's root is; the rules are those of templates/sampler.sh. */
function findPidsRoot(mounts: readonly string[]): string | null {
  const ofFirst = lines('/proc/1/cgroup').map((row) => /^[0-9]+:([^:]*):(.*)$/.exec(row) ?? []);
  const first =
    ofFirst.find(([, controllers = '']) => controllers.split(',').includes('pids')) ??
    ofFirst.find(([, controllers]) => controllers === '');
  const path = (first?.[2] ?? '').replace(/\/init\.scope$/, '').replace(/\/$/, '');
  for (const mount of mounts) {
    const [, , , root = '/', place = ''] = mount.split(' ');
    const v1 = / - cgroup .*[ ,]pids(?:,|$)/.test(mount);
    const v2 = / - cgroup2 /.test(mount) && line(`${place}/cgroup.controllers`).split(' ').includes('pids');
    if (!v1 && !v2) continue;
    const below = root !== '/' && path.startsWith(root) ? path.slice(root.length) : path;
    return isDirectory(place + below) ? place + below : place;
  }
  return null;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function bootMs(): number {
  return Math.round(Number(line('/proc/uptime').split(' ')[0]) * 1000) || 0;
}

function line(path: string): string {
  return lines(path)[0] ?? '';
}

/** Lines of a small file; none where it cannot be read. */
function lines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((row) => row !== '');
  } catch {
    return [];
  }
}

function number(text: string): number | null {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}
