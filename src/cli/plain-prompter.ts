import { escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import type { Answer, ChoiceQuestion, Prompter, Question, TextQuestion } from '../wizard/question.ts';
import { askLine } from './ask-line.ts';
import { type Io, write } from './terminal.ts';

/** Numbered questions on plain lines, for screen readers and terminals that cannot move the cursor. */
export class PlainPrompter implements Prompter {
  readonly #io: Io;

  constructor(io: Io) {
    this.#io = io;
  }

  async show(text: SafeText): Promise<boolean> {
    await write(this.#io.stderr, safe`${text}\n`);
    return !this.#io.signal.aborted;
  }

  async ask(question: Question): Promise<Answer> {
    const answer = question.kind === 'choice' ? await this.#choose(question) : await this.#type(question);
    await this.#say(safe``);
    return answer;
  }

  async #choose({ message, choices, initial, back }: ChoiceQuestion): Promise<Answer> {
    const preset =
      Math.max(
        0,
        choices.findIndex(({ value }) => value === initial),
      ) + 1;
    await this.#say(
      message,
      ...choices.map(({ name, about }, i) =>
        about === undefined ? safe`${i + 1}. ${name}` : safe`${i + 1}. ${name}. ${about}`,
      ),
      ...(back ? [safe`0. Back`] : []),
    );
    for (;;) {
      const line = await askLine(this.#io, safe`Number, or Enter for ${preset}: `);
      if (line === null) return { kind: 'cancelled' };
      const number = line.trim() === '' ? String(preset) : line.trim();
      if (back && number === '0') return { kind: 'back' };
      const chosen = /^[0-9]+$/.test(number) ? choices[Number(number) - 1] : undefined;
      if (chosen !== undefined) return { kind: 'answer', value: chosen.value };
      await this.#say(safe`Give a number from ${back ? 0 : 1} to ${choices.length}.`);
    }
  }

  async #type({ message, initial, check }: TextQuestion): Promise<Answer> {
    const preset = initial === '' ? safe`` : safe`, or Enter for ${escapeText(initial)}`;
    for (;;) {
      const line = await askLine(this.#io, safe`${message} (back to go back${preset}) `);
      if (line === null) return { kind: 'cancelled' };
      const text = line.trim() === '' ? initial : line.trim();
      if (text === 'back') return { kind: 'back' };
      const checked = check(text);
      await this.#say(checked.ok ? checked.note : checked.problem);
      if (checked.ok) return { kind: 'answer', value: text };
    }
  }

  async #say(...lines: readonly SafeText[]): Promise<void> {
    await write(this.#io.stderr, join([...lines, safe``], safe`\n`));
  }
}
