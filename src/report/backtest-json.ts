import { z } from 'zod';
import type { Backtest } from '../needs/backtest.ts';

/** `tasksctl backtest --json`. Limits are strings, as in the other documents. */
export const backtestSchema = z.strictObject({
  schema: z.literal('tasksctl/backtest/1'),
  results: z.array(
    z.strictObject({
      name: z.string(),
      hit: z.number().int(),
      rejections: z.number().int(),
      exact: z.boolean(),
      medianFactor: z.number().nullable(),
      largestFactor: z.number().nullable(),
      units: z.array(
        z.strictObject({
          unit: z.string(),
          limit: z.string(),
          peak: z.number().int(),
          rejections: z.number().int(),
          exact: z.boolean(),
          overMs: z.number().int(),
          headroom: z.string(),
          factor: z.number().nullable(),
          truncated: z.boolean(),
        }),
      ),
    }),
  ),
});

export function backtestJson(results: readonly Backtest[]): z.infer<typeof backtestSchema> {
  return {
    schema: 'tasksctl/backtest/1',
    results: results.map((result) => ({
      ...result,
      units: result.units.map((unit) => ({
        ...unit,
        limit: String(unit.limit),
        headroom: String(unit.headroom),
      })),
    })),
  };
}
