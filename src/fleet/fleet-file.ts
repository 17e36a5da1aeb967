import { z } from 'zod';
import { type Finding, isRecord, readYaml } from '../plan/read-yaml.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { patternProblem, selectHosts } from './host-pattern.ts';
import type { InventoryHost } from './inventory.ts';
import { type Amount, parseAmount, type Split, type Stage } from './waves.ts';

/**
 * A fleet file: what an inventory cannot say of its hosts, which of them go first, by which policy, and labels. Written in
 * YAML; docs/inventory.md explains it.
 */

const AMOUNT = 'must be a number of hosts such as 5, or a share such as 10%';
const amount = z
  .union([z.number().int(), z.string()], { error: AMOUNT })
  .refine((value) => isAmount(parseAmount(String(value))), { error: AMOUNT })
  .meta({ examples: [5, '10%'] });

function isAmount(amount: Amount | null): boolean {
  return amount !== null && (amount.kind === 'count' ? amount.count : amount.percent) > 0;
}

const pattern = z
  .string({ error: 'must be a pattern of hosts and groups such as web:!web9' })
  .describe('Hosts, groups, labels and globs, as for --limit');

const wave = z.strictObject({
  hosts: pattern,
  serial: amount.describe('Not all at once, but in waves of so many').optional(),
  until: z
    .array(amount)
    .min(1)
    .describe('Not all at once, but so that so many of them are done after each wave')
    .optional(),
});

const GROUP = /^[A-Za-z_][A-Za-z0-9_.-]{0,252}$/;

/** A fleet file. What a schema cannot say `parseFleet` checks. */
export const fleetSchema = z
  .strictObject({
    schema: z.literal('tasksctl/fleet/1', { error: 'must be tasksctl/fleet/1' }),
    description: z.string().optional(),
    inventories: z
      .array(z.string().min(1))
      .describe('What --inventory takes; paths are relative to this file')
      .optional(),
    labels: z
      .record(z.string(), pattern)
      .describe('Groups of your own: a name, and a pattern of the hosts that have it')
      .optional(),
    policies: z
      .array(z.strictObject({ hosts: pattern, policy: z.string().min(1) }))
      .min(1)
      .describe(
        'Which policy a host is planned by: the first that fits. A file, relative to this one, or the name of a template',
      )
      .optional(),
    waves: z
      .array(z.union([pattern, wave], { error: 'must be a pattern of hosts, or a map with hosts' }))
      .min(1)
      .describe('Which hosts go first. Hosts that none names come last')
      .optional(),
    'max-unavailable': z
      .record(z.string(), z.number().int().min(1).max(99_999))
      .describe('Of a group no more than so many hosts at once')
      .optional(),
  })
  .describe('tasksctl fleet: wave order, labels and policy per group of the hosts of inventories');

type FleetText = z.infer<typeof fleetSchema>;

/** A fleet file that was read, not yet compared with the hosts there are. */
export interface FleetFile {
  readonly file: string;
  readonly inventories: readonly Named[];
  readonly text: FleetText;
  readonly lineOf: (path: readonly PropertyKey[]) => number;
}

export type FleetFileResult =
  | { readonly ok: true; readonly fleet: FleetFile }
  | { readonly ok: false; readonly problems: readonly Diagnostic[] };

/** A text that says it is a fleet file, of whichever version. */
export function isFleetFile(text: string): boolean {
  return /^(?:schema|["']schema["'])\s*:\s*["']?tasksctl\/fleet\//m.test(text);
}

/** Reads a fleet file; `file` is its name for messages. All problems are found at once. */
export function parseFleet(text: string, file: string): FleetFileResult {
  const read = readYaml(text, file, { what: 'fleet file', schema: fleetSchema, knownKeys, contradictions });
  if (!read.ok) return { ok: false, problems: read.problems.map(asInventory) };
  const { data, lineOf } = read;
  const inventories = (data.inventories ?? []).map((name, i) => ({ name, line: lineOf(['inventories', i]) }));
  return { ok: true, fleet: { file, inventories, text: data, lineOf } };
}

function asInventory(problem: Diagnostic): Diagnostic {
  return { ...problem, code: 'inventory' };
}

function knownKeys([section]: readonly PropertyKey[]): readonly string[] {
  if (section === 'waves') return Object.keys(wave.shape);
  return section === 'policies' ? ['hosts', 'policy'] : Object.keys(fleetSchema.shape);
}

function contradictions(content: unknown): Finding[] {
  if (!isRecord(content)) return [];
  const findings: Finding[] = [];
  const add = (path: readonly PropertyKey[], message: string, onKey = false): void => {
    findings.push({ code: 'policy-contradiction', message, path, onKey });
  };
  const check = (path: readonly PropertyKey[], text: unknown): void => {
    const problem = typeof text === 'string' ? patternProblem(text) : null;
    if (problem !== null) add(path, problem);
  };
  const labels = isRecord(content['labels']) ? content['labels'] : {};
  for (const [name, hosts] of Object.entries(labels)) {
    if (!GROUP.test(name) || name === 'all' || name === 'ungrouped') {
      add(['labels', name], `${JSON.stringify(name)} cannot be the name of a label`, true);
    }
    check(['labels', name], hosts);
  }
  for (const section of ['policies', 'waves']) {
    for (const [i, entry] of (Array.isArray(content[section]) ? content[section] : []).entries()) {
      check([section, i], entry);
      if (!isRecord(entry)) continue;
      check([section, i, 'hosts'], entry['hosts']);
      if (entry['serial'] !== undefined && entry['until'] !== undefined) {
        add([section, i], 'serial and until both say how large the waves are; leave out one');
      }
    }
  }
  return findings;
}

/** What a fleet file names, and in which of its lines. */
export interface Named {
  readonly name: string;
  readonly line: number;
}

/** The hosts of inventories, with what a fleet file says of them. */
export interface Fleet {
  /** The fleet file; null: there is none. */
  readonly file: string | null;
  readonly hosts: readonly InventoryHost[];
  /** Names of all groups and labels, those without hosts too. */
  readonly groups: readonly string[];
  readonly stages: readonly Stage[];
  readonly maxUnavailable: readonly (readonly [group: string, most: number])[];
  /** The policy of each host, as the fleet file names it; null: it says nothing of policies. */
  readonly policies: ReadonlyMap<string, Named> | null;
}

/** Hosts of which nobody said more than their inventory does. */
export function plainFleet(hosts: readonly InventoryHost[], groups: readonly string[]): Fleet {
  const stages = [{ name: null, hosts: hosts.map(({ name }) => name), split: null }];
  return { file: null, hosts, groups, stages, maxUnavailable: [], policies: null };
}

/** Hosts named in a problem. */
const HOSTS_SHOWN = 3;

/** What a fleet file says of these hosts. A name in it that is no host and no group is a problem. */
export function arrangeFleet(
  { text, file, lineOf }: FleetFile,
  inventory: { readonly hosts: readonly InventoryHost[]; readonly groups: readonly string[] },
):
  | { readonly ok: true; readonly fleet: Fleet }
  | { readonly ok: false; readonly problems: readonly Diagnostic[] } {
  const problems: Diagnostic[] = [];
  const problem = (path: readonly PropertyKey[], message: string, help?: string): void => {
    problems.push({
      code: 'inventory',
      severity: 'error',
      message,
      file,
      line: lineOf(path),
      ...(help === undefined ? {} : { help }),
    });
  };
  let { hosts } = inventory;
  const groups = new Set(inventory.groups);
  const select = (pattern: string, path: readonly PropertyKey[]): readonly InventoryHost[] => {
    const selected = selectHosts(hosts, pattern, groups);
    if (!('error' in selected)) return selected;
    problem(path, selected.error);
    return [];
  };
  for (const [label, pattern] of Object.entries(text.labels ?? {})) {
    const path = ['labels', label];
    if (groups.has(label) || hosts.some(({ name }) => name === label)) {
      problem(path, `${label} is a host or a group of the inventory already; give the label another name`);
      continue;
    }
    const labelled = new Set(select(pattern, path).map(({ name }) => name));
    hosts = hosts.map((host) =>
      labelled.has(host.name) ? { ...host, groups: [...host.groups, label].sort() } : host,
    );
    groups.add(label);
  }

  const stages: Stage[] = [];
  const placed = new Set<string>();
  for (const [i, entry] of (text.waves ?? []).entries()) {
    const { hosts: name, ...how } = typeof entry === 'string' ? { hosts: entry } : entry;
    const some = select(name, ['waves', i]).flatMap((host) => (placed.has(host.name) ? [] : [host.name]));
    for (const host of some) placed.add(host);
    stages.push({ name, hosts: some, split: splitOf(how) });
  }
  const rest = hosts.flatMap(({ name }) => (placed.has(name) ? [] : [name]));
  if (rest.length > 0)
    stages.push({ name: text.waves === undefined ? null : 'the others', hosts: rest, split: null });

  let policies: Map<string, Named> | null = null;
  if (text.policies !== undefined) {
    policies = new Map();
    for (const [i, { hosts: name, policy }] of text.policies.entries()) {
      const named = { name: policy, line: lineOf(['policies', i, 'policy']) };
      for (const host of select(name, ['policies', i])) {
        if (!policies.has(host.name)) policies.set(host.name, named);
      }
    }
    const without = hosts.flatMap(({ name }) => (policies?.has(name) === true ? [] : [name]));
    if (without.length > 0 && problems.length === 0) {
      const more = without.length > HOSTS_SHOWN ? ` and ${without.length - HOSTS_SHOWN} more` : '';
      problem(
        ['policies'],
        `no policy fits ${without.slice(0, HOSTS_SHOWN).join(', ')}${more}`,
        'End the list with a policy for all.',
      );
    }
  }

  const maxUnavailable = Object.entries(text['max-unavailable'] ?? {});
  for (const [group] of maxUnavailable) {
    if (group !== 'all' && !groups.has(group)) {
      problem(['max-unavailable', group], `${group} is no group and no label`);
    }
  }
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, fleet: { file, hosts, groups: [...groups], stages, maxUnavailable, policies } };
}

function splitOf({ serial, until }: { serial?: Wave['serial']; until?: Wave['until'] }): Split | null {
  const amounts = (until ?? (serial === undefined ? [] : [serial])).flatMap(
    (value) => parseAmount(String(value)) ?? [],
  );
  const [first] = amounts;
  if (first === undefined) return null;
  return until === undefined ? { kind: 'serial', size: first } : { kind: 'until', amounts };
}

type Wave = z.infer<typeof wave>;
