import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { baselineOf, type HostPlan, PlanGroups } from '../../../src/fleet/host-plan.ts';
import { type FleetOrder, HostPlanFile, planLine } from '../../../src/fleet/host-plan-file.ts';
import type { Plan } from '../../../src/plan/plan.ts';
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
  it('have hosts together that are to have the same limits, whatever the arithmetic', () => {
    const same = planHost(debian12, policy);
    const other = planHost(busier(debian12, /ci-runner/), policy);
    // The reason is in a comment of the file.
    expect(other.files).not.toEqual(same.files);
    const groups = new PlanGroups(['web1', 'web2', 'more']);
    groups.add('more', planHost(busier(debian12, /./), policy));
    groups.add('web1', same);
    groups.add('web2', other);
    expect(groups.all().map(({ hosts }) => hosts)).toEqual([['web1', 'web2'], ['more']]);
  });

  it('are the same whichever host was read first, and name the policies that come to them', () => {
    const plans: [string, Plan][] = [
      ['web1', planHost(debian12, policy)],
      ['web2', planHost(busier(debian12, /ci-runner/), { ...policy, name: 'web' })],
      ['db1', planHost(busier(debian12, /./), policy)],
      ['db2', planHost(busier(debian12, /./), policy)],
    ];
    const grouped = (some: typeof plans) => {
      const groups = new PlanGroups(plans.map(([name]) => name));
      for (const [name, plan] of some) groups.add(name, plan);
      return groups.all();
    };
    const all = grouped(plans);
    expect(all.map(({ hosts, policies }) => [hosts, policies])).toEqual([
      [
        ['web1', 'web2'],
        ['default', 'web'],
      ],
      [['db1', 'db2'], ['default']],
    ]);
    expect(grouped([...plans].reverse())).toEqual(all);
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
    const order: FleetOrder = {
      schema: 'tasksctl/fleet-order/1',
      stages: [{ name: null, hosts: plans.map(({ name }) => name), split: null }],
      maxUnavailable: [['web', 1]],
    };
    const file = await HostPlanFile.create(path, order);
    // In the order in which the hosts happened to answer.
    plans.reverse();
    await Promise.all(plans.map((plan) => file.add(plan)));
    await file.sync();
    await file.close();
    const again = await HostPlanFile.open(path);
    expect(again.order).toEqual(order);
    expect(again.hosts().map(({ name }) => name)).toEqual(order.stages[0]?.hosts);
    for (const plan of plans) expect(await again.get(plan.name)).toEqual(plan);
    const copy = await HostPlanFile.create(join(dir, 'copy.ndjson'), order);
    await again.copyTo(copy);
    await copy.close();
    await again.close();
    const lines = [order, ...plans.toReversed()].map(planLine);
    expect(readFileSync(join(dir, 'copy.ndjson'), 'utf8')).toBe(lines.join(''));
  });

  it('is refused where a line is no plan', async () => {
    const path = join(dir, 'damaged.ndjson');
    writeFileSync(path, '{"schema":"tasksctl/plan/1"}\n');
    await expect(HostPlanFile.open(path)).rejects.toThrow(`${path}:1: this is no saved plan of a fleet`);
    const order = '{"schema":"tasksctl/fleet-order/1","stages":[],"maxUnavailable":[]}';
    writeFileSync(path, `${order}\n{"schema":"tasksctl/plan/1"}\n`);
    await expect(HostPlanFile.open(path)).rejects.toThrow(`${path}:2: this is no plan of a host`);
  });
});
