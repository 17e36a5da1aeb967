import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_PROFILE, mergeProfiles } from '../../../src/measure/merge-profiles.ts';
import { type Profile, profileSchema } from '../../../src/measure/profile.ts';
import { arbitraryProfile } from './arbitrary-profile.ts';

function total({ hosts }: Profile): number {
  return hosts
    .flatMap(({ units }) => units.flatMap(({ histogram }) => histogram))
    .reduce((sum, [, ms]) => sum + ms, 0);
}

describe('mergeProfiles', () => {
  it('gives the same in whatever order and grouping, and nothing is lost', () => {
    fc.assert(
      fc.property(arbitraryProfile, arbitraryProfile, arbitraryProfile, (a, b, c) => {
        const merged = mergeProfiles(mergeProfiles(a, b), c);
        expect(mergeProfiles(a, mergeProfiles(b, c))).toEqual(merged);
        expect(mergeProfiles(c, mergeProfiles(b, a))).toEqual(merged);
        expect(total(merged)).toBe(total(a) + total(b) + total(c));
        expect(profileSchema.safeParse(merged).error).toBeUndefined();
        for (const one of [a, b, c]) {
          for (const { machineId, units } of one.hosts) {
            const there = merged.hosts.find((host) => host.machineId === machineId);
            for (const { unit, peak } of units) {
              expect(there?.units.find((other) => other.unit === unit)?.peak).toBeGreaterThanOrEqual(peak);
            }
          }
        }
      }),
    );
  });

  it('changes nothing where nothing is merged', () => {
    fc.assert(
      fc.property(arbitraryProfile, (profile) => {
        expect(mergeProfiles(profile, EMPTY_PROFILE)).toEqual(profile);
        expect(mergeProfiles(EMPTY_PROFILE, profile)).toEqual(profile);
      }),
    );
  });
});
