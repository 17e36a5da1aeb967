import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { main } from '../../../src/cli/program.ts';
import { runCli } from './run-cli.ts';

/** The wizard through the command line, with a terminal that is no real one. */

const example = join(import.meta.dirname, '../../../examples/snapshots/debian-12-systemd-252.json');
const dir = mkdtempSync(join(tmpdir(), 'tasksctl-wizard-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));

class Screen extends Writable {
  readonly isTTY = true;
  /** As of process.stderr: what is piped into it does not end it. */
  readonly _isStdio = true;
  readonly columns = 80;
  readonly rows = 24;
  text = '';
  #changed: () => void = () => {};

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    this.#changed();
    done();
  }

  /** Waits until this is written after `from`, and gives where it ends; escape sequences do not count. */
  async until(wanted: string, from: number): Promise<number> {
    const patience = performance.now() + 20_000;
    for (;;) {
      const plain = stripVTControlCharacters(this.text);
      const at = plain.indexOf(wanted, from);
      if (at >= 0) return at + wanted.length;
      if (performance.now() > patience)
        throw new Error(`waited in vain for ${wanted}:\n${plain.slice(from)}`);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
        setTimeout(resolve, 1000).unref();
      });
    }
  }
}

/** Runs a command line and types each text once its question is there. */
async function type(
  argv: readonly string[],
  steps: readonly (readonly [question: string, keys: string])[],
  env: Readonly<Record<string, string>> = {},
) {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const [stdout, stderr] = [new Screen(), new Screen()];
  const signal = new AbortController().signal;
  const run = main(argv, { stdin, stdout, stderr, env: { LANG: 'C.UTF-8', ...env }, signal });
  let from = 0;
  for (const [question, keys] of steps) {
    from = await stderr.until(question, from);
    // One at a time, as they are typed.
    for (const key of keys.match(/\x1b\[[A-D]|./gs) ?? []) {
      stdin.write(key);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return { code: await run, stdout: stdout.text, stderr: stderr.text };
}

const DOWN = '\x1b[B';

describe('without a terminal', () => {
  it('says which commands to use, and exits as for a wrong command line', async () => {
    const { code, stdout, stderr } = await runCli(['wizard', '-t', 'web1']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('tasksctl plan --target web1 what to change');
  });
});

describe('--plain', () => {
  const name = join(dir, 'plain');
  it('asks by numbers, moves no cursor, and prints a command that makes the same plan', async () => {
    const run = await type(
      ['wizard', '--plain', '--snapshot', example],
      [
        ['Number, or Enter for 1: ', '7\n'],
        ['Give a number from 1 to 4.', '1\n'],
        ['What next?', '0\n'],
        ['What brings you here?', '2\n'],
        ['What next?', '\n'],
        ['What are the limits to go by?', '2\n'],
        ['Which template?', '\n'],
        ['What next?', '2\n'],
        ['or Enter for 576', '3\n'],
        ['too low', '1000\n'],
        ['What next?', '1\n'],
        ['What is to be done', '2\n'],
        ['Save under which name?', `${name}\n`],
      ],
    );
    expect(run.code).toBe(0);
    expect(run.stderr).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
    expect(run.stdout).toBe(
      `tasksctl plan --snapshot ${example} --policy ${name}.policy.yaml --out ${name}.plan.json\n`,
    );
    const plan = readFileSync(`${name}.plan.json`, 'utf8');
    expect(plan).toContain('"text": "1000"');
    const again = await runCli(run.stdout.trim().split(' ').slice(1));
    expect(again.code).toBe(0);
    expect(readFileSync(`${name}.plan.json`, 'utf8')).toBe(plan);
  });
});

describe('with arrow keys', () => {
  it('goes through, without a colour where none is wanted', async () => {
    const run = await type(
      ['wizard', '--snapshot', example],
      [
        ['? What brings you here?', '\r'],
        ['Next page', `${DOWN}\r`],
        ['What next?', '\r'],
        ['go by?', '\r'],
        ['Which template?', '\r'],
        ['What next?', `${DOWN}\r`],
        ['Limit for', '\x15700'],
        ['Headroom 444', '\r'],
        ['What next?', `${DOWN}${DOWN}${DOWN}${DOWN}${DOWN}${DOWN}\r`],
        ['* What next? Undo 1 adjustment', ''],
        ['? What next?', '\r'],
        ['Next page', `${DOWN}\r`],
        ['What is to be done', '\r'],
      ],
      { NO_COLOR: '1' },
    );
    expect(run.code).toBe(0);
    expect(run.stdout).toBe(`tasksctl plan --snapshot ${example} --policy default\n`);
    expect(run.stderr).not.toMatch(/\x1b\[[0-9;]*m/);
    // The cursor, which a question hides, is back.
    expect(run.stderr.lastIndexOf('\x1b[?25h')).toBeGreaterThan(run.stderr.lastIndexOf('\x1b[?25l'));
  });

  it.each([
    ['Ctrl-C', '\x03'],
    ['Ctrl-D', '\x04'],
  ])('ends with 130 on %s, the cursor shown and nothing written', async (_name, key) => {
    const before = readdirSync(dir);
    const run = await type(
      ['wizard', '--snapshot', example],
      [
        ['? What brings you here?', `${DOWN}\r`],
        ['What next?', key],
      ],
    );
    expect(run).toMatchObject({ code: 130, stdout: '' });
    expect(run.stderr).toMatch(/Interrupted\.\n$/);
    expect(run.stderr.lastIndexOf('\x1b[?25h')).toBeGreaterThan(run.stderr.lastIndexOf('\x1b[?25l'));
    expect(readdirSync(dir)).toEqual(before);
  });
});

describe('no command', () => {
  it('offers the wizard on a terminal, and help to whoever does not want it', async () => {
    const no = await type([], [['[y/N]', '\n']]);
    expect(no.code).toBe(1);
    expect(no.stderr).toContain('Commands:');
    const yes = await type(
      [],
      [
        ['[y/N]', 'y\n'],
        ['What brings you here?', '\x03'],
      ],
    );
    expect(yes.code).toBe(130);
  });
});
