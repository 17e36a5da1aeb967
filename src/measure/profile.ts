import { z } from 'zod';
import { MOST_MEMBERS } from './members.ts';

/**
 * A Profile: the use of tasks that was measured on hosts over time. Compact (a week of a host is a few hundred
 * kilobytes at most) and mergeable: profiles of other times or other hosts add up, in any order.
 */

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const name = z.string().min(1).max(256);

const unitSchema = z.strictObject({
  unit: name.describe(
    'A unit, or a pattern for those that come and go: user-.slice, session-.scope, foo@.service',
  ),
  histogram: z
    .array(z.tuple([count, count]))
    .max(1024)
    .describe(
      'Pairs of tasks and milliseconds, ascending: for how long there were at most so many tasks, and more than in the pair before. Buckets are exact up to 32 tasks, then up to 5 % wide',
    ),
  peak: count.describe('The most tasks any one unit had'),
  peakByKernel: z
    .boolean()
    .describe('The peak is pids.peak, which misses nothing; else the highest count of any sample'),
  rejections: count
    .nullable()
    .describe('Forks rejected in the window, at this unit or by a limit above it; null: not counted there'),
  reached: count
    .nullable()
    .describe('The highest limit of its own that was reached or at which forks were rejected; null: none'),
  burst: count.describe('Tasks per second at the steepest rise between two samples'),
  instances: count.describe('How many there were at once, at most'),
  members: z
    .array(z.tuple([name, count]))
    .max(MOST_MEMBERS)
    .describe(`Of a pattern: the up to ${MOST_MEMBERS} units with the highest peaks, highest first`)
    .optional(),
});

const hostSchema = z.strictObject({
  hostname: z.string(),
  machineId: z.string().nullable().describe('Tells hosts apart; where it is null the hostname does'),
  boots: z.array(z.string()).describe('Boot ids, sorted'),
  from: z.string().describe("The first sample, ISO 8601 in UTC by the host's clock"),
  to: z.string().describe('The last one'),
  measuredMs: count.describe('Time that was measured, without gaps'),
  samples: count,
  intervalMs: count.describe('The time between samples, the longest where profiles were merged'),
  kernel: z.strictObject({
    pidMax: count.nullable(),
    threadsMax: count.nullable(),
    peak: count.nullable().describe('The most tasks seen on the whole kernel'),
  }),
  units: z.array(unitSchema).describe('By name'),
});

export const profileSchema = z.strictObject({
  schema: z.literal('tasksctl/profile/1', { error: 'must be tasksctl/profile/1' }),
  hosts: z.array(hostSchema).describe('By machine id, or hostname where there is none'),
});

export type Profile = z.infer<typeof profileSchema>;
export type HostProfile = z.infer<typeof hostSchema>;
export type UnitProfile = z.infer<typeof unitSchema>;

/** What tells one host from another. */
export function hostKey({ machineId, hostname }: Pick<HostProfile, 'machineId' | 'hostname'>): string {
  return machineId ?? hostname;
}
