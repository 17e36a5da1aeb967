import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };
import { Terminal } from '../../terminal.ts';
import { LESS, TMUX, toolMissing } from '../../tools.ts';

/** What only the real, bundled program in a process of its own can show. */

const root = join(import.meta.dirname, '../../..');
const example = join(root, 'examples/snapshots/debian-12-systemd-252.json');
let dir = '';
let program = '';

beforeAll(() => {
  // Inside the checkout, since the program looks for templates above itself.
  const cache = join(root, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  dir = mkdtempSync(join(cache, 'tasksctl-bundle-'));
  execFileSync(process.execPath, [join(root, 'build.mjs')], {
    env: { ...process.env, TASKSCTL_OUTDIR: dir },
  });
  program = join(dir, 'tasksctl.js');
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('the bundle', () => {
  it('runs by its own name, from anywhere', () => {
    const { stdout, status } = spawnSync(program, ['--version'], { cwd: '/', encoding: 'utf8' });
    expect({ stdout, status }).toEqual({ stdout: `${packageJson.version}\n`, status: 0 });
  });

  it('reads a saved host', () => {
    const { stdout, stderr, status } = spawnSync(program, ['status', '--snapshot', example], {
      encoding: 'utf8',
    });
    expect(stderr).toBe("note: 2 warnings about this host's settings: tasksctl lint\n");
    expect(status).toBe(0);
    expect(stdout).toContain('user-1000.slice');
  });

  it('has SSH that works as far as a port where nobody listens', () => {
    const { stderr, status } = spawnSync(program, ['status', '-t', '127.0.0.1:1', '--json'], {
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ kind: 'refused' });
  });

  it('holds no path of the machine it was built on', () => {
    expect(readFileSync(program, 'utf8')).not.toContain(root);
  });

  it('says nothing when its reader goes away, and keeps its exit code', () => {
    const command = '"$1" lint --snapshot "$2" | true; echo "${PIPESTATUS[0]}"';
    const { stdout, stderr } = spawnSync('bash', ['-c', command, 'bash', program, example], {
      encoding: 'utf8',
    });
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' });
  });

  it('fails when the disk is full', () => {
    const full = openSync('/dev/full', 'w');
    const { stderr, status } = spawnSync(program, ['lint', '--snapshot', example], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(stderr).toBe('error: Cannot write to standard output: ENOSPC: no space left on device, write\n');
    expect(status).toBe(1);
  });

  it('ends with 130 when interrupted while it waits', async () => {
    const child = spawn(program, ['status', '--snapshot', '-'], { stdio: ['pipe', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
    // More than a pipe holds: once it is written, the program has come to read its input, and waits for the rest.
    await new Promise((resolve) => child.stdin.write(' '.repeat(2 ** 20), resolve));
    child.kill('SIGINT');
    expect(await ended).toEqual({ code: 130, signal: null });
    expect(stderr).toBe('error: Interrupted.\n');
  });
});

const missing = toolMissing(TMUX) ?? toolMissing(LESS);

describe.skipIf(missing !== null)('the bundle in a terminal', () => {
  let terminal: Terminal;
  const tasksctl = (argv: string): string => `'${process.execPath}' '${program}' ${argv}`;
  const start = (command: string, env: Readonly<Record<string, string>> = {}): Terminal => {
    const unset = ['LESS', 'LESSSECURE', 'LV', 'PAGER', 'TASKSCTL_PAGER', 'NO_COLOR', 'SUDO_UID'];
    terminal = new Terminal(
      [
        ...['env', ...unset.flatMap((name) => ['-u', name])],
        ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
        ...['sh', '-c', `trap : INT\n${command}\ncode=$?\necho '[ended]'\nexit $code`],
      ],
      mkdtempSync(join(dir, 'terminal-')),
      { columns: 80, rows: 24 },
    );
    return terminal;
  };
  /** The exit code, once all of the output is on the screen and the terminal is as it was. */
  const ended = async (): Promise<string> => {
    await terminal.shows(/^\[ended\]$/m);
    return terminal.ended();
  };
  afterEach(() => terminal.close());
  const source = `--snapshot '${example}'`;

  it('shows long output by less, which Ctrl-C does not end; q does, and the exit code is that of the command', async () => {
    const screen = start(tasksctl(`plan --detailed-exitcode ${source}`));
    await screen.shows(/^:$/m);
    expect(screen.screen()).toMatch(/^Plan for root@debian-12/);
    screen.keys('C-c');
    screen.keys('C-c');
    screen.keys('G');
    await screen.shows(/^\(END\)$/m);
    expect(screen.screen()).toContain('Plan: 2 changes');
    screen.keys('g');
    await screen.shows(/^:$/m);
    screen.keys('q');
    expect(await ended()).toBe('2');
    expect(screen.text()).not.toMatch(/rror|nterrupted/);
  });

  it('shows what fits at once, in colour, below what is on the screen', async () => {
    const screen = start(tasksctl(`status --over 95% ${source}`));
    expect(await ended()).toBe('0');
    expect(screen.screen()).toMatch(/^note: 2 warnings/);
    expect(screen.screen()).toMatch(/^user-1000\.slice +█/m);
    expect(screen.screen()).not.toContain('[3');
  });

  it('pages by TASKSCTL_PAGER before PAGER, and not where it should not', async () => {
    const lint = tasksctl(`lint ${source}`);
    const commands = [
      `TASKSCTL_PAGER="sed 's/^/own: /'" ${lint}`,
      lint,
      `TASKSCTL_PAGER=cat ${lint}`,
      `PAGER= ${lint}`,
      `TERM=dumb ${lint}`,
      `${lint} --no-pager`,
      `${lint} --json | grep -c value-ignored`,
      `${lint} --json`,
      `${lint} | tail -n 1`,
    ];
    const screen = start(commands.join('\n'), { PAGER: "sed 's/^/paged: /'" });
    expect(await ended()).toBe('0');
    const sums = screen.text().match(/^.*2 warnings\.$|^.*"diagnostics": \[$/gm);
    const plain = '2 warnings.';
    expect(sums).toEqual([
      ...['own: 2 warnings.', 'paged: 2 warnings.'],
      ...[plain, plain, plain, plain, '  "diagnostics": [', plain],
    ]);
  });

  it('keeps its exit code whatever becomes of the pager, and shows the text where there is none', async () => {
    const pagers = ['no-such-pager', '/dev/null', 'kill -9 $$', 'exit 3', 'true'];
    const plan = tasksctl(`plan --no-diff --detailed-exitcode ${source}`);
    const runs = pagers.map((pager) => `PAGER='${pager}' ${plan}; echo "code $?"`);
    const screen = start(`${runs.join('\n')}\nPATH=/nowhere ${plan}; echo "code $?"`);
    await ended();
    const told = screen.text().match(/^Plan: 2 changes|^code .*|EPIPE|fault of tasksctl/gm);
    const whole = 'Plan: 2 changes';
    expect(told).toEqual([
      ...[whole, 'code 2', whole, 'code 2'],
      ...['code 2', 'code 2', 'code 2'],
      ...[whole, 'code 2'],
    ]);
  });

  it('gives less its settings, and under sudo no way to a shell', async () => {
    const PAGER = 'env | grep -E "^(LESS|LV)" | sort';
    const lint = tasksctl(`lint ${source}`);
    const screen = start(`SUDO_UID=1000 ${lint}\nLESS=S ${lint}`, { PAGER });
    await ended();
    expect(screen.screen()).toMatch(/^LESS=FRX\nLESSSECURE=1\nLV=-c\nLESS=S\nLV=-c$/m);
  });

  it('pages no escape sequence of a host', async () => {
    const text = readFileSync(example, 'utf8').replaceAll('TasksMax=4K', 'TasksMax=\\u001b[2J\\u202e4K');
    const hostile = join(dir, 'hostile.json');
    writeFileSync(hostile, text);
    const screen = start(tasksctl(`lint --snapshot '${hostile}'`));
    await ended();
    expect(screen.screen()).toContain('TasksMax=\\x1b[2J\\u202e4K');
  });
});
