import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containersUnavailable, type LabHost, type Suite, startContainer } from '../lab/lab.ts';
import { readDocument } from './activation/document.ts';
import { hostFacts, prepare, type RowResult, trial } from './activation/experiment.ts';
import { rows } from './activation/rows.ts';

/** The rows that docs/activation.md and the planner's rules rest on; run.ts runs them all. */
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

const suites: Suite[] = ['bullseye', 'bookworm', 'bookworm-backports', 'trixie'];

describe.skipIf(containersUnavailable() !== null)('docs/activation.json', () => {
  const { hosts: documented } = readDocument();
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
      const { cgroup } = await hostFacts(host);
      const known = documented[`${host.systemdVersion}-${cgroup}`]?.rows ?? {};
      let compared = 0;
      for (const row of rows.filter(({ id }) => essential.includes(id))) {
        const seen = known[row.id];
        // Not every row has been run on every host.
        if (!seen) continue;
        // What is pending is applied as soon as anything starts nearby, by chance too: only then a second try.
        let steps: RowResult = [];
        for (let attempt = 0; attempt < 3; attempt++) {
          steps = await trial(host, row);
          if (JSON.stringify(steps) === JSON.stringify(seen.steps)) break;
        }
        expect({ id: row.id, steps }).toEqual({ id: row.id, steps: seen.steps });
        compared++;
      }
      expect(compared).toBeGreaterThanOrEqual(essential.length - 2);
    });
  }
});
