import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bundle } from '../../hosts/program.ts';
import { Terminal } from '../../terminal.ts';
import { TMUX, toolMissing } from '../../tools.ts';

/**
 * What an operator sees of the wizard: the bundled program in a terminal (tmux) on a saved host, screen by screen as in
 * test/fixtures/screens/. After a change that is wanted:
 * `npx vitest run --project unit test/unit/cli/wizard-screens.test.ts --update`.
 */

const root = join(import.meta.dirname, '../../..');
const screens = join(root, 'test/fixtures/screens');
const example = join(root, 'examples/snapshots/debian-12-systemd-252.json');

let dir = '';
let runs = 0;
let terminal: Terminal | null = null;

function start(
  options: readonly string[],
  size = { columns: 80, rows: 24 },
  env: Readonly<Record<string, string>> = {},
): Terminal {
  const cwd = join(dir, `cwd-${runs++}`);
  mkdirSync(cwd);
  copyFileSync(example, join(cwd, 'web1.json'));
  terminal = new Terminal([join(dir, 'dist/tasksctl.js'), 'wizard', ...options], cwd, size, env);
  return terminal;
}

describe.skipIf(toolMissing(TMUX) !== null)('the screens', { timeout: 120_000 }, () => {
  beforeAll(() => {
    const cache = join(root, 'node_modules/.cache');
    mkdirSync(cache, { recursive: true });
    dir = mkdtempSync(join(cache, 'tasksctl-screens-'));
    bundle(join(dir, 'dist'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  afterEach(() => {
    terminal?.close();
    terminal = null;
  });

  it.each([
    { columns: 80, rows: 24 },
    { columns: 120, rows: 40 },
  ])('$columns x $rows', async (size) => {
    const screen = start(['--snapshot', 'web1.json'], size);
    const shows = async (question: RegExp, name: string): Promise<void> => {
      await screen.sees(question);
      const file = join(screens, `${size.columns}x${size.rows}`, `${name}.txt`);
      await expect(await screen.settled()).toMatchFileSnapshot(file);
    };
    await shows(/What brings you here/, '01-reason');
    await screen.take(/What brings you here/, 'Fork fails');
    await shows(/Lines 1 to|What next/, '02-status');
    await screen.skip(/What next/);
    await shows(/What next/, '03-diagnosis');
    await screen.take(/What next/, 'Why one limit');
    await screen.type(/Which unit/, 'ci-runner');
    await screen.skip(/What next/);
    await shows(/What next/, '04-explained');
    await screen.take(/What next/, 'All limits');
    await screen.skip(/What next/);
    await screen.take(/What next/, 'What the limits should be');
    await shows(/go by/, '05-needs');
    await screen.take(/go by/, 'A workload template');
    await shows(/Which template/, '06-template');
    await screen.take(/Which template/, 'default');
    await screen.skip(/What next/);
    await shows(/What next/, '07-values');
    await screen.take(/What next/, 'Adjust user-.slice');
    await shows(/Limit for/, '08-adjust');
    screen.keys('C-u', '7');
    await shows(/too low/, '09-too-low');
    await screen.type(/Limit for/, '700');
    await shows(/What next/, '10-adjusted');
    await screen.take(/What next/, 'Go on with these');
    await shows(/Lines 1 to|What is to be done/, '11-plan');
    await screen.skip(/What is to be done/);
    await shows(/What is to be done/, '12-review');
    await screen.take(/What is to be done/, 'Save the plan');
    await shows(/Save under which name/, '13-name');
    await screen.type(/Save under which name/, 'w');
    expect(await screen.ended()).toBe('0');
    const file = join(screens, `${size.columns}x${size.rows}`, '14-end.txt');
    await expect(await screen.settled()).toMatchFileSnapshot(file);
  });

  it('without colour are the same, and have none', async () => {
    const screen = start(['--snapshot', 'web1.json'], undefined, { NO_COLOR: '1' });
    await screen.sees(/What brings you here/);
    for (const [question, choice, name] of [
      [/What brings you here/, 'Fork fails', '01-reason'],
      [/Lines 1 to/, 'All the rest', '02-status'],
      [/What next/, 'What the limits', '03-diagnosis'],
    ] as const) {
      await screen.sees(question);
      await expect(await screen.settled(true)).toMatchFileSnapshot(join(screens, '80x24', `${name}.txt`));
      await screen.take(question, choice);
    }
    await screen.sees(/go by/);
    screen.keys('C-c');
    expect(await screen.ended()).toBe('130');
  });

  it('--plain has no cursor movement and no block characters', async () => {
    const screen = start(['--plain', '--snapshot', 'web1.json']);
    for (const [question, answer] of [
      [/4\. Leave/, '2'],
      [/4\. Leave\. Nothing.*\n0\. Back/, '1'],
      [/2\. A workload template/, '2'],
      [/Which template/, ''],
      [/What next\?\n1\. Go on/, '2'],
      [/Limit for/, '700'],
      [/700\.\n[\s\S]*What next\?\n1\. Go on/, '1'],
      [/What is to be done/, '1'],
      [/Save under/, 'w'],
    ] as const) {
      await screen.shows(question);
      screen.keys(...(answer === '' ? [] : ['-l', answer]));
      screen.keys('Enter');
    }
    expect(await screen.ended()).toBe('0');
    await screen.settled();
    await expect(`${screen.text().trimEnd()}\n`).toMatchFileSnapshot(join(screens, 'plain.txt'));
  });

  it('a terminal that changes its size gets the next screen in that size', async () => {
    const screen = start(['--snapshot', 'web1.json'], { columns: 120, rows: 40 });
    await screen.sees(/What brings you here/);
    screen.resize(80, 24);
    await screen.take(/What brings you here/, 'Fork fails');
    await screen.sees(/Lines 1 to/);
    const lines = (await screen.settled()).split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.length).toBeLessThanOrEqual(25);
    screen.keys('C-c');
    expect(await screen.ended()).toBe('130');
  });
});
