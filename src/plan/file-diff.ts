import type { PlannedFile } from './plan.ts';

/** The unified diff of one planned file, `a/etc/...` against `b/etc/...`, or /dev/null. Ends with a line feed. */
export function fileDiff(_file: PlannedFile): string {
  throw new Error('not written yet');
}
