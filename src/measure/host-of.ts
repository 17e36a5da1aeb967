import { type HostProfile, hostKey, type Profile } from './profile.ts';

/** What of a profile was measured on a host; null: nothing. */
export function profileOf(
  profile: Profile,
  { hostname, machineId }: { readonly hostname: string; readonly machineId: string | null },
): HostProfile | null {
  // Prometheus knows no machine ids, and may know the name with its domain.
  const short = (name: string): string => name.split('.')[0] ?? name;
  return (
    profile.hosts.find((one) => machineId !== null && one.machineId === machineId) ??
    profile.hosts.find((one) => one.machineId === null && hostKey(one) === hostname) ??
    profile.hosts.find((one) => one.machineId === null && short(one.hostname) === short(hostname)) ??
    null
  );
}
