import type { Plan } from '../plan/plan.ts';
import type { HostReport } from './host-report.ts';
import type { HostUse } from './host-use.ts';
import type { RunEvent } from './run-events.ts';

/** All that a report is made of, each part sorted by host. */
export interface Report {
  /** Version of tasksctl. */
  readonly version: string;
  readonly hosts: readonly HostReport[];
  readonly use: readonly HostUse[];
  readonly plans: readonly PlanReport[];
  readonly runs: readonly RunEvent[];
}

/** A plan with the unified diff of each file it changes, and the hosts that have the same one. */
export interface PlanReport {
  /** As they call themselves or, of a fleet's plan, as the inventory does. */
  readonly hosts: readonly string[];
  readonly plan: Plan;
  readonly diffs: readonly string[];
}
