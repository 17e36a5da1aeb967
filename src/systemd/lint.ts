import type { Diagnostic } from './diagnostic.ts';
import type { ResolveContext } from './resolve.ts';

/** Everything about task limits in a host's files that silently does nothing, or not what it seems to. */
export function lint(_ctx: ResolveContext, _subject: { readonly units: Iterable<string> }): Diagnostic[] {
  throw new Error('not written yet');
}
