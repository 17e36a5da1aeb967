/**
 * How long it takes to plan a fleet from saved snapshots on one core: each is parsed from its JSON text, checked
 * against the schema, resolved and planned, as `tasksctl plan --snapshot` does. The snapshots are the examples, each
 * under a host name of its own so that no two texts are the same.
 *
 *   node bench/run.mjs plan-throughput [COUNT]
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
const started = performance.now();
// What the aim is held against: a busy machine stretches the time on the clock.
const cpuStarted = process.cpuUsage();
for (let i = 0; i < count; i++) {
  const example = examples[i % examples.length] ?? '';
  const text = example.replace(/"hostname": "[^"]*"/, `"hostname": "host-${i}"`);
  bytes += text.length;
  const loaded = parseSnapshot(text);
  if (!loaded.ok) throw new Error(loaded.message);
  changes += planHost(loaded.snapshot, parsed.policy).changes.length;
}
const clock = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(cpuStarted);
const seconds = (cpu.user + cpu.system) / 1e6;

const { maxRSS } = process.resourceUsage();
const aim = (AIM_SECONDS * count) / AIM_HOSTS;
const row = (name: string, value: string) => console.log(`${name.padEnd(34)} ${value.padStart(12)}`);
row('snapshots planned', String(count));
row('examples they are made from', String(examples.length));
row('JSON read, MB', (bytes / 1e6).toFixed(0));
row('changes planned', String(changes));
row('seconds of processor time', seconds.toFixed(1));
row('seconds on the clock', clock.toFixed(1));
row('snapshots a processor second', (count / seconds).toFixed(0));
row('peak memory, MB', (maxRSS / 1024).toFixed(0));
row(`ratio to the aim of ${aim.toFixed(1)} s`, (seconds / aim).toFixed(2));
