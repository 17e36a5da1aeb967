import type { InventoryBuilder } from './inventory-builder.ts';

/** An ssh_config, rather than a list of hosts: no sections, and a line that begins with `Host` and has names after it. */
export function isSshConfig(text: string): boolean {
  return !/^[ \t]*\[/m.test(text) && /^[ \t]*Host(?:[ \t]+|[ \t]*=[ \t]*)[^\s=][^=\n]*$/im.test(text);
}

/**
 * Reads the names that the `Host` lines of an ssh_config have into `into`; patterns stand for no host of their own. How
 * each is reached is left to whoever logs in, by the same file. Source of the rules: ssh_config(5).
 */
export function readSshConfigHosts(text: string, file: string, into: InventoryBuilder): void {
  for (const [index, line] of text.split('\n').entries()) {
    const place = { file, line: index + 1 };
    const [, keyword = '', rest = ''] = /^\s*([A-Za-z]+)(?:\s+|\s*=\s*)(.*?)\s*$/.exec(line) ?? [];
    if (/^include$/i.test(keyword)) {
      into.warning('Include is not followed: name the file with -i too', place);
    }
    if (!/^host$/i.test(keyword)) continue;
    for (const [word, quoted] of rest.matchAll(/"([^"]*)"|[^\s"]+/g)) {
      if (word.startsWith('#')) break;
      const name = quoted ?? word;
      if (!/[*?!]/.test(name)) into.hosts('ungrouped', name, [], place);
    }
  }
}
