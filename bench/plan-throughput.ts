/**
 * How long it takes to plan a fleet from saved snapshots on one core: each is parsed from its JSON text, checked
 * against the schema, resolved and planned, as `tasksctl plan --snapshot` does. The snapshots are the examples, each
 * under a host name of its own so that no two texts are the same.
 *
 *   npx tsx bench/plan-throughput.ts [COUNT]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { planHost } from '../src/plan/plan-host.ts';
import { parsePolicy } from '../src/plan/policy.ts';
import { parseSnapshot } from '../src/snapshot/load-snapshot.ts';

const AIM_HOSTS = 10_000;
const AIM_SECONDS = 30;
const count = Number(process.argv[2] ?? AIM_HOSTS);

const root = join(import.meta.dirname, '..');
const examples = readdirSync(join(root, 'examples/snapshots'))
  .filter((name) => name.endsWith('.json'))
  .map((name) => readFileSync(join(root, 'examples/snapshots', name), 'utf8'));
const policyFile = join(root, 'templates/policies/default.yaml');
const parsed = parsePolicy(readFileSync(policyFile, 'utf8'), policyFile);
if (!parsed.ok) throw new Error('templates/policies/default.yaml is no valid policy');

let bytes = 0;
let changes = 0;
let parsing = 0;
const started = performance.now();
for (let i = 0; i < count; i++) {
  const example = examples[i % examples.length] ?? '';
  const text = example.replace(/"hostname": "[^"]*"/, `"hostname": "host-${i}"`);
  bytes += text.length;
  const before = performance.now();
  const loaded = parseSnapshot(text);
  parsing += performance.now() - before;
  if (!loaded.ok) throw new Error(loaded.message);
  changes += planHost(loaded.snapshot, parsed.policy).changes.length;
}
const seconds = (performance.now() - started) / 1000;

const { maxRSS } = process.resourceUsage();
const aim = (AIM_SECONDS * count) / AIM_HOSTS;
const row = (name: string, value: string) => console.log(`${name.padEnd(34)} ${value.padStart(12)}`);
row('snapshots planned', String(count));
row('examples they are made from', String(examples.length));
row('JSON read, MB', (bytes / 1e6).toFixed(0));
row('changes planned', String(changes));
row('seconds', seconds.toFixed(1));
row('  of them parsing and checking', (parsing / 1000).toFixed(1));
row('snapshots a second', (count / seconds).toFixed(0));
row('peak memory, MB', (maxRSS / 1024).toFixed(0));
row(`ratio to the aim of ${aim.toFixed(1)} s`, (seconds / aim).toFixed(2));
