import { cgroupTreeOf, eventsScopeOf } from '../snapshot/probe-cgroups.ts';
import type { SnapshotCgroup } from '../snapshot/snapshot.ts';

/** What templates/sampler.sh told, one thing after the other. Times are milliseconds since the host's boot. */
export type SamplerEvent =
  | { readonly kind: 'host'; readonly facts: HostFacts }
  /** Limits, peaks and rejected forks of every cgroup. */
  | {
      readonly kind: 'counters';
      readonly at: number;
      readonly cgroups: readonly SnapshotCgroup[];
      readonly eventsScope: 'forking' | 'limiting';
    }
  | {
      readonly kind: 'sample';
      readonly at: number;
      /** Cgroup paths with their tasks, those that may have changed; null: the cgroup is gone. */
      readonly changes: readonly (readonly [path: string, tasks: number | null])[];
      /** Tasks on the whole kernel. */
      readonly kernelTasks: number | null;
    }
  /** The sampler came to its own end. */
  | { readonly kind: 'end' };

export interface HostFacts {
  readonly hostname: string;
  readonly machineId: string | null;
  readonly bootId: string | null;
  readonly pidMax: number | null;
  readonly threadsMax: number | null;
  readonly intervalMs: number;
  /** The host's clock at the time `bootMs`, milliseconds since 1970. */
  readonly clockMs: number;
  readonly bootMs: number;
  /** Null: the host has no pids controller, and there is nothing to measure. */
  readonly pidsRoot: string | null;
}

/** The largest frame taken from a host, bytes: the counters of some 100,000 cgroups. */
const MAX_FRAME = 32 * 1024 * 1024;
const MAX_HEADER = 64;
/** What may stand before the first line, such as a banner. */
const MAX_NOISE = 64 * 1024;
const MAGIC = Buffer.from('tasksctl-sampler 1\n');
const HEADER = /^@([a-z-]{1,32}) ([0-9]{1,10})$/;
const NEWLINE = 0x0a;
const SUFFIX = '/pids.current';

interface Group {
  readonly path: string;
  /** Paths of the units right below it, in the order of their counts. */
  units: string[];
}

/**
 * Reads the frames of templates/sampler.sh as they come. They are of a host, so anything at all: nothing throws; from
 * the first thing on that is no frame the rest is ignored, and `malformed` is true.
 */
export class SamplerStream {
  malformed = false;
  #rest: Buffer = Buffer.alloc(0);
  #started = false;
  readonly #texts = new Map<string, string>();
  #told = false;
  readonly #groups = new Map<string, Group>();
  /** Of cgroups that went away since the last sample. */
  #gone: string[] = [];

  /** Takes bytes and gives what is complete with them. */
  push(chunk: Uint8Array): SamplerEvent[] {
    if (this.malformed) return [];
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    if (!this.#started) {
      const at = this.#rest.indexOf(MAGIC);
      if (at < 0) {
        this.malformed = this.#rest.length > MAX_NOISE;
        return [];
      }
      this.#started = true;
      this.#rest = this.#rest.subarray(at + MAGIC.length);
    }
    const events: SamplerEvent[] = [];
    for (let frame = this.#frame(); frame !== null; frame = this.#frame()) {
      const event = this.#event(frame.name, frame.payload);
      if (event !== null) events.push(...event);
    }
    return events;
  }

  /** The next whole frame, taken off `#rest`; null where more bytes are needed, or none will help. */
  #frame(): { readonly name: string; readonly payload: string } | null {
    const lineEnd = this.#rest.subarray(0, MAX_HEADER).indexOf(NEWLINE);
    if (lineEnd < 0) {
      if (this.#rest.length >= MAX_HEADER) this.malformed = true;
      return null;
    }
    const [, name, digits] = HEADER.exec(this.#rest.toString('latin1', 0, lineEnd)) ?? [];
    const length = Number(digits);
    if (name === undefined || length > MAX_FRAME) {
      this.malformed = true;
      return null;
    }
    const start = lineEnd + 1;
    if (this.#rest.length <= start + length) return null;
    // The newline after the payload is not part of it: it tells a right length from a wrong one.
    if (this.#rest[start + length] !== NEWLINE) {
      this.malformed = true;
      return null;
    }
    const payload = this.#rest.toString('utf8', start, start + length);
    this.#rest = this.#rest.subarray(start + length + 1);
    return { name, payload };
  }

  #event(name: string, payload: string): SamplerEvent[] | null {
    const [first = '', ...lines] = payload.split('\n');
    switch (name) {
      case 'pids-root':
        this.#texts.set(name, payload);
        this.#told = true;
        return [{ kind: 'host', facts: hostFactsOf(this.#texts) }];
      case 'counters': {
        const at = msOf(first);
        if (at === null) return null;
        const cgroups = cgroupTreeOf(lines);
        const eventsScope = eventsScopeOf((this.#texts.get('mounts') ?? '').split('\n'), cgroups);
        return [{ kind: 'counters', at, cgroups, eventsScope }];
      }
      case 'group': {
        const [, id, path] = /^([0-9]{1,9}) (.+)$/s.exec(payload) ?? [];
        if (id !== undefined && path !== undefined) this.#groups.set(id, { path: below(path), units: [] });
        return null;
      }
      case 'list':
        this.#list(first, payload.slice(first.length + 1));
        return null;
      case 'gone': {
        const group = this.#groups.get(first);
        if (group !== undefined) this.#gone.push(group.path, ...group.units);
        this.#groups.delete(first);
        return null;
      }
      case 's':
        return this.#sample(first, lines);
      case 'end':
        return [{ kind: 'end' }];
      default:
        if (!this.#told) this.#texts.set(name, payload);
        return null;
    }
  }

  #list(id: string, text: string): void {
    const group = this.#groups.get(id);
    if (group === undefined) return;
    // No name has a slash in it, though it may have a newline: so this ends each path and nothing else.
    const units = `${text}\n`.split(`${SUFFIX}\n`).slice(0, -1).map(below);
    const now = new Set(units);
    this.#gone.push(...group.units.filter((unit) => !now.has(unit)));
    group.units = units;
  }

  #sample(first: string, lines: readonly string[]): SamplerEvent[] | null {
    const [clock = '', load = ''] = first.split(' ');
    const at = msOf(clock);
    if (at === null) return null;
    const changes = new Map<string, number | null>();
    for (const path of this.#gone) changes.set(path, null);
    this.#gone = [];
    for (const line of lines) {
      const [id = '', how, own = '', ...counts] = line.split(' ');
      const group = this.#groups.get(id);
      if (group === undefined) continue;
      const slice = countOf(own);
      if (slice !== null) changes.set(group.path, slice);
      for (const [i, text] of counts.entries()) {
        const [index, count] = how === 'h' ? text.split(':') : [String(i + 1), text];
        const unit = group.units[Number(index) - 1];
        if (unit === undefined || count === '.' || count === undefined) continue;
        changes.set(unit, countOf(count));
      }
    }
    const kernelTasks = countOf(load.split('/')[1] ?? '');
    return [{ kind: 'sample', at, changes: [...changes], kernelTasks }];
  }
}

/** `./system.slice/a.service` as a cgroup's path below systemd's root. */
function below(path: string): string {
  return path === '.' ? '/' : path.slice(1);
}

function countOf(text: string): number | null {
  return /^[0-9]{1,10}$/.test(text) ? Number(text) : null;
}

/** Hundredths of a second as milliseconds. */
function msOf(text: string): number | null {
  return /^[0-9]{1,12}$/.test(text) ? Number(text) * 10 : null;
}

function hostFactsOf(texts: ReadonlyMap<string, string>): HostFacts {
  const facts = new Map(
    (texts.get('facts') ?? '').split('\n').map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1)];
    }),
  );
  const [boot = '', interval = '', clock = ''] = (texts.get('clock') ?? '').split(' ');
  const clockMs = Date.parse(clock);
  return {
    hostname: facts.get('/proc/sys/kernel/hostname') ?? '',
    machineId: /^[0-9a-f]{32}$/.exec(facts.get('/etc/machine-id') ?? '')?.[0] ?? null,
    bootId: /^[0-9a-f-]{36}$/.exec(facts.get('/proc/sys/kernel/random/boot_id') ?? '')?.[0] ?? null,
    pidMax: countOf(facts.get('/proc/sys/kernel/pid_max') ?? ''),
    threadsMax: countOf(facts.get('/proc/sys/kernel/threads-max') ?? ''),
    intervalMs: msOf(interval) ?? 1000,
    clockMs: Number.isFinite(clockMs) ? clockMs : 0,
    bootMs: msOf(boot) ?? 0,
    pidsRoot: texts.get('pids-root') || null,
  };
}
