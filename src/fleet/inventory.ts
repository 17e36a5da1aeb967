import type { Diagnostic } from '../systemd/diagnostic.ts';

/** One machine an inventory names. */
export interface InventoryHost {
  /** Its name in the inventory: unique there; what `--limit`, the journal and results call it. */
  readonly name: string;
  /** Where it is: `local` or `[user@]host[:port]`, as `parseTarget` takes it. */
  readonly target: string;
  /** The groups it is in, directly or through their children, without `all`; sorted. */
  readonly groups: readonly string[];
}

/** The hosts in the order of the inventory, each once. */
export interface Inventory {
  readonly hosts: readonly InventoryHost[];
  /** Names of its groups, those without hosts too. */
  readonly groups: readonly string[];
}

/** An inventory that was read, with what is odd in it; or what is wrong with it, each with file and line. */
export type InventoryResult =
  | { readonly ok: true; readonly inventory: Inventory; readonly warnings: readonly Diagnostic[] }
  | { readonly ok: false; readonly problems: readonly Diagnostic[] };
