import fc from 'fast-check';
import { bucketOf } from '../../../src/measure/buckets.ts';
import { MOST_MEMBERS, topMembers } from '../../../src/measure/members.ts';
import type { HostProfile, Profile, UnitProfile } from '../../../src/measure/profile.ts';
import { compareBytes } from '../../../src/systemd/file-tree.ts';

const count = fc.nat({ max: 5000 });

/** Units that overlap between profiles: few names, and members of which there are more than are kept. */
const unit = (name: string): fc.Arbitrary<UnitProfile> =>
  fc
    .record({
      histogram: fc.uniqueArray(fc.tuple(count.map(bucketOf), fc.nat({ max: 1_000_000 })), {
        selector: ([tasks]) => tasks,
        maxLength: 8,
      }),
      peak: count,
      peakByKernel: fc.boolean(),
      rejections: fc.option(fc.nat({ max: 9 })),
      reached: fc.option(count),
      burst: count,
      instances: fc.nat({ max: 9 }),
      members: fc.uniqueArray(fc.tuple(fc.nat({ max: 2 * MOST_MEMBERS }), fc.nat({ max: 9 })), {
        selector: ([uid]) => uid,
        maxLength: 2 * MOST_MEMBERS,
        minLength: 1,
      }),
    })
    .map(({ members, ...fields }) => ({
      ...fields,
      unit: name,
      histogram: fields.histogram.sort(([a], [b]) => a - b),
      ...(name === 'user-.slice'
        ? { members: topMembers(members.map(([uid, peak]) => [`user-${uid}.slice`, peak])) }
        : {}),
    }));

const host = (hostname: string): fc.Arbitrary<HostProfile> =>
  fc.record({
    hostname: fc.constantFrom(hostname, `${hostname}.new-name`),
    machineId: fc.constant(hostname.repeat(32).slice(0, 32)),
    boots: fc.subarray(['b1', 'b2', 'b3']),
    from: fc.constantFrom('2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z'),
    to: fc.constantFrom('2026-01-03T00:00:00.000Z', '2026-01-04T00:00:00.000Z'),
    measuredMs: fc.nat({ max: 1_000_000 }),
    samples: count,
    intervalMs: fc.nat({ max: 60_000 }),
    kernel: fc.record({ pidMax: fc.option(count), threadsMax: fc.option(count), peak: fc.option(count) }),
    units: fc
      .subarray(['a.service', 'b@.service', 'user-.slice'])
      .chain((names) => fc.tuple(...names.map(unit)))
      .map((units) => [...units]),
  });

/** Profiles of up to three hosts. */
export const arbitraryProfile: fc.Arbitrary<Profile> = fc
  .subarray(['a', 'b', 'c'])
  .chain((names) => fc.tuple(...names.map(host)))
  .map((hosts) => ({
    schema: 'tasksctl/profile/1',
    hosts: [...hosts].sort((a, b) => compareBytes(a.machineId ?? '', b.machineId ?? '')),
  }));
