import { growBy, growthText, percentText } from './arithmetic.ts';
import { type HostUse, percentile, type UnitUse } from './use.ts';

/** What a policy says of needs. Shares are in hundredths of a percent. */
export interface NeedPolicy {
  /** The need is what was enough for this share of the time, not the peak; null: the peak. */
  readonly percentile: bigint | null;
  /** Where a limit was reached, the need is at least that limit x (1 + growth). */
  readonly growth: bigint;
}

export type Confidence = 'high' | 'medium' | 'low';

/** The tasks a unit needs, from what was measured. */
export interface MeasuredNeed {
  readonly tasks: bigint;
  /** The most that was seen, and what may have been missed between samples: no limit may be below. */
  readonly used: bigint;
  /** A limit was in the way, so that its need was not seen. */
  readonly truncated: boolean;
  readonly confidence: Confidence;
  /** How the number came about, one step per line. */
  readonly lines: readonly string[];
}

const DAY = 86_400_000;

/** How long was measured says how much to trust it: a week has seen backups and week-ends, an hour has not. */
function confidenceOf(measuredMs: number, truncated: boolean): Confidence {
  if (truncated || measuredMs < DAY) return 'low';
  return measuredMs < 7 * DAY ? 'medium' : 'high';
}

/** What a unit needs by what was measured of it on a host. */
export function needOfUse(use: UnitUse, host: HostUse, policy: NeedPolicy): MeasuredNeed {
  const { peak } = use;
  const what = use.members === undefined ? use.unit : `any ${use.unit}`;
  const share = policy.percentile ?? 9900n;
  const usual = percentile(use, share);
  const lines = [
    `peak ${peak} of ${what}${host.hostname === '' ? '' : ` on ${host.hostname}`} in ${formatDuration(host.measuredMs)}; ${usual} or fewer for ${percentText(share)} of the time`,
  ];
  const reserve = burstReserve(use, host);
  const used = BigInt(peak + reserve);
  if (reserve > 0) {
    lines.push(
      `${peak} + ${reserve} = ${used}: it rose by ${use.burst} tasks/s and was seen every ${formatDuration(host.intervalMs)}, so a higher peak may have been missed`,
    );
  }
  let tasks = used;
  if (policy.percentile !== null) {
    tasks = BigInt(usual);
    lines.push(`${tasks} counts by the policy (percentile ${percentText(policy.percentile)})`);
  }
  const truncated = isTruncated(use);
  if (truncated) {
    const at = use.reached === null ? used : BigInt(use.reached);
    const rejections = use.rejections ?? 0;
    const forks = rejections === 0 ? '' : `${rejections} ${rejections === 1 ? 'fork' : 'forks'} rejected: `;
    const limit =
      use.reached === null
        ? `${forks}a limit above it was in the way`
        : `${forks}it reached its limit of ${use.reached}`;
    const grown = growBy(at, policy.growth);
    if (grown > tasks) tasks = grown;
    lines.push(
      `${limit}, so what it would have used is not known`,
      `so at least ${at} ${growthText(policy.growth, 'growth')} = ${grown}`,
    );
  }
  return { tasks, used, truncated, confidence: confidenceOf(host.measuredMs, truncated), lines };
}

/** Forks were rejected, or a limit reached, that nothing higher was seen after. */
function isTruncated({ reached, peak, rejections }: UnitUse): boolean {
  return reached === null ? (rejections ?? 0) > 0 : reached >= peak;
}

/**
 * What may have been there between two samples: as much as it rose in one interval at the steepest. Nothing where the
 * kernel keeps the peak, and where what was nearly the peak lasted for several samples: that is a plateau, and its top
 * was seen. Never more than half the peak.
 */
function burstReserve({ histogram, peak, peakByKernel, burst }: UnitUse, { intervalMs }: HostUse): number {
  if (peakByKernel) return 0;
  const atPeak = histogram.reduce((sum, [tasks, ms]) => (tasks >= 0.9 * peak ? sum + ms : sum), 0);
  if (atPeak > 2 * intervalMs) return 0;
  return Math.min(Math.ceil((burst * intervalMs) / 1000), Math.ceil(peak / 2));
}

/** `90 s`, `10 min`, `3.5 h`, `7 d`. */
export function formatDuration(ms: number): string {
  const units = [
    ['d', DAY],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ] as const;
  const [unit, size] = units.find(([, size]) => ms >= 2 * size) ?? ['s', 1000];
  return `${Math.round((ms / size) * 10) / 10} ${unit}`;
}
