/**
 * How long it takes to plan a fleet from saved snapshots on one core: each is parsed from its JSON text, checked
 * against the schema, resolved and planned, as `tasksctl plan --snapshot` does. The snapshots are the examples, each
 * under a host name of its own so that no two texts are the same: a fleet of six images. Then again with a file of its
 * own in a unit directory of every host, as sessions have them, so that nothing resolved on one host serves another.
 * The peer is `JSON.parse()` of the same texts: the least that anybody who reads them has to do.
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
const { policy } = parsed;

interface Run {
  /** Processor time, which the aim is held against: a busy machine stretches the clock. */
  readonly seconds: number;
  readonly clock: number;
  readonly changes: number;
}

type Edit = (text: string, host: number) => string;

/** Does something with each host's text, which gives the changes planned. */
function timeAll(edit: Edit, each: (text: string) => number): Run {
  let changes = 0;
  const started = performance.now();
  const cpuStarted = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    const example = examples[i % examples.length] ?? '';
    changes += each(edit(example.replace(/"hostname": "[^"]*"/, `"hostname": "host-${i}"`), i));
  }
  const { user, system } = process.cpuUsage(cpuStarted);
  return { seconds: (user + system) / 1e6, clock: (performance.now() - started) / 1000, changes };
}

function plan(text: string): number {
  const loaded = parseSnapshot(text);
  if (!loaded.ok) throw new Error(loaded.message);
  return planHost(loaded.snapshot, policy, null).changes.length;
}

const sameImage: Edit = (text) => text;
const ownUnit: Edit = (text, i) =>
  text.replace(
    /"files": \[/,
    `"files": [{"path":"/run/systemd/transient/own-${i}.scope","type":"file","mode":420,"uid":0,"gid":0,"size":1,"text":"\\n"},`,
  );

const images = timeAll(sameImage, plan);
const apart = timeAll(ownUnit, plan);
const peer = timeAll(sameImage, (text) => Object.keys(JSON.parse(text)).length);

const { maxRSS } = process.resourceUsage();
const aim = (AIM_SECONDS * count) / AIM_HOSTS;
const row = (name: string, value: string) => console.log(`${name.padEnd(34)} ${value.padStart(12)}`);
row('snapshots planned', String(count));
row('examples they are made from', String(examples.length));
row('changes planned', String(images.changes));
row('JSON.parse() alone: processor s', peer.seconds.toFixed(1));
for (const [name, { seconds, clock }] of [
  ['hosts of six images', images],
  ['a unit of its own on each', apart],
] as const) {
  row(`${name}: processor s`, seconds.toFixed(1));
  row('  seconds on the clock', clock.toFixed(1));
  row('  snapshots a processor second', (count / seconds).toFixed(0));
  row('  ratio to JSON.parse() alone', (seconds / peer.seconds).toFixed(1));
  row(`  ratio to the aim of ${aim.toFixed(1)} s`, (seconds / aim).toFixed(2));
}
row('peak memory, MB', (maxRSS / 1024).toFixed(0));
