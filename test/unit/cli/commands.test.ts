import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planSchema } from '../../../src/plan/plan.ts';
import { lintSchema } from '../../../src/report/lint-json.ts';
import { statusSchema } from '../../../src/report/status-json.ts';
import { runCli } from './run-cli.ts';

/** The commands on saved hosts, in this process. What they print in full is in README.md and its test. */

const examples = join(import.meta.dirname, '../../../examples/snapshots');
const example = join(examples, 'debian-12-systemd-252.json');
const text = readFileSync(example, 'utf8');

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'tasksctl-cli-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

const policy = (rules: string) => `schema: tasksctl/policy/1\nname: test\n${rules}`;

describe('every saved host in examples/', () => {
  it.each(readdirSync(examples).filter((name) => name.endsWith('.json')))('%s', async (name) => {
    const source = ['--snapshot', join(examples, name), '--json'];
    const status = await runCli(['status', '--all', ...source]);
    expect(status).toMatchObject({ code: 0, stderr: '' });
    expect(statusSchema.parse(JSON.parse(status.stdout)).units.length).toBeGreaterThan(0);
    const plan = await runCli(['plan', ...source]);
    expect(plan).toMatchObject({ code: 0, stderr: '' });
    planSchema.parse(JSON.parse(plan.stdout));
    const lint = await runCli(['lint', ...source]);
    expect(lint.stderr).toBe('');
    const { diagnostics } = lintSchema.parse(JSON.parse(lint.stdout));
    expect(lint.code).toBe(diagnostics.some(({ severity }) => severity === 'error') ? 1 : 0);
    for (const argv of [['status'], ['status', '--tree', '--all'], ['plan', '--verbose'], ['lint']]) {
      const { stdout } = await runCli([...argv, '--snapshot', join(examples, name)]);
      expect(stdout).toMatch(/^[\n\x20-\x7e\u00a0-\uffff]+$/);
    }
  });
});

describe('status', () => {
  it('reads a snapshot from standard input', async () => {
    const { code, stdout } = await runCli(['status', '--snapshot', '-'], { stdin: text });
    expect(code).toBe(0);
    expect(stdout).toBe((await runCli(['status', '--snapshot', example])).stdout);
  });

  it('filters and orders the JSON as the text', async () => {
    const { stdout } = await runCli(['status', '--json', '--over', '90%', '--snapshot', example]);
    const { units } = statusSchema.parse(JSON.parse(stdout));
    expect(units.map(({ name }) => name)).toEqual([
      'user-1000.slice',
      expect.stringMatching(/^session-[0-9]+\.scope$/),
      'user@1000.service',
      'ci-runner.service',
    ]);
  });

  it('explains a unit as JSON with those above it', async () => {
    const { stdout } = await runCli(['status', '--json', '--explain', 'ci-runner', '--snapshot', example]);
    const { units } = statusSchema.parse(JSON.parse(stdout));
    expect(units.map(({ name }) => name)).toEqual(['ci-runner.service', 'system.slice', '-.slice']);
    expect(units[0]?.configured?.assignments.length).toBeGreaterThan(0);
  });

  it('says that a unit is not there, and which may have been meant', async () => {
    const { code, stdout, stderr } = await runCli([
      'status',
      '--explain',
      'ci-runer.service',
      '--snapshot',
      example,
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(
      'error: debian-12 has no unit ci-runer.service.\nhelp: Did you mean ci-runner.service?\n',
    );
  });

  it('says what is missing in the snapshot, but not among JSON', async () => {
    const problem = { part: 'units', reason: 'no-permission', detail: 'systemctl said no\x1b[2J' };
    const stdin = text.replace('"problems": []', `"problems": [${JSON.stringify(problem)}]`);
    const { stdout, stderr } = await runCli(['status', '--snapshot', '-'], { stdin });
    expect(stderr).toContain('warning: debian-12: units: no permission: systemctl said no\\x1b[2J\n');
    expect(stdout).not.toContain('systemctl said no');
    const json = await runCli(['status', '--json', '--snapshot', '-'], { stdin });
    expect(json.stderr).toBe('');
    expect(JSON.parse(json.stdout)).toMatchObject({ problems: [problem] });
  });

  it.each([
    ['nothing', '', 'not JSON'],
    ['no JSON', 'hello', 'not JSON'],
    ['another document', '{"schema":"tasksctl/plan/1"}', 'not a snapshot'],
    ['half a document', text.slice(0, text.length / 2), 'not JSON'],
    ['a wrong type', text.replace('"pid1": "systemd"', '"pid1": 1'), 'host.pid1'],
  ])('refuses %s for a snapshot', async (_what, stdin, message) => {
    const { code, stdout, stderr } = await runCli(['status', '--snapshot', '-'], { stdin });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(message);
  });

  it('colours when told to, and only then', async () => {
    const argv = ['status', '--snapshot', example];
    expect((await runCli(argv)).stdout).not.toContain('\x1b');
    expect((await runCli([...argv, '--color', 'always'])).stdout).toContain('\x1b[31m');
    expect((await runCli(argv, { terminal: 80 })).stdout).toContain('\x1b[31m');
    expect((await runCli([...argv, '--no-color'], { terminal: 80 })).stdout).not.toContain('\x1b');
    expect((await runCli(argv, { terminal: 80, env: { NO_COLOR: '1' } })).stdout).not.toContain('\x1b');
  });

  it('is interrupted while it waits for its input', async () => {
    const interrupt = new AbortController();
    const run = runCli(['status', '--snapshot', '-'], { signal: interrupt.signal });
    interrupt.abort();
    expect(await run).toEqual({ code: 130, stdout: '', stderr: 'error: Interrupted.\n' });
  });
});

describe('on a terminal', () => {
  const names = {
    'ci-runner': 'ビルド-運行者-非常に長い名前-そしてもっと長い名前',
    api: 'emoji-🚀👩\u200d💻-e\u0301cole',
    'batch-import': 'rtl-\u202egnp\u202c-שלום',
    'batch-report': 'esc\x1b[31m\x1b]0;pwn\x07',
  };
  const stdin = Object.entries(names).reduce(
    (all, [plain, wide]) =>
      all.replaceAll(`${plain}.service`, `${JSON.stringify(wide).slice(1, -1)}.service`),
    text,
  );

  it.each([
    80, 120,
  ])('fits %i columns whatever units are called, and its tables are aligned', async (terminal) => {
    const env = { LANG: 'C.UTF-8', NO_COLOR: '1' };
    const show = async (...argv: string[]) =>
      (await runCli([...argv, '--snapshot', '-'], { stdin, terminal, env })).stdout.split('\n');
    const all = [
      await show('status', '--all'),
      await show('status', '--tree', '--all'),
      await show('status', '--explain', `${names['ci-runner']}.service`),
      await show('lint'),
      await show('diagnose'),
      await show('plan', '--no-diff', '--verbose'),
    ];
    // What is to be copied, lines of the kernel's log, and words that are longer than a line are not broken.
    const copied = /^ {3}Do |^ {2}\[ *[0-9.]+\] cgroup|^ *\S+$/;
    for (const line of all.flat()) if (!copied.test(line)) expect(line).toSatisfy(fits(terminal));
    for (const lines of all.slice(0, 2)) {
      const titles = lines.findIndex((line) => line.startsWith('UNIT'));
      const column = lines[titles]?.indexOf('USED');
      const bars = lines.slice(titles + 1).flatMap((line) => /^(.*?)[█▉▊▋▌▍▎▏░]/.exec(line)?.[1] ?? []);
      expect(bars.length).toBeGreaterThan(20);
      expect(new Set(bars.map((before) => stringWidth(before)))).toEqual(new Set([column]));
    }
    expect(all.flat().join('')).not.toMatch(/[\x1b\u202e\u200d]/);
  });
});

const fits = (columns: number) => (line: string) => stringWidth(line) <= columns;

describe('plan', () => {
  it.each([
    ['changes', 'units:\n  api.service: { value: 5000 }\n', 0, 2],
    ['nothing to change', 'units:\n  api.service: { floor: 100 }\n', 0, 0],
    ['something refused', 'units:\n  api.service: { value: 5 }\n', 0, 4],
    [
      'changes and something refused',
      'units:\n  api.service: { value: 5 }\n  ci-runner.service: { value: 512 }\n',
      0,
      4,
    ],
  ])('exits for %s as it should', async (_what, rules, plain, detailed) => {
    const argv = ['plan', '--policy', '-', '--snapshot', example];
    expect((await runCli(argv, { stdin: policy(rules) })).code).toBe(plain);
    expect((await runCli([...argv, '--detailed-exitcode'], { stdin: policy(rules) })).code).toBe(detailed);
  });

  it('saves what it prints, and the same each time', async () => {
    const out = join(dir, 'plan.json');
    const argv = ['plan', '--json', '--out', out, '--snapshot', example];
    const { code, stdout } = await runCli(argv);
    expect(code).toBe(0);
    expect(readFileSync(out, 'utf8')).toBe(stdout);
    expect((await runCli(argv)).stdout).toBe(stdout);
  });

  it('leaves out the differences of files when told to', async () => {
    const argv = ['plan', '--snapshot', example];
    expect((await runCli(argv)).stdout).toContain('\n+++ b/etc/systemd/');
    expect((await runCli([...argv, '--no-diff'])).stdout).not.toContain('+++');
  });

  it('fails if it cannot be saved', async () => {
    const { code, stdout, stderr } = await runCli([
      'plan',
      '--out',
      join(dir, 'no/plan.json'),
      '--snapshot',
      example,
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('error: Cannot write');
  });

  it('names every mistake in a policy with its line and column, and asks no host', async () => {
    const stdin = policy('unit:\n  a.service: { value: 1 }\nheadroom: lots\n');
    const argv = ['plan', '--policy', '-', '--target', 'nowhere.invalid'];
    const { code, stdout, stderr } = await runCli(argv, { stdin });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^standard input:3:1: error: .* \[policy-unknown-key\]\n/);
    expect(stderr).toMatch(/\nstandard input:5:11: error: .* \[policy-value\]\n/);
    expect(stderr).toMatch(/\nerror: standard input is no valid policy\.\n$/);
    const json = await runCli([...argv, '--json'], { stdin });
    expect(JSON.parse(json.stderr)).toMatchObject({
      kind: 'input-invalid',
      problems: [{ line: 3 }, { line: 5 }],
    });
  });

  it('names the line of a fleet file with what cannot be read, and the mistake in that', async () => {
    const fleet = join(dir, 'fleet.yaml');
    const bad = join(dir, 'bad.yaml');
    writeFileSync(bad, policy('headroom: lots\n'));
    const told = async (more: string, json = false) => {
      writeFileSync(fleet, `schema: tasksctl/fleet/1\n${more}`);
      return (await runCli(['plan', '-i', fleet, ...(json ? ['--json'] : [])])).stderr;
    };
    const hosts = 'inventories:\n- "web1,db1"\npolicies:\n- {hosts: web1, policy: default}\n';
    expect(await told(`${hosts}- hosts: all\n  policy: bad.yaml\n`)).toBe(
      `${bad}:3:11: error: headroom must be a percentage such as 50% [policy-value]\nerror: ${fleet}:7: ${bad} is no valid policy.\n`,
    );
    expect(JSON.parse(await told(`${hosts}- {hosts: all, policy: bad.yaml}\n`, true))).toMatchObject({
      kind: 'input-invalid',
      file: fleet,
      line: 6,
      problems: [{ file: bad, line: 3 }],
    });
    expect(await told(`${hosts}- {hosts: all, policy: none.yaml}\n`)).toContain(
      `error: ${fleet}:6: Cannot read ${join(dir, 'none.yaml')}: `,
    );
    expect(await told(`${hosts}- {hosts: all, policy: defualt}\n`)).toMatch(
      new RegExp(
        `^error: ${fleet}:6: There is no policy template defualt; .*\nhelp: Did you mean default\\?\n$`,
      ),
    );
    expect(await told('inventories:\n- "web1,db1"\n- none.ini\n')).toContain(
      `error: ${fleet}:4: Cannot read ${join(dir, 'none.ini')}: `,
    );
  });

  it('has a template of every name it offers', async () => {
    const { stderr } = await runCli(['plan', '--policy', 'nothing-like-it', '--snapshot', example]);
    const names = /there are ([a-z, -]+)\./.exec(stderr)?.[1]?.split(', ') ?? [];
    expect(names).toContain('default');
    for (const name of names) {
      expect(await runCli(['plan', '--policy', name, '--snapshot', example])).toMatchObject({
        code: 0,
        stderr: '',
      });
    }
  });
});

describe('lint', () => {
  it('exits 1 for errors, 0 for warnings', async () => {
    expect(await runCli(['lint', '--snapshot', example])).toMatchObject({ code: 0, stderr: '' });
    const stdin = text.replaceAll('TasksMax=4K', 'TasksMax=0%');
    const { code, stdout } = await runCli(['lint', '--snapshot', '-'], { stdin });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^\S+:2: error: .* \[zero-percent\]\n/);
    expect(stdout).toMatch(/\n1 error, 2 warnings\.\n$/);
  });
});

describe('snapshot', () => {
  it('writes nothing where the host cannot be read', async () => {
    const out = join(dir, 'snapshot.json');
    const { code, stdout, stderr } = await runCli(['snapshot', '-t', 'no target', '-o', out, '--json']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({ kind: 'config-invalid', exitCode: 1 });
    expect(readdirSync(dir)).not.toContain('snapshot.json');
  });
});
