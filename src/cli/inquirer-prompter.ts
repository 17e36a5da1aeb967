import inquirer from 'inquirer';
import { keepStart, wrap } from '../report/layout.ts';
import type { Style } from '../report/style.ts';
import { escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import type { Answer, ChoiceQuestion, Prompter, Question, TextQuestion } from '../wizard/question.ts';
import { type Io, write } from './terminal.ts';

/** Rows that a question takes beside its choices: message, remarks, keys, and a line to spare. */
const AROUND_CHOICES = 7;

const BACK: Answer = { kind: 'back' };

/** Asks with arrow keys, on a terminal that can move the cursor; long text is shown a page at a time. */
export class InquirerPrompter implements Prompter {
  readonly #io: Io;
  readonly #style: () => Style;
  readonly #rows: () => number;

  constructor(io: Io, style: () => Style, rows: () => number) {
    this.#io = io;
    this.#style = style;
    this.#rows = rows;
  }

  async show(text: SafeText): Promise<boolean> {
    const lines = text.replace(/\n$/, '').split('\n') as SafeText[];
    let at = 0;
    // The question after it takes rows as well.
    while (lines.length - at > this.#rows() - AROUND_CHOICES) {
      const page = lines.slice(at, at + Math.max(5, this.#rows() - 6));
      await this.#write(page);
      at += page.length;
      if (at >= lines.length) break;
      const answer = await this.#prompt(
        {
          type: 'select',
          message: `Lines ${at - page.length + 1} to ${at} of ${lines.length}`,
          choices: [
            { name: 'Next page', value: { kind: 'answer', value: 'next' } },
            { name: 'All the rest', value: { kind: 'answer', value: 'rest' } },
          ],
        },
        true,
      );
      if (answer.kind === 'cancelled') return false;
      if (answer.kind === 'answer' && answer.value === 'rest') break;
    }
    await this.#write([...lines.slice(at), safe``]);
    return true;
  }

  ask(question: Question): Promise<Answer> {
    return question.kind === 'choice' ? this.#choose(question) : this.#type(question);
  }

  #choose({ message, choices, initial, back }: ChoiceQuestion): Promise<Answer> {
    const offered = choices.map(({ value, name, about }) => ({
      name: this.#fit(name),
      value: { kind: 'answer', value } as Answer,
      description: about === undefined ? '' : this.#wrapped(about),
    }));
    const preset = offered.find(({ value }) => value.kind === 'answer' && value.value === initial)?.value;
    return this.#prompt({
      type: 'select',
      message,
      choices: back ? [...offered, { name: 'Back', value: BACK, description: '' }] : offered,
      ...(preset === undefined ? {} : { default: preset }),
    });
  }

  #type({ message, initial, check }: TextQuestion): Promise<Answer> {
    return this.#prompt({
      type: 'search',
      message,
      initialValue: initial,
      source: async (typed: string | undefined) => {
        // What is thrown at once would be shown with the next key only.
        await null;
        const text = (typed ?? '').trim();
        const checked = check(text);
        const back = { name: 'Back', value: BACK };
        if (checked.ok) {
          const take = { name: escapeText(text), value: { kind: 'answer', value: text } };
          return [take, ...this.#remarks(checked.note), back];
        }
        // With nothing typed it is no mistake yet, and the way back has to be there.
        if (text === '') return [...this.#remarks(checked.problem), back];
        // An error keeps the prompt from taking Enter.
        throw new Error(
          `${this.#wrapped(checked.problem)}\nCtrl-U empties the line, and then there is Back.`,
        );
      },
    });
  }

  async #prompt(question: Readonly<Record<string, unknown>>, clear = false): Promise<Answer> {
    const { stdin, stderr, signal } = this.#io;
    if (signal.aborted) return { kind: 'cancelled' };
    const gone = new AbortController();
    const end = (): void => gone.abort();
    // Ctrl-D closes the line and lets go of the input, and inquirer would wait for ever.
    stdin.once('pause', end);
    // Ctrl-C that was pressed while nothing was asked comes as a signal.
    signal.addEventListener('abort', end);
    const ask = inquirer.createPromptModule({
      signal: gone.signal,
      input: stdin as NodeJS.ReadableStream,
      output: stderr,
      clearPromptOnDone: clear,
    });
    const pageSize = Math.max(3, this.#rows() - AROUND_CHOICES);
    try {
      const asked = { pageSize, loop: false, theme: theme(this.#style()), ...question, name: 'answer' };
      const { answer } = await (ask as unknown as (question: object) => Promise<{ answer: Answer }>)(asked);
      return answer;
    } catch (error) {
      // Ctrl-C, the end of the input, or a signal.
      if (error instanceof Error && /^(?:Exit|Abort|Cancel)PromptError$/.test(error.name)) {
        return { kind: 'cancelled' };
      }
      throw error;
    } finally {
      stdin.removeListener('pause', end);
      signal.removeEventListener('abort', end);
    }
  }

  async #write(lines: readonly SafeText[]): Promise<void> {
    await write(this.#io.stderr, join([...lines, safe``], safe`\n`));
  }

  /** One line beside the cursor: a line that the terminal breaks is not wiped out as a whole. */
  #fit(text: SafeText): SafeText {
    const style = this.#style();
    return keepStart(text, (style.width ?? 80) - 4, style);
  }

  #wrapped(text: SafeText): string {
    const style = this.#style();
    return (text.split('\n') as SafeText[]).flatMap((line) => wrap(line, 4, style)).join('\n');
  }

  /** Lines below a choice that are none themselves. */
  #remarks(text: SafeText) {
    return this.#wrapped(text)
      .split('\n')
      .map((line) => new inquirer.Separator(` ${line}`));
  }
}

/** inquirer's own colours and characters heed neither NO_COLOR nor the locale. */
function theme(style: Style) {
  const same = (text: string): string => text;
  // What inquirer hands over is what it was given, safe text in lines, or what was typed.
  const { cyan, dim, bold, red } = style as unknown as Readonly<
    Record<'cyan' | 'dim' | 'bold' | 'red', typeof same>
  >;
  const [pointer, arrows] = style.unicode ? ['❯', '↑↓'] : ['>', 'up/down'];
  return {
    prefix: { idle: cyan('?'), done: cyan('*') },
    spinner: { interval: 1000, frames: [cyan('?')] },
    icon: { cursor: pointer },
    style: {
      answer: cyan,
      message: bold,
      error: red,
      highlight: cyan,
      description: same,
      disabled: dim,
      searchTerm: (text: string): string => escapeText(text),
      keysHelpTip: () => dim(`${arrows} move, Enter takes, Ctrl-C leaves`),
    },
  };
}
