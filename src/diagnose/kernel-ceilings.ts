import type { Provenance } from '../snapshot/provenance.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Focus } from './focus.ts';
import { NEARLY } from './nproc.ts';
import type { Verdict } from './verdict.ts';

/** Where files set the kernel's ceilings; null: none does. */
export type SysctlOrigins = Readonly<Record<'kernel.pid_max' | 'kernel.threads-max', Provenance | null>>;

/** Tasks that reading a host takes by itself: a ceiling with no more room than this was full before. */
const READERS = 16;

/**
 * Ids below this are not given out again once the counter has been round (RESERVED_PIDS of kernel/pid.c), so that
 * EAGAIN comes that much before pid_max.
 */
const RESERVED_PIDS = 300;

/** PID_MAX_LIMIT of include/linux/threads.h on 64 bits. */
const MOST_PIDS = 4_194_304;

const UNCOUNTED = 'the kernel keeps no count of forks it refuses for this';

/** Tasks of this kernel, or of this container, against kernel.threads-max and kernel.pid_max. */
export function ceilingVerdicts(snapshot: Snapshot, origins: SysctlOrigins): Verdict[] {
  const { threadsMax, pidMax, tasks } = snapshot.kernel;
  const verdicts: Verdict[] = [];
  if (threadsMax !== null && tasks !== null) {
    const found = ceiling(snapshot, 'kernel.threads-max', origins, tasks, threadsMax, threadsMax, [
      `${tasks} tasks exist on this kernel, kernel.threads-max is ${threadsMax}`,
      UNCOUNTED,
    ]);
    if (found !== null) verdicts.push(found);
  }
  const ids = idsInUse(snapshot);
  if (pidMax !== null && ids !== null) {
    const usable = pidMax - RESERVED_PIDS;
    const found = ceiling(snapshot, 'kernel.pid_max', origins, ids, pidMax, usable, [
      `${ids} tasks have a process id${snapshot.host.container ? ' in this container' : ''}, kernel.pid_max is ${pidMax}; ids below ${RESERVED_PIDS} are not used again, and process groups and sessions of processes that are gone keep theirs`,
      UNCOUNTED,
    ]);
    if (found !== null) verdicts.push(found);
  }
  return verdicts;
}

/** Tasks with an id in the pid namespace that was read; a container sees the whole kernel's number in /proc/loadavg. */
export function idsInUse({ host, kernel, uids }: Snapshot): number | null {
  if (!host.container) return kernel.tasks;
  return uids === undefined ? null : uids.reduce((sum, { tasks }) => sum + tasks, 0);
}

function ceiling(
  snapshot: Snapshot,
  name: keyof SysctlOrigins,
  origins: SysctlOrigins,
  used: number,
  value: number,
  usable: number,
  evidence: readonly string[],
): Verdict | null {
  const full = used + READERS >= usable;
  if (!full && used < usable * NEARLY) return null;
  const count = Math.min(MOST_PIDS, 2 ** Math.ceil(Math.log2(value * 1.5)));
  const notes = [
    'the next power of two with room for half as much again',
    ...(snapshot.host.container
      ? ["this is a container: where it is the machine's, it has to be set there"]
      : []),
    ...(count <= value ? ['no kernel has more: fewer tasks are the only way'] : []),
  ];
  return {
    cause: name === 'kernel.threads-max' ? 'threads-max' : 'pid-max',
    confidence: full ? 'likely' : 'possible',
    standing: full ? 'full' : 'nearly-full',
    limit: { kind: 'sysctl', name },
    name,
    value: BigInt(value),
    used,
    rejected: null,
    set: origins[name] ?? { kind: 'default', text: 'no file sets it: the kernel chose it at boot' },
    evidence,
    remedy: {
      count: count > value ? count : null,
      notes,
      policy:
        count > value
          ? {
              schema: 'tasksctl/policy/1',
              name: 'diagnose',
              kernel: { [name.slice('kernel.'.length)]: { value: count } },
            }
          : null,
      commands: [],
    },
  };
}

/** Pid namespaces below the one that was read which have run out of ids (their own pid_max since Linux 6.14). */
export function namespaceVerdicts(snapshot: Snapshot, { proc, cgroups }: Focus): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const { inode, tasks, pidMax, pid, comm } of snapshot.pidNamespaces ?? []) {
    if (pidMax === undefined) continue;
    if (proc !== null ? proc.pidNamespace !== inode : cgroups !== null) continue;
    const usable = pidMax === 'full' ? tasks : pidMax - RESERVED_PIDS;
    const full = pidMax === 'full' || tasks >= usable;
    if (!full && tasks < usable * NEARLY) continue;
    verdicts.push({
      cause: 'pid-namespace',
      confidence: full ? 'likely' : 'possible',
      standing: full ? 'full' : 'nearly-full',
      limit: { kind: 'pid-namespace', inode },
      name: `pid namespace of ${comm} (pid ${pid})`,
      value: pidMax === 'full' ? null : BigInt(pidMax),
      used: tasks,
      rejected: null,
      set: null,
      evidence: [
        `${tasks} tasks are in the pid namespace ${inode}, such as pid ${pid} (${comm})`,
        pidMax === 'full'
          ? 'no process could be created in it: its kernel.pid_max is reached'
          : `kernel.pid_max in it is ${pidMax}; ids below ${RESERVED_PIDS} are not used again`,
        UNCOUNTED,
      ],
      remedy: {
        count: null,
        notes: [
          'since Linux 6.14 each pid namespace has a kernel.pid_max of its own: raise it where the container is configured, such as --sysctl kernel.pid_max=N',
        ],
        policy: null,
        commands: [],
      },
    });
  }
  return verdicts;
}

/**
 * Memory that the kernel will not promise any more: fork fails with ENOMEM then, "Cannot allocate memory", which is none
 * of the limits above; the C library's pthread_create() says EAGAIN all the same.
 */
export function memoryVerdicts({ kernel }: Snapshot): Verdict[] {
  const { memory } = kernel;
  // Only mode 2 refuses by what was promised (Documentation/mm/overcommit-accounting.rst).
  if (memory === undefined || memory.overcommit !== 2) return [];
  const { committedKiB, commitLimitKiB } = memory;
  if (committedKiB < commitLimitKiB * NEARLY) return [];
  return [
    {
      cause: 'memory',
      confidence: 'possible',
      standing: 'nearly-full',
      limit: { kind: 'memory' },
      name: 'memory',
      value: null,
      used: null,
      rejected: null,
      set: null,
      evidence: [
        `${committedKiB} KiB of memory are promised, the kernel promises at most ${commitLimitKiB} KiB (vm.overcommit_memory is 2)`,
        'the message tells: "Cannot allocate memory" (ENOMEM) is memory, "Resource temporarily unavailable" (EAGAIN) a task limit; of threads it is EAGAIN in both cases',
      ],
      remedy: {
        count: null,
        notes: ['raise vm.overcommit_ratio, add swap, or end what holds memory: no task limit helps'],
        policy: null,
        commands: [],
      },
    },
  ];
}
