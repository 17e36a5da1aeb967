import { readAnsibleIni } from './ansible-ini.ts';
import { readAnsibleJson } from './ansible-json.ts';
import { readAnsibleYaml } from './ansible-yaml.ts';
import type { InventoryResult } from './inventory.ts';
import { InventoryBuilder } from './inventory-builder.ts';
import { isSshConfig, readSshConfigHosts } from './ssh-config-hosts.ts';

/** One inventory to read: the text of a file, or what a program printed. */
export interface InventorySource {
  /** For messages, and by its ending for the format. */
  readonly file: string;
  readonly text: string;
}

/**
 * The hosts of all inventories together, in their order. The format of each is told by its first character (`{` is the
 * JSON of `ansible-inventory --list`) and its name (`.yml`, `.yaml`), an ssh_config by its `Host` lines; all else is Ansible's
 * INI form, of which a plain list of hosts is one. Pure, never throws.
 */
export function readInventory(sources: readonly InventorySource[]): InventoryResult {
  const builder = new InventoryBuilder();
  for (const { file, text } of sources) {
    if (/^\s*\{/.test(text)) readAnsibleJson(text, file, builder);
    else if (/\.ya?ml$/.test(file) || /^---\s/.test(text)) readAnsibleYaml(text, file, builder);
    else if (isSshConfig(text)) readSshConfigHosts(text, file, builder);
    else readAnsibleIni(text, file, builder);
  }
  return builder.build();
}
