import { z } from 'zod';
import type { InventoryBuilder } from './inventory-builder.ts';

const variables = z.record(z.string(), z.unknown());
const listSchema = z.record(
  z.string(),
  z.union([
    z.array(z.string()),
    z.object({
      hosts: z.array(z.string()).optional(),
      children: z.array(z.string()).optional(),
      vars: variables.optional(),
      hostvars: z.record(z.string(), variables).optional(),
    }),
  ]),
);

/**
 * Reads what `ansible-inventory --list` and dynamic inventories print into `into`
 * (docs.ansible.com, "Developing dynamic inventory").
 */
export function readAnsibleJson(text: string, file: string, into: InventoryBuilder): void {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    into.problem(error instanceof Error ? error.message : String(error), { file });
    return;
  }
  const parsed = listSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    into.problem(`${issue?.path.join('.') || 'the list'}: ${issue?.message ?? 'not as expected'}`, { file });
    return;
  }
  const place = { file };
  const { _meta: meta, ...groups } = parsed.data;
  const names = new Set(Object.keys(groups));
  for (const [name, group] of Object.entries(groups)) {
    into.group(name, place);
    const { hosts = [], children = [], vars = {} } = Array.isArray(group) ? { hosts: group } : group;
    for (const host of hosts) into.hosts(name, host, [], place);
    for (const child of children) {
      into.child(name, child, place);
      // Ansible lists `ungrouped` as a child also where nothing is in it.
      if (!names.has(child)) into.group(child, place);
    }
    for (const [key, value] of scalars(vars)) into.groupVariable(name, key, value, place);
  }
  if (meta === undefined) {
    into.warning('there is no _meta with variables of hosts, and --host is not asked for them', place);
  }
  if (meta === undefined || Array.isArray(meta)) return;
  for (const [host, vars] of Object.entries(meta.hostvars ?? {})) {
    for (const [key, value] of scalars(vars)) into.hostVariable(host, key, value, place);
  }
}

function scalars(vars: Record<string, unknown>): [string, string][] {
  return Object.entries(vars).flatMap(([key, value]): [string, string][] =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? [[key, String(value)]]
      : [],
  );
}
