import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './run-cli.ts';

/** `tasksctl report` on files; reading hosts is as for the other commands. */

const examples = join(import.meta.dirname, '../../../examples/snapshots');
const debian12 = join(examples, 'debian-12-systemd-252.json');
const debian13 = join(examples, 'debian-13-systemd-257.json');

let dir = '';
let plan = '';
let profile = '';
let runs = '';
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tasksctl-report-'));
  plan = join(dir, 'plan.json');
  expect((await runCli(['plan', '--snapshot', debian12, '-o', plan])).code).toBe(0);
  profile = join(dir, 'profile.json');
  const unit = {
    unit: 'user-.slice',
    histogram: [[200, 5000]],
    peak: 240,
    peakByKernel: true,
    rejections: 1,
  };
  const host = {
    hostname: 'debian-12',
    machineId: null,
    boots: [],
    from: '2026-01-01T00:00:00.000Z',
    to: '2026-01-02T00:00:00.000Z',
    measuredMs: 5000,
    samples: 5,
    intervalMs: 1000,
    kernel: { pidMax: null, threadsMax: null, peak: null },
    units: [{ ...unit, reached: 256, burst: 1, instances: 1, members: [['user-1000.slice', 240]] }],
  };
  writeFileSync(profile, JSON.stringify({ schema: 'tasksctl/profile/1', hosts: [host] }));
  runs = join(dir, 'verify.json');
  const verify = {
    schema: 'tasksctl/verify/1',
    target: 'admin@web1',
    run: 'r1',
    holds: true,
    rebooted: false,
    changes: [],
  };
  writeFileSync(runs, JSON.stringify(verify));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

describe('report', () => {
  it('takes files for what they are and writes each kind of report whole', async () => {
    const out = (name: string) => join(dir, name);
    const { code, stdout, stderr } = await runCli([
      'report',
      ...[debian13, profile, plan, debian12],
      ...['--html', out('r.html'), '--markdown', out('r.md')],
      ...['--junit', out('r.xml'), '--sarif', out('r.sarif')],
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toContain('2 hosts, 1 profile, 1 plan: ');
    const text = (name: string) => readFileSync(out(name), 'utf8');
    const data = JSON.parse(/id="report">(.*)<\/script>\n<script>/s.exec(text('r.html'))?.[1] ?? '');
    expect(data).toMatchObject({
      hosts: [{ name: 'debian-12' }, { name: 'debian-13' }],
      use: [{ name: 'debian-12', units: [{ peak: 240 }] }],
      plans: [{ names: ['debian-12'] }],
    });
    expect(text('r.md')).toMatch(/^# Task limits: debian-12, debian-13\n/);
    expect(text('r.xml')).toContain('<testsuite name="debian-13"');
    expect(JSON.parse(text('r.sarif')).runs[0].results.length).toBeGreaterThan(0);
    expect(readdirSync(dir).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('prints one report on standard output, and reads a file from standard input', async () => {
    const { code, stdout, stderr } = await runCli(['report', '-', '--prometheus', '-'], {
      stdin: readFileSync(debian12, 'utf8'),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('tasksctl_unit_headroom_ratio{unit="user-.slice"} 0.043\n');
  });

  it('tells of runs without any host', async () => {
    const { code, stdout } = await runCli(['report', runs, '--markdown', '-']);
    expect(code).toBe(0);
    expect(stdout).toContain('- time not recorded `admin@web1` verify: everything holds `r1`');
  });

  it('takes plans of a fleet, hosts with the same one together', async () => {
    const one = JSON.parse(readFileSync(plan, 'utf8'));
    const host = (name: string, changes: unknown[]) => ({
      ...{ schema: 'tasksctl/host-plan/1', name, groups: ['web'], plan: { ...one, changes } },
      before: { bootId: null, rejections: {}, failedUnits: [] },
    });
    const saved = join(dir, 'fleet.ndjson');
    const hosts = [host('web1', one.changes), host('web2', []), host('web3', one.changes)];
    const order = {
      ...{ schema: 'tasksctl/fleet-order/1', maxUnavailable: [] },
      stages: [{ name: null, hosts: ['web1', 'web2', 'web3', 'db1'], split: null }],
    };
    const write = (...all: unknown[]) =>
      writeFileSync(saved, all.map((line) => `${JSON.stringify(line)}\n`).join(''));
    write(order, ...hosts);
    const lines = await runCli(['report', saved, '--markdown', '-']);
    expect(lines.code).toBe(0);
    expect(lines.stderr).toContain('there is no plan of db1');
    expect(lines.stdout.match(/^## .*/gm)).toEqual([
      '## Plan for web1, web3 by policy default',
      '## Plan for web2 by policy default',
    ]);
    expect(lines.stdout).toContain('To undo it: `tasksctl rollback RUN`');
    const junit = await runCli(['report', saved, '--junit', '-']);
    expect(junit.stdout.match(/<testsuite name="[^"]*"/g)).toHaveLength(3);

    const printed = join(dir, 'fleet.json');
    const fleet = {
      schema: 'tasksctl/fleet-plan/1',
      groups: [{ hosts: ['web1', 'web2', 'web3', 'web4', 'web5'], policies: ['default'], plan: one }],
      lost: [{ name: 'db1', target: 'db1', error: { kind: 'timeout', message: 'no answer\x1b[2J' } }],
      failed: [{ name: 'web2', detail: 'the disk is full' }],
    };
    writeFileSync(printed, JSON.stringify(fleet));
    const { stdout, stderr } = await runCli(['report', printed, '--markdown', '-']);
    expect(stdout).toContain('## Plan for 5 hosts by policy default\n\nOn web1, web2, web3, web4, web5.');
    expect(stderr).toContain('fleet.json: there is no plan of db1: no answer\\x1b[2J');
    expect(stderr).toContain('fleet.json: web2 would refuse its plan: the disk is full');

    write(order, hosts[0], {});
    expect((await runCli(['report', saved, '--html', '-'])).stderr).toContain(
      'line 3: this is no plan of a host',
    );
  });

  it('takes the journal of a rollout, also one that is being written', async () => {
    const run = '20260601T031500Z-0a1b';
    const at = '2026-06-01T03:15:00.000Z';
    const settings = {
      ...{ forks: 1, maxFail: { kind: 'count', count: 0 }, maxUnavailable: [], bakeSeconds: 0, pause: false },
      ...{ onFailure: 'stop', gateCommand: null, reboot: false, drain: null, undrain: null },
      deadManSeconds: null,
    };
    const hosts = [{ name: 'web1', target: 'web1', groups: [], policy: 'default', wave: 0, stage: null }];
    const head = { schema: 'tasksctl/rollout-journal/1', run, startedAt: at, operator: 'alice@desk' };
    const lines = [
      { ...head, settings, hosts },
      { what: 'apply', at, host: 'web1', run },
      { what: 'applied', at: '2026-06-01T03:15:04Z', host: 'web1', run, outcome: 'applied', detail: '' },
    ].map((line) => `${JSON.stringify(line)}\n`);
    const journal = join(dir, 'journal.ndjson');
    writeFileSync(journal, `${lines.join('')}{"what":"ga`);
    const { stdout, stderr } = await runCli(['report', journal, '--markdown', '-']);
    expect(stderr).toBe('');
    expect(stdout).toContain(
      '- 2026-06-01T03:15:00.000Z rollout: begun `20260601T031500Z-0a1b`\n  - by `alice@desk`',
    );
    expect(stdout).toContain('- 2026-06-01T03:15:04Z web1 rollout, wave 1 of 1: applied, after 4 s');
    writeFileSync(journal, `${lines[0]}{}\n`);
    expect((await runCli(['report', journal, '--html', '-'])).stderr).toContain(
      'line 2: the line is damaged',
    );
  });

  it('keeps the later of two snapshots of a host, whichever comes first', async () => {
    const older = join(dir, 'older.json');
    writeFileSync(older, readFileSync(debian12, 'utf8').replace('"takenAt": "2026', '"takenAt": "2025'));
    for (const files of [
      [older, debian12],
      [debian12, older],
    ]) {
      const { stdout } = await runCli(['report', ...files, '--markdown', '-']);
      expect(stdout.match(/^\| debian-12 .*$/gm)).toEqual([expect.stringContaining('2026-11-22T')]);
    }
  });

  it('has a report of the others where a host does not answer', async () => {
    const file = join(dir, 'partial.md');
    const { code, stderr } = await runCli(
      ['report', '-t', 'a.invalid', 'b.invalid', '--timeout', '5', '--markdown', file, debian12],
      { env: { HOME: dir } },
    );
    expect(code).toBe(3);
    expect(stderr.match(/^[ab]\.invalid: /gm)).toHaveLength(2);
    expect(readFileSync(file, 'utf8')).toContain('# Task limits: debian-12\n');
  });

  it.each([
    [['report', debian12], 'No kind of report is asked for.'],
    [['report', debian12, '--html', '-', '--markdown', '-'], 'Only one report can go to standard output.'],
    [['report', debian12, debian13, '--prometheus', '-'], '--prometheus tells of one host'],
    [['report', '/nowhere.json', '--html', '-'], '/nowhere.json'],
    [['report', debian12, '--html', '/nowhere/r.html'], 'Cannot write /nowhere/r.html'],
  ])('%j is told on standard error', async (argv, message) => {
    const { code, stdout, stderr } = await runCli(argv);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(message);
  });

  it.each([
    ['{"schema":"tasksctl/plan/1"}', 'is no valid plan'],
    ['{"schema":"tasksctl/verify/1"}', 'is no valid tasksctl/verify/1'],
    ['{"schema":"tasksctl/snapshot/1"}', 'wrong.json: '],
    ['null', 'wrong.json: '],
    ['\x1b[2J', 'wrong.json: '],
  ])('a file that is none of these names itself: %j', async (text, message) => {
    const wrong = join(dir, 'wrong.json');
    writeFileSync(wrong, text);
    const { code, stdout, stderr } = await runCli(['report', wrong, '--html', '-']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('\x1b');
  });
});
