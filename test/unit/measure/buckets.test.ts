import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bucketOf } from '../../../src/measure/buckets.ts';

it('is exact up to 32 and at most 5 % too high above', () => {
  for (let tasks = 0; tasks <= 32; tasks++) expect(bucketOf(tasks)).toBe(tasks);
  fc.assert(
    fc.property(fc.nat({ max: 4_194_304 }), (tasks) => {
      const bucket = bucketOf(tasks);
      expect(bucket).toBeGreaterThanOrEqual(tasks);
      expect(bucket).toBeLessThanOrEqual(Math.max(tasks + 1, tasks * 1.05));
      // The bound itself is in its own bucket.
      expect(bucketOf(bucket)).toBe(bucket);
    }),
  );
});

it('has few enough buckets for a histogram to stay small', () => {
  const buckets = new Set(Array.from({ length: 200_000 }, (_, i) => bucketOf(i * 21)));
  expect(buckets.size).toBeLessThan(300);
});
