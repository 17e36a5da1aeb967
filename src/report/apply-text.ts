import type { ApplyResult, LoginProof } from '../apply/apply-plan.ts';
import { changedFiles } from '../apply/changed-files.ts';
import type { Drift, Reading, TransactionReport, Verdict } from '../apply/parse-transaction.ts';
import type { RollbackResult } from '../apply/rollback.ts';
import { fileDiff } from '../plan/file-diff.ts';
import type { Plan, PlannedFile } from '../plan/plan.ts';
import { plural } from './diagnostic-text.ts';
import { labelled } from './layout.ts';
import { diffLines } from './plan-text.ts';
import { explainRefusal } from './refusal-text.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** Readings named for one change; a manager's default may concern hundreds of units. */
const READINGS_SHOWN = 12;

const PROOFS: Readonly<Record<LoginProof, string>> = {
  'new-login': 'A new login came in and could start processes.',
  'new-process':
    'New processes can be started here. No login was tried: try one before you leave, and roll back if it fails.',
  'not-needed': 'None of the changes can lock anybody out.',
  'not-wanted': 'Whether people can still log in was not tried, as asked (--no-dead-man).',
};

/** What became of a plan, for people. */
export function applyText(plan: Plan, result: ApplyResult, style: Style): SafeText {
  return safe`${resultText(plan, result, style)}${plan.refused.length === 0 ? safe`` : lines(refusedLines(plan, style))}`;
}

/** What the planner refused is no part of the plan; it must not look as if it was done. */
function refusedLines({ refused }: Plan, style: Style): SafeText[] {
  const titles = refused.map(({ title, wanted }) => `${title} ${wanted}`).join(', ');
  return [
    safe`${style.red(safe`Not in the plan`)}, as it cannot be done safely: ${escapeText(titles)}. tasksctl plan says why.`,
  ];
}

function resultText(plan: Plan, result: ApplyResult, style: Style): SafeText {
  const host = escapeText(plan.target === 'local' ? plan.host.hostname : plan.target);
  switch (result.kind) {
    case 'nothing':
      return lines([safe`The plan for ${host} has no changes.`]);
    case 'checked':
      return lines([
        ...unfinishedLines(result.report, safe`would be`),
        safe`${style.green(safe`Every check passed`)} on ${host}. Nothing was written.`,
      ]);
    case 'unchanged':
      return lines([
        ...verdictLines(plan, result.report, style),
        safe`The files on ${host} are as the plan wants them already. Nothing was written.`,
      ]);
    case 'applied':
      return lines([
        ...unfinishedLines(result.report, safe`was`),
        ...verdictLines(plan, result.report, style),
        ...result.report.notes.flatMap((note) => labelled(safe`  note:`, 8, escapeText(note), style)),
        ...tidyLines(result.report, style),
        safe`${style.green(style.bold(safe`Applied`))} to ${host} as run ${escapeText(result.run)}. ${escapeText(PROOFS[result.proof])}`,
        ...undoLines(plan.target, result.run),
      ]);
    case 'refused': {
      const { message, help } = explainRefusal(result.reason, result.detail);
      return lines([
        ...driftLines(plan, result.report?.drifts ?? [], style),
        safe`${style.red(style.bold(safe`Refused`))} by ${host}: ${escapeText(message)} Nothing was changed.`,
        safe`help: ${escapeText(help)}`,
      ]);
    }
    case 'restored':
      return lines([
        ...failureLines(result, style),
        ...leftLines(plan, result.report),
        safe`${style.yellow(style.bold(safe`Restored`))}: ${host} has the state it had before run ${escapeText(result.run)}.`,
      ]);
    case 'restore-failed':
      return lines([
        ...failureLines(result, style),
        ...result.report.problems.flatMap((problem) => labelled(safe`  !`, 4, escapeText(problem), style)),
        ...leftLines(plan, result.report),
        safe`${style.red(style.bold(safe`Not fully restored`))}: some of the state ${host} had before run ${escapeText(result.run)} is not back.`,
        safe`help: mend what is named above, then: ${rollbackCommand(plan.target, result.run)}`,
      ]);
    case 'unreachable':
      return lines([
        safe`${style.red(style.bold(safe`Not applied`))}: ${escapeText(result.error.message)} Nothing was changed.`,
      ]);
    case 'unknown':
      return lines([
        safe`${style.red(style.bold(safe`Unknown`))}: the connection was lost at step ${escapeText(result.step)} and ${host} does not answer: ${escapeText(result.error.message)}`,
        safe`Unless it came through, ${host} restores itself ${result.seconds} s after it began, or when it boots.`,
        safe`help: when it answers again: tasksctl runs -t ${escapeText(plan.target)} ${escapeText(result.run)}`,
      ]);
  }
}

/** What became of undoing a run, for people. `files` are those of the run's record. */
export function rollbackText(
  target: string,
  files: readonly string[],
  result: RollbackResult,
  style: Style,
): SafeText {
  const host = escapeText(target);
  const path = (file: number): SafeText => escapeText(files[file - 1] ?? `file ${file}`);
  switch (result.kind) {
    case 'rolled-back':
      return lines([
        ...readingLines(result.report.restored, style),
        ...result.report.left.map((file) => safe`  ! ${path(file)} was changed since and is left as it is`),
        safe`${style.green(style.bold(safe`Rolled back`))} run ${escapeText(result.run)} on ${host}.`,
      ]);
    case 'unchanged':
      return lines([safe`Run ${escapeText(result.run)} on ${host} is undone already.`]);
    case 'refused': {
      const { message, help } = explainRefusal(result.reason, result.detail);
      const drift = result.reason === 'drift';
      return lines([
        ...result.report.drifts.map(
          ({ file, found }) =>
            safe`  ! ${path(file)}: ${found === 'absent' ? safe`it is gone` : safe`it was changed`}`,
        ),
        safe`${style.red(style.bold(safe`Refused`))} by ${host}: ${escapeText(drift ? 'Files were changed since the run.' : message)} Nothing was changed.`,
        safe`help: ${escapeText(drift ? 'Undo later changes first, or edit the files by hand.' : help)}`,
      ]);
    }
    case 'restore-failed':
      return lines([
        ...result.report.problems.flatMap((problem) => labelled(safe`  !`, 4, escapeText(problem), style)),
        safe`${style.red(style.bold(safe`Not fully rolled back`))}: mend what is named above and roll back again.`,
      ]);
    case 'no-such-run':
      return lines([safe`${host} has no run ${escapeText(result.run)}; tasksctl runs lists them.`]);
    case 'unreachable':
      return lines([
        safe`${style.red(style.bold(safe`Not rolled back`))}: ${escapeText(result.error.message)}`,
      ]);
    case 'unknown':
      return lines([
        safe`${style.red(style.bold(safe`Unknown`))}: ${escapeText(result.error.message)}`,
        safe`help: what has begun goes on at the next boot at the latest; roll back again when ${host} answers.`,
      ]);
  }
}

function lines(all: readonly SafeText[]): SafeText {
  return safe`${join(all, safe`\n`)}\n`;
}

/** One block per change: what became of it, and what is enforced where. */
export function verdictLines(plan: Plan, report: TransactionReport, style: Style): SafeText[] {
  return report.verdicts.flatMap((verdict) => {
    const change = plan.changes[verdict.change - 1];
    if (change === undefined) return [];
    const title = style.bold(escapeText(change.title));
    const step = safe`${escapeText(change.from.text)} -> ${escapeText(change.to.text)}`;
    return [
      safe`${verdict.state === 'enforced' ? style.green(safe`*`) : style.yellow(safe`~`)} ${title}: ${step}, ${stateText(verdict, style)}`,
      ...readingLines(verdict.readings, style, report.before),
    ];
  });
}

function stateText(verdict: Verdict, style: Style): SafeText {
  if (verdict.state === 'enforced') {
    if (verdict.enforced === 0) return style.green(safe`in force; nothing it holds for runs now`);
    return style.green(safe`enforced now on ${plural(verdict.enforced, 'unit')}`);
  }
  const until = escapeText((verdict.until ?? '').replace('-', ' '));
  const shown = verdict.waiting.slice(0, READINGS_SHOWN).map(escapeText);
  const more = verdict.waiting.length - shown.length;
  const names = join(shown, safe`, `);
  return style.yellow(
    safe`pending until the ${until} of ${names}${more > 0 ? safe` and ${more} more` : safe``}`,
  );
}

function readingLines(
  readings: readonly Reading[],
  style: Style,
  before?: ReadonlyMap<string, string>,
): SafeText[] {
  const running = readings.filter(({ live }) => live !== null);
  const shown = running.slice(0, READINGS_SHOWN).map(({ unit, live }) => {
    const from = before?.get(unit);
    const change = from === undefined || from === live ? '' : `${from} -> `;
    return style.dim(safe`    ${escapeText(unit)}: ${escapeText(`${change}${live}`)}`);
  });
  const more = running.length - shown.length;
  return more > 0 ? [...shown, style.dim(safe`    and ${more} more`)] : shown;
}

function failureLines(
  { step, reason, detail }: { step: string; reason: string; detail: string },
  style: Style,
): SafeText[] {
  const what = FAILURES[reason] ?? reason;
  return [
    safe`${style.red(safe`At step ${escapeText(step)}`)}: ${escapeText(what)}`,
    ...detail
      .split('\n')
      .filter((line) => line !== '')
      .flatMap((line) => labelled(safe`   `, 4, escapeText(line), style)),
  ];
}

/** Why a host was restored, in words. */
const FAILURES: Readonly<Record<string, string>> = {
  activation: 'a command failed.',
  'not-enforced': 'what was wanted is not what is enforced.',
  'parse-warning': 'systemd complains about a file of the plan.',
  'systemd-not-answering': 'systemd did not answer.',
  'no-space': 'there was no room.',
  'read-only': 'a file system is read-only.',
  immutable: 'a file may not be replaced.',
  failed: 'a file could not be replaced.',
  signal: 'the script was ended by a signal.',
  cut: 'the run was cut off.',
  'not-confirmed': 'no new login could confirm the run.',
  timer: 'nobody confirmed in time.',
  boot: 'the host booted before the run was over.',
};

function driftLines(plan: Plan, drifts: readonly Drift[], style: Style): SafeText[] {
  const files = changedFiles(plan);
  return drifts.flatMap(({ file, found, content }) => {
    const planned = files[file - 1];
    if (planned === undefined) return [];
    const head = safe`${style.bold(escapeText(planned.path))}: ${escapeText(foundText(found, planned))}`;
    if (content === null) return [head];
    const text = content.toString();
    const now = Buffer.from(text).equals(content) ? { text } : { base64: content.toString('base64') };
    const diff = fileDiff({
      path: planned.path,
      before: planned.before,
      after: { content: now, sha256: found.split(':')[0] ?? '', mode: planned.before?.mode ?? 0o644 },
    });
    return diff === '' ? [head] : [head, ...diffLines(diff, style)];
  });
}

function foundText(found: string, { before }: PlannedFile): string {
  const [hash, mode, uid, gid] = found.split(':');
  if (mode === undefined) return before === null ? `there is ${found}` : `it is ${found} now`;
  if (before === null) return 'it is there now';
  if (hash !== before.sha256) return 'its content has changed';
  return `its mode and owner are ${mode} ${uid}:${gid} now`;
}

function unfinishedLines(report: TransactionReport, was: SafeText): SafeText[] {
  return report.unfinished.map(
    ({ run, state }) =>
      safe`Run ${escapeText(run)} had been cut off (${escapeText(state)}) and ${was} brought to an end first.`,
  );
}

function leftLines(plan: Plan, report: TransactionReport): SafeText[] {
  const files = changedFiles(plan);
  return report.left.map((file) => {
    const path = files[file - 1]?.path ?? `file ${file}`;
    return safe`  ! ${escapeText(path)} was changed by someone else and is left as it is`;
  });
}

/** What was only there for the way back and could not be removed; it is of no effect. */
function tidyLines({ problems }: TransactionReport, style: Style): SafeText[] {
  if (problems.length === 0) return [];
  return [
    ...problems.flatMap((problem) => labelled(safe`  !`, 4, escapeText(problem), style)),
    safe`  The next apply or boot tidies this up.`,
  ];
}

function undoLines(target: string, run: string): SafeText[] {
  return [safe`To undo it: ${rollbackCommand(target, run)}`];
}

function rollbackCommand(target: string, run: string): SafeText {
  const where = target === 'local' ? safe`` : safe`-t ${escapeText(target)} `;
  return safe`tasksctl rollback ${where}${escapeText(run)}`;
}
