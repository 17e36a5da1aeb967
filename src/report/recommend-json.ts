import { z } from 'zod';
import type { Recommendations } from '../needs/recommend.ts';

/** `tasksctl recommend --json`. Limits are strings, as in the other documents. */
export const recommendSchema = z.strictObject({
  schema: z.literal('tasksctl/recommend/1'),
  policy: z.string(),
  units: z.array(
    z.strictObject({
      unit: z.string(),
      limit: z.string(),
      need: z.string(),
      hostname: z.string(),
      hosts: z.number().int(),
      peak: z.number().int(),
      p50: z.number().int(),
      p99: z.number().int(),
      rejections: z.number().int().nullable(),
      truncated: z.boolean(),
      confidence: z.enum(['high', 'medium', 'low']),
      lines: z.array(z.string()),
    }),
  ),
  capacity: z.array(
    z.strictObject({
      hostname: z.string(),
      ceiling: z
        .strictObject({ tasks: z.string(), by: z.enum(['kernel.pid_max', 'kernel.threads-max']) })
        .nullable(),
      peak: z.number().int().nullable(),
      promised: z.string(),
      verdict: z.enum(['enough', 'overcommitted', 'too-low', 'unknown']),
    }),
  ),
});

export function recommendJson(
  { units, capacity }: Recommendations,
  policy: string,
): z.infer<typeof recommendSchema> {
  return {
    schema: 'tasksctl/recommend/1',
    policy,
    units: units.map((unit) => ({
      ...unit,
      limit: String(unit.limit),
      need: String(unit.need),
      lines: [...unit.lines],
    })),
    capacity: capacity.map((one) => ({
      ...one,
      ceiling: one.ceiling === null ? null : { ...one.ceiling, tasks: String(one.ceiling.tasks) },
      promised: String(one.promised),
    })),
  };
}
