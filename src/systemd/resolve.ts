import type { SystemdCapabilities } from './capabilities.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { FileTree } from './file-tree.ts';
import type { TasksMax } from './tasks-max.ts';

/** One assignment of the key in question, as found in a file. Everything systemd did with it is in `outcome`. */
export interface Assignment {
  readonly file: string;
  /** Line the assignment starts on, from 1. */
  readonly line: number;
  readonly section: string;
  readonly key: string;
  /** The value's text as systemd sees it: continuation lines joined, outer white space gone. */
  readonly raw: string;
  /** What this systemd version reads it as; `unset` for an empty value that resets to the default; null if rejected. */
  readonly value: TasksMax | 'unset' | null;
  readonly outcome: 'wins' | 'overridden' | 'ignored';
  /** For `ignored`: why systemd took no notice, in a few words ("size suffix", "wrong section [Slice]"). */
  readonly reason?: string;
}

/** A limit as the files set it. */
export interface ResolvedLimit {
  /** null: no file sets it (or the last word was an empty value), so the default holds. */
  readonly value: TasksMax | null;
  readonly winner: Assignment | null;
  /** Every assignment found, in the order systemd applies them; ignored ones included. */
  readonly assignments: readonly Assignment[];
}

export interface ResolvedUnit {
  /** The name asked for. */
  readonly name: string;
  /** The unit's own name after aliases. */
  readonly id: string;
  readonly load: 'loaded' | 'masked' | 'not-found' | 'bad-setting';
  readonly fragmentPath: string | null;
  /** As `systemctl show -p DropInPaths`, in the order they are applied. */
  readonly dropInPaths: readonly string[];
  readonly tasksMax: ResolvedLimit;
  readonly diagnostics: readonly Diagnostic[];
}

/** What a resolution needs to know of a host. */
export interface ResolveContext {
  readonly tree: FileTree;
  readonly capabilities: SystemdCapabilities;
  /** Unit directories, highest precedence first (UnitPath of the manager, or `defaultUnitPath()`). */
  readonly unitPath: readonly string[];
}

/** What systemd makes of a unit's files. Never throws; an invalid name is `not-found`. */
export function resolveUnit(_ctx: ResolveContext, _name: string): ResolvedUnit {
  throw new Error('not written yet');
}
