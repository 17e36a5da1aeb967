import type { HostProfile, Profile } from '../measure/profile.ts';
import type { Plan } from '../plan/plan.ts';
import type { Style } from '../report/style.ts';
import type { SafeText } from '../report/terminal-escape.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** What the wizard knows before it asks anything. */
export interface Setting {
  /** How text looks now: a terminal may change its size. */
  readonly style: () => Style;
  /** Rows of the terminal now. */
  readonly rows: () => number;
  /** The name of this machine. */
  readonly here: string;
  /** The host that the command line names; null: none, so it is asked for. */
  readonly target: string | null;
  /** It is a saved snapshot: it can neither be measured nor changed. */
  readonly saved: boolean;
  readonly templates: readonly Template[];
  /** The options that name a target, for a command to copy. */
  readonly source: (target: string) => readonly string[];
  readonly fileAt: (path: string) => 'file' | 'directory' | 'none';
  /** What made fork fail, in words. */
  readonly diagnosis: (snapshot: Snapshot, source: readonly string[], style: Style) => SafeText;
}

/** A policy of templates/policies/. */
export interface Template {
  readonly name: string;
  readonly description: string;
  readonly text: string;
}

/** What was measured on the host. */
export interface Measured {
  readonly profile: Profile;
  readonly host: HostProfile;
  /** As a file has it. */
  readonly text: string;
  /** The file it came from; null: it is in none yet. */
  readonly file: string | null;
}

/** What takes time, or changes something. Failures are told to the operator by whoever does it. */
export interface Work {
  read(target: string): Promise<Done<Snapshot>>;
  measure(target: string, ms: number, snapshot: Snapshot): Promise<Done<Measured>>;
  load(file: string, snapshot: Snapshot): Promise<Done<Measured>>;
  /** Asks once more, and gives the exit code. */
  apply(plan: Plan): Promise<Done<number>>;
  save(files: readonly SavedFile[]): Promise<Done<null>>;
}

export interface SavedFile {
  readonly path: string;
  readonly text: string;
}

export type Done<T> =
  | { readonly ok: true; readonly value: T }
  /** Interrupted by Ctrl-C, or a failure. */
  | { readonly ok: false; readonly interrupted: boolean };
