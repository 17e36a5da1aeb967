import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

let terminals = 0;

/** A real terminal (tmux) with a shell command in it; after it, the screen says `[ended with CODE, terminal TIDY]`. */
export class Terminal {
  readonly #dir = mkdtempSync(join(tmpdir(), 'tasksctl-terminal-'));
  /** A server of its own: one that is just ending takes no new session. */
  readonly #socket = `tasksctl-terminal-${process.pid}-${terminals++}`;

  constructor(
    command: string,
    env: Readonly<Record<string, string>> = {},
    size: { readonly columns: number; readonly rows: number } = { columns: 80, rows: 24 },
  ) {
    const config = join(this.#dir, 'tmux.conf');
    writeFileSync(config, 'set -g history-limit 10000\nset -g default-terminal screen-256color\n');
    const script = `trap : INT
${command}
code=$?
tidy=untidy
stty -a | grep -q ' icanon' && stty -a | grep -q ' echo ' && tidy=tidy
echo "[ended with $code, terminal $tidy]"
exec cat`;
    const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    this.#tmux(
      ...['-f', config, 'new-session', '-d', '-x', String(size.columns), '-y', String(size.rows)],
      ...['env', '-u', 'LESS', '-u', 'PAGER', '-u', 'TASKSCTL_PAGER', '-u', 'NO_COLOR', '-u', 'SUDO_UID'],
      ...[...words, 'sh', '-c', script],
    );
  }

  #tmux(...argv: readonly string[]): string {
    return execFileSync('tmux', ['-u', '-L', this.#socket, ...argv], {
      encoding: 'utf8',
      env: { ...process.env, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', SHELL: '/bin/sh' },
    });
  }

  /** What is to be seen. */
  screen(): string {
    return this.#tmux('capture-pane', '-p').trimEnd();
  }

  /** All that was ever on the screen, as it is now. */
  text(): string {
    return this.#tmux('capture-pane', '-p', '-S', '-').trimEnd();
  }

  keys(...keys: readonly string[]): void {
    this.#tmux('send-keys', ...keys);
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Waits until the screen has this on it. */
  async shows(wanted: RegExp): Promise<void> {
    const patience = Date.now() + 60_000;
    while (!wanted.test(this.screen())) {
      if (Date.now() > patience) throw new Error(`waited in vain for ${wanted}:\n${this.text()}`);
      await sleep(50);
    }
  }

  /** The exit code, once the command has ended and left the terminal as it was. */
  async ended(): Promise<number> {
    await this.shows(/^\[ended with \d+, terminal tidy\]$/m);
    return Number(/^\[ended with (\d+)/m.exec(this.screen())?.[1]);
  }

  close(): void {
    this.#tmux('kill-server');
    rmSync(this.#dir, { recursive: true });
  }
}
