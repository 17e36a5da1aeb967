import type { SafeText } from '../report/terminal-escape.ts';

/** One thing the operator is asked. */
export type Question = ChoiceQuestion | TextQuestion;

export interface ChoiceQuestion {
  readonly kind: 'choice';
  readonly message: SafeText;
  readonly choices: readonly Choice[];
  /** The value that is chosen at first; else the first. */
  readonly initial?: string;
  /** There is a step before. */
  readonly back: boolean;
}

export interface Choice {
  readonly value: string;
  /** A few words: it has a line of its own. */
  readonly name: SafeText;
  /** What it means, for whoever considers it. */
  readonly about?: SafeText;
}

export interface TextQuestion {
  readonly kind: 'text';
  readonly message: SafeText;
  /** What stands there at first. */
  readonly initial: string;
  /** Judges what is typed, with every key. */
  readonly check: (text: string) => Check;
}

export type Check =
  /** What would come of it. */
  { readonly ok: true; readonly note: SafeText } | { readonly ok: false; readonly problem: SafeText };

export type Answer =
  | { readonly kind: 'answer'; readonly value: string }
  | { readonly kind: 'back' }
  /** Ctrl-C, or nobody is there any more. */
  | { readonly kind: 'cancelled' };

/** The terminal, as far as the wizard knows it: it shows text and asks. All of the wizard can be run without one. */
export interface Prompter {
  /** False: the operator has had enough (Ctrl-C). */
  show(text: SafeText): Promise<boolean>;
  ask(question: Question): Promise<Answer>;
}
