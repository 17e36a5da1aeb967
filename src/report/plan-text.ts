import type { Change, Plan } from '../plan/plan.ts';
import { diagnosticLines, plural } from './diagnostic-text.ts';
import { keepStart, labelled, pad, wrap } from './layout.ts';
import { shellCommand } from './shell-quote.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

const LABEL = 12;

/** Unchanged limits named without `verbose`. */
const UNCHANGED_SHOWN = 5;

/**
 * A plan for people: what would change, from where to where and why, what it takes until the kernel enforces it and
 * for whom; the differences of the files; what was refused; what stays. `diffs` are unified diffs, one per file.
 */
export function planText(
  plan: Plan,
  options: { readonly diffs: readonly string[]; readonly verbose: boolean },
  style: Style,
): SafeText {
  const blocks: SafeText[][] = [
    header(plan, style),
    ...plan.changes.map((change) => changeLines(change, style)),
    ...options.diffs.map((diff) => diffLines(diff, style)),
    ...plan.refused.map((refused) => refusedLines(refused, style)),
    unchangedLines(plan, options.verbose, style),
    plan.diagnostics
      .filter(({ severity }) => options.verbose || severity !== 'note')
      .flatMap((diagnostic) => diagnosticLines(diagnostic, style)),
    [style.bold(planSummary(plan))],
  ];
  const filled = blocks.filter((block) => block.length > 0).map((block) => join(block, safe`\n`));
  return safe`${join(filled, safe`\n\n`)}\n`;
}

/** `Plan: 2 changes, 1 refused, 14 unchanged. Nothing was written.`, or that there are none, and why. */
export function planSummary(plan: Plan): SafeText {
  const { changes, refused, unchanged } = plan;
  if (changes.length > 0) {
    const parts = [plural(changes.length, 'change')];
    if (refused.length > 0) parts.push(safe`${refused.length} refused`);
    parts.push(safe`${unchanged.length} unchanged`);
    return safe`Plan: ${join(parts, safe`, `)}. Nothing was written.`;
  }
  if (refused.length > 0) {
    return safe`No changes: ${refused.length} refused (see above), ${unchanged.length} unchanged.`;
  }
  if (unchanged.length === 0) return safe`No changes: the policy names no limit of this host.`;
  const all = unchanged.length === 1 ? safe`the one limit` : safe`all ${unchanged.length} limits`;
  return safe`No changes: ${all} the policy names are as it wants them.`;
}

function header(plan: Plan, style: Style): SafeText[] {
  const { host, policy } = plan;
  const { hostname } = host;
  const named = plan.target.replace(/^.*@/, '') === hostname;
  const target = named ? plan.target : `${plan.target} (${hostname})`;
  const name = plan.target === 'local' ? hostname : target;
  const what = `${host.os}, systemd ${host.systemdVersion}, Linux ${host.kernel}, cgroup ${host.cgroupMode}`;
  return [
    ...wrap(safe`Plan for ${escapeText(name)} by policy ${escapeText(policy.name)}`, 0, style).map(
      style.bold,
    ),
    ...wrap(escapeText(what), 0, style).map(style.dim),
  ];
}

function changeLines(change: Change, style: Style): SafeText[] {
  const { from, to, activation } = change;
  const field = (label: SafeText, text: string) =>
    labelled(safe`    ${label}`, LABEL, escapeText(text), style);
  const lines = [
    safe`${style.yellow(safe`~`)} ${style.bold(escapeText(change.title))}: ${value(from)} -> ${style.bold(value(to))}`,
    ...field(safe`now`, `${from.text}, ${from.provenance.text}`),
    ...change.reason.flatMap((reason, i) => field(i === 0 ? safe`why` : safe``, reason)),
    ...field(safe`when`, activation.summary),
    ...field(
      safe`reboot`,
      `${activation.reboot.needed ? 'needed' : 'not needed'}: ${activation.reboot.note}`,
    ),
    ...activation.affected.flatMap(({ what, note }, i) =>
      field(i === 0 ? safe`affects` : safe``, note === '' ? what : `${what}: ${note}`),
    ),
  ];
  for (const file of change.files)
    lines.push(safe`    ${pad(safe`file`, LABEL - 4, 'left')}${escapeText(file)}`);
  if (activation.steps.length > 0) {
    lines.push(safe`    after the files are in place, as root:`);
    for (const step of activation.steps) {
      // The whole block can be pasted: every line of a remark is a comment, and a command stays on one line.
      const why = wrap(escapeText(step.why), 8, style);
      lines.push(...why.map((line) => safe`      ${style.dim(safe`# ${line}`)}`));
      lines.push(safe`      ${style.cyan(shellCommand(step.command))}`);
    }
  }
  return [...lines, ...change.warnings.flatMap((warning) => diagnosticLines(warning, style, 4))];
}

function value(value: { readonly text: string; readonly count: string }): SafeText {
  return escapeText(value.text === value.count ? value.text : `${value.text} (${value.count})`);
}

export function diffLines(diff: string, style: Style): SafeText[] {
  const paints: Readonly<Record<string, Style['bold']>> = {
    '@': style.cyan,
    '+': style.green,
    '-': style.red,
  };
  let inHunk = false;
  return diff
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => {
      const first = line[0] ?? '';
      inHunk ||= first === '@';
      // Before the first hunk the lines name the files; in it `---` is a removed line that begins with dashes.
      const paint = inHunk ? paints[first] : style.bold;
      return paint === undefined ? escapeText(line) : paint(escapeText(line));
    });
}

function refusedLines(refused: Plan['refused'][number], style: Style): SafeText[] {
  return [
    safe`${style.red(safe`!`)} ${style.bold(escapeText(refused.title))}: ${escapeText(refused.wanted)} refused`,
    ...diagnosticLines(refused.diagnostic, style, 4),
  ];
}

/** All of them in full, or the first few in a line each. */
function unchangedLines({ unchanged }: Plan, verbose: boolean, style: Style): SafeText[] {
  const texts = unchanged.map(({ title, reason }) => escapeText(`${title}: ${reason}`));
  if (verbose) return texts.flatMap((text) => labelled(safe`= `, 2, text, style, style.dim));
  const room = (style.width ?? Number.POSITIVE_INFINITY) - 2;
  const lines = texts
    .slice(0, UNCHANGED_SHOWN)
    .map((text) => safe`= ${style.dim(keepStart(text, room, style))}`);
  const more = texts.length - lines.length;
  return more > 0 ? [...lines, style.dim(safe`= and ${more} more (--verbose names them)`)] : lines;
}
