import { describe, expect, it } from 'vitest';
import { backtest, type UnitTrace } from '../../../src/needs/backtest.ts';
import { aHostUse, aUse } from './a-use.ts';

const host = [
  aHostUse([
    aUse({ unit: 'a.service', peak: 40 }),
    aUse({ unit: 'b.service', peak: 8, histogram: [[8, 1000]] }),
  ]),
];

describe('backtest', () => {
  it('counts the tasks of every rise over the limit', () => {
    const traces: UnitTrace[] = [
      {
        unit: 'a.service',
        // Over 30: 10 of the first rise, none while it falls, 2 of the last.
        points: [
          [0, 10],
          [1, 40],
          [2, 33],
          [3, 35],
          [4, 5],
        ],
      },
    ];
    const result = backtest('x', host, traces, () => 30n);
    expect(result.units).toMatchObject([
      { unit: 'a.service', rejections: 12, exact: true, headroom: -10n, factor: 0.75, overMs: 600_000 },
      { unit: 'b.service', rejections: 0, exact: false, headroom: 22n, factor: 3.75, overMs: 0 },
    ]);
    expect(result).toMatchObject({
      hit: 1,
      rejections: 12,
      exact: true,
      medianFactor: 0.75,
      largestFactor: 3.75,
    });
  });

  it('knows of a histogram that there were at least so many', () => {
    const result = backtest('x', host, [], (unit) => (unit === 'a.service' ? 30n : null));
    expect(result).toMatchObject({ hit: 1, rejections: 10, exact: false });
    expect(result.units).toHaveLength(1);
  });

  it('hits nothing that had room, however little', () => {
    const result = backtest('x', host, [{ unit: 'a.service', points: [[0, 40]] }], () => 40n);
    expect(result).toMatchObject({ hit: 0, rejections: 0, exact: true });
  });
});
