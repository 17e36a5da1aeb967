import type { HostProfile } from '../measure/profile.ts';
import type { PlanLimit } from '../plan/plan.ts';
import { followsDefault } from '../plan/wishes.ts';
import { formatShare } from '../report/limit-names.ts';
import { escapeText, type SafeText, safe } from '../report/terminal-escape.ts';
import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';

/**
 * What a limit of so many tasks means on this host: the room above what was used, now or while it was measured, and its
 * share of what the kernel has.
 */
export function limitEffect(
  limits: HostLimits,
  measured: HostProfile | null,
  limit: PlanLimit,
  count: string,
): SafeText[] {
  if (limit.kind === 'recorder') return [];
  const peaks = new Map(
    measured?.units.flatMap(({ unit, peak, members = [] }) => [[unit, peak], ...members]),
  );
  const used = ({ name, current, peak }: UnitLimit): number =>
    Math.max(current ?? 0, peak ?? 0, peaks.get(name) ?? 0);
  const rows = rowsUnder(limits, limit);
  const most = rows.reduce<UnitLimit | null>((a, b) => (a === null || used(b) > used(a) ? b : a), null);
  const lines: SafeText[] = [];
  const ceiling = kernelCeiling(limits);
  if (count === 'infinity') {
    if (ceiling !== null)
      lines.push(safe`No limit: it may take all ${ceiling.tasks} tasks the kernel can have (${ceiling.by}).`);
    return lines;
  }
  const tasks = Number(count);
  if (most !== null) {
    const room = tasks - used(most);
    const share = used(most) === 0 ? safe`` : safe` (${formatShare(room / used(most))})`;
    lines.push(
      room < 0
        ? safe`${-room} below the ${used(most)} that ${escapeText(most.name)} used at once.`
        : safe`Headroom ${room}${share} above the ${used(most)} that ${escapeText(most.name)} used at once.`,
    );
  }
  if (limit.kind === 'sysctl' || ceiling === null) return lines;
  const all = tasks * Math.max(1, rows.length);
  const each = rows.length > 1 ? safe`${rows.length} of them together: ${all}` : safe`${tasks}`;
  const over = all > ceiling.tasks ? safe`: fine as long as not all is used at once` : safe``;
  lines.push(
    safe`Capacity: ${each} of the ${ceiling.tasks} tasks the kernel can have (${formatShare(all / ceiling.tasks)} of ${ceiling.by})${over}.`,
  );
  return lines;
}

/** What runs under a limit now, each on its own. */
export function rowsUnder({ units }: HostLimits, limit: PlanLimit): UnitLimit[] {
  return units.filter((row) => {
    if (!row.active || row.cgroup === null) return false;
    switch (limit.kind) {
      case 'unit':
        return row.type !== 'cgroup' && row.name === limit.unit;
      case 'user-default':
        return /^user-[0-9]+\.slice$/.test(row.name);
      case 'manager-default':
        return followsDefault(row);
      default:
        return false;
    }
  });
}

/** The most tasks the kernel can have at once, and the sysctl that says so. */
function kernelCeiling({
  kernel: { pidMax, threadsMax },
}: HostLimits): { tasks: number; by: SafeText } | null {
  // Process id 0 is never given out.
  if (pidMax !== null && (threadsMax === null || pidMax - 1 < threadsMax)) {
    return { tasks: pidMax - 1, by: safe`kernel.pid_max` };
  }
  return threadsMax === null ? null : { tasks: threadsMax, by: safe`kernel.threads-max` };
}
