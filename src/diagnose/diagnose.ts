import { fileTreeOf } from '../snapshot/file-tree.ts';
import { type HostLimits, hostLimits } from '../snapshot/limits.ts';
import { resolveContextOf } from '../snapshot/resolve-context.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { concerns, type Focus } from './focus.ts';
import {
  ceilingVerdicts,
  idsInUse,
  memoryVerdicts,
  namespaceVerdicts,
  type SysctlOrigins,
} from './kernel-ceilings.ts';
import { rejectionLines } from './kernel-log.ts';
import { nprocVerdicts, userName } from './nproc.ts';
import { pidsVerdicts } from './pids.ts';
import type { Verdict } from './verdict.ts';

/** One thing that was looked at: what was found, or why nothing could be. */
export interface Check {
  readonly what: 'pids-counters' | 'kernel-log' | 'rlimit-nproc' | 'threads-max' | 'pid-max' | 'memory';
  /** `unknown`: it could not be looked at, so it may still be the cause. */
  readonly result: 'clear' | 'suspect' | 'unknown';
  readonly text: string;
}

export interface Diagnosis {
  /** The best answer first; none: no evidence of a rejected fork. */
  readonly verdicts: readonly Verdict[];
  readonly checks: readonly Check[];
}

/**
 * Why fork failed, as far as a host tells afterwards: every limit that rejected forks or is full, the likeliest first.
 * Pure. `origins` says where files set the kernel's ceilings.
 */
export function diagnose(snapshot: Snapshot, origins: SysctlOrigins, focus: Focus): Diagnosis {
  const limits = hostLimits(snapshot, resolveContextOf(snapshot));
  const verdicts = [
    ...pidsVerdicts(snapshot, limits, focus),
    ...nprocVerdicts(snapshot, limits, fileTreeOf(snapshot), focus),
    ...namespaceVerdicts(snapshot, focus),
    ...ceilingVerdicts(snapshot, origins),
    ...memoryVerdicts(snapshot),
  ].sort(byWeight);
  return { verdicts, checks: checksOf(snapshot, limits, focus, verdicts) };
}

const CONFIDENCE = ['certain', 'likely', 'possible'] as const;
const STANDING = ['full', 'was-full', 'nearly-full', 'raised-since'] as const;

/** What stops forks now comes before what did once, then the surer, then the one with more rejected forks. */
function byWeight(a: Verdict, b: Verdict): number {
  const weight = ({ confidence, standing }: Verdict) =>
    CONFIDENCE.indexOf(confidence) + (standing === 'full' ? 0 : 1) + (standing === 'raised-since' ? 2 : 0);
  return (
    weight(a) - weight(b) ||
    STANDING.indexOf(a.standing) - STANDING.indexOf(b.standing) ||
    (b.rejected ?? 0) - (a.rejected ?? 0)
  );
}

function checksOf(
  snapshot: Snapshot,
  limits: HostLimits,
  focus: Focus,
  verdicts: readonly Verdict[],
): Check[] {
  const { kernel } = snapshot;
  const { tasks, threadsMax, pidMax } = kernel;
  const ids = idsInUse(snapshot);
  const check = (
    what: Check['what'],
    cause: Verdict['cause'],
    text: string | null,
    unknown = 'not read',
  ): Check => {
    if (text === null) return { what, result: 'unknown', text: unknown };
    return { what, result: verdicts.some((verdict) => verdict.cause === cause) ? 'suspect' : 'clear', text };
  };
  const counters = countersText(snapshot, limits, focus);
  const noCounters = problemOf(snapshot, 'cgroups') ?? 'no cgroup has counters of the pids controller';
  const noLog = problemOf(snapshot, 'kernel-log');
  return [
    check('pids-counters', 'pids-controller', counters, noCounters),
    check('kernel-log', 'pids-controller', noLog === null ? logText(snapshot, focus) : null, noLog ?? ''),
    check(
      'rlimit-nproc',
      'rlimit-nproc',
      nprocText(snapshot, focus),
      'not read: an older snapshot, or not all processes could be seen',
    ),
    check(
      'threads-max',
      'threads-max',
      tasks === null || threadsMax === null ? null : `${tasks} of ${threadsMax} tasks`,
    ),
    check('pid-max', 'pid-max', ids === null || pidMax === null ? null : `${ids} of ${pidMax} process ids`),
    check('memory', 'memory', memoryText(snapshot)),
  ];
}

function problemOf({ problems }: Snapshot, part: string): string | null {
  const found = problems.find((problem) => problem.part === part);
  return found === undefined ? null : found.detail || found.reason;
}

function countersText({ cgroups }: Snapshot, { units }: HostLimits, focus: Focus): string | null {
  const counted = cgroups.tree.filter(({ path, events }) => events !== undefined && concerns(focus, path));
  if (counted.length === 0) return null;
  let sum = 0;
  for (const { events = 0, eventsLocal = 0 } of counted) {
    sum += cgroups.eventsScope === 'limiting' ? eventsLocal : events;
  }
  let nearest: { readonly name: string; readonly share: number } | null = null;
  for (const { name, cgroup, utilization: share } of units) {
    if (cgroup === null || share === null || !concerns(focus, cgroup)) continue;
    if (nearest === null || share > nearest.share) nearest = { name, share };
  }
  const most =
    nearest === null
      ? ''
      : `; nearest to a limit: ${nearest.name}, ${Math.floor(nearest.share * 100)} % used`;
  return `${counted.length} cgroups, ${sum} rejected forks${most}`;
}

function memoryText({ kernel: { memory } }: Snapshot): string | null {
  if (memory === undefined) return null;
  const promise = memory.overcommit === 2 ? ', promises limited (vm.overcommit_memory is 2)' : '';
  return `${Math.round(memory.availableKiB / 1024)} MiB available${promise}`;
}

function logText(snapshot: Snapshot, focus: Focus): string {
  const lines = rejectionLines(snapshot);
  const count = lines.filter(({ cgroup }) => concerns(focus, cgroup)).length;
  const whose = snapshot.host.container ? " (it is the machine's, not this container's alone)" : '';
  return `${count} lines of the pids controller${whose}`;
}

function nprocText(snapshot: Snapshot, focus: Focus): string | null {
  if (snapshot.uids === undefined) return null;
  let nearest: { readonly share: number; readonly text: string } | null = null;
  for (const { uid, tasks, limits } of snapshot.uids) {
    if (focus.uid !== null && focus.uid !== uid) continue;
    for (const { soft, exempt } of limits) {
      if (exempt === true || soft === 'infinity') continue;
      const share = tasks / Number(soft);
      if (nearest !== null && share <= nearest.share) continue;
      nearest = { share, text: `nearest: ${userName(snapshot, uid) ?? `uid ${uid}`}, ${tasks} of ${soft}` };
    }
  }
  return nearest?.text ?? 'nobody is held to a limit';
}
