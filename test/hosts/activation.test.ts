import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  containersUnavailable,
  type LabHost,
  labUnavailable,
  type Suite,
  startContainer,
  startVm,
} from '../lab/lab.ts';
import { readDocument } from './activation/document.ts';
import { hostFacts, prepare, type RowResult, trial } from './activation/experiment.ts';
import { rows } from './activation/rows.ts';

/**
 * Runs the rows that docs/activation.md and the planner's rules rest on again; run.ts runs them all. That the planner's
 * rules are those of the document is tested in test/unit/plan/activation.test.ts.
 */
const essential = [
  'a.every-user',
  'c.all-kinds',
  'c.then-start-sibling',
  'd.default',
  'e.service-later-file',
  'e.percent-then-number',
  'f.service-remove-file',
  'g.service-then-set-property-unrelated',
  'i.value-5000000',
  'l.user',
];

const { hosts: documented } = readDocument();

/** Fails where a host does something else than the document says of it. */
async function compare(host: LabHost, wanted: readonly string[]): Promise<void> {
  const { cgroup } = await hostFacts(host);
  const known = documented[`${host.systemdVersion}-${cgroup}`]?.rows ?? {};
  for (const row of rows.filter(({ id }) => wanted.includes(id))) {
    const seen = known[row.id];
    // What makes a reload count is of interest only where a reload alone does not.
    if (seen === undefined && row.onlyIfPending) continue;
    if (seen === undefined) throw new Error(`docs/activation.json has no ${row.id} of ${host.name}`);
    // What is pending is applied as soon as anything starts nearby, by chance too: only then a second try.
    let steps: RowResult = [];
    for (let attempt = 0; attempt < 3; attempt++) {
      steps = await trial(host, row);
      if (JSON.stringify(steps) === JSON.stringify(seen.steps)) break;
    }
    expect({ id: row.id, steps }).toEqual({ id: row.id, steps: seen.steps });
  }
}

const suites: Suite[] = ['bullseye', 'bookworm', 'bookworm-backports', 'trixie'];

describe.skipIf(containersUnavailable() !== null)('docs/activation.json', () => {
  let hosts: LabHost[] = [];
  beforeAll(async () => {
    hosts = await Promise.all(suites.map((suite) => startContainer({ suite })));
    await Promise.all(hosts.map(prepare));
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host.stop()));
  });

  for (const [number, suite] of suites.entries()) {
    it.concurrent(`tells what ${suite} does`, async () => {
      const host = hosts[number];
      if (!host) throw new Error(`no host of ${suite}`);
      await compare(host, essential);
    });
  }
});

describe.skipIf(labUnavailable() !== null)('docs/activation.json on a virtual machine', () => {
  it('tells what forky does', { timeout: 600_000 }, async () => {
    const host = await startVm({ suite: 'forky' });
    try {
      await prepare(host);
      await compare(host, ['a.every-user', 'c.all-kinds']);
    } finally {
      await host.stop();
    }
  });
});
