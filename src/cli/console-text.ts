import { diagnosticLines } from '../report/diagnostic-text.ts';
import { wrap } from '../report/layout.ts';
import type { Style } from '../report/style.ts';
import { escapeJson, escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { FAILURE_EXIT } from './exit-code.ts';
import type { Failure } from './failure.ts';

// What a Console says, in words: the time to load how text is broken into lines is for those who say something.

/** A failure in words, or as one line of JSON. */
export function failureText(failure: Failure, json: boolean, style: Style): SafeText {
  if (json) {
    const document = { schema: 'tasksctl/error/1', ...failure, exitCode: FAILURE_EXIT[failure.kind] };
    return escapeJson(`${JSON.stringify(document)}\n`);
  }
  const { kind, file, line, column, message, help } = failure;
  const place = [file, line, column].filter((part) => part !== undefined).join(':');
  const where = place === '' || message.includes(place) ? '' : `${place}: `;
  // Only our own words may have lines: a suggestion of the argument parser, a stack.
  const [first = '', ...more] = kind === 'usage' || kind === 'internal' ? message.split('\n') : [message];
  return linesOf([
    ...(failure.problems ?? []).flatMap((problem) => diagnosticLines(problem, style)),
    ...prefixed('error', escapeText(where + first), style, style.red),
    ...more.map(escapeText),
    // Not broken: there may be a command in it to copy.
    ...(help === undefined ? [] : [safe`help: ${escapeText(help)}`]),
  ]);
}

/** A remark: `warning: text`. */
export function noticeText(severity: 'warning' | 'note', text: SafeText, style: Style): SafeText {
  return linesOf(prefixed(severity, text, style, severity === 'warning' ? style.yellow : style.cyan));
}

/** `error: text`, broken to the width of the terminal. */
function prefixed(
  word: 'error' | 'warning' | 'note',
  text: SafeText,
  style: Style,
  paint: (text: SafeText) => SafeText,
): SafeText[] {
  const [first = safe``, ...more] = wrap(text, `${word}: `.length, style);
  return [safe`${paint(escapeText(word))}: ${first}`, ...more.map((line) => safe`  ${line}`)];
}

function linesOf(lines: readonly SafeText[]): SafeText {
  return join([...lines, safe``], safe`\n`);
}
