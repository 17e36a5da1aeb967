import type { Diagnosis } from '../diagnose/diagnose.ts';
import type { UnitLimit } from '../snapshot/limits.ts';
import { plural } from './diagnostic-text.ts';
import { formatCount } from './limit-names.ts';
import type { Style } from './style.ts';
import { escapeText, type SafeText, safe } from './terminal-escape.ts';

/** From this share of a limit on it is worth a look, and from the second a hurry. */
const HIGH = 0.8;
const FULL = 0.95;

/** `web1: 87 % used at ci.slice, 1590 tasks left, 3 rejected forks`; `units` by least headroom. */
export function fleetStatusLine(name: string, units: readonly UnitLimit[], style: Style): SafeText {
  const host = style.bold(escapeText(name));
  const [tightest] = units;
  const rejected = units.reduce((sum, { rejections }) => sum + (rejections ?? 0), 0);
  const forks = rejected === 0 ? safe`` : safe`, ${style.red(safe`${plural(rejected, 'rejected fork')}`)}`;
  if (tightest === undefined || tightest.utilization === null)
    return safe`${host}: no unit is under a limit${forks}`;
  const share = tightest.utilization;
  const paint = share >= FULL ? style.red : share >= HIGH ? style.yellow : style.green;
  const percent = paint(safe`${Math.floor(share * 100)} %`);
  const left =
    tightest.headroom === null ? safe`` : safe`, ${formatCount(tightest.headroom.tasks)} tasks left`;
  return safe`${host}: ${percent} used at ${escapeText(tightest.name)}${left}${forks}`;
}

/** `web1: user-1000.slice is full (certain), 12 rejected forks`, or that nothing speaks for a rejected fork. */
export function fleetDiagnosisLine(name: string, { verdicts, checks }: Diagnosis, style: Style): SafeText {
  const host = style.bold(escapeText(name));
  const [best] = verdicts;
  if (best === undefined) {
    const unknown = checks.filter(({ result }) => result === 'unknown').length;
    const more = unknown === 0 ? safe`` : safe` (${unknown} of ${checks.length} checks could not be made)`;
    return safe`${host}: no evidence of a rejected fork${more}`;
  }
  const standing = {
    full: safe`is full`,
    'nearly-full': safe`is nearly full`,
    'was-full': safe`was full`,
    'raised-since': safe`was full and has been raised since`,
  }[best.standing];
  const limit = best.value === null ? safe`` : safe` at ${formatCount(best.value)}`;
  const forks = best.rejected === null ? safe`` : safe`, ${plural(best.rejected, 'rejected fork')}`;
  const others = verdicts.length === 1 ? safe`` : safe`; ${verdicts.length - 1} more`;
  const paint = best.standing === 'full' ? style.red : style.yellow;
  return safe`${host}: ${paint(safe`${escapeText(best.name)} ${standing}`)}${limit} (${escapeText(best.confidence)})${forks}${others}`;
}
