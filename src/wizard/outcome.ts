import type { Plan, PlanLimit } from '../plan/plan.ts';
import { sameLimit } from '../report/limit-names.ts';

/** What a plan makes of a limit. */
export function outcomeOf(plan: Plan, limit: PlanLimit) {
  const isIt = (one: { readonly limit: PlanLimit }): boolean => sameLimit(one.limit, limit);
  return {
    change: plan.changes.find(isIt),
    refused: plan.refused.find(isIt),
    unchanged: plan.unchanged.find(isIt),
  };
}
