/**
 * Runs the experiment on one real host and puts what it saw into docs/activation.json:
 *   test/lab/in-lab npx tsx test/hosts/activation/run.ts [--repeat N] [--rows PREFIX,...] SUITE[:vm]
 * Rows and hosts that are not run stay as they are in the file.
 */
import { parseArgs } from 'node:util';
import { type LabHost, type Suite, startContainer, startVm } from '../../lab/lab.ts';
import { type ActivationDocument, readDocument, writeDocument } from './document.ts';
import { type HostFacts, hostFacts, prepare, type RowResult, trial } from './experiment.ts';
import { rows } from './rows.ts';

type HostResult = ActivationDocument['hosts'][string];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repeat: { type: 'string', default: '3' },
    rows: { type: 'string', default: '' },
    fresh: { type: 'boolean', default: false },
  },
});
const [argument = ''] = positionals;
const [suite = '', kind] = argument.split(':');
const prefixes = values.rows.split(',');
// A host's pipe alone does not keep this process up.
const alive = setInterval(() => {}, 60_000);
const name = `activation-${suite}`.slice(0, 28);
const options = { suite: suite as Suite, name };
const host =
  kind === 'vm' ? await startVm({ ...options, fresh: values.fresh }) : await startContainer(options);
try {
  await prepare(host);
  const facts = await hostFacts(host);
  const key = `${host.systemdVersion}-${facts.cgroup}`;
  const pending = await isPending(host);
  for (const row of rows) {
    if (!prefixes.some((prefix) => row.id.startsWith(prefix))) continue;
    if (row.onlyIfPending && !pending) continue;
    if (row.vmOnly && host.kind !== 'vm') continue;
    const trials: RowResult[] = [];
    for (let i = 0; i < Number(values.repeat); i++) trials.push(await trial(host, row));
    const seen = [...new Map(trials.map((steps) => [JSON.stringify(steps), steps])).values()];
    console.error(`${key} ${row.id}${seen.length > 1 ? ' VARIES' : ''}`);
    for (const steps of seen) for (const step of steps) console.error(`    ${JSON.stringify(step)}`);
    const [steps = [], ...otherwise] = mostOftenFirst(trials);
    record(key, facts, row.id, {
      trials: trials.length,
      steps,
      ...(otherwise.length > 0 && { otherwise }),
    });
  }
} finally {
  await host.stop();
}
clearInterval(alive);

/** Row by row, as a run may take an hour; other rows and hosts stay as they are. */
function record(key: string, facts: HostFacts, id: string, result: HostResult['rows'][string]): void {
  const document = readDocument();
  const all = { ...document.hosts[key]?.rows, [id]: result };
  document.hosts[key] = {
    ...facts,
    rows: Object.fromEntries(rows.flatMap(({ id }) => (all[id] ? [[id, all[id]]] : []))),
  };
  writeDocument(document);
}

/** Whether on this host daemon-reload alone leaves running services under the old limit. */
async function isPending(host: LabHost): Promise<boolean> {
  const row = rows.find(({ id }) => id === 'c.then-show-unit');
  if (!row) throw new Error('no row to tell by');
  const [, reloaded] = await trial(host, row);
  return reloaded?.readings['trial-own.service']?.live === 'old';
}

/** The different outcomes, the one seen most often first. */
function mostOftenFirst(trials: RowResult[]): RowResult[] {
  const count = new Map<string, number>();
  for (const steps of trials) count.set(JSON.stringify(steps), (count.get(JSON.stringify(steps)) ?? 0) + 1);
  return [...count].sort(([, a], [, b]) => b - a).map(([text]) => JSON.parse(text) as RowResult);
}
