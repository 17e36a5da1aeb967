import { removeAssignment } from '../systemd/edit-conf.ts';
import type { FileEdit } from '../systemd/file-tree.ts';
import type { ResolveContext } from '../systemd/resolve.ts';
import { resolveManagerConf } from '../systemd/resolve-manager-conf.ts';
import { parseTasksMax, type TasksMax } from '../systemd/tasks-max.ts';

/** What logind.conf asks for with `UserTasksMax=`, on a host whose systemd no longer reads it (239). */
export interface StaleUserTasksMax {
  readonly value: TasksMax;
  readonly file: string;
  readonly line: number;
  /** Removes it from the operator's files, and nothing else from them. Links and what others own below /usr stay. */
  readonly edits: readonly FileEdit[];
}

const USER_TASKS_MAX = { file: 'logind.conf', section: 'Login', key: 'UserTasksMax' } as const;

/** The value that would be in force if systemd still read it; null where it does, or where there is none. */
export function staleUserTasksMax(ctx: ResolveContext): StaleUserTasksMax | null {
  const { tree, capabilities } = ctx;
  if (capabilities.perUserLimit !== 'user-slice-drop-in') return null;
  const assignments = resolveManagerConf(ctx, USER_TASKS_MAX).assignments.filter(
    ({ section }) => section === USER_TASKS_MAX.section,
  );
  const read = assignments.flatMap(({ file, line, raw }) => {
    const parsed = parseTasksMax(raw, 'TasksMax', capabilities);
    return parsed.ok ? [{ file, line, value: parsed.value }] : [];
  });
  const last = read.at(-1);
  if (last === undefined || last.value === 'unset') return null;
  const edits = [...new Set(assignments.map(({ file }) => file))].flatMap((path): FileEdit[] => {
    const entry = tree.get(path);
    // One strange name must not make the whole plan one that apply refuses.
    const named = path.startsWith('/etc/') && !/[\0-\x1f\x7f]/.test(path);
    if (!named || entry?.type !== 'file' || entry.content === undefined) return [];
    return [{ path, content: removeAssignment(entry.content, USER_TASKS_MAX, capabilities) }];
  });
  return { value: last.value, file: last.file, line: last.line, edits };
}
