import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { baselineOf, type HostPlan, PlanGroups } from '../../../src/fleet/host-plan.ts';
import { HostPlanFile, hostPlanLine } from '../../../src/fleet/host-plan-file.ts';
import { planHost } from '../../../src/plan/plan-host.ts';
import { parsePolicy } from '../../../src/plan/policy.ts';
import { hostLimits } from '../../../src/snapshot/limits.ts';
import { parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';

const examples = join(import.meta.dirname, '../../../examples/snapshots');

function load(file: string): Snapshot {
  const loaded = parseSnapshot(readFileSync(join(examples, file), 'utf8'));
  if (!loaded.ok) throw new Error(loaded.message);
  return loaded.snapshot;
}

const parsed = parsePolicy(
  readFileSync(join(examples, '../../templates/policies/default.yaml'), 'utf8'),
  'p',
);
if (!parsed.ok) throw new Error('the default policy is not valid');
const { policy } = parsed;
const debian12 = load('debian-12-systemd-252.json');

/** The same host where some units have used a task more. */
function busier(snapshot: Snapshot, units: RegExp): Snapshot {
  const tree = snapshot.cgroups.tree.map((one) =>
    one.peak === undefined || !units.test(one.path) ? one : { ...one, peak: one.peak + 1 },
  );
  return { ...snapshot, cgroups: { ...snapshot.cgroups, tree } };
}

describe('groups of plans', () => {
  const same = planHost(debian12, policy);
  const other = planHost(busier(debian12, /ci-runner/), policy);
  const busy = planHost(busier(debian12, /./), policy);

  it('have hosts together that are to have the same limits, whatever the arithmetic', () => {
    // The reason is in a comment of the file.
    expect(other.files).not.toEqual(same.files);
    const groups = new PlanGroups([{ name: 'more' }, { name: 'web1' }, { name: 'web2' }]);
    groups.add('more', busy);
    groups.add('web1', same);
    groups.add('web2', other);
    expect(groups.all().map(({ hosts }) => hosts)).toEqual([['web1', 'web2'], ['more']]);
  });

  it('are the same whichever host answers first', () => {
    const plans = [same, busy, other, busy, same] as const;
    const hosts = plans.map((_, i) => ({ name: `web${i}` }));
    const grouped = (order: readonly number[]) => {
      const groups = new PlanGroups(hosts);
      for (const i of order) groups.add(`web${i}`, plans[i] as (typeof plans)[number]);
      return groups.all();
    };
    const straight = grouped([0, 1, 2, 3, 4]);
    expect(straight.map((group) => group.hosts)).toEqual([
      ['web0', 'web2', 'web4'],
      ['web1', 'web3'],
    ]);
    for (const order of [
      [4, 3, 2, 1, 0],
      [2, 0, 3, 4, 1],
    ]) {
      expect(grouped(order)).toEqual(straight);
    }
  });
});

describe('a file of plans', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tasksctl-plans-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('gives back each plan it was given', async () => {
    const path = join(dir, 'plans.ndjson');
    const plans = readdirSync(examples)
      .filter((name) => name.endsWith('.json'))
      .slice(0, 5)
      .map((name): HostPlan => {
        const snapshot = load(name);
        return {
          schema: 'tasksctl/host-plan/1',
          name,
          groups: ['web'],
          plan: planHost(snapshot, policy),
          before: baselineOf(snapshot, hostLimits(snapshot)),
        };
      });
    const file = await HostPlanFile.create(path);
    await Promise.all(plans.map((plan) => file.add(plan)));
    await file.sync();
    await file.close();
    const again = await HostPlanFile.open(path);
    expect(again.hosts().map(({ name }) => name)).toEqual(plans.map(({ name }) => name));
    for (const plan of plans.toReversed()) expect(await again.get(plan.name)).toEqual(plan);
    // In the order that is asked for, byte for byte.
    const copy = await HostPlanFile.create(join(dir, 'copy.ndjson'));
    const reversed = plans.toReversed();
    await again.copyTo(copy, ['unknown', ...reversed.map(({ name }) => name)]);
    await copy.close();
    expect(readFileSync(join(dir, 'copy.ndjson'), 'utf8')).toBe(reversed.map(hostPlanLine).join(''));
    await again.close();
  });

  it('is refused where a line is no plan', async () => {
    const path = join(dir, 'damaged.ndjson');
    writeFileSync(path, '{"schema":"tasksctl/plan/1"}\n');
    await expect(HostPlanFile.open(path)).rejects.toThrow(`${path}:1: this is no plan of a host`);
  });
});
