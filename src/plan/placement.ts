import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { FileEdit } from '../systemd/file-tree.ts';
import { editContext, type ResolveContext } from '../systemd/resolve.ts';
import { type OwnFile, ownFileText, ownPath } from './own-file.ts';

/** A value that is to be written into a file of ours. */
export interface Target {
  readonly directory: string;
  /** Base names to try, in this order. */
  readonly baseNames: readonly string[];
  /** Ending of all base names that files of ours for this value ever had: those not chosen are removed. */
  readonly suffix: string;
  readonly content: OwnFile;
  /** What keeps the value from being in force once the files are as in `after`; null: it is. */
  readonly obstacle: (after: ResolveContext) => Diagnostic | null;
}

export interface Placement<T extends Target> {
  /** The host's files with all edits in place. */
  readonly after: ResolveContext;
  readonly placed: ReadonlyMap<T, { readonly path: string; readonly edits: readonly FileEdit[] }>;
  /** Values for which no place was found, with what is in the way. */
  readonly failed: ReadonlyMap<T, Diagnostic>;
}

/**
 * Finds for each target a file in which its value is in force, proven by applying the edits in memory and resolving
 * again. Files that are not ours are never touched.
 */
export function place<T extends Target>(ctx: ResolveContext, targets: readonly T[]): Placement<T> {
  const attempts = new Map<T, number>(targets.map((target) => [target, 0]));
  const failed = new Map<T, Diagnostic>();
  const firstObstacle = new Map<T, Diagnostic>();
  // Each round moves at least one target on to its next name or out, so this ends.
  for (;;) {
    const placed = new Map<T, { path: string; edits: readonly FileEdit[] }>();
    const obstacles = new Map<T, Diagnostic>();
    for (const [target, attempt] of attempts) {
      const made = editsFor(ctx, target, target.baseNames[attempt] ?? '');
      if (made.kind === 'obstacle') obstacles.set(target, made.diagnostic);
      else placed.set(target, made);
    }
    const edits = [...placed.values()].flatMap((made) => made.edits);
    const after = editContext(ctx, edits);
    for (const target of placed.keys()) {
      const obstacle = target.obstacle(after);
      if (obstacle !== null) obstacles.set(target, obstacle);
    }
    if (obstacles.size === 0) return { after, placed, failed };
    for (const [target, obstacle] of obstacles) {
      const first = firstObstacle.get(target) ?? obstacle;
      firstObstacle.set(target, first);
      const next = (attempts.get(target) ?? 0) + 1;
      if (next < target.baseNames.length && obstacle.code !== 'own-file-masked') {
        attempts.set(target, next);
      } else {
        attempts.delete(target);
        failed.set(target, first);
      }
    }
  }
}

type Edits =
  | { readonly kind: 'edits'; readonly path: string; readonly edits: readonly FileEdit[] }
  | { readonly kind: 'obstacle'; readonly diagnostic: Diagnostic };

function editsFor({ tree }: ResolveContext, target: Target, baseName: string): Edits {
  const path = `${target.directory}/${baseName}`;
  const there = ownPath(tree, path);
  if (there.kind === 'masked') {
    return obstacle(
      'own-file-masked',
      path,
      `${path} is empty or a link to /dev/null: somebody does not want this file`,
    );
  }
  if (there.kind === 'foreign') {
    return obstacle('own-file-foreign', path, `${path} is not as tasksctl wrote it, so it is left alone`);
  }
  const content = new Uint8Array(Buffer.from(ownFileText(target.content)));
  const same =
    there.kind === 'ours' && Buffer.compare(content, there.entry.content ?? new Uint8Array()) === 0;
  const edits: FileEdit[] = same ? [] : [{ path, content }];
  for (const name of tree.list(target.directory)) {
    if (name === baseName || !name.endsWith(target.suffix)) continue;
    const other = `${target.directory}/${name}`;
    if (ownPath(tree, other).kind === 'ours') edits.push({ path: other, content: null });
  }
  return { kind: 'edits', path, edits };
}

function obstacle(code: string, file: string, message: string): Edits {
  return {
    kind: 'obstacle',
    diagnostic: { code, severity: 'error', message, file, help: 'Remove it to let tasksctl write there.' },
  };
}
