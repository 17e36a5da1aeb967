import type { Fleet } from '../fleet/fleet-file.ts';
import type { HostPlan, PlanGroup } from '../fleet/host-plan.ts';
import type { FleetOrder } from '../fleet/host-plan-file.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import type { RolloutSettings } from '../fleet/journal.ts';
import type { Profile } from '../measure/profile.ts';
import type { Plan } from '../plan/plan.ts';
import type { Policy } from '../plan/policy.ts';
import type { Style } from '../report/style.ts';
import type { SafeText } from '../report/terminal-escape.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { FleetHost } from './fleet-host.ts';
import type { Check } from './question.ts';

/** What the wizard knows before it asks anything. */
export interface Setting {
  /** How text looks now: a terminal may change its size. */
  readonly style: () => Style;
  /** Rows of the terminal now. */
  readonly rows: () => number;
  /** The name of this machine. */
  readonly here: string;
  /** The host or the inventory that the command line names; null: none, so it is asked for. */
  readonly given: Given | null;
  /** It is a saved snapshot: it can neither be measured nor changed. */
  readonly saved: boolean;
  readonly templates: readonly Template[];
  /** The options that name a host or hosts, for a command to copy. */
  readonly source: (of: string | Pick<Picked, 'inventory' | 'limit'>) => readonly string[];
  readonly fileAt: (path: string) => 'file' | 'directory' | 'none';
  /** An inventory that is there already; empty: none. */
  readonly likelyInventory: string;
  /** Whether this is an inventory, as far as that can be told at once, and what is in it. */
  readonly inventoryAt: (name: string) => Check;
  /** What made fork fail, in words. */
  readonly diagnosis: (snapshot: Snapshot, source: readonly string[], style: Style) => SafeText;
}

export type Given =
  | { readonly kind: 'host'; readonly target: string }
  | {
      readonly kind: 'inventory';
      readonly inventory: readonly string[];
      readonly limit: string | null;
      /** Of the inventory; those of the limit, where there is one. */
      readonly fleet: Fleet;
    };

/** A policy of templates/policies/. */
export interface Template {
  readonly name: string;
  readonly description: string;
  readonly text: string;
}

/** Hosts of an inventory that were chosen. */
export interface Picked {
  /** As `--inventory` takes them. */
  readonly inventory: readonly string[];
  /** As `--limit` takes it; null: all of them. */
  readonly limit: string | null;
  readonly hosts: readonly InventoryHost[];
  /** Which of them go first. */
  readonly order: FleetOrder;
}

/** A host that could not be read or planned, and why. */
export interface LostHost {
  readonly host: InventoryHost;
  readonly failure: { readonly kind: string; readonly message: string };
}

export interface FleetPlans {
  /** In the order of the inventory. */
  readonly plans: readonly HostPlan[];
  readonly groups: readonly PlanGroup[];
  readonly lost: readonly LostHost[];
}

/** How a rollout is to go; texts are as the command line takes them. */
export interface RolloutChoices {
  /** null: as a fleet file says. */
  readonly waves: string | null;
  readonly maxFail: string;
  readonly pause: boolean;
  /** null: no time. */
  readonly bake: string | null;
  readonly onFailure: RolloutSettings['onFailure'];
}

/** What was measured. */
export interface Measured {
  readonly profile: Profile;
  /** As a file has it. */
  readonly text: string;
  /** The file it came from; null: it is in none yet. */
  readonly file: string | null;
}

/** What takes time, or changes something. Failures are told to the operator by whoever does it. */
export interface Work {
  read(target: string): Promise<Done<Snapshot>>;
  openInventory(inventory: readonly string[]): Promise<Done<Fleet>>;
  /** At least one host of them could be read. */
  readFleet(
    picked: Picked,
  ): Promise<Done<{ readonly hosts: readonly FleetHost[]; readonly lost: readonly LostHost[] }>>;
  /** Something was measured on the host, or on one at least of several. */
  measure(targets: readonly string[], ms: number): Promise<Done<Measured>>;
  /** Of this host there is something in it; null: of whatever host. */
  load(file: string, snapshot: Snapshot | null): Promise<Done<Measured>>;
  planFleet(
    fleet: {
      readonly picked: Picked;
      readonly hosts: readonly FleetHost[];
      readonly lost: readonly LostHost[];
    },
    by: { readonly policy: Policy; readonly profile: Profile | null },
  ): Promise<Done<FleetPlans>>;
  /** Asks once more, and gives the exit code. */
  apply(plan: Plan): Promise<Done<number>>;
  /** The same. */
  rollOut(picked: Picked, plans: FleetPlans, choices: RolloutChoices): Promise<Done<number>>;
  save(files: readonly SavedFile[]): Promise<Done<null>>;
}

export interface SavedFile {
  readonly path: string;
  readonly text: string;
}

export type Done<T> =
  | { readonly ok: true; readonly value: T }
  /** Interrupted by Ctrl-C, or a failure. */
  | { readonly ok: false; readonly interrupted: boolean };
