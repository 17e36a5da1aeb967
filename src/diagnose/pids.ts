import type { HostLimits, LimitRef, UnitLimit } from '../snapshot/limits.ts';
import { describeProvenance } from '../snapshot/provenance.ts';
import type { Snapshot, SnapshotCgroup } from '../snapshot/snapshot.ts';
import { unitOfCgroup } from '../systemd/unit-name.ts';
import { concerns, type Focus, isAtOrBelow } from './focus.ts';
import { type RejectionLine, rejectionLines } from './kernel-log.ts';
import { userName } from './nproc.ts';
import { type Remedy, raised, type Verdict } from './verdict.ts';

/** A limit that forks were rejected by, or that is full, with everything that speaks for it. */
interface Suspect {
  readonly level: Level;
  /** At least so many forks; null: logged, but in no counter any more. */
  rejected: number | null;
  /** Where those were that were rejected, with how many. */
  readonly forkers: Map<string, number>;
  readonly lines: RejectionLine[];
  sure: boolean;
  /** No limit that is in force now can have rejected them. */
  raised: boolean;
}

/** A cgroup on the way up. */
interface Level {
  readonly path: string;
  readonly row: UnitLimit | null;
  readonly max: number | null;
  readonly current: number | null;
  readonly peak: number | null;
}

/**
 * What the pids controller rejected, or is about to, at which limit. Which cgroup counts a rejected fork depends on the
 * kernel (`eventsScope`): since 6.11 on cgroup v2 the one whose limit was hit and those above it; before, and on v1,
 * the one in which the task was that forked, so that the limit has to be found on the way up from there.
 */
export function pidsVerdicts(snapshot: Snapshot, limits: HostLimits, focus: Focus): Verdict[] {
  const tree = new Tree(snapshot, limits);
  const suspects = new Map<string, Suspect>();
  const suspect = (level: Level): Suspect => {
    let found = suspects.get(level.path);
    if (found === undefined) {
      found = { level, rejected: null, forkers: new Map(), lines: [], sure: false, raised: false };
      suspects.set(level.path, found);
    }
    return found;
  };
  const accuse = ({ level, sure, raised }: Culprit, path: string, rejected: number | null): Suspect => {
    const found = suspect(level);
    // Who was rejected before the limit was raised takes nothing away from who is rejected now.
    found.raised = raised && (found.rejected === null || found.raised);
    found.sure ||= sure;
    if (rejected !== null) {
      found.rejected = (found.rejected ?? 0) + rejected;
      found.forkers.set(path, rejected);
    }
    return found;
  };

  const lines = rejectionLines(snapshot);
  const linesOf = (path: string) => lines.filter(({ cgroup }) => cgroup === path);
  const limiting = snapshot.cgroups.eventsScope === 'limiting';
  for (const { path, events = 0, eventsLocal = 0 } of snapshot.cgroups.tree) {
    if (limiting) {
      if (eventsLocal === 0) continue;
      const level = tree.level(path);
      accuse({ level, sure: true, raised: !wasReached(level) }, path, eventsLocal);
    } else if (events > 0) {
      accuse(tree.culprit(path), path, events).lines.push(...linesOf(path));
    }
  }
  for (const line of lines) {
    const { cgroup } = line;
    if (!limiting && (tree.at(cgroup)?.events ?? 0) > 0) continue;
    // The log of a container is the machine's: without a counter of its own a line may be of anybody.
    if (snapshot.host.container && tree.at(cgroup) === undefined) continue;
    const counted = limiting ? tree.chain(cgroup).find(({ path }) => suspects.has(path)) : undefined;
    if (counted !== undefined) suspect(counted).lines.push(line);
    else accuse({ ...tree.culprit(cgroup), sure: false }, cgroup, null).lines.push(line);
  }
  // Full, though nothing was rejected yet, or nothing counts it.
  for (const { path } of snapshot.cgroups.tree) {
    const level = tree.level(path);
    if (isFull(level)) suspect(level);
  }
  const relevant = [...suspects.values()].filter(({ level }) => concerns(focus, level.path));
  return relevant.map((found) => verdictOf(snapshot, tree, found, focus));
}

interface Culprit {
  readonly level: Level;
  readonly sure: boolean;
  readonly raised: boolean;
}

class Tree {
  readonly #cgroups: ReadonlyMap<string, SnapshotCgroup>;
  readonly #rows: ReadonlyMap<string, UnitLimit>;
  readonly #units: ReadonlyMap<string, UnitLimit>;

  constructor({ cgroups }: Snapshot, { units }: HostLimits) {
    this.#cgroups = new Map(cgroups.tree.map((cgroup) => [cgroup.path, cgroup]));
    this.#rows = new Map(units.flatMap((row) => (row.cgroup === null ? [] : [[row.cgroup, row]])));
    this.#units = new Map(units.flatMap((row) => (row.type === 'cgroup' ? [] : [[row.name, row]])));
  }

  at(path: string): SnapshotCgroup | undefined {
    return this.#cgroups.get(path);
  }

  level(path: string): Level {
    const cgroup = this.at(path);
    const row = this.#rows.get(path) ?? null;
    if (cgroup === undefined) {
      // The cgroup is gone, its unit may still be known: what its files say is what the next one gets.
      const name = unitOfCgroup(path);
      const unit = name !== null && path.endsWith(`/${name}`) ? this.#units.get(name) : undefined;
      const count = unit?.configured?.count ?? unit?.manager ?? null;
      const max = count === null || count === 'infinity' ? null : Number(count);
      return { path, row: unit ?? null, max, current: null, peak: null };
    }
    const { max, current = null, peak = null } = cgroup;
    return { path, row, max: max === undefined || max === 'max' ? null : max, current, peak };
  }

  /** The cgroup and those above it, also where it is gone. */
  chain(path: string): Level[] {
    const levels: Level[] = [];
    for (let at = path; at !== ''; at = at === '/' ? '' : at.slice(0, at.lastIndexOf('/')) || '/') {
      levels.push(this.level(at));
    }
    return levels;
  }

  /** The limit that a task in the cgroup at `path` met, as far as it can be told afterwards. */
  culprit(path: string): Culprit {
    const chain = this.chain(path);
    const limited = chain.filter(({ max }) => max !== null);
    // pids_try_charge() goes upwards and stops at the first that is full.
    const full = limited.filter(isFull);
    const reached = limited.filter(({ peak, max }) => peak !== null && max !== null && peak >= max);
    const known = limited.every(({ peak }) => peak !== null);
    const [nearest] = full.length > 0 ? full : reached;
    if (nearest !== undefined) {
      const only = full.length > 0 ? full.length === 1 : reached.length === 1 && known;
      return { level: nearest, sure: only, raised: false };
    }
    const lowest = limited.reduce<Level | null>(
      (least, level) => (least?.max == null || (level.max ?? 0) < least.max ? level : least),
      null,
    );
    const self = this.level(path);
    // Where no cgroup was read nothing can be said of what is in force now.
    if (lowest === null) return { level: self, sure: false, raised: this.#cgroups.size > 0 };
    // With peaks of them all below their limits, it was a limit that is not in force any more.
    return { level: lowest, sure: false, raised: known };
  }
}

function isFull({ max, current }: Level): boolean {
  return max !== null && current !== null && current >= max;
}

/** The limit in force now has been reached, as far as is known. */
function wasReached({ max, peak, current }: Level): boolean {
  return max !== null && (peak === null || Math.max(peak, current ?? 0) >= max);
}

function verdictOf(snapshot: Snapshot, tree: Tree, found: Suspect, focus: Focus): Verdict {
  const { level, rejected, lines } = found;
  const full = isFull(level);
  const { row, path } = level;
  const ref: LimitRef = row?.ref ?? { kind: 'cgroup', path };
  const name = nameOf(ref);
  const standing = full ? 'full' : found.raised ? 'raised-since' : 'was-full';
  const proven = rejected !== null || lines.length > 0;
  const counts = snapshot.cgroups.tree.some(({ events }) => events !== undefined);
  return {
    cause: 'pids-controller',
    confidence: proven
      ? found.sure && !found.raised && othersFree(found, focus)
        ? 'certain'
        : 'likely'
      : counts
        ? 'possible'
        : 'likely',
    standing,
    limit: ref,
    name,
    value: level.max === null ? (row === null || row.live === null ? null : row.live) : BigInt(level.max),
    used: level.current,
    rejected,
    set: row?.configured?.provenance ?? null,
    evidence: evidenceOf(snapshot, found, full),
    remedy: standing === 'raised-since' || level.max === null ? null : remedyOf(snapshot, tree, level, ref),
  };
}

/** Forks in focus were among those rejected, or would be now. */
function othersFree({ level, forkers, lines }: Suspect, { cgroups }: Focus): boolean {
  if (cgroups === null || isFull(level)) return true;
  const paths = [...forkers.keys(), ...lines.map(({ cgroup }) => cgroup)];
  return paths.some((path) => cgroups.some((above) => isAtOrBelow(path, above) || path === level.path));
}

function nameOf(ref: LimitRef): string {
  return ref.kind === 'unit' ? ref.unit : ref.kind === 'cgroup' ? ref.path : ref.kind;
}

/** Cgroups named in a sentence; the rest is counted. */
const NAMED = 3;

function evidenceOf(snapshot: Snapshot, found: Suspect, full: boolean): string[] {
  const { level, rejected, forkers, lines } = found;
  const sentences: string[] = [];
  if (level.max !== null && level.current !== null) {
    const peak = level.peak === null ? '' : `, at most ${level.peak} at once so far`;
    const more = level.current - level.max;
    const so = full ? (more > 0 ? `; ${more} too many: the limit was lowered` : ': no room') : '';
    sentences.push(`${level.current} of ${level.max} tasks${peak}${so}`);
  }
  const row = level.row?.configured;
  if (row != null && level.max !== null && row.count !== BigInt(level.max)) {
    sentences.push(
      `pids.max is ${level.max}, while the files come to ${row.count} (${describeProvenance(row.provenance)}): a change was not applied, or made by hand`,
    );
  }
  if (rejected !== null) {
    const own = forkers.size === 1 && forkers.has(level.path);
    const where = [...forkers].sort(([, a], [, b]) => b - a);
    const names = where.slice(0, NAMED).map(([path, count]) => `${path} (${count})`);
    const more = where.length - names.length;
    sentences.push(
      `${rejected} ${rejected === 1 ? 'fork' : 'forks'} rejected since its cgroup was made (pids.events)${own ? '' : `, of tasks in ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`}`,
    );
  } else if (full && lines.length === 0) {
    sentences.push('no rejected fork was counted so far: the next one will be');
  }
  const sorted = [...lines].sort((a, b) => (a.at ?? '').localeCompare(b.at ?? ''));
  for (const { text, at } of sorted.slice(-NAMED)) {
    sentences.push(`kernel log${at === null ? '' : `, ${at}`}: ${text.trim()}`);
  }
  if (sorted.length > NAMED) sentences.push(`${sorted.length - NAMED} more such lines in the kernel log`);
  if (rejected === null && sorted.length > 0) {
    sentences.push('the cgroup that forked is gone or was made anew, and its counter with it');
  }
  if (found.raised) {
    sentences.push('no limit in force now was ever reached: it was lower then, or removed since');
  } else if (
    !found.sure &&
    (rejected !== null || sorted.length > 0) &&
    snapshot.cgroups.eventsScope !== 'limiting'
  ) {
    sentences.push(
      'this kernel counts where a task forked, not which limit refused: this one is the tightest above it',
    );
  }
  return sentences;
}

function remedyOf(snapshot: Snapshot, tree: Tree, level: Level, ref: LimitRef): Remedy {
  const limit = level.max ?? 0;
  const count = raised(Math.max(limit, level.peak ?? 0, level.current ?? 0));
  const notes = ['half as much again as was used, at least 64 more: how much more was wanted nobody counted'];
  for (const above of tree.chain(level.path).slice(1)) {
    if (above.max === null) continue;
    const room = above.max - (above.current ?? 0);
    if (above.max >= count && room >= count - limit) continue;
    const name = above.row?.name ?? above.path;
    notes.push(`then ${name} is next: ${above.current ?? '?'} of ${above.max} tasks there`);
  }
  const { pidMax, threadsMax } = snapshot.kernel;
  for (const [name, ceiling] of [
    ['kernel.pid_max', pidMax],
    ['kernel.threads-max', threadsMax],
  ] as const) {
    if (ceiling !== null && count > ceiling)
      notes.push(`${name} is ${ceiling}: more cannot be had without it`);
  }
  return { count, ...means(snapshot, level, ref, count, notes) };
}

/** How to raise it: a policy for units that plan writes files for, else a command. */
function means(
  snapshot: Snapshot,
  level: Level,
  ref: LimitRef,
  count: number,
  notes: readonly string[],
): Pick<Remedy, 'notes' | 'policy' | 'commands'> {
  const withNote = (note: string, ...commands: string[][]) => ({
    notes: [...notes, note],
    policy: null,
    commands,
  });
  if (ref.kind !== 'unit') {
    const [, uid, unit] = /\/user@([0-9]+)\.service\/(?:.*\/)?([^/]+\.[a-z]+)$/.exec(level.path) ?? [];
    if (uid !== undefined && unit !== undefined) {
      const name = userName(snapshot, Number(uid)) ?? uid;
      // --machine=USER@ would need systemd 248 and a session bus; the manager's own socket is always there.
      const environment = ['env', `XDG_RUNTIME_DIR=/run/user/${uid}`];
      const set = ['systemctl', '--user', 'set-property', unit, `TasksMax=${count}`];
      return withNote('a unit of the user manager: tasksctl plan writes none of its files', [
        ...['runuser', '-u', name, '--'],
        ...environment,
        ...set,
      ]);
    }
    return withNote(
      'made by a container engine or a service: raise it where it was set, such as --pids-limit of docker and podman or podPidsLimit of the kubelet',
    );
  }
  const uid = /^user-([0-9]+)\.slice$/.exec(ref.unit)?.[1];
  const transient = snapshot.units.find(({ id }) => id === ref.unit)?.transient === true;
  if (uid === undefined && transient && ref.unit !== 'init.scope') {
    return withNote(
      'made by a program for a while, so no file can hold its limit: it comes from whoever made it',
      ['systemctl', 'set-property', '--runtime', ref.unit, `TasksMax=${count}`],
    );
  }
  const rules =
    uid === undefined ? { units: { [ref.unit]: { value: count } } } : { users: { [uid]: { value: count } } };
  const policy = { schema: 'tasksctl/policy/1', name: 'diagnose', ...rules };
  return { notes, policy, commands: [] };
}
