import type { Fleet as FleetOfInventory } from '../fleet/fleet-file.ts';
import type { Plan, PlanLimit } from '../plan/plan.ts';
import type { SafeText } from '../report/terminal-escape.ts';
import type { HostLimits } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Adjustment } from './adjust-policy.ts';
import type { FleetHost } from './fleet-host.ts';
import type { Question } from './question.ts';
import type {
  Done,
  FleetPlans,
  LostHost,
  Measured,
  Picked,
  RolloutChoices,
  Template,
  Work,
} from './setting.ts';

/**
 * The steps of the wizard as a state machine without a terminal: a state is all that is known so far, its view what to show
 * and ask next, and an answer makes the next state.
 */

export type Reason = 'fork' | 'workload' | 'look';

/** A host that was read. */
export interface Host {
  readonly kind: 'host';
  readonly reason: Reason;
  readonly target: string;
  readonly snapshot: Snapshot;
  readonly limits: HostLimits;
}

/** Hosts of an inventory that were read, and those that could not be. */
export interface Fleet {
  readonly kind: 'fleet';
  readonly reason: Reason;
  readonly picked: Picked;
  readonly hosts: readonly FleetHost[];
  readonly lost: readonly LostHost[];
}

/** What is worked on. */
export type Subject = Host | Fleet;

/** What the limits are to be. */
export interface Chosen {
  readonly template: Template;
  readonly measured: Measured | null;
  readonly adjustments: readonly Adjustment[];
  /** The policy, by the template and the adjustments. */
  readonly policyText: string;
}

/** What a host is to have, and what that comes to. */
export type HostWanted = Host & Chosen & { readonly plan: Plan };
/** The same for the hosts of an inventory. */
export type FleetWanted = Fleet & Chosen & { readonly plans: FleetPlans };
export type Wanted = HostWanted | FleetWanted;

export type Goal = 'dry-run' | 'save' | 'apply' | 'rollout';

/** An inventory that was read, of which hosts are to be chosen. */
export interface Opened {
  readonly reason: Reason;
  readonly inventory: readonly string[];
  readonly fleet: FleetOfInventory;
}

type Rollout = FleetWanted & { readonly choices: RolloutChoices };

/** Choices are of a rollout; null where there is to be none. */
type Ending = Wanted & { readonly goal: Goal; readonly choices: RolloutChoices | null };

/** A state for each of these names, all of which know the same. */
type In<At extends string, Known> = At extends string ? { readonly at: At } & Known : never;

export type State =
  | { readonly at: 'reason' }
  | In<'where' | 'ssh' | 'inventory', { readonly reason: Reason }>
  | { readonly at: 'opening'; readonly reason: Reason; readonly inventory: readonly string[] }
  | In<'group' | 'pattern', Opened>
  | { readonly at: 'reading'; readonly reason: Reason; readonly target: string }
  | { readonly at: 'reading-fleet'; readonly reason: Reason; readonly picked: Picked }
  | ({ readonly at: 'status'; readonly shown: 'tightest' | 'all' } & Host)
  | ({ readonly at: 'explain' } & Host)
  | ({ readonly at: 'explained'; readonly unit: string } & Host)
  | ({ readonly at: 'fleet'; readonly shown: 'tightest' | 'all' } & Fleet)
  | ({ readonly at: 'one-host' } & Fleet)
  | In<'needs' | 'duration' | 'profile', Subject>
  | ({ readonly at: 'measuring'; readonly ms: number } & Subject)
  | ({ readonly at: 'loading'; readonly file: string } & Subject)
  | ({ readonly at: 'template'; readonly before: Wanted | null } & Subject)
  | ({ readonly at: 'planning'; readonly shown: PlanLimit | null } & Fleet & Chosen)
  | ({ readonly at: 'values'; readonly shown: PlanLimit | null } & HostWanted)
  | ({ readonly at: 'fleet-values'; readonly shown: PlanLimit | null } & FleetWanted)
  | ({ readonly at: 'unit' } & Wanted)
  | ({ readonly at: 'value'; readonly limit: PlanLimit } & Wanted)
  | ({ readonly at: 'review' } & Wanted)
  | In<'rollout' | 'waves' | 'max-fail' | 'bake' | 'on-failure', Rollout>
  | ({ readonly at: 'name' } & Ending)
  | ({ readonly at: 'finishing'; readonly stem: string | null } & Ending)
  | { readonly at: 'end'; readonly command: readonly string[] | null; readonly code: number };

export type At<Name extends State['at']> = Extract<State, { readonly at: Name }>;

export type View =
  | {
      readonly kind: 'question';
      readonly show: SafeText | null;
      readonly question: Question;
      readonly next: (value: string) => State;
    }
  | { readonly kind: 'work'; readonly run: (work: Work) => Promise<Done<State>> }
  | { readonly kind: 'end'; readonly command: readonly string[] | null; readonly code: number };

export const START: State = { at: 'reason' };
