import { homedir } from 'node:os';
import { join } from 'node:path';
import { isRunId } from '../apply/run-id.ts';
import { HostPlanFile } from '../fleet/host-plan-file.ts';
import type { JournalHead, JournalRecord } from '../fleet/journal.ts';
import { JournalFile, LockedError } from '../fleet/journal-file.ts';
import type { Console } from './console.ts';
import { type Failed, failed } from './failure.ts';

/** The file of a rollout's directory that has its plans. */
export const PLANS = 'plans.ndjson';

/** Where the controller keeps what it did, as the XDG base directory specification has it. */
export function rolloutDirectory({ io: { env } }: Console, id: string): string {
  const state = env['XDG_STATE_HOME'];
  // A relative one is to be ignored.
  const base = state?.startsWith('/') === true ? state : join(env['HOME'] ?? homedir(), '.local/state');
  return join(base, 'tasksctl/rollouts', id);
}

export interface OpenRollout {
  readonly kind: 'ok';
  readonly head: JournalHead;
  readonly records: JournalRecord[];
  readonly journal: JournalFile;
  readonly plans: HostPlanFile;
}

/** A rollout that was begun on this controller, held for this process. */
export async function openRollout(console: Console, id: string): Promise<OpenRollout | Failed> {
  if (!isRunId(id)) return failed({ kind: 'usage', message: `${id} is no name of a run.` });
  const dir = rolloutDirectory(console, id);
  try {
    const resumed = await JournalFile.resume(dir);
    if (!resumed.ok) {
      const place = resumed.line === undefined ? {} : { line: resumed.line };
      return failed({
        kind: 'input-unreadable',
        message: `${resumed.message}.`,
        file: resumed.file,
        ...place,
      });
    }
    const { head, records, journal } = resumed;
    const plans = await HostPlanFile.open(join(dir, PLANS));
    return { kind: 'ok', head, records: [...records], journal, plans };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return failed({
        kind: 'input-unreadable',
        message: `No rollout ${id} was begun on this machine by this user: there is no ${dir}.`,
      });
    }
    if (!(error instanceof LockedError)) return failed({ kind: 'input-unreadable', message });
    return failed({
      kind: 'input-unreadable',
      message: `Rollout ${id} cannot be gone on with: ${message}.`,
      help: 'Wait for it, or end it: Ctrl-C lets it finish the hosts it has begun.',
    });
  }
}

/** Whether a rollout of this name was begun on this controller. */
export async function isRollout(console: Console, id: string): Promise<boolean> {
  return isRunId(id) && (await JournalFile.read(rolloutDirectory(console, id))).ok;
}
