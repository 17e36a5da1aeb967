import { type Frame, readFrames } from './frames.ts';
import type { RunId } from './run-id.ts';

/** Steps of the script in their order; `start` is before the first. */
export const STEPS = [
  'start',
  'lock',
  'unfinished',
  'preconditions',
  'space',
  'backup',
  'arm',
  'stage',
  'recheck',
  'replace',
  'syntax',
  'activate',
  'read-back',
  'commit',
  'tidy',
] as const;

/** Why nothing was written; `detail` is text of the host. docs/apply.md explains each. */
export const REFUSALS = [
  'not-root',
  'tool-missing',
  'busy',
  'awaiting',
  'unfinished',
  'systemd-not-running',
  'systemd-not-answering',
  'systemd-version',
  'image-based',
  'read-only',
  'symlink',
  'immutable',
  'drift',
  'rebooted',
  'no-space',
  'no-timer',
  'no-boot-unit',
  'parse-warning',
  'too-late',
  'signal',
  'failed',
] as const;
export type Refusal = (typeof REFUSALS)[number];

/** What the script had to say of the end. */
export type End =
  /** `detail` is raw text of the host, often several lines. */
  | { readonly kind: 'refused'; readonly step: string; readonly reason: Refusal; readonly detail: string }
  | { readonly kind: 'checked' }
  | { readonly kind: 'unchanged' }
  /** Everything is in place and read back; the host restores itself in so many seconds unless it is confirmed. */
  | { readonly kind: 'awaiting'; readonly seconds: number }
  | { readonly kind: 'applied' }
  /** The old state is back, because of what happened at `step`. */
  | { readonly kind: 'restored'; readonly step: string; readonly reason: string; readonly detail: string }
  /** Not all of the old state could be brought back; the run stays open on the host and can be taken up again. */
  | {
      readonly kind: 'restore-failed';
      readonly step: string;
      readonly reason: string;
      readonly detail: string;
    }
  | { readonly kind: 'rolled-back' };

/** A file that is not as the plan found it. */
export interface Drift {
  /** Its place among the changed files of the plan, from 1. */
  readonly file: number;
  /** `absent`, `HASH:MODE:UID:GID`, or what else is there. */
  readonly found: string;
  /** Its bytes now, the first 64 KiB of them; null where it is no regular file. */
  readonly content: Buffer | null;
}

/** What one limit is for one unit: counts as decimal digits or `infinity`. */
export interface Reading {
  readonly unit: string;
  /** As systemd says; null where it was not asked. */
  readonly manager: string | null;
  /** As the kernel enforces; null where the unit does not run, `none` where there is no pids controller. */
  readonly live: string | null;
}

/** What became of one change of the plan. */
export interface Verdict {
  /** Its place in the plan, from 1. */
  readonly change: number;
  readonly state: 'enforced' | 'pending';
  /** Until what a pending one is pending: `next-login`, `unit-restart`, `reboot` … */
  readonly until: string | null;
  /** Units (or other names) still under the old limit. */
  readonly waiting: readonly string[];
  /** Running units that have the new limit. */
  readonly enforced: number;
  readonly readings: readonly Reading[];
}

/** All that the script said. */
export interface TransactionReport {
  /** null: the output was cut off, or the script was killed. */
  readonly end: End | null;
  /** The last step that was begun. */
  readonly step: string;
  readonly verdicts: readonly Verdict[];
  readonly drifts: readonly Drift[];
  /** What the kernel enforced before, by unit. */
  readonly before: ReadonlyMap<string, string>;
  /** After a restore or rollback: what is enforced now. */
  readonly restored: readonly Reading[];
  /** Runs that had been cut off and were brought to an end first (or, with `check`, would be). */
  readonly unfinished: readonly { readonly run: RunId; readonly state: string }[];
  /** Files that were left as they are because somebody else has changed them since, by place in the plan. */
  readonly left: readonly number[];
  /** What could not be restored. */
  readonly problems: readonly string[];
  /** Lines of systemd about files that were there before. */
  readonly notes: readonly string[];
}

/** Reads what a run of the script printed, or the report it left on the host. Never throws. */
export function parseTransaction(output: Buffer, runId: RunId): TransactionReport {
  const frames = readFrames(output, runId);
  const of = (kind: string) => frames.filter((frame) => frame.kind === kind);
  const readings = of('reading').flatMap(
    ({ args: [change = '', manager = '', live = ''], payload }): (Reading & { change: string })[] => [
      { change, unit: payload.toString(), manager: known(manager), live: known(live) },
    ],
  );
  const end = of('end').at(-1);
  return {
    end: end === undefined ? null : parseEnd(end),
    step: of('step').at(-1)?.args[0] ?? 'start',
    verdicts: of('verdict').flatMap((frame) => parseVerdict(frame, readings)),
    drifts: of('drift').map(({ args: [file = ''], payload }) => ({
      file: Number(file),
      found: payload.toString(),
      content: hexContent(of('content').find((frame) => frame.args[0] === file)),
    })),
    before: new Map(of('before').map(({ args: [live = ''], payload }) => [payload.toString(), live])),
    restored: readings.filter(({ change }) => change === '-').map(withoutChange),
    unfinished: of('unfinished').map(({ args: [run = ''], payload }) => ({ run, state: payload.toString() })),
    left: of('left').map(({ args: [file = ''] }) => Number(file)),
    problems: of('problem').map(({ payload }) => payload.toString()),
    notes: of('note').map(({ payload }) => payload.toString()),
  };
}

function parseEnd({ args, payload }: Frame): End | null {
  const [kind, step = '', reason = ''] = args;
  const detail = payload.toString();
  switch (kind) {
    case 'refused': {
      const refusal = REFUSALS.find((known) => known === reason);
      return { kind, step, reason: refusal ?? 'failed', detail };
    }
    case 'awaiting':
      return { kind, seconds: Number(step) };
    case 'restored':
    case 'restore-failed':
      return { kind, step, reason, detail };
    case 'checked':
    case 'unchanged':
    case 'applied':
    case 'rolled-back':
      return { kind };
    default:
      return null;
  }
}

function parseVerdict(
  { args: [change = '', state, until = ''], payload }: Frame,
  readings: readonly (Reading & { change: string })[],
): Verdict[] {
  if (state !== 'enforced' && state !== 'pending') return [];
  const words = payload.toString().trim();
  return [
    {
      change: Number(change),
      state,
      until: state === 'pending' ? until : null,
      waiting: state === 'pending' ? words.split('\n') : [],
      enforced: state === 'enforced' ? Number(words) : 0,
      readings: readings.filter((reading) => reading.change === change).map(withoutChange),
    },
  ];
}

function withoutChange({ unit, manager, live }: Reading): Reading {
  return { unit, manager, live };
}

function known(word: string): string | null {
  return word === '-' || word === '' ? null : word;
}

function hexContent(frame: Frame | undefined): Buffer | null {
  return frame === undefined ? null : Buffer.from(frame.payload.toString('latin1'), 'hex');
}
