import type { PlanLimit } from '../plan/plan.ts';
import { describeProvenance, type Provenance } from '../snapshot/provenance.ts';
import { formatTasksMax, type TaskCount, type TasksMax } from '../systemd/tasks-max.ts';
import { escapeText, type SafeText, safe } from './terminal-escape.ts';

/** A limit's short name: `nginx.service`, `/user.slice/x` for a bare cgroup, `kernel.pid_max`. */
export function nameLimit(ref: PlanLimit): SafeText {
  switch (ref.kind) {
    case 'unit':
      return escapeText(ref.unit);
    case 'cgroup':
      return escapeText(ref.path);
    case 'user-default':
      return safe`every user's slice`;
    case 'manager-default':
      return ref.manager === 'system' ? safe`DefaultTasksMax` : safe`DefaultTasksMax of user managers`;
    case 'sysctl':
      return escapeText(ref.name);
    case 'recorder':
      return safe`the recorder`;
  }
}

/** Both name the same limit. */
export function sameLimit(a: PlanLimit, b: PlanLimit): boolean {
  return a.kind === b.kind && nameLimit(a) === nameLimit(b);
}

/** A number of tasks, `infinity` for none set; `-` for one that could not be read. */
export function formatCount(count: TaskCount | number | null): SafeText {
  return count === null ? safe`-` : escapeText(String(count));
}

/** A value as written and what it comes to, where that is another text: `33% = 10813`. */
export function formatValue(value: TasksMax, count: TaskCount): SafeText {
  const written = formatTasksMax(value);
  return written === String(count)
    ? formatCount(count)
    : safe`${escapeText(written)} = ${formatCount(count)}`;
}

/** `file:line`, or whose default it is. */
export function formatProvenance(provenance: Provenance): SafeText {
  return escapeText(describeProvenance(provenance));
}

/** A share as whole percent; `0%` only for nothing, `100%` only for all. */
export function formatShare(share: number): SafeText {
  const percent = Math.round(share * 100);
  if (share > 0 && percent === 0) return safe`<1%`;
  return share < 1 && percent >= 100 ? safe`>99%` : safe`${percent}%`;
}
