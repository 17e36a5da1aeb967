import type { z } from 'zod';
import { isRunId, runIdTime } from '../apply/run-id.ts';
import type { RunRecord } from '../apply/run-record.ts';
import type { applySchema, rollbackSchema, runsSchema, verifySchema } from './apply-json.ts';
import type { rolloutSchema } from './rollout-json.ts';

/** What became of a run on a host, for a timeline. Texts are raw. */
export interface RunEvent {
  /** As the operator named the host. */
  readonly target: string;
  /** Empty: it ended before it had a name. */
  readonly run: string;
  /** ISO 8601 by the controller's clock; null: not known. */
  readonly at: string | null;
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
  | z.infer<typeof rolloutSchema>;

/** The events of all documents, oldest first; those without a time last. */
export function runEvents(documents: readonly RunDocument[]): RunEvent[] {
  const time = ({ at }: RunEvent): string => at ?? '\uffff';
  return documents
    .flatMap(eventsOf)
    .sort((a, b) => (time(a) < time(b) ? -1 : time(a) > time(b) ? 1 : a.target < b.target ? -1 : 1));
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

function ofRollout({ run, hosts, lost }: z.infer<typeof rolloutSchema>): RunEvent[] {
  return [
    ...hosts.map(({ name, wave, state, run: own, detail }): RunEvent => {
      const good = state === 'applied' || state === 'unchanged';
      const untouched = state === 'waiting' || state === 'rolled-back';
      return {
        target: name,
        run: own ?? run ?? '',
        at: timeOf(own ?? run ?? ''),
        tone: good ? 'good' : untouched ? 'warn' : 'bad',
        state: `rollout, wave ${wave}: ${words(state)}`,
        details: detail === '' ? [] : [detail],
      };
    }),
    ...lost.map(
      ({ name, error }): RunEvent => ({
        target: name,
        run: run ?? '',
        at: timeOf(run ?? ''),
        tone: 'bad',
        state: 'rollout: not read',
        details: [error.message],
      }),
    ),
  ];
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
