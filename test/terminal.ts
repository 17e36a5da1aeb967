import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

let terminals = 0;

/** A terminal (tmux) with a program in it. */
export class Terminal {
  /** A server of its own: one that is just ending takes no new session. */
  readonly #socket = `tasksctl-test-${process.pid}-${terminals++}`;
  #open = true;
  readonly #status: string;

  constructor(
    command: readonly string[],
    cwd: string,
    size: { readonly columns: number; readonly rows: number },
    env: Readonly<Record<string, string>> = {},
  ) {
    const file = join(cwd, 'tmux.conf');
    this.#status = join(cwd, 'status');
    writeFileSync(
      file,
      'set -g remain-on-exit on\nset -g history-limit 10000\nset -g default-terminal screen-256color\n',
    );
    writeFileSync(this.#status, '');
    // What the shell says after the program is how the program left the terminal, and how it ended.
    const script =
      'trap : INT; "$@"; code=$?; { stty -a | grep -q " icanon" && stty -a | grep -q " echo " && echo "$code" || echo raw; } >"$0"; exec cat';
    this.#tmux(
      ...['-f', file, 'new-session', '-d', '-x', String(size.columns), '-y', String(size.rows), '-c', cwd],
      ...['env', ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
      ...['sh', '-c', script, this.#status, ...command],
    );
  }

  #tmux(...argv: readonly string[]): string {
    return execFileSync('tmux', ['-u', '-L', this.#socket, ...argv], {
      encoding: 'utf8',
      env: { ...process.env, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', SHELL: '/bin/sh' },
    });
  }

  /** All that was ever on the screen, as it is now. */
  text(): string {
    return this.#tmux('capture-pane', '-p', '-J', '-S', '-');
  }

  /** What is on the screen, without the blanks at the ends of lines. */
  screen(): string {
    return this.#tmux('capture-pane', '-p').replaceAll(/ +$/gm, '').trimEnd();
  }

  /** The same once it no longer changes; with `escapes` also what is coloured how. */
  async settled(escapes = false): Promise<string> {
    const look = () =>
      escapes ? this.#tmux('capture-pane', '-e', '-p').replaceAll(/ +$/gm, '').trimEnd() : this.screen();
    let [before, same] = ['', 0];
    while (same < 3) {
      await sleep(100);
      const now = look();
      same = now === before ? same + 1 : 0;
      before = now;
    }
    return `${before}\n`;
  }

  /** The lines of the screen from the open question on; empty where there is none. */
  question(): string {
    const lines = this.screen().split('\n');
    const open = lines.findLastIndex((line) => line.startsWith('? '));
    return open < 0 ? '' : lines.slice(open).join('\n');
  }

  /** Waits until the question that is open has this in it. */
  async sees(wanted: RegExp): Promise<void> {
    await this.#until(wanted, () => this.question());
  }

  async #until(wanted: RegExp, look: () => string): Promise<void> {
    const patience = Date.now() + 60_000;
    while (!wanted.test(look())) {
      if (Date.now() > patience) throw new Error(`waited in vain for ${wanted}:\n${this.text()}`);
      await sleep(100);
    }
  }

  async shows(wanted: RegExp): Promise<void> {
    await this.#until(wanted, () => this.text());
  }

  keys(...keys: readonly string[]): void {
    this.#tmux('send-keys', ...keys);
  }

  /** Moves to a choice by its name and takes it. */
  async take(question: RegExp, choice: string): Promise<void> {
    await this.sees(question);
    for (let step = 0; step < 40; step++) {
      if (this.question().includes(`❯ ${choice}`)) return this.keys('Enter');
      const before = this.question();
      this.keys('Down');
      await sleep(150);
      // The end of the list: from the top again.
      if (this.question() === before) for (let up = 0; up < 40; up++) this.keys('Up');
    }
    throw new Error(`there is no ${choice}:\n${this.text()}`);
  }

  /** Types a text over what is there, and takes it once it is judged to be right. */
  async type(question: RegExp, text: string): Promise<void> {
    await this.sees(question);
    this.keys('C-u');
    await this.sees(/❯ Back/);
    this.keys('-l', text);
    await this.sees(new RegExp(`❯ ${text.replaceAll(/[.*+?/]/g, '\\$&')}`));
    this.keys('Enter');
  }

  /** Pages of a long text, if it is one. */
  async skip(question: RegExp): Promise<void> {
    await this.sees(new RegExp(`Lines 1 to|${question.source}`));
    if (this.question().includes('Lines 1 to')) await this.take(/Lines 1 to/, 'All the rest');
    await this.sees(question);
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Its exit code, once the program has ended and left the terminal as it was. */
  async ended(): Promise<string> {
    await this.#until(/\n/, () => readFileSync(this.#status, 'utf8'));
    // The cursor is there.
    expect(this.#tmux('display-message', '-p', '#{cursor_flag}').trim()).toBe('1');
    return readFileSync(this.#status, 'utf8').trim();
  }

  close(): void {
    if (this.#open) this.#tmux('kill-server');
    this.#open = false;
  }
}
