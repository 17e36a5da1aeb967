import type { ResolveContext, ResolvedLimit } from './resolve.ts';

/** One key of logind's or a manager's configuration. */
export interface ManagerConfKey {
  readonly file: 'logind.conf' | 'system.conf' | 'user.conf';
  readonly section: string;
  readonly key: 'UserTasksMax' | 'DefaultTasksMax';
}

/** What main file and drop-ins say of a key; `files` are those read, in the order they are applied. */
export function resolveManagerConf(
  _ctx: ResolveContext,
  _wanted: ManagerConfKey,
): ResolvedLimit & { readonly files: readonly string[] } {
  throw new Error('not written yet');
}
