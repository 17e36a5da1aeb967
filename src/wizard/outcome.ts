import type { Plan } from '../plan/plan.ts';
import { sameLimit } from '../report/limit-names.ts';
import type { LimitRef } from '../snapshot/limits.ts';

/** What a plan makes of a limit. */
export function outcomeOf(plan: Plan, limit: LimitRef) {
  const isIt = (one: { readonly limit: LimitRef }): boolean => sameLimit(one.limit, limit);
  return {
    change: plan.changes.find(isIt),
    refused: plan.refused.find(isIt),
    unchanged: plan.unchanged.find(isIt),
  };
}
