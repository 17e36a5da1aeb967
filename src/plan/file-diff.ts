import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff';
import type { PlannedFile } from './plan.ts';

const CONTEXT_LINES = 3;

/**
 * The unified diff of one planned file, `a/etc/...` against `b/etc/...`, /dev/null for a file that is not there. Ends
 * with a line feed; empty where nothing changes. Content that is no UTF-8 is not shown, only that it differs, as git
 * does it.
 */
export function fileDiff({ path, before, after }: PlannedFile): string {
  if (before?.sha256 === after?.sha256) return '';
  const from = before === null ? '/dev/null' : `a${path}`;
  const to = after === null ? '/dev/null' : `b${path}`;
  const texts = [before, after].map((side) =>
    side === null ? '' : 'text' in side.content ? side.content.text : null,
  );
  const [old, fresh] = texts;
  if (typeof old !== 'string' || typeof fresh !== 'string') return `Binary files ${from} and ${to} differ\n`;
  return createTwoFilesPatch(from, to, old, fresh, undefined, undefined, {
    context: CONTEXT_LINES,
    headerOptions: FILE_HEADERS_ONLY,
  });
}
