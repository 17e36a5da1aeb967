import { escapeText, type SafeText, safe } from '../report/terminal-escape.ts';
import type { Check, Choice, ChoiceQuestion, TextQuestion } from './question.ts';
import type { Done } from './setting.ts';
import type { State, View } from './state.ts';

/** What the steps make their views of. */

export function ok<T>(value: T): Done<T> {
  return { ok: true, value };
}

export function yes(note: SafeText): Check {
  return { ok: true, note };
}

export function no(problem: string): Check {
  return { ok: false, problem: escapeText(problem) };
}

export function choice(
  message: SafeText,
  choices: readonly Choice[],
  options: { readonly initial?: string; readonly back?: false } = {},
): ChoiceQuestion {
  return { kind: 'choice', message, choices, back: true, ...options };
}

/** A question with nothing to show before it. */
export function ask(
  question: ChoiceQuestion | Omit<TextQuestion, 'kind'>,
  next: (value: string) => State,
  show: SafeText | null = null,
): View {
  return {
    kind: 'question',
    show,
    question: 'kind' in question ? question : { kind: 'text', ...question },
    next,
  };
}

export const QUIT: Choice = { value: 'quit', name: safe`Leave`, about: safe`Nothing was changed.` };

export function end(command: readonly string[] | null = null, code = 0): State {
  return { at: 'end', command, code };
}
