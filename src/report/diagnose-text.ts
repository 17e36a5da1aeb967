import type { Check, Diagnosis } from '../diagnose/diagnose.ts';
import type { Cause, Verdict } from '../diagnose/verdict.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { displayWidth, labelled, pad, wrap } from './layout.ts';
import { formatCount, formatProvenance } from './limit-names.ts';
import { shellCommand, shellWord } from './shell-quote.ts';
import { systemLine } from './status-text.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

const LABEL = 12;

/** Answers told in full: whoever reads more than a few has none. */
const SHOWN = 5;

/**
 * Why fork failed: each answer with its limit, what speaks for it, and what to do, the best first; then what was looked
 * at. `source` are the options that name the host, for commands to copy.
 */
export function diagnoseText(
  snapshot: Snapshot,
  asked: string | null,
  { verdicts, checks }: Diagnosis,
  source: readonly string[],
  style: Style,
): SafeText {
  const { hostname } = snapshot.host;
  const about = asked === null ? hostname : `${asked} on ${hostname}`;
  const lines = [style.bold(escapeText(about)), ...systemLine(snapshot, style), safe``];
  for (const [index, verdict] of verdicts.slice(0, SHOWN).entries()) {
    lines.push(...verdictLines(verdict, index + 1, source, style), safe``);
  }
  const more = verdicts.slice(SHOWN);
  if (more.length > 0) {
    const names = join(
      more.slice(0, SHOWN).map(({ name }) => escapeText(name)),
      safe`, `,
    );
    const rest = more.length > SHOWN ? safe`, ...` : safe``;
    const text = safe`${more.length} more, less likely or less pressing (all with --json): ${names}${rest}`;
    lines.push(...labelled(safe``, 0, text, style), safe``);
  }
  if (verdicts.length === 0) lines.push(style.bold(nothing(checks)), safe``);
  lines.push(style.bold(safe`Looked at`), ...checks.flatMap((check) => checkLines(check, style)));
  if (verdicts.length === 0) {
    const here = source.map(shellWord);
    const trace = join([safe`tasksctl trace`, ...here], safe` `);
    // A saved host cannot be traced.
    const next =
      source[0] === '--snapshot' || source[0] === '--directory' ? [] : [safe`If it happens again: ${trace}`];
    const memory = safe`"Cannot allocate memory" (ENOMEM) is memory, not a task limit.`;
    lines.push(safe``, ...labelled(safe``, 0, memory, style), ...next);
  }
  return join([...lines, safe``], safe`\n`);
}

function nothing(checks: readonly Check[]): SafeText {
  const unknown = checks.filter(({ result }) => result === 'unknown').length;
  return unknown === 0
    ? safe`No evidence of a rejected fork.`
    : safe`No evidence of a rejected fork, in what could be read: see what is unknown below.`;
}

const CAUSES: Readonly<Record<Cause, string>> = {
  'pids-controller': 'pids controller',
  'rlimit-nproc': 'RLIMIT_NPROC',
  'threads-max': 'kernel ceiling',
  'pid-max': 'kernel ceiling',
  'pid-namespace': 'pid namespace',
  memory: 'memory',
};

function verdictLines(verdict: Verdict, number: number, source: readonly string[], style: Style): SafeText[] {
  const { cause, confidence, name, value, used, set, evidence, remedy } = verdict;
  const title = safe`${number}. ${escapeText(name)} ${standing(verdict)} (${escapeText(CAUSES[cause])}; ${escapeText(confidence)})`;
  const paint = verdict.standing === 'full' ? style.red : style.yellow;
  const row = (label: SafeText, text: SafeText) => labelled(safe`   ${label}`, LABEL, text, style);
  const lines = wrap(title, 3, style).map((line, i) => paint(i === 0 ? line : safe`   ${line}`));
  if (value !== null) {
    const of = used === null ? safe`` : safe`, ${used} in use`;
    const from = set === null ? safe`` : safe`, set by ${formatProvenance(set)}`;
    lines.push(...row(safe`Limit`, safe`${formatCount(value)}${of}${from}`));
  }
  lines.push(...listed(safe`Because`, evidence, style));
  if (remedy !== null) {
    const takes = remedy.count === null ? [] : [`a limit of ${remedy.count}`];
    lines.push(...listed(safe`It takes`, [...takes, ...remedy.notes], style));
    const commands =
      remedy.policy === null
        ? remedy.commands.map((argv) => shellCommand({ kind: 'argv', argv: [...argv] }))
        : [planCommand(remedy.policy, source)];
    // Not broken: they are to be copied.
    const where = remedy.policy === null ? safe`On host` : safe`Do`;
    for (const command of commands) lines.push(safe`   ${pad(where, LABEL - 3, 'left')}${command}`);
  }
  return lines;
}

function standing({ standing, cause }: Verdict): SafeText {
  switch (standing) {
    case 'full':
      return safe`is full: forks fail`;
    case 'nearly-full':
      return cause === 'memory' ? safe`is nearly all promised: forks may fail` : safe`is nearly full`;
    case 'was-full':
      return safe`was full and rejected forks`;
    case 'raised-since':
      return safe`rejected forks before it was raised`;
  }
}

/** `echo POLICY | tasksctl plan … --policy -`, ready to be pasted. */
export function planCommand(policy: Readonly<Record<string, unknown>>, source: readonly string[]): SafeText {
  const words = ['tasksctl', 'plan', ...source, '--policy', '-'].map(shellWord);
  return safe`echo ${shellWord(JSON.stringify(policy))} | ${join(words, safe` `)}`;
}

function listed(label: SafeText, texts: readonly string[], style: Style): SafeText[] {
  return texts.flatMap((text, index) =>
    labelled(safe`   ${index === 0 ? label : safe``}`, LABEL, escapeText(text), style),
  );
}

const CHECKS: Readonly<Record<Check['what'], string>> = {
  'pids-counters': 'pids.events',
  'kernel-log': 'kernel log',
  'rlimit-nproc': 'RLIMIT_NPROC',
  'threads-max': 'threads-max',
  'pid-max': 'pid_max',
  memory: 'memory',
};

const WIDEST = Math.max(...Object.values(CHECKS).map((name) => displayWidth(escapeText(name))));

function checkLines({ what, result, text }: Check, style: Style): SafeText[] {
  const paint = { clear: style.green, suspect: style.yellow, unknown: style.red }[result];
  const name = pad(escapeText(CHECKS[what]), WIDEST, 'left');
  const label = safe`   ${name}  ${paint(pad(escapeText(result), 7, 'left'))}`;
  return labelled(label, WIDEST + 14, escapeText(text), style);
}
