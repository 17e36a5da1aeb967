import type { InventoryBuilder } from './inventory-builder.ts';

/**
 * Reads an inventory in Ansible's INI form into `into`; a plain list of hosts is one. The package `ini` is of no use here:
 * lines are no assignments but a host with words after it, and sections have kinds (`[web:children]`).
 * Source of the rules: Ansible's `plugins/inventory/ini.py`.
 */
export function readAnsibleIni(text: string, file: string, into: InventoryBuilder): void {
  let section: { readonly group: string; readonly kind: 'hosts' | 'children' | 'vars' } = {
    group: 'ungrouped',
    kind: 'hosts',
  };
  for (const [index, raw] of text
    .replace(/^\ufeff/, '')
    .split('\n')
    .entries()) {
    const place = { file, line: index + 1 };
    const line = raw.trim();
    if (line === '' || /^[#;]/.test(line)) continue;
    const [, header] = /^\[([^\]]*)\](?:\s*#.*)?$/.exec(line) ?? [];
    if (header !== undefined) {
      const [group = '', kind = 'hosts', ...more] = header.split(':');
      if ((kind !== 'hosts' && kind !== 'children' && kind !== 'vars') || more.length > 0) {
        into.problem(
          `[${header}] is no section; there are [group], [group:children] and [group:vars]`,
          place,
        );
        section = { group: 'ungrouped', kind: 'vars' };
        continue;
      }
      into.group(group, place);
      section = { group, kind };
      continue;
    }
    const words = splitWords(line);
    if (words === null) {
      into.problem('a quote is not closed', place);
      continue;
    }
    const [first = '', ...rest] = words;
    switch (section.kind) {
      case 'hosts': {
        const vars: [string, string][] = [];
        for (const word of rest) {
          const equals = word.indexOf('=');
          if (equals <= 0) into.problem(`${JSON.stringify(word)} is no variable; write name=value`, place);
          else vars.push([word.slice(0, equals), unquoted(word.slice(equals + 1))]);
        }
        into.hosts(section.group, first, vars, place);
        break;
      }
      case 'children':
        if (rest.length > 0) into.problem('a child group has its name alone on a line', place);
        else into.child(section.group, first, place);
        break;
      case 'vars': {
        const equals = line.indexOf('=');
        if (equals <= 0) into.problem(`${JSON.stringify(line)} is no variable; write name=value`, place);
        else {
          const value = line
            .slice(equals + 1)
            .replace(/\s+#.*$/, '')
            .trim();
          into.groupVariable(section.group, line.slice(0, equals).trim(), unquoted(value), place);
        }
      }
    }
  }
}

/** Words of a line up to a comment, quotes kept; null where a quote is not closed (Python's `shlex.split`). */
function splitWords(line: string): string[] | null {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (const char of line) {
    if (quote !== '') {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === '"' || char === "'") quote = char;
    else if (/\s/.test(char)) {
      if (word !== '') words.push(word);
      word = '';
    } else if (char === '#' && word === '') return words;
    else word += char;
  }
  if (quote !== '') return null;
  if (word !== '') words.push(word);
  return words;
}

function unquoted(text: string): string {
  return /^(["'])(.*)\1$/.exec(text)?.[2] ?? text;
}
