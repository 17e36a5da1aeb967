import { profileOf } from '../measure/host-of.ts';
import { recommend } from '../needs/recommend.ts';
import type { PlanLimit } from '../plan/plan.ts';
import { limitRule, parsePolicy } from '../plan/policy.ts';
import { labelled } from '../report/layout.ts';
import { sameLimit } from '../report/limit-names.ts';
import { planSummary } from '../report/plan-text.ts';
import { recommendText } from '../report/recommend-text.ts';
import type { Style } from '../report/style.ts';
import { escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { limitEffect } from './effect.ts';
import type { HostWanted } from './state.ts';

const LABEL = 10;

/**
 * The limits that are recommended, each with its reason and what it means; or only the one that was adjusted just now. Where
 * something was measured, what that asks for stands before.
 */
export function valuesText(wanted: HostWanted, only: PlanLimit | null, style: Style): SafeText {
  const { plan, limits, measured, snapshot } = wanted;
  const use = measured === null ? null : profileOf(measured.profile, snapshot.host);
  const isShown = ({ limit }: { readonly limit: PlanLimit }): boolean =>
    only === null || sameLimit(limit, only);
  const lines: SafeText[] = [];
  if (only === null && measured !== null) lines.push(measuredText(wanted, style));
  for (const { limit, title, from, to, reason } of plan.changes.filter(isShown)) {
    lines.push(
      safe`${style.bold(escapeText(title))}: ${escapeText(from.text)} -> ${style.bold(escapeText(to.text))}`,
    );
    lines.push(...reason.flatMap((text, i) => field(i === 0 ? safe`why` : safe``, escapeText(text), style)));
    lines.push(
      ...limitEffect(limits, use, limit, to.count).flatMap((text, i) =>
        field(i === 0 ? safe`means` : safe``, text, style),
      ),
    );
  }
  for (const { title, wanted: value, diagnostic } of plan.refused.filter(isShown)) {
    lines.push(safe`${style.red(safe`${escapeText(title)}: ${escapeText(value)} refused`)}`);
    lines.push(...field(safe`why`, escapeText(diagnostic.message), style));
    if (diagnostic.help !== undefined) lines.push(...field(safe`help`, escapeText(diagnostic.help), style));
  }
  for (const { title, reason } of only === null ? [] : plan.unchanged.filter(isShown)) {
    lines.push(
      safe`${style.bold(escapeText(title))}: as it is`,
      ...field(safe`why`, escapeText(reason), style),
    );
  }
  lines.push(safe``, planSummary(plan));
  return join([...lines, safe``], safe`\n`);
}

export function field(label: SafeText, text: SafeText, style: Style): SafeText[] {
  return labelled(safe`  ${label}`, LABEL, text, style);
}

/** What was measured asks for this. */
export function measuredText(
  { measured, policyText }: Pick<HostWanted, 'measured' | 'policyText'>,
  style: Style,
): SafeText {
  const parsed = parsePolicy(policyText, 'the policy');
  if (measured === null || !parsed.ok) return safe``;
  const { policy } = parsed;
  const { hosts } = measured.profile;
  const made = recommend(hosts, policy, (unit) => limitRule(policy, unit));
  const measuredMs = hosts.reduce((sum, host) => sum + host.measuredMs, 0);
  return recommendText(made, { policy: policy.name, measuredMs, explain: false }, style);
}
