import type { HostPlan } from '../fleet/host-plan.ts';
import { limitKey } from '../plan/need.ts';
import type { PlanLimit } from '../plan/plan.ts';
import { escapeText, type SafeText, safe } from '../report/terminal-escape.ts';

/** What plans make of one limit, hosts with the same outcome together. */
export interface LimitOutcomes {
  readonly limit: PlanLimit;
  readonly title: string;
  readonly outcomes: readonly Outcome[];
}

export interface Outcome {
  readonly kind: 'change' | 'refused' | 'unchanged';
  /** `20 -> 64`, `7 refused` or `as it is`. */
  readonly text: SafeText;
  readonly hosts: readonly string[];
}

/** By limit, in the order of the plans; what is changed first, then what is refused, each by the number of hosts. */
export function outcomesOf(plans: readonly HostPlan[]): readonly LimitOutcomes[] {
  const limits = new Map<
    string,
    { limit: PlanLimit; title: string; outcomes: Map<string, Outcome & { readonly hosts: string[] }> }
  >();
  const add = (
    name: string,
    { limit, title }: { readonly limit: PlanLimit; readonly title: string },
    kind: Outcome['kind'],
    text: SafeText,
  ): void => {
    const key = limitKey(limit);
    const one = limits.get(key) ?? { limit, title, outcomes: new Map() };
    limits.set(key, one);
    const outcome = one.outcomes.get(text) ?? { kind, text, hosts: [] };
    one.outcomes.set(text, outcome);
    outcome.hosts.push(name);
  };
  for (const { name, plan } of plans) {
    for (const change of plan.changes) {
      add(name, change, 'change', safe`${escapeText(change.from.text)} -> ${escapeText(change.to.text)}`);
    }
    for (const refused of plan.refused)
      add(name, refused, 'refused', safe`${escapeText(refused.wanted)} refused`);
    for (const same of plan.unchanged) add(name, same, 'unchanged', safe`as it is`);
  }
  const kinds: readonly Outcome['kind'][] = ['change', 'refused', 'unchanged'];
  const rank = ({ kind }: Outcome): number => kinds.indexOf(kind);
  return [...limits.values()]
    .map(({ limit, title, outcomes }) => ({
      limit,
      title,
      outcomes: [...outcomes.values()].sort((a, b) => rank(a) - rank(b) || b.hosts.length - a.hosts.length),
    }))
    .sort((a, b) => Math.min(...a.outcomes.map(rank)) - Math.min(...b.outcomes.map(rank)));
}
