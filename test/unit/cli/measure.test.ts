import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Profile, profileSchema } from '../../../src/measure/profile.ts';
import { backtestSchema } from '../../../src/report/backtest-json.ts';
import { recommendSchema } from '../../../src/report/recommend-json.ts';
import { aHostUse, aUse } from '../needs/a-use.ts';
import { runCli } from './run-cli.ts';

const dir = mkdtempSync(join(tmpdir(), 'tasksctl-measure-cli-'));
afterAll(() => rmSync(dir, { recursive: true }));
const example = join(import.meta.dirname, '../../../examples/snapshots/debian-12-systemd-252.json');

function saved(name: string, fields: Partial<Profile['hosts'][number]>, peak = 40): string {
  const file = join(dir, name);
  const { units, ...host } = aHostUse([aUse({ peak })]);
  const window = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-08T00:00:00.000Z', boots: [], samples: 9 };
  const profile = {
    schema: 'tasksctl/profile/1',
    hosts: [{ ...host, ...window, machineId: null, units, ...fields }],
  };
  writeFileSync(file, JSON.stringify(profile));
  return file;
}

describe('measure', () => {
  it('keeps what was measured when it is interrupted, and exits 130', async () => {
    const out = join(dir, 'interrupted.json');
    const interrupt = new AbortController();
    setTimeout(() => interrupt.abort(), 1500);
    const run = await runCli(['measure', '-d', '1h', '--interval', '200ms', '-o', out], {
      signal: interrupt.signal,
    });
    // Where this machine has no pids controller there is nothing to keep.
    if (!existsSync(out)) return expect(run.code).not.toBe(0);
    expect(run.code).toBe(130);
    expect(profileSchema.parse(JSON.parse(readFileSync(out, 'utf8'))).hosts[0]?.samples).toBeGreaterThan(0);
  });

  it.each([
    [['-d', 'soon'], 'Give a time such as 90s'],
    [['-d', '1s', '--interval', '2s'], 'The interval is longer'],
    [['--collect', '-d', '1h'], 'cannot be used with'],
  ])('refuses %j', async (argv, message) => {
    const run = await runCli(['measure', ...argv]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain(message);
  });
});

describe('recommend', () => {
  it('merges profiles and prints the arithmetic', async () => {
    const files = [saved('a.json', {}), saved('b.json', {}, 100)];
    const { code, stdout } = await runCli(['recommend', ...files, '--unit', 'a.*']);
    expect(code).toBe(0);
    expect(stdout).toContain('By policy default, from 14 d on 1 host');
    expect(stdout).toMatch(/^a\.service +192 +100 +100 /m);
    expect(stdout).toContain('100 x 1.5 (headroom 50%) = 150, rounded up to 192');
    const json = await runCli(['recommend', ...files, '--json']);
    expect(recommendSchema.parse(JSON.parse(json.stdout)).units[0]).toMatchObject({ limit: '192' });
  });

  it('says which file is none', async () => {
    const file = join(dir, 'none.json');
    writeFileSync(file, '{}');
    const run = await runCli(['recommend', file]);
    expect(run).toMatchObject({ code: 1, stdout: '' });
    expect(run.stderr).toContain('none.json is no profile');
  });
});

describe('backtest', () => {
  it('compares limits in a table', async () => {
    const [monday, tuesday] = [saved('monday.json', {}, 100), saved('tuesday.json', {}, 150)];
    const argv = ['backtest', tuesday, '--from', monday, '-p', 'default', '-l', 'a.service=100'];
    const { code, stdout } = await runCli(argv);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^as given +1 +1 +>=50 /m);
    expect(stdout).toMatch(/^policy default +1 +0 +0 +1\.3x /m);
    const json = await runCli([...argv, '--json']);
    expect(backtestSchema.parse(JSON.parse(json.stdout)).results.map(({ rejections }) => rejections)).toEqual(
      [50, 0],
    );
  });
});

describe('plan --profile', () => {
  it('wants a profile of the host that is planned', async () => {
    const other = await runCli(['plan', '--snapshot', example, '--profile', saved('other.json', {})]);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('it was measured on web1');
    const { hostname } = (JSON.parse(readFileSync(example, 'utf8')) as { host: { hostname: string } }).host;
    const own = await runCli(['plan', '--snapshot', example, '--profile', saved('own.json', { hostname })]);
    expect(own.code).toBe(0);
  });
});
