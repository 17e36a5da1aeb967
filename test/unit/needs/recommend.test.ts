import { describe, expect, it } from 'vitest';
import { type LimitRule, recommend } from '../../../src/needs/recommend.ts';
import type { HostUse } from '../../../src/needs/use.ts';
import { aHostUse, aUse } from './a-use.ts';

const POLICY = { percentile: null, growth: 5000n, headroom: 5000n };
const RULE: LimitRule = { headroom: 5000n, floor: null, ceiling: null, label: 'units: *' };
const count = (tasks: number) => ({ kind: 'count', count: BigInt(tasks) }) as const;
const limitsOf = (hosts: readonly HostUse[], rule: Partial<LimitRule> = {}, policy = {}) =>
  recommend(hosts, { ...POLICY, ...policy }, () => ({ ...RULE, ...rule }));
const limitOf = (...args: Parameters<typeof limitsOf>) => limitsOf(...args).units[0]?.limit;

describe('recommend', () => {
  it('leaves room above the need, rounds up, and keeps to floor, ceiling, use and kernel', () => {
    const host = [aHostUse([aUse({ peak: 200 })])];
    expect(limitOf(host)).toBe(320n);
    expect(limitOf(host, { floor: count(1000) })).toBe(1000n);
    expect(limitOf(host, { ceiling: count(250) })).toBe(250n);
    // A ceiling or a percentile never brings it below what was used.
    expect(limitOf(host, { ceiling: count(150) })).toBe(200n);
    expect(limitOf(host, { headroom: 0n }, { percentile: 5000n })).toBe(200n);
    expect(limitOf([aHostUse([aUse({ peak: 30_000 })])])).toBe(32_767n);
    expect(limitOf(host, { ceiling: { kind: 'fraction', numerator: 1n, denominator: 100n } })).toBe(
      327n - 7n,
    );
  });

  it('goes by the host that needs most', () => {
    const hosts = [
      aHostUse([aUse({ peak: 100 })]),
      aHostUse([aUse({ peak: 200, rejections: 2 })], { hostname: 'web2' }),
    ];
    for (const order of [hosts, [...hosts].reverse()]) {
      expect(limitsOf(order).units).toMatchObject([
        { unit: 'a.service', hostname: 'web2', hosts: 2, rejections: 2, truncated: true },
      ]);
    }
  });

  it('compares the kernel with all of it, users and instances as often as there were at once', () => {
    const units = [
      aUse({ unit: 'a.service', peak: 200 }),
      aUse({ unit: 'user-.slice', peak: 400, instances: 10 }),
      aUse({ unit: 'session-.scope', peak: 400, instances: 20 }),
      aUse({ unit: 'user.slice', peak: 4000 }),
    ];
    const kernel = { pidMax: 32_768, threadsMax: 100_000, peak: 400 };
    const capacity = (fields: Partial<HostUse>) => limitsOf([aHostUse(units, fields)]).capacity[0];
    expect(capacity({ kernel })).toEqual({
      hostname: 'web1',
      ceiling: { tasks: 32_767n, by: 'kernel.pid_max' },
      peak: 400,
      promised: 320n + 10n * 640n,
      verdict: 'enough',
    });
    expect(capacity({ kernel: { ...kernel, threadsMax: 5000 } })).toMatchObject({
      ceiling: { tasks: 5000n, by: 'kernel.threads-max' },
      verdict: 'overcommitted',
    });
    expect(capacity({ kernel: { ...kernel, pidMax: 500 } })?.verdict).toBe('too-low');
    expect(capacity({ kernel: { pidMax: null, threadsMax: null, peak: null } })?.verdict).toBe('unknown');
  });
});
