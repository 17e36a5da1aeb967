import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostUse } from '../../../src/needs/use.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { planHost } from '../../../src/plan/plan-host.ts';
import { ruleFor } from '../../../src/plan/policy.ts';
import { simulatePlan } from '../../../src/plan/simulate-plan.ts';
import { aHostUse, aUse } from '../needs/a-use.ts';
import { type AHost, aHost } from '../snapshot/a-host.ts';
import { aPolicy } from './a-policy.ts';

const ALICE = { id: 'user-1000.slice', use: { current: 10, peak: 20, events: 0 } };
const BOB = { id: 'user-1001.slice', use: { current: 10, peak: 20, events: 0 } };
const SERVICE = { id: 'a.service', use: { current: 10, peak: 20, events: 0 } };
const LIMITED = { '/etc/systemd/system/a.service': '[Service]\nTasksMax=30\n' };

function planOf(host: AHost, policy: string, use: HostUse): Plan {
  return planHost(aHost(host), aPolicy(policy), use);
}

const outcome = ({ changes, refused }: Plan) => ({
  changes: changes.map(({ title, to }) => `${title} ${to.count}`),
  refused: refused.map(({ title, diagnostic }) => `${title} ${diagnostic.code}`),
});

describe('a plan with a profile', () => {
  it('goes by what was measured where that is more than what is seen now, and says so', () => {
    const host = { units: [SERVICE], files: LIMITED };
    const plan = planOf(host, 'units: { a.service: {} }', aHostUse([aUse({ peak: 100 })]));
    expect(outcome(plan)).toEqual({ changes: ['a.service 192'], refused: [] });
    expect(plan.changes[0]?.reason[0]).toMatch(/^peak 100 of a\.service on web1 in 7 d/);
    const less = planOf(host, 'units: { a.service: {} }', aHostUse([aUse({ peak: 5 })]));
    expect(less).toEqual(planHost(aHost(host), aPolicy('units: { a.service: {} }')));
  });

  it('knows what a unit needs that does not run now', () => {
    const host = { units: [{ id: 'a.service', use: null }], files: LIMITED };
    const plan = planOf(host, 'units: { a.service: {} }', aHostUse([aUse({ peak: 100 })]));
    expect(outcome(plan).changes).toEqual(['a.service 192']);
  });

  it('does not go below the peak by a percentile, and refuses what would', () => {
    const host = { units: [SERVICE], files: LIMITED };
    const use = aHostUse([aUse({ peak: 100 })]);
    expect(outcome(planOf(host, 'percentile: 50%\nunits: { a.service: {} }', use)).changes).toEqual([
      'a.service 100',
    ]);
    expect(outcome(planOf(host, 'units: { a.service: { value: 99 } }', use))).toEqual({
      changes: [],
      refused: ['a.service below-use'],
    });
  });

  it('takes the need of every user from those that have no limit of their own', () => {
    const members: [string, number][] = [
      ['user-1001.slice', 9000],
      ['user-1000.slice', 8000],
    ];
    const use = aHostUse([aUse({ unit: 'user-.slice', peak: 9000, members })]);
    const kernel = { pidMax: 32_768, threadsMax: 32_768 };
    const host = { units: [ALICE, BOB], kernel };
    const all = planOf(host, 'user-default: {}', use);
    expect(outcome(all).changes).toEqual(['user-.slice (every user) 13568']);
    const named = planOf(host, 'user-default: {}\nusers: { 1001: {} }', use);
    expect(outcome(named).changes).toEqual(['user-.slice (every user) 12032', 'user-1001.slice 13568']);
  });

  it('needs nothing more once it is applied, and never is below the peak', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 20_000 }),
        fc.option(fc.nat({ max: 20_000 })),
        fc.constantFrom('', 'percentile: 50%\n', 'headroom: 0%\n'),
        (peak, reached, head) => {
          const use = aHostUse([aUse({ peak, reached, rejections: reached === null ? 0 : 3 })]);
          const policy = aPolicy(`${head}units: { a.service: {} }`);
          const host = aHost({ units: [SERVICE], files: LIMITED });
          const plan = planHost(host, policy, use);
          for (const { to } of plan.changes) expect(Number(to.count)).toBeGreaterThanOrEqual(peak);
          expect(planHost(simulatePlan(host, plan), policy, use).changes).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });
});

it('finds the rule for a name of a profile as it does for a unit', () => {
  const policy = aPolicy(
    'user-default: { floor: 1 }\nservice-default: { floor: 2 }\nusers: { 1000: { floor: 3 } }\nunits: { a.service: { floor: 4 }, "b*.service": { floor: 5 } }',
  );
  const labelOf = (unit: string) => ruleFor(policy, unit)?.label ?? null;
  expect(labelOf('user-.slice')).toBe('user-default');
  expect(labelOf('user-7.slice')).toBe('user-default');
  expect(labelOf('user-1000.slice')).toBe('users: 1000');
  expect(labelOf('a.service')).toBe('units: a.service');
  expect(labelOf('b@.service')).toBe('units: b*.service');
  expect(labelOf('c.service')).toBe('service-default');
  expect(labelOf('system.slice')).toBeNull();
});
