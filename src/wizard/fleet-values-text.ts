import { profileOf } from '../measure/host-of.ts';
import type { PlanLimit } from '../plan/plan.ts';
import { plural } from '../report/diagnostic-text.ts';
import { fleetSummary, hostNames } from '../report/fleet-text.ts';
import { wrap } from '../report/layout.ts';
import { sameLimit } from '../report/limit-names.ts';
import type { Style } from '../report/style.ts';
import { escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { hostLimits } from '../snapshot/limits.ts';
import { limitEffect } from './effect.ts';
import { byUse } from './fleet-host.ts';
import { type LimitOutcomes, type Outcome, outcomesOf } from './fleet-outcome.ts';
import { outcomeOf } from './outcome.ts';
import type { FleetWanted } from './state.ts';
import { field, measuredText } from './values-text.ts';

/** Outcomes of one limit that are shown, the most frequent first. */
const OUTCOMES_SHOWN = 4;

/** Limits named that stay as they are. */
const SAME_SHOWN = 5;

/**
 * The limits that are recommended for the hosts of an inventory, the hosts with the same value together; reason and meaning are
 * those of the host among them that uses most. Or only the limit that was adjusted just now.
 */
export function fleetValuesText(wanted: FleetWanted, only: PlanLimit | null, style: Style): SafeText {
  const { plans, measured } = wanted;
  const all = outcomesOf(plans.plans).filter(({ limit }) => only === null || sameLimit(limit, only));
  const changed = all.filter(isChanged);
  const same = all.filter((one) => !isChanged(one));
  const lines: SafeText[] = [];
  if (only === null && measured !== null) lines.push(measuredText(wanted, style));
  for (const { limit, title, outcomes } of changed) {
    lines.push(style.bold(escapeText(title)));
    for (const outcome of outcomes.slice(0, OUTCOMES_SHOWN)) {
      lines.push(...outcomeLines(wanted, limit, outcome, style));
    }
    const more = outcomes.slice(OUTCOMES_SHOWN).flatMap(({ hosts }) => hosts);
    if (more.length > 0) lines.push(style.dim(safe`  other values on ${plural(more.length, 'host')}`));
  }
  if (same.length > 0) {
    const shown = same.slice(0, SAME_SHOWN).map(({ title }) => escapeText(title));
    const more = same.length - shown.length;
    const titles = safe`${join(shown, safe`, `)}${more > 0 ? safe` and ${more} more` : safe``}`;
    lines.push(...wrap(safe`As they are on every host: ${titles}`, 0, style));
  }
  if (lines.length === 0) lines.push(safe`The policy names no limit of these hosts.`);
  lines.push(safe``, fleetSummary(plans.groups, plans.lost.length));
  return join([...lines, safe``], safe`\n`);
}

function isChanged({ outcomes }: LimitOutcomes): boolean {
  return outcomes.some(({ kind }) => kind !== 'unchanged');
}

function outcomeLines(
  { hosts, plans, measured }: FleetWanted,
  limit: PlanLimit,
  { kind, text, hosts: names }: Outcome,
  style: Style,
): SafeText[] {
  const what = kind === 'refused' ? style.red(text) : kind === 'change' ? style.bold(text) : text;
  const lines = [safe`  ${what} on ${plural(names.length, 'host')}: ${hostNames(names, false)}`];
  if (kind === 'unchanged') return lines;
  const among = hosts.filter(({ host }) => names.includes(host.name));
  const [first] = [...byUse(among, limit, measured?.profile ?? null), ...among];
  const plan = plans.plans.find(({ name }) => name === first?.host.name)?.plan;
  if (first === undefined || plan === undefined) return lines;
  const on = names.length === 1 ? safe`` : safe`on ${escapeText(first.host.name)}: `;
  const { change, refused } = outcomeOf(plan, limit);
  const why = change?.reason ?? (refused === undefined ? [] : [refused.diagnostic.message]);
  lines.push(
    ...why.flatMap((reason, i) =>
      field(i === 0 ? safe`  why` : safe``, safe`${i === 0 ? on : safe``}${escapeText(reason)}`, style),
    ),
  );
  if (refused?.diagnostic.help !== undefined) {
    lines.push(...field(safe`  help`, escapeText(refused.diagnostic.help), style));
  }
  if (change !== undefined) {
    const snapshot = first.snapshot();
    const use = measured === null ? null : profileOf(measured.profile, snapshot.host);
    lines.push(
      ...limitEffect(hostLimits(snapshot), use, limit, change.to.count).flatMap((effect, i) =>
        field(i === 0 ? safe`  means` : safe``, safe`${i === 0 ? on : safe``}${effect}`, style),
      ),
    );
  }
  return lines;
}
