import type { Plan, PlannedFile } from '../plan/plan.ts';

/** The files of a plan that will not stay as they are; what a host says of "file N" is the N-th of these. */
export function changedFiles(plan: Plan): PlannedFile[] {
  return plan.files.filter((file) => printBefore(file) !== printAfter(file));
}

/** What is at the path before, as `print_of` of templates/transaction.sh says it. */
export function printBefore({ before }: PlannedFile): string {
  if (before === null) return 'absent';
  return `${before.sha256}:${before.mode.toString(8)}:${before.uid}:${before.gid}`;
}

/** The same afterwards; the owner stays, new files are root's. */
export function printAfter({ before, after }: PlannedFile): string {
  if (after === null) return 'absent';
  return `${after.sha256}:${after.mode.toString(8)}:${before?.uid ?? 0}:${before?.gid ?? 0}`;
}
