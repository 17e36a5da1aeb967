import type { RunDetail, RunState, RunSummary } from '../apply/runs.ts';
import { verdictLines } from './apply-text.ts';
import { plural } from './diagnostic-text.ts';
import { type Cell, type Column, labelled, table } from './layout.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

const STATES: Readonly<Record<RunState, string>> = {
  applied: 'applied',
  awaiting: 'waits for its confirmation, or restores itself',
  restored: 'restored',
  'rolled-back': 'rolled back',
  unfinished: 'cut off; the next apply or rollback ends it',
};

/** The runs a host keeps, newest last, for people. */
export function runsText(runs: readonly RunSummary[], style: Style): SafeText {
  if (runs.length === 0) return safe`No runs are kept there.\n`;
  const columns: Column[] = [
    { title: safe`RUN`, align: 'left' },
    { title: safe`STARTED`, align: 'left' },
    { title: safe`BY`, align: 'left', min: 8 },
    { title: safe`STATE`, align: 'left' },
    { title: safe`CHANGES`, align: 'left', min: 16 },
  ];
  const rows = runs.map((run): Cell[] => [
    { text: escapeText(run.id) },
    { text: escapeText(run.record?.startedAt.replace(/\.[0-9]+Z$/, 'Z') ?? '-') },
    { text: escapeText(run.record?.operator ?? '-') },
    { text: stateText(run), paint: run.state === 'applied' ? style.green : style.yellow },
    { text: changesText(run) },
  ]);
  return safe`${join(table(columns, rows, style), safe`\n`)}\n`;
}

/** All that a host keeps of one run, for people. */
export function runText(run: RunDetail, style: Style): SafeText {
  const { record, plan, report, verification } = run;
  const field = (label: SafeText, text: string) => labelled(label, 10, escapeText(text), style);
  const blocks = [
    style.bold(safe`Run ${escapeText(run.id)}`),
    ...field(safe`state`, stateText(run)),
    ...(record === null
      ? []
      : [
          ...field(safe`started`, `${record.startedAt} by ${record.operator}`),
          ...field(safe`target`, `${record.target}, policy ${record.policy}`),
          ...record.files.flatMap((file, i) => field(i === 0 ? safe`files` : safe``, file)),
        ]),
    ...(verification === null ? [] : field(safe`verified`, `${verification.at}: everything was in force`)),
    ...(plan === null ? [] : verdictLines(plan, report, style)),
    ...report.problems.flatMap((problem) => field(safe`problem`, problem)),
  ];
  return safe`${join(blocks, safe`\n`)}\n`;
}

function stateText({ state, pending, verified }: RunSummary): SafeText {
  const text = escapeText(STATES[state]);
  if (state !== 'applied') return text;
  if (verified) return safe`${text}, verified`;
  return pending > 0 ? safe`${text}, ${plural(pending, 'change')} pending` : text;
}

function changesText({ record }: RunSummary): SafeText {
  if (record === null) return safe`-`;
  return escapeText(record.changes.map(({ title, from, to }) => `${title} ${from} -> ${to}`).join(', '));
}
