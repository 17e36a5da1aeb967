import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Console } from '../../../src/cli/console.ts';
import type { Io } from '../../../src/cli/terminal.ts';
import { escapeText, safe } from '../../../src/report/terminal-escape.ts';

/** Standard output and error on one terminal, as far as a line of progress needs it. */
class Screen {
  lines = [''];
  columns = 40;
  readonly #column = { at: 0 };

  write(text: string): void {
    for (const piece of text.match(/\x1b\[K|[^\x1b]/gsu) ?? []) {
      const last = this.lines.length - 1;
      const line = this.lines[last] ?? '';
      if (piece === '\n') {
        this.lines.push('');
        this.#column.at = 0;
      } else if (piece === '\r') this.#column.at = 0;
      else if (piece === '\x1b[K') this.lines[last] = line.slice(0, this.#column.at);
      else {
        if (this.#column.at >= this.columns) throw new Error(`a line wraps: ${line}`);
        this.lines[last] = line.slice(0, this.#column.at) + piece + line.slice(this.#column.at + 1);
        this.#column.at++;
      }
    }
  }

  output() {
    const screen = this;
    const stream = new Writable({
      decodeStrings: false,
      write(chunk, _encoding, done) {
        screen.write(String(chunk));
        done();
      },
    });
    return Object.defineProperty(Object.assign(stream, { isTTY: true as const, columns: 0 }), 'columns', {
      get: () => screen.columns,
    });
  }
}

describe('progress', () => {
  let screen: Screen;
  let io: Io;
  beforeEach(() => {
    vi.useFakeTimers();
    screen = new Screen();
    io = {
      stdin: process.stdin,
      stdout: screen.output(),
      stderr: screen.output(),
      env: { LANG: 'C.UTF-8' },
      signal: new AbortController().signal,
    };
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  /** Lets time pass; what is imported with the first line that is drawn takes none of it. */
  const pass = async (ms: number): Promise<void> => {
    vi.advanceTimersByTime(ms);
    await vi.dynamicImportSettled();
  };
  const open = (options = {}) => new Console(io, { color: 'never', ...options });

  it('makes way for whatever else is written, and comes back', async () => {
    const console = open();
    let ended = 0;
    const progress = console.progress(() => safe`Reading: ${ended} of 3 hosts`);
    await pass(900);
    expect(screen.lines).toEqual(['']);
    await pass(1100);
    expect(screen.lines).toEqual(['Reading: 0 of 3 hosts … 2 s']);
    ended++;
    await console.resultLine(safe`web1: 3 % used`);
    expect(screen.lines).toEqual(['web1: 3 % used', 'Reading: 1 of 3 hosts … 2 s']);
    await console.notice('warning', safe`web2: no permission`);
    await console.aside(safe`web3: no answer\n`);
    await console.failure({ kind: 'timeout', message: 'No answer.' });
    await pass(3000);
    const told = ['web1: 3 % used', 'warning: web2: no permission', 'web3: no answer', 'error: No answer.'];
    expect(screen.lines).toEqual([...told, 'Reading: 1 of 3 hosts … 5 s']);
    await console.result(safe`done\n`);
    progress.pause();
    await pass(3000);
    expect(screen.lines).toEqual([...told, 'done', '']);
  });

  it('fits into the line, also when the terminal gets narrower, and keeps the time', async () => {
    const progress = open().progress(escapeText(`Reading ${'界'.repeat(30)}.example.net`));
    await pass(12_000);
    expect(screen.lines).toEqual(['Reading 界界界界界界界界界界界… … 12 s']);
    // A terminal that cuts what it has no room for; others break it, which nobody can undo.
    screen.lines = [''];
    screen.columns = 20;
    await pass(1000);
    expect(screen.lines).toEqual(['Reading 界… … 13 s']);
    progress.pause();
    expect(screen.lines).toEqual(['']);
  });

  it('gives the pager the terminal', async () => {
    const shown: string[] = [];
    const page = async (text: string) => {
      await pass(5000);
      shown.push(text, ...screen.lines);
      return true;
    };
    io = { ...io, page };
    const console = open({ pager: true });
    console.progress(safe`Reading web1`);
    await pass(2000);
    expect(await console.result(safe`a table\n`, 2)).toEqual({ kind: 'exit', code: 2 });
    expect(shown).toEqual(['a table\n', '']);
  });

  it('is not there without a terminal, nor on a dumb one', async () => {
    const piped = open();
    Object.assign(io.stderr, { isTTY: false });
    piped.progress(safe`Reading web1`);
    Object.assign(io.stderr, { isTTY: true });
    io = { ...io, env: { TERM: 'dumb' } };
    open().progress(safe`Reading web1`);
    await pass(5000);
    expect(screen.lines).toEqual(['']);
  });
});
