import { compareBytes } from '../systemd/file-tree.ts';
import type { Snapshot, SnapshotCgroup } from './snapshot.ts';

/**
 * The cgroups in the lines `./PATH/pids.FILE:CONTENT` that the probe prints, in the order of their paths. A name may
 * hold a colon but no slash and no newline, so what follows the last slash is a file of the kernel.
 */
export function cgroupTreeOf(lines: readonly string[]): SnapshotCgroup[] {
  const cgroups = new Map<string, SnapshotCgroup>();
  for (const line of lines) {
    const slash = line.lastIndexOf('/');
    const counter = /^pids\.([a-z.]{3,12}):(max ?)?([0-9]{1,15})?$/.exec(line.slice(slash + 1));
    if (counter === null || !line.startsWith('.')) continue;
    const path = slash <= 1 ? '/' : line.slice(1, slash);
    let cgroup = cgroups.get(path);
    if (cgroup === undefined) {
      cgroup = { path };
      cgroups.set(path, cgroup);
    }
    const [, file, max, digits] = counter;
    const value = digits === undefined ? undefined : Number(digits);
    if (file === 'max') cgroup.max = max === undefined ? (value ?? 'max') : 'max';
    else if (value === undefined) continue;
    else if (file === 'current') cgroup.current = value;
    else if (file === 'peak') cgroup.peak = value;
    // Of the events only `max` is counted by the pids controller; other lines do not match above.
    else if (file === 'events') cgroup.events = value;
    else if (file === 'events.local') cgroup.eventsLocal = value;
  }
  return [...cgroups.values()].sort((a, b) => compareBytes(a.path, b.path));
}

/** Lines of /proc/self/mountinfo about cgroup hierarchies: which layout the host has (systemd's cg_unified). */
export function cgroupModeOf(mounts: readonly string[]): Snapshot['cgroups']['mode'] {
  const on = (type: string, place: RegExp): boolean =>
    mounts.some((line) => line.includes(` - ${type} `) && place.test(line.split(' ')[4] ?? ''));
  if (on('cgroup2', /^\/sys\/fs\/cgroup$/)) return 'v2';
  if (!on('cgroup', /^/)) return on('cgroup2', /^/) ? 'v2' : 'none';
  return on('cgroup2', /^/) ? 'hybrid' : 'v1';
}

/**
 * What pids.events counts in the hierarchy mounted where the pids controller is (kernel/cgroup/pids.c since Linux
 * 6.11; before, and in cgroup v1, the forking cgroup is charged).
 */
export function eventsScopeOf(
  mounts: readonly string[],
  tree: readonly SnapshotCgroup[],
): 'forking' | 'limiting' {
  const local = tree.some(({ eventsLocal }) => eventsLocal !== undefined);
  const asBefore = mounts.some((line) => / - cgroup2 .*[ ,]pids_localevents(?:,|$)/.test(line));
  return local && !asBefore ? 'limiting' : 'forking';
}
