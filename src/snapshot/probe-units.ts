import type { SnapshotUnit } from './snapshot.ts';
import { countOf, propertiesOf, splitList } from './systemctl-show.ts';
import { withoutUndefined } from './without-undefined.ts';

/**
 * The units that `systemctl show` printed, in the order of their names. Units that do not exist (only named by others)
 * are left out. `controlGroup` is the manager's own cgroup, which the paths of its units start with.
 */
export function unitsOf(output: string, controlGroup: string): SnapshotUnit[] {
  const units = new Map<string, SnapshotUnit>();
  for (const block of output.split('\n\n')) {
    const unit = unitOf(propertiesOf(block), controlGroup);
    if (unit !== null) units.set(unit.id, unit);
  }
  return [...units.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function unitOf(properties: ReadonlyMap<string, string>, controlGroup: string): SnapshotUnit | null {
  const text = (key: string): string | undefined => properties.get(key) || undefined;
  const id = text('Id');
  const load = text('LoadState');
  const active = text('ActiveState');
  if (id === undefined || load === undefined || active === undefined || load === 'not-found') return null;
  const names = splitList(text('Names') ?? '').filter((name) => name !== id);
  const dropIns = splitList(text('DropInPaths') ?? '');
  const cgroup = text('ControlGroup');
  const mainPid = Number(text('MainPID') ?? 0);
  const tasksCurrent = countOf(text('TasksCurrent'));
  return withoutUndefined({
    id,
    names: names.length > 0 ? names.sort() : undefined,
    load,
    active,
    sub: text('SubState'),
    fragment: text('FragmentPath'),
    dropIns: dropIns.length > 0 ? dropIns : undefined,
    cgroup: cgroup === undefined ? undefined : pathBelow(cgroup, controlGroup),
    slice: text('Slice'),
    needDaemonReload: text('NeedDaemonReload') === 'yes' || undefined,
    transient: text('Transient') === 'yes' || undefined,
    tasksMax: countOf(text('TasksMax')),
    effectiveTasksMax: countOf(text('EffectiveTasksMax')),
    // 2^64-1 tasks: nothing is counted.
    tasksCurrent: tasksCurrent === 'infinity' ? undefined : tasksCurrent,
    mainPid: Number.isSafeInteger(mainPid) && mainPid > 0 ? mainPid : undefined,
    limitNproc: countOf(text('LimitNPROC')),
  });
}

/** A unit's cgroup as seen from the manager's own. */
function pathBelow(path: string, root: string): string {
  const prefix = root === '/' ? '' : root;
  if (prefix === '' || !(path === prefix || path.startsWith(`${prefix}/`))) return path;
  return path === prefix ? '/' : path.slice(prefix.length);
}
