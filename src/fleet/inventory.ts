/** One machine an inventory names. */
export interface InventoryHost {
  /** Its name in the inventory: unique there; what `--limit`, the journal and results call it. */
  readonly name: string;
  /** Where it is: `local` or `[user@]host[:port]`, as `parseTarget` takes it. */
  readonly target: string;
  /** The groups it is in, directly or through their children, without `all`; sorted. */
  readonly groups: readonly string[];
  /** The private key to log in with (`ansible_ssh_private_key_file`), instead of ssh_config's. */
  readonly identityFile?: string;
}

/** The hosts in the order of the inventory, each once. */
export interface Inventory {
  readonly hosts: readonly InventoryHost[];
}
