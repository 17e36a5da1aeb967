import { profileOf } from '../measure/host-of.ts';
import { type LoadedProfile, parseProfile } from '../measure/load-profile.ts';
import { EMPTY_PROFILE, mergeProfiles } from '../measure/merge-profiles.ts';
import type { HostProfile, Profile } from '../measure/profile.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { type Failed, failed } from './failure.ts';
import { readText } from './read-file.ts';
import type { Io } from './terminal.ts';

export type Measured = LoadedProfile & { readonly ok: true; readonly file: string };

/** Reads what was measured from the files the operator named, `-` for standard input. */
export async function readMeasured(
  paths: readonly string[],
  io: Io,
): Promise<{ readonly kind: 'ok'; readonly measured: readonly Measured[] } | Failed> {
  const measured: Measured[] = [];
  for (const path of paths) {
    const file = await readText(path, io);
    if (!file.ok) return failed(file.failure);
    const loaded = parseProfile(file.text);
    if (!loaded.ok) {
      return failed({
        kind: 'input-invalid',
        message: `${file.name} ${loaded.message}.`,
        help: 'Measure with: tasksctl measure -t HOST -o FILE',
      });
    }
    measured.push({ ...loaded, file: file.name });
  }
  return { kind: 'ok', measured };
}

/** All profiles as one. */
export function mergedProfile(measured: readonly Measured[]): Profile {
  return measured.map(({ profile }) => profile).reduce(mergeProfiles, EMPTY_PROFILE);
}

/** What of it was measured on the host of a snapshot; null: nothing was given. */
export function useOfHost(
  measured: readonly Measured[],
  snapshot: Snapshot,
): { readonly kind: 'ok'; readonly host: HostProfile | null } | Failed {
  return measured.length === 0
    ? { kind: 'ok', host: null }
    : profileOfHost(mergedProfile(measured), snapshot);
}

/** What was measured on the host of a snapshot. */
export function profileOfHost(
  profile: Profile,
  { host: { hostname, machineId } }: Pick<Snapshot, 'host'>,
): { readonly kind: 'ok'; readonly host: HostProfile } | Failed {
  const host = profileOf(profile, { hostname, machineId });
  if (host !== null) return { kind: 'ok', host };
  const names = profile.hosts.map((one) => one.hostname).join(', ');
  return failed({
    kind: 'input-invalid',
    message: `The profile has nothing of ${hostname}; it was measured on ${names || 'no host'}.`,
    help: 'Measure this host too: tasksctl measure -t HOST -o FILE',
  });
}
