import type { Plan } from '../plan/plan.ts';
import { wrap } from './layout.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** A finding, live or out of a saved plan, or about a policy. */
type Diagnostic = Plan['diagnostics'][number] & { readonly column?: number | undefined };

const SEVERITIES = ['error', 'warning', 'note'] as const;

/** A finding as compilers print theirs, so that editors can jump: `file:line: warning: message [code]`, then help. */
export function diagnosticLines(diagnostic: Diagnostic, style: Style, indent = 0): SafeText[] {
  const paint = { error: style.red, warning: style.yellow, note: style.cyan }[diagnostic.severity];
  const place = formatPlace(diagnostic);
  const severity = escapeText(diagnostic.severity);
  const before = place === '' ? safe`` : safe`${place}: `;
  const after = safe`: ${escapeText(diagnostic.message)} [${escapeText(diagnostic.code)}]`;
  const margin = ' '.repeat(indent);
  const lines = wrap(safe`${before}${severity}${after}`, indent + 4, style);
  const head = lines.map((line, i) => {
    if (i > 0) return `${margin}    ${line}`;
    // The word is painted where it stands, after the place; if the break came before it, it stays plain.
    const colored = line.startsWith(`${before}${severity}:`);
    return (
      margin + (colored ? `${before}${paint(severity)}${line.slice(before.length + severity.length)}` : line)
    );
  });
  const { help } = diagnostic;
  const advice = help === undefined ? [] : wrap(safe`help: ${escapeText(help)}`, indent + 4, style);
  return [...head, ...advice.map((line) => `${margin}    ${line}`)] as SafeText[];
}

/** What `tasksctl lint` prints: every finding, worst first, and how many of each kind there are. */
export function lintText(diagnostics: readonly Diagnostic[], style: Style): SafeText {
  const sorted = SEVERITIES.flatMap((severity) => diagnostics.filter((found) => found.severity === severity));
  const lines = sorted.flatMap((found) => diagnosticLines(found, style));
  const total = sorted.length === 0 ? safe`No findings.` : safe`${countSeverities(diagnostics)}.`;
  return join([...lines, total, safe``], safe`\n`);
}

/** `2 errors, 1 warning`; empty for none. */
export function countSeverities(diagnostics: readonly Diagnostic[]): SafeText {
  const counts = SEVERITIES.flatMap((severity) => {
    const count = diagnostics.filter((found) => found.severity === severity).length;
    return count === 0 ? [] : [plural(count, severity)];
  });
  return join(counts, safe`, `);
}

/** `1 error`, `3 errors`. */
export function plural(count: number, noun: string): SafeText {
  return safe`${count} ${escapeText(noun)}${count === 1 ? safe`` : safe`s`}`;
}

/** `file:line:column` as far as known, or the unit a finding is about; empty where it is about the host. */
function formatPlace({ file, line, column, unit }: Diagnostic): SafeText {
  if (file === undefined) return escapeText(unit ?? '');
  return escapeText([file, line, column].filter((part) => part !== undefined).join(':'));
}
