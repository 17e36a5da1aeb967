import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Plan } from './plan.ts';
import type { Policy } from './policy.ts';

/** What to change on a host so that it is as the policy wants it. */
export function planHost(_snapshot: Snapshot, _policy: Policy): Plan {
  throw new Error('not written yet');
}
