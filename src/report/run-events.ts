import type { z } from 'zod';
import { isRunId, runIdTime } from '../apply/run-id.ts';
import type { RunRecord } from '../apply/run-record.ts';
import type { JournalHead, JournalRecord } from '../fleet/journal.ts';
import type { applySchema, rollbackSchema, runsSchema, verifySchema } from './apply-json.ts';
import { rolloutEvents } from './rollout-events.ts';
import type { rolloutSchema } from './rollout-json.ts';

/** What became of a run on a host, for a timeline. Texts are raw. */
export interface RunEvent {
  /** As the operator named the host; null: all hosts of a rollout. */
  readonly target: string | null;
  /** Empty: it ended before it had a name. */
  readonly run: string;
  /** ISO 8601 by the controller's clock; null: not known. */
  readonly at: string | null;
  /** When that was begun. */
  readonly since?: string;
  /** The rollout that it is a part of. */
  readonly rollout?: string;
  readonly tone: 'good' | 'warn' | 'bad';
  readonly state: string;
  /** What was changed, what is pending, what went wrong. */
  readonly details: readonly string[];
}

/** A document that tells of runs, as the commands print and the hosts keep them. */
export type RunDocument =
  | RunRecord
  | z.infer<typeof applySchema>
  | z.infer<typeof runsSchema>
  | z.infer<typeof rollbackSchema>
  | z.infer<typeof verifySchema>
  | z.infer<typeof rolloutSchema>
  | RolloutJournal;

/** The journal of a rollout as its controller keeps it. */
export interface RolloutJournal {
  readonly schema: 'tasksctl/rollout-journal/1';
  readonly head: JournalHead;
  readonly records: readonly JournalRecord[];
}

/** The events of all documents, each once, oldest first; those without a time last. */
export function runEvents(documents: readonly RunDocument[]): RunEvent[] {
  const time = ({ at }: RunEvent): string => at ?? '\uffff';
  // A rollout's journal and what rollout printed tell the same.
  const events = new Map(documents.flatMap(eventsOf).map((event) => [JSON.stringify(event), event]));
  return [...events.values()].sort((a, b) => (time(a) < time(b) ? -1 : time(a) > time(b) ? 1 : 0));
}

function eventsOf(document: RunDocument): RunEvent[] {
  switch (document.schema) {
    case 'tasksctl/run/1':
      return [ofRecord(document.target, document, 'warn', 'started')];
    case 'tasksctl/runs/1':
      return document.runs.map((run) => {
        const pending = run.pending > 0 && !run.verified;
        const good = run.state === 'applied' && !pending;
        const state =
          run.state !== 'applied'
            ? run.state.replace('-', ' ')
            : run.verified
              ? 'applied, verified'
              : pending
                ? `applied, ${run.pending} pending`
                : 'applied';
        const tone = good ? 'good' : run.state === 'unfinished' ? 'bad' : 'warn';
        const { id, record } = run;
        if (record !== null) return ofRecord(document.target, record, tone, state);
        return { target: document.target, run: id, at: timeOf(id), tone, state, details: [] };
      });
    case 'tasksctl/apply/1':
      return [ofApply(document), ...(document.verified === null ? [] : eventsOf(document.verified))];
    case 'tasksctl/rollback/1': {
      const { target, run, kind, reason, detail, problems } = document;
      const good = kind === 'rolled-back' || kind === 'unchanged';
      const told = [reason, detail].filter((text) => text !== null).join(': ');
      const details = [...(told === '' ? [] : [told]), ...problems];
      // When is not in the document: the run's name tells when that run was begun.
      return [
        {
          target,
          run: run ?? '',
          at: null,
          tone: good ? 'warn' : 'bad',
          state: `rollback: ${words(kind)}`,
          details,
        },
      ];
    }
    case 'tasksctl/verify/1': {
      const { target, run, holds, changes } = document;
      const lost = changes.some(({ standing }) => standing.kind === 'lost');
      const details = changes.map(({ title, wanted, standing }) => {
        const found = standing.kind === 'lost' ? `: ${standing.found.join('; ')}` : '';
        const until = standing.kind === 'pending' ? ` until ${standing.until}` : '';
        return `${title} ${wanted}: ${standing.kind}${until}${found}`;
      });
      const state = holds ? 'verify: everything holds' : lost ? 'verify: lost' : 'verify: pending';
      return [{ target, run, at: null, tone: holds ? 'good' : lost ? 'bad' : 'warn', state, details }];
    }
    case 'tasksctl/rollout/1':
      return ofRollout(document);
    case 'tasksctl/rollout-journal/1':
      return rolloutEvents(document.head, document.records);
  }
}

function ofRecord(target: string, record: RunRecord, tone: RunEvent['tone'], state: string): RunEvent {
  const { id, startedAt, operator, changes } = record;
  const details = changes.map(({ title, from, to }) => `${title}: ${from} -> ${to}`);
  return { target, run: id, at: startedAt, tone, state, details: [`by ${operator}`, ...details] };
}

function ofApply({ target, result }: z.infer<typeof applySchema>): RunEvent {
  const run = 'run' in result ? result.run : '';
  const report = 'report' in result ? result.report : null;
  const changes = (report?.changes ?? []).map(({ title, from, to, state, until }) => {
    return `${title}: ${from} -> ${to}, ${state}${until === null ? '' : ` until ${until}`}`;
  });
  const why =
    'error' in result
      ? result.error.message
      : 'reason' in result
        ? [result.reason, result.detail].filter((text) => text !== '').join(': ')
        : '';
  const pending = report?.changes.some(({ state }) => state === 'pending') === true;
  const good = ['applied', 'unchanged', 'nothing', 'checked'].includes(result.kind);
  const left = result.kind === 'refused' || result.kind === 'restored';
  return {
    target,
    run,
    at: timeOf(run),
    tone: good ? (pending ? 'warn' : 'good') : left ? 'warn' : 'bad',
    state: `apply: ${words(result.kind)}`,
    details: [...(why === '' ? [] : [why]), ...changes, ...(report?.problems ?? [])],
  };
}

function ofRollout(document: z.infer<typeof rolloutSchema>): RunEvent[] {
  const { run, verdict, why, startedAt, operator, lost, timeline } = document;
  // Without a run nothing was begun.
  if (run === null) return [];
  const hosts = document.hosts.map((host) => ({ ...host, wave: host.wave - 1 }));
  const events = rolloutEvents({ run, startedAt, operator, hosts }, timeline);
  events.push(
    ...lost.map(({ name, error }): RunEvent => {
      const details = [error.message];
      return {
        target: name,
        run,
        rollout: run,
        at: startedAt,
        tone: 'bad',
        state: 'rollout: not read',
        details,
      };
    }),
  );
  if (verdict === 'done' || verdict === 'rolled-back' || verdict === 'stopped') return events;
  // Of these the journal has no record.
  const at = timeline.at(-1)?.at ?? startedAt;
  const details = why === null ? [] : [why];
  const tone = verdict === 'rollback-incomplete' ? 'bad' : 'warn';
  return [
    ...events,
    { target: null, run, rollout: run, at, tone, state: `rollout: ${words(verdict)}`, details },
  ];
}

/** `12 s`, `3 min 5 s`; null where a clock was set in between, or a time is none. */
export function tookText(since: string, at: string): string | null {
  const seconds = Math.round((Date.parse(at) - Date.parse(since)) / 1000);
  if (!(seconds >= 0)) return null;
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

function words(kind: string): string {
  return kind.replaceAll('-', ' ');
}

function timeOf(run: string): string | null {
  if (!isRunId(run)) return null;
  const time = runIdTime(run);
  // A host may name a run after a day there is not.
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}
