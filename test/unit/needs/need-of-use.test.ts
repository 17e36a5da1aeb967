import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, needOfUse } from '../../../src/needs/need-of-use.ts';
import { percentile, type UnitUse } from '../../../src/needs/use.ts';
import { aHostUse, aUse } from './a-use.ts';

const POLICY = { percentile: null, growth: 5000n };
const need = (fields: Partial<UnitUse>, policy = {}, host = {}) =>
  needOfUse(aUse(fields), aHostUse([], host), { ...POLICY, ...policy });

describe('needOfUse', () => {
  it('is the peak where the kernel keeps it', () => {
    expect(need({})).toMatchObject({ tasks: 40n, used: 40n, truncated: false, confidence: 'high' });
    expect(need({}).lines).toEqual(['peak 40 of a.service on web1 in 7 d; 10 or fewer for 99% of the time']);
  });

  it('has a reserve for what may have been between two samples', () => {
    // Held for two samples: as much more as came in one interval, but at most half.
    const spike: Partial<UnitUse> = {
      peakByKernel: false,
      histogram: [
        [10, 100_000],
        [40, 2000],
      ],
    };
    expect(need({ ...spike, burst: 8 })).toMatchObject({ tasks: 48n, used: 48n });
    expect(need({ ...spike, burst: 8 }, {}, { intervalMs: 2000 })).toMatchObject({ tasks: 56n });
    expect(need({ ...spike, burst: 300 })).toMatchObject({ tasks: 60n });
    // Held longer, it was the peak.
    expect(need({ peakByKernel: false, burst: 300 })).toMatchObject({ tasks: 40n });
  });

  it('goes by a percentile where the policy does, and does not forget the peak', () => {
    expect(need({}, { percentile: 9900n })).toMatchObject({ tasks: 10n, used: 40n });
    expect(need({}, { percentile: 9999n })).toMatchObject({ tasks: 40n, used: 40n });
  });

  it('says that a limit was in the way, and grows it', () => {
    const hit = need({ reached: 40, rejections: 7 });
    expect(hit).toMatchObject({ tasks: 60n, used: 40n, truncated: true, confidence: 'low' });
    expect(hit.lines.slice(1)).toEqual([
      '7 forks rejected: it reached its limit of 40, so what it would have used is not known',
      'so at least 40 x 1.5 (growth 50%) = 60',
    ]);
    // By a percentile as well: a unit at its limit most of the time is the one that needs more.
    expect(need({ reached: 40, rejections: 7 }, { percentile: 5000n })).toMatchObject({ tasks: 60n });
    expect(need({ rejections: 1 })).toMatchObject({ tasks: 60n, truncated: true });
    // The limit was raised since, and more was seen.
    expect(need({ reached: 30, rejections: 7 })).toMatchObject({ tasks: 40n, truncated: false });
    expect(need({ rejections: null })).toMatchObject({ truncated: false });
  });

  it('trusts a week more than a day, and a day more than an hour', () => {
    const confidence = (measuredMs: number) => need({}, {}, { measuredMs }).confidence;
    expect([3_600_000, 86_400_000, 6 * 86_400_000, 7 * 86_400_000].map(confidence)).toEqual([
      'low',
      'medium',
      'medium',
      'high',
    ]);
  });
});

describe('percentile', () => {
  it('is the least that was enough for so much of the time, and never above the peak', () => {
    const counts = fc.array(fc.nat({ max: 200 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(counts, fc.integer({ min: 1, max: 10_000 }), (samples, share) => {
        const sorted = [...samples].sort((a, b) => a - b);
        const histogram = [...new Set(sorted)].map(
          (tasks) => [tasks, 1000 * sorted.filter((other) => other === tasks).length] as const,
        );
        const peak = sorted.at(-1) ?? 0;
        const enough = percentile({ histogram, peak }, BigInt(share));
        const covered = sorted.filter((tasks) => tasks <= enough).length / sorted.length;
        const less = sorted.filter((tasks) => tasks < enough).length / sorted.length;
        expect(covered).toBeGreaterThanOrEqual(share / 10_000 - 1e-9);
        expect(less).toBeLessThan(share / 10_000 + 1e-9);
      }),
    );
    expect(percentile({ histogram: [[42, 10]], peak: 40 }, 5000n)).toBe(40);
    expect(percentile({ histogram: [], peak: 9 }, 5000n)).toBe(0);
  });
});

it.each([
  [500, '0.5 s'],
  [119_000, '119 s'],
  [600_000, '10 min'],
  [3.5 * 3_600_000, '3.5 h'],
  [7 * 86_400_000, '7 d'],
])('%d ms are %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
