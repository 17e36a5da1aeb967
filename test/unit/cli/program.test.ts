import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };
import { runCli } from './run-cli.ts';

/** As the program itself lists them. */
const help = (await runCli(['--help'], { terminal: 80 })).stdout;
const listed = /\nCommands:\n(.*?)\n\n/s.exec(help)?.[1] ?? '';
const COMMANDS = [...listed.matchAll(/^ {2}([a-z]+)/gm)]
  .flatMap(([, name]) => name ?? [])
  .filter((name) => name !== 'help');
const commandsPage = readFileSync(new URL('../../../docs/commands.md', import.meta.url), 'utf8');

function widest(text: string): number {
  return Math.max(...text.split('\n').map((line) => line.length));
}

describe('tasksctl', () => {
  it('prints its version', async () => {
    expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' });
  });

  it('prints help when asked, on standard output', async () => {
    const { code, stdout, stderr } = await runCli(['--help'], { terminal: 80 });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(widest(stdout)).toBeLessThanOrEqual(80);
    for (const command of ['wizard', 'status', 'plan', 'apply']) expect(COMMANDS).toContain(command);
  });

  it('without a command says what there is, as an error', async () => {
    const { code, stdout, stderr } = await runCli([]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('Commands:');
  });

  it.each(
    COMMANDS,
  )('%s --help has examples, fits 80 columns, and is in docs/commands.md', async (command) => {
    const { code, stdout } = await runCli([command, '--help'], { terminal: 80 });
    expect(code).toBe(0);
    expect(stdout).toContain(`Examples:\n  tasksctl ${command}`);
    expect(stdout).not.toContain('[]');
    expect(widest(stdout)).toBeLessThanOrEqual(80);
    for (const [, option] of stdout.matchAll(/^ {2}(?:-[a-zA-Z], )?(--[a-z-]+)/gm)) {
      expect(commandsPage).toContain(`\`${option}`);
    }
  });
});

describe('a wrong command line', () => {
  it.each([
    [['sttus'], "error: unknown command 'sttus'\n(Did you mean status?)\n"],
    [['status', '--jsno'], "error: unknown option '--jsno'\n(Did you mean --json?)\n"],
    [['status', '--over', '120%'], 'Give a percentage from 0% to 100%.'],
    [['status', '--over', 'much'], 'Give a percentage from 0% to 100%.'],
    [['status', '--timeout', '0'], 'Give seconds, more than 0 and at most 86400.'],
    [['status', '--color', 'blue'], 'Allowed choices are auto, always, never.'],
    [['status', '--transport', 'telnet'], 'Allowed choices are ssh2, openssh.'],
    [['status', '--snapshot', 'x', '--transport', 'openssh'], 'cannot be used with'],
    [['status', 'web1'], 'too many arguments'],
    [['status', '--snapshot', 'x', '--target', 'y'], 'cannot be used with'],
    [['status', '--explain', 'x', '--tree'], 'cannot be used with'],
    [
      ['plan', '--policy', '-', '--snapshot', '-'],
      'Only one of --policy and --snapshot can be standard input.',
    ],
    [['plan', '--policy', 'defualt', '--snapshot', '-'], 'Did you mean default?'],
    [['lint', '--tree'], "unknown option '--tree'"],
  ])('%j is told on standard error, with exit code 1', async (argv, message) => {
    const { code, stdout, stderr } = await runCli(argv);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^error: /);
  });

  it('is one line of JSON where JSON was asked for', async () => {
    const { code, stdout, stderr } = await runCli(['status', '--json', '--jsno']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^[^\n]*\n$/);
    expect(JSON.parse(stderr)).toMatchObject({ schema: 'tasksctl/error/1', kind: 'usage', exitCode: 1 });
  });

  it('cannot reach the terminal as an escape sequence', async () => {
    const { stderr } = await runCli(['\x1b[2Jstatus', '--json'], { terminal: 80 });
    expect(stderr).not.toContain('\x1b');
    expect((await runCli(['\x1b[2J'])).stderr).toContain('\\x1b[2J');
  });
});
