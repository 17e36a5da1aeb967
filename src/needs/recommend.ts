import { resolveTasksMax, type TasksMax } from '../systemd/tasks-max.ts';
import { growBy, withHeadroom } from './arithmetic.ts';
import { type Confidence, type MeasuredNeed, type NeedPolicy, needOfUse } from './need-of-use.ts';
import { type HostUse, percentile, type UnitUse } from './use.ts';

/** What a policy says of one unit's limit, as far as it goes by need. */
export interface LimitRule {
  /** Hundredths of a percent. */
  readonly headroom: bigint;
  readonly floor: TasksMax | null;
  readonly ceiling: TasksMax | null;
  readonly label: string;
}

/** A limit that is enough for one unit on every host it was measured on. */
export interface Recommendation {
  readonly unit: string;
  readonly limit: bigint;
  readonly need: bigint;
  /** The host whose need is the largest. */
  readonly hostname: string;
  /** On how many hosts it was measured. */
  readonly hosts: number;
  readonly peak: number;
  /** Tasks that were enough for half, and for 99 %, of the time there. */
  readonly p50: number;
  readonly p99: number;
  readonly rejections: number | null;
  readonly truncated: boolean;
  readonly confidence: Confidence;
  /** The arithmetic, one step per line. */
  readonly lines: readonly string[];
}

/** Whether the kernel of a host could give all that was recommended. */
export interface Capacity {
  readonly hostname: string;
  /** The most tasks its kernel can have, and the sysctl that says so; null: not known. */
  readonly ceiling: { readonly tasks: bigint; readonly by: 'kernel.pid_max' | 'kernel.threads-max' } | null;
  /** The most tasks that existed at once. */
  readonly peak: number | null;
  /** The sum of all recommended limits, of patterns as often as there were instances at once. */
  readonly promised: bigint;
  readonly verdict: 'enough' | 'overcommitted' | 'too-low' | 'unknown';
}

export interface Recommendations {
  /** The largest first. */
  readonly units: readonly Recommendation[];
  readonly capacity: readonly Capacity[];
}

/** Limits from measured use. `ruleOf` gives what the policy says of a unit or pattern. */
export function recommend(
  hosts: readonly HostUse[],
  policy: NeedPolicy & { readonly headroom: bigint },
  ruleOf: (unit: string) => LimitRule,
): Recommendations {
  const units = new Map<string, Recommendation>();
  for (const host of hosts) {
    for (const use of host.units) {
      const one = recommendation(use, host, policy, ruleOf(use.unit));
      const other = units.get(use.unit);
      units.set(use.unit, other === undefined ? one : larger(one, other));
    }
  }
  const sorted = [...units.values()].sort((a, b) => Number(b.limit - a.limit) || (a.unit < b.unit ? -1 : 1));
  return { units: sorted, capacity: hosts.map((host) => capacityOf(host, units, policy.headroom)) };
}

function recommendation(use: UnitUse, host: HostUse, policy: NeedPolicy, rule: LimitRule): Recommendation {
  const need = needOfUse(use, host, policy);
  const { limit, lines } = limitOf(need, host, rule);
  return {
    unit: use.unit,
    limit,
    need: need.tasks,
    hostname: host.hostname,
    hosts: 1,
    peak: use.peak,
    p50: percentile(use, 5000n),
    p99: percentile(use, 9900n),
    rejections: use.rejections,
    truncated: need.truncated,
    confidence: need.confidence,
    lines: [...need.lines, ...lines],
  };
}

/** The limit by the need: room above it, a round number, and within floor, peak, ceiling and kernel. */
function limitOf(need: MeasuredNeed, host: HostUse, rule: LimitRule): { limit: bigint; lines: string[] } {
  const { to, line } = withHeadroom(need.tasks, rule.headroom);
  const lines = [line];
  let limit = to;
  const set = (count: bigint, why: string): void => {
    limit = count;
    lines.push(why);
  };
  const ceiling = ceilingOf(host);
  const tasksOf = (value: TasksMax): bigint | null => {
    const base = ceiling?.tasks ?? 0n;
    if (value.kind === 'fraction' && ceiling === null) return null;
    const count = resolveTasksMax(value, base);
    return count === 'infinity' ? null : count;
  };
  const floor = rule.floor === null ? null : tasksOf(rule.floor);
  if (floor !== null && floor > limit) set(floor, `floor of the policy (${rule.label}): ${floor}`);
  const most = rule.ceiling === null ? null : tasksOf(rule.ceiling);
  if (most !== null && most < limit) set(most, `ceiling of the policy (${rule.label}): ${most}`);
  if (need.used > limit) set(need.used, `${need.used}, for no limit is to be below what was used`);
  if (ceiling !== null && ceiling.tasks < limit)
    set(
      ceiling.tasks,
      `the kernel can have ${ceiling.tasks} tasks at once (${ceiling.by}), so no more than that`,
    );
  return { limit, lines };
}

function larger(a: Recommendation, b: Recommendation): Recommendation {
  const hosts = a.hosts + b.hosts;
  const first = a.limit !== b.limit ? a.limit > b.limit : a.need >= b.need;
  const [most, other] = first ? [a, b] : [b, a];
  const rejections = most.rejections === null ? other.rejections : most.rejections + (other.rejections ?? 0);
  return { ...most, hosts, rejections, truncated: a.truncated || b.truncated };
}

function ceilingOf({ kernel: { pidMax, threadsMax } }: HostUse): Capacity['ceiling'] {
  // Process id 0 is never given out.
  const ids = pidMax === null ? null : BigInt(pidMax) - 1n;
  const threads = threadsMax === null ? null : BigInt(threadsMax);
  if (ids !== null && (threads === null || ids < threads)) return { tasks: ids, by: 'kernel.pid_max' };
  return threads === null ? null : { tasks: threads, by: 'kernel.threads-max' };
}

/** Units whose tasks are counted by another one of the list as well: slices, and what is in users' slices. */
function isCountedElsewhere(unit: string): boolean {
  if (unit === 'user-.slice' || /^user-[0-9]+\.slice$/.test(unit)) return false;
  return unit.endsWith('.slice') || unit === 'session-.scope' || unit === 'user@.service';
}

function capacityOf(host: HostUse, units: ReadonlyMap<string, Recommendation>, headroom: bigint): Capacity {
  const ceiling = ceilingOf(host);
  const { peak } = host.kernel;
  let promised = 0n;
  for (const { unit, instances } of host.units) {
    if (isCountedElsewhere(unit)) continue;
    promised += (units.get(unit)?.limit ?? 0n) * BigInt(Math.max(1, instances));
  }
  const verdict = ((): Capacity['verdict'] => {
    if (ceiling === null) return 'unknown';
    // No more room above the highest use of the whole kernel than a policy leaves a single unit.
    if (peak !== null && growBy(BigInt(peak), headroom) > ceiling.tasks) return 'too-low';
    return promised > ceiling.tasks ? 'overcommitted' : 'enough';
  })();
  return { hostname: host.hostname, ceiling, peak, promised, verdict };
}
