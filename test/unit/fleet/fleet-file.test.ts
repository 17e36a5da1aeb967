import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { arrangeFleet, type Fleet, isFleetFile, parseFleet } from '../../../src/fleet/fleet-file.ts';
import { readInventory } from '../../../src/fleet/read-inventory.ts';
import { parseAmount, type Split, stagesInWaves } from '../../../src/fleet/waves.ts';

const HOSTS =
  '[web]\nweb[1:4]\n[db]\ndb[1:2]\n[fra]\nweb1\nweb2\ndb1\n[maintenance]\n[prod:children]\nweb\ndb\n';

function read(text: string) {
  const parsed = parseFleet(`schema: tasksctl/fleet/1\n${text}`, 'fleet.yaml');
  if (!parsed.ok) return parsed;
  const inventory = readInventory([{ file: 'hosts.ini', text: HOSTS }]);
  if (!inventory.ok) throw new Error(JSON.stringify(inventory.problems));
  return arrangeFleet(parsed.fleet, inventory.inventory);
}

function arranged(text: string): Fleet {
  const result = read(text);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.fleet;
}

/** What is wrong, as `line: message`. */
function problems(text: string): string[] {
  const result = read(text);
  if (result.ok) throw new Error('nothing is wrong');
  return result.problems.map(({ file, line, message }) => `${file}:${line}: ${message}`);
}

function waves(fleet: Fleet, split: Split | null = null): Record<string, string>[] {
  const all: Record<string, string>[] = [];
  for (const { host, wave, stage } of stagesInWaves(fleet.hosts, fleet.stages, split)) {
    const one = all[wave] ?? {};
    all[wave] = one;
    one[stage ?? ''] = [one[stage ?? ''], host.name].filter(Boolean).join(' ');
  }
  return all;
}

describe('a fleet file', () => {
  it('is told from an inventory by its schema line', () => {
    expect(isFleetFile('# ours\nschema: tasksctl/fleet/1\n')).toBe(true);
    expect(isFleetFile('"schema": "tasksctl/fleet/2"\n')).toBe(true);
    expect(isFleetFile('all:\n  vars:\n    schema: tasksctl/fleet/1\n')).toBe(false);
    expect(isFleetFile('[web]\nweb1\n')).toBe(false);
  });

  it('says which hosts go first; those that it does not name come last, none twice', () => {
    const fleet = arranged('waves:\n- web1:db1\n- hosts: web\n  serial: 2\n');
    expect(waves(fleet)).toEqual([
      { 'web1:db1': 'web1 db1' },
      { web: 'web2 web3' },
      { web: 'web4' },
      { 'the others': 'db2' },
    ]);
    const serial: Split = { kind: 'serial', size: { kind: 'count', count: 3 } };
    expect(waves(fleet, serial)).toEqual([
      { 'web1:db1': 'web1 db1' },
      { web: 'web2 web3 web4' },
      { 'the others': 'db2' },
    ]);
    expect(waves(arranged('waves: [{hosts: all, until: [1, 50%]}]'))).toEqual([
      { all: 'web1' },
      { all: 'web2 web3' },
      { all: 'web4 db1 db2' },
    ]);
    // Without an order of its own it has that of every rollout.
    expect(waves(arranged('labels: {a: web1}'))).toEqual([
      { '': 'web1' },
      { '': 'web2 web3' },
      { '': 'web4 db1 db2' },
    ]);
  });

  it('leaves out waves that have nobody left, and takes groups without hosts', () => {
    const fleet = arranged('waves: [maintenance, "fra:&db", "all:!maintenance"]');
    expect(waves(fleet)).toEqual([{ 'fra:&db': 'db1' }, { 'all:!maintenance': 'web1 web2 web3 web4 db2' }]);
  });

  it('gives labels, which are groups wherever one can be named', () => {
    const fleet = arranged(
      'labels:\n  canary: web1,db1\n  early: canary:web2\nwaves: [early]\nmax-unavailable: {early: 1, all: 3}\n',
    );
    expect(fleet.hosts.find(({ name }) => name === 'web1')?.groups).toEqual([
      'canary',
      'early',
      'fra',
      'prod',
      'web',
    ]);
    expect(fleet.groups).toEqual(expect.arrayContaining(['canary', 'early', 'maintenance']));
    expect(waves(fleet)[0]).toEqual({ early: 'web1 web2 db1' });
    expect(fleet.maxUnavailable).toEqual([
      ['early', 1],
      ['all', 3],
    ]);
  });

  it('gives each host the first policy that fits', () => {
    const { policies } = arranged(
      'policies:\n- {hosts: db1, policy: big.yaml}\n- {hosts: db, policy: database}\n- {hosts: all, policy: default}\n',
    );
    expect(policies).toEqual(
      new Map([
        ['db1', { name: 'big.yaml', line: 3 }],
        ['db2', { name: 'database', line: 4 }],
        ...['web1', 'web2', 'web3', 'web4'].map((name) => [name, { name: 'default', line: 5 }] as const),
      ]),
    );
    expect(arranged('waves: [web]').policies).toBeNull();
  });

  it.each([
    ['waves:\n- web\n- wbe\n', ['fleet.yaml:4: wbe is no host and no group of the inventory']],
    ['labels:\n  a: web\n  web: db1\n', [/^fleet.yaml:4: web is a host or a group of the inventory already/]],
    [
      'labels:\n  all: web\n  "9": web\n',
      [/^fleet.yaml:2: "9" cannot|^fleet.yaml:3: "all" cannot/, /cannot be/],
    ],
    ['waves:\n- hosts: web\n  serail: 3\n', [/^fleet.yaml:4: waves.0.serail is no key of a fleet file/]],
    [
      'waves:\n- hosts: web\n  serial: 0\n',
      [/^fleet.yaml:4: waves.0.serial must be a number of hosts such as 5/],
    ],
    ['waves:\n- serial: 3\n', [/^fleet.yaml:3: waves.0 must be a pattern of hosts, or a map with hosts/]],
    ['waves:\n- hosts: web\n  serial: 3\n  until: [3]\n', [/^fleet.yaml:3: serial and until both/]],
    ['waves:\n- "~web.*"\n', [/^fleet.yaml:3: "~web\.\*" is no name, glob or group/]],
    ['waves: [""]\n', [/^fleet.yaml:2: the pattern is empty/]],
    ['policies:\n- {hosts: web, policy: default}\n', [/^fleet.yaml:3: no policy fits db1, db2/]],
    ['max-unavailable:\n  dbs: 1\n', ['fleet.yaml:3: dbs is no group and no label']],
    ['hosts: [web1]\n', [/^fleet.yaml:2: hosts is no key of a fleet file/]],
    ['waves: [\n', [/^fleet.yaml:\d+: /]],
  ])('tells what is wrong with its line: %j', (text, wanted) => {
    expect(problems(text)).toEqual(
      wanted.map((one) => (typeof one === 'string' ? one : expect.stringMatching(one))),
    );
  });

  it('is in the documentation and the examples as it can be used', () => {
    const root = join(import.meta.dirname, '../../..');
    const page = readFileSync(join(root, 'docs/inventory.md'), 'utf8');
    const [, example = ''] = /^```yaml\n(.*?)^```/ms.exec(page) ?? [];
    expect(parseFleet(example, 'docs/inventory.md')).toMatchObject({ ok: true });
    const directory = join(root, 'examples/inventories');
    const parsed = parseFleet(readFileSync(join(directory, 'fleet.yaml'), 'utf8'), 'fleet.yaml');
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const inventory = readInventory(
      parsed.fleet.inventories.map(({ name: file }) => ({
        file,
        text: readFileSync(join(directory, file), 'utf8'),
      })),
    );
    if (!inventory.ok) throw new Error(JSON.stringify(inventory.problems));
    expect(arrangeFleet(parsed.fleet, inventory.inventory)).toMatchObject({ ok: true });
  });

  it('of another version is refused', () => {
    const parsed = parseFleet('schema: tasksctl/fleet/2\n', 'fleet.yaml');
    expect(parsed).toMatchObject({
      ok: false,
      problems: [{ code: 'inventory', line: 1, message: 'schema must be tasksctl/fleet/1' }],
    });
  });

  it('never throws, whatever is in it', () => {
    for (const text of [
      '',
      '- a',
      'labels: 3',
      'labels: {a: {b: c}}',
      'waves: [[]]',
      'waves: [null]',
      'policies: [3]',
    ]) {
      expect(read(text === '' ? 'x: 1' : text).ok, text).toBe(false);
    }
    expect(parseAmount('1e3')).toBeNull();
  });
});
