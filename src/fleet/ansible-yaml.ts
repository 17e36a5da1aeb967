import { isMap, isScalar, LineCounter, type Node, parseDocument, type Scalar } from 'yaml';
import type { InventoryBuilder, Place } from './inventory-builder.ts';

/** Groups in groups, deeper than anybody nests them. */
const MOST_DEPTH = 64;

/**
 * Reads an inventory in Ansible's YAML form into `into`: groups by name with `hosts`, `children` and `vars`.
 * Source of the rules: Ansible's `plugins/inventory/yaml.py`.
 */
export function readAnsibleYaml(text: string, file: string, into: InventoryBuilder): void {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const placeOf = (node: unknown): Place => {
    const start = (node as Partial<Node> | null)?.range?.[0];
    return start === undefined ? { file } : { file, line: lines.linePos(start).line };
  };
  for (const error of document.errors) {
    into.problem(error.message.split('\n')[0] ?? 'not YAML', {
      file,
      line: lines.linePos(error.pos[0]).line,
    });
  }
  if (document.errors.length > 0 || document.contents === null) return;

  const entries = (node: unknown, what: string, at: Place): [key: string, value: unknown, place: Place][] => {
    if (node === null || (isScalar(node) && node.value === null)) return [];
    if (!isMap(node)) {
      into.problem(`${what} is to be a mapping`, at);
      return [];
    }
    return node.items.map(({ key, value }) => [String((key as Scalar).value), value, placeOf(key)]);
  };
  const variables = (node: unknown, what: string, at: Place): [string, string][] =>
    entries(node, what, at).flatMap(([key, value]): [string, string][] =>
      isScalar(value) && value.value !== null ? [[key, String(value.value)]] : [],
    );
  const group = (name: string, node: unknown, at: Place, depth: number): void => {
    into.group(name, at);
    if (depth > MOST_DEPTH) {
      into.problem(`groups are nested more than ${MOST_DEPTH} deep`, at);
      return;
    }
    for (const [key, value, place] of entries(node, `group ${name}`, at)) {
      switch (key) {
        case 'hosts':
          for (const [host, vars, where] of entries(value, 'hosts', place)) {
            into.hosts(name, host, variables(vars, `host ${host}`, where), where);
          }
          break;
        case 'children':
          for (const [child, inner, where] of entries(value, 'children', place)) {
            into.child(name, child, where);
            group(child, inner, where, depth + 1);
          }
          break;
        case 'vars':
          for (const [variable, text] of variables(value, 'vars', place)) {
            into.groupVariable(name, variable, text, place);
          }
          break;
        default:
          into.problem(`${key} is not known here; a group has hosts, children and vars`, place);
      }
    }
  };
  for (const [name, node, place] of entries(document.contents, 'an inventory', { file, line: 1 })) {
    group(name, node, place, 0);
  }
}
