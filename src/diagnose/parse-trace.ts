/** Which check of copy_process() refused a fork. `unknown`: none of those that could be watched. */
export type Refusal =
  | 'pids-controller'
  | 'rlimit-nproc'
  | 'threads-max'
  | 'pid-max'
  | 'memory'
  | 'security-module'
  | 'sched-deadline'
  | 'unknown';

/** One fork (or clone, or new thread) that failed. */
export interface FailedFork {
  /** ISO 8601 in UTC, to the millisecond; null where the host's clock was not told. */
  readonly at: string | null;
  readonly pid: number;
  /** Empty where the kernel does not tell. */
  readonly comm: string;
  /** Real uid and cgroup; null where the process was gone before it could be looked at. */
  readonly uid: number | null;
  readonly cgroup: string | null;
  /** `EAGAIN`, or the number where it has no common name. */
  readonly errno: string;
  readonly refusedBy: Refusal;
}

export type TraceMessage =
  | { readonly kind: 'fork'; readonly fork: FailedFork }
  /** `absent` are the checks that cannot be told apart on this kernel. */
  | { readonly kind: 'ready'; readonly absent: readonly string[] }
  | {
      readonly kind: 'problem';
      readonly reason: 'no-permission' | 'not-available' | 'failed';
      readonly detail: string;
    }
  | { readonly kind: 'lost'; readonly count: number }
  | { readonly kind: 'end' };

/** include/uapi/asm-generic/errno-base.h, as far as fork(2) and clone(2) name them. */
const ERRNO: ReadonlyMap<number, string> = new Map([
  [1, 'EPERM'],
  [11, 'EAGAIN'],
  [12, 'ENOMEM'],
  [16, 'EBUSY'],
  [22, 'EINVAL'],
  [28, 'ENOSPC'],
]);

/** From here on: a signal came, the kernel does the fork again and nobody notices (include/linux/errno.h). */
const ERESTARTSYS = 512;

/** So many tasks may have ended between the fork that failed and the look at the number of tasks. */
const SLACK = 32;

/** What the watched functions returned in one process since its last fork that failed. */
interface Pending {
  readonly seen: Map<string, number>;
}

/** Takes what templates/trace.sh prints, in any pieces, and says what happened. What it cannot read it leaves out. */
export class TraceParser {
  #rest = '';
  /** The host's clock minus its uptime, milliseconds. */
  #boot: number | null = null;
  readonly #absent: string[] = [];
  readonly #pending = new Map<number, Pending>();
  /** A failed fork of which the number of tasks is still to come. */
  #fork: Omit<FailedFork, 'refusedBy'> | null = null;
  #seen: ReadonlyMap<string, number> = new Map();

  push(text: string): TraceMessage[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    // A line without an end is none of ours.
    if (this.#rest.length > 65_536) this.#rest = '';
    return lines.flatMap((line) => this.#line(line) ?? []);
  }

  #line(line: string): TraceMessage | null {
    const [word = '', ...words] = line.split(/[ \t]/, 3);
    switch (word) {
      case 'clock':
        this.#boot = (Number(words[0]) - Number(words[1])) * 1000;
        return null;
      case 'absent':
        this.#absent.push(words[0] ?? '');
        return null;
      case 'ready':
        return { kind: 'ready', absent: this.#absent };
      case 'event':
        return this.#event(line);
      case 'full':
        return this.#settle(Number(words[0]), Number(words[1]));
      case 'lost':
        return { kind: 'lost', count: Number(/^[0-9]{1,12}$/.exec(words[0] ?? '')?.[0] ?? 0) };
      case 'problem': {
        const reason = words[0];
        const known = reason === 'no-permission' || reason === 'not-available' ? reason : 'failed';
        return { kind: 'problem', reason: known, detail: line.replace(/^problem \S+ /, '') };
      }
      case 'end':
        return { kind: 'end' };
      default:
        return null;
    }
  }

  #event(line: string): null {
    const [, uid = '', cgroup = '', ...rest] = line.split('\t');
    // COMM-PID (TGID) [CPU] FLAGS SECONDS: EVENT: (CALLER <- FUNCTION) ret=N comm="NAME"
    const match =
      /-([0-9]+)\s+(?:\([^)]*\)\s+)?\[[0-9]+\]\s+\S+\s+([0-9]+\.[0-9]+): ([a-z]+): \(.*?\) ret=(-?[0-9]+)(?: comm="(.*)")?$/.exec(
        rest.join('\t'),
      );
    if (match === null) return null;
    const [, pidText, seconds, event = '', value, comm = ''] = match;
    const pid = Number(pidText);
    const code = -Number(value);
    if (event !== 'forkret' && event !== 'cloneret') {
      let pending = this.#pending.get(pid);
      if (pending === undefined) {
        pending = { seen: new Map() };
        this.#pending.set(pid, pending);
      }
      pending.seen.set(event, code);
      return null;
    }
    this.#seen = this.#pending.get(pid)?.seen ?? new Map();
    this.#pending.delete(pid);
    this.#fork = null;
    if (code >= ERESTARTSYS) return null;
    const at = this.#boot === null ? Number.NaN : this.#boot + Number(seconds) * 1000;
    this.#fork = {
      at: Number.isFinite(at) ? new Date(at).toISOString() : null,
      pid,
      comm,
      uid: /^[0-9]{1,10}$/.test(uid) ? Number(uid) : null,
      cgroup: cgroup === '-' || cgroup === '' ? null : cgroup,
      errno: ERRNO.get(code) ?? String(code),
    };
    return null;
  }

  #settle(tasks: number, threadsMax: number): TraceMessage | null {
    const fork = this.#fork;
    if (fork === null) return null;
    this.#fork = null;
    return { kind: 'fork', fork: { ...fork, refusedBy: this.#refusal(fork, tasks + SLACK >= threadsMax) } };
  }

  #refusal({ errno, uid }: Omit<FailedFork, 'refusedBy'>, full: boolean): Refusal {
    const seen = this.#seen;
    if (seen.has('pids')) return 'pids-controller';
    if (errno === 'ENOMEM') return 'memory';
    if (seen.has('ids')) return errno === 'EAGAIN' || errno === 'ENOSPC' ? 'pid-max' : 'unknown';
    if (seen.has('security')) return 'security-module';
    if (seen.has('sched')) return 'sched-deadline';
    if (errno !== 'EAGAIN') return 'unknown';
    // Over its limit, and not root, whom the kernel does not hold to it.
    if (seen.has('nproc') && uid !== 0) return 'rlimit-nproc';
    // With all others watched this is the only check left that says EAGAIN.
    if (full || this.#absent.length === 0) return 'threads-max';
    // Kernels before 5.14 compare in line.
    return this.#absent.length === 1 && this.#absent[0] === 'nproc' ? 'rlimit-nproc' : 'unknown';
  }
}
