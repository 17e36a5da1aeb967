import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Plan, planSchema } from '../../src/plan/plan.ts';
import { shellCommand } from '../../src/report/shell-quote.ts';
import { type Status, statusSchema } from '../../src/report/status-json.ts';
import { containersUnavailable, type LabHost, password, startContainer } from '../lab/lab.ts';

/** The bundled program as an operator runs it, on a real host over a real sshd. */

const root = join(import.meta.dirname, '../..');
let dir = '';
let program = '';

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function tasksctl(...argv: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    // A session of its own has no terminal, so nobody can be asked for a password.
    execFile('setsid', ['-w', program, ...argv], { encoding: 'utf8' }, (error, stdout, stderr) => {
      resolve({
        code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1,
        stdout,
        stderr,
      });
    });
  });
}

describe.skipIf(containersUnavailable() !== null).each(['bookworm', 'trixie'] as const)('%s', (suite) => {
  let host: LabHost;
  let as: (user: string) => string[];

  beforeAll(async () => {
    const cache = join(root, 'node_modules/.cache');
    mkdirSync(cache, { recursive: true });
    dir = mkdtempSync(join(cache, 'tasksctl-hosts-'));
    program = join(dir, 'tasksctl.js');
    execFileSync(process.execPath, [join(root, 'build.mjs')], {
      env: { ...process.env, TASKSCTL_OUTDIR: dir },
    });

    host = await startContainer({ suite });
    const { ssh } = host;
    const config = join(dir, 'ssh_config');
    writeFileSync(
      config,
      [
        `HostName ${ssh.host}`,
        `Port ${ssh.port}`,
        `IdentityFile ${ssh.identityFile}`,
        'IdentitiesOnly yes',
        `UserKnownHostsFile ${ssh.knownHostsFile}`,
        'StrictHostKeyChecking yes',
        '',
      ].join('\n'),
    );
    as = (user) => ['--ssh-config', config, '-t', `${user}@lab`];
    await host.writeFiles({
      '/etc/systemd/system/user-.slice.d/50-limits.conf': '[Slice]\nTasksMax=60\n',
      // Wants 30 processes and goes on with what it gets.
      '/usr/local/bin/crowd':
        '#!/usr/bin/perl\nfor (1..30) { my $pid = fork; if (defined $pid && $pid == 0) { sleep; exit } }\nsleep;\n',
      '/etc/systemd/system/crowd.service': '[Service]\nTasksMax=20\nExecStart=/usr/local/bin/crowd\n',
      '/etc/systemd/system/idle.service': '[Service]\nTasksMax=50%%\nExecStart=/bin/sleep 1d\n',
    });
    await host.exec('systemctl daemon-reload && systemctl start crowd.service idle.service && sleep 1');
  });
  afterAll(async () => {
    await host.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const status = async (...argv: readonly string[]): Promise<Status> => {
    const { code, stdout, stderr } = await tasksctl('status', '--json', ...argv);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return statusSchema.parse(JSON.parse(stdout));
  };
  const plan = async (): Promise<{ code: number; plan: Plan }> => {
    const { code, stdout, stderr } = await tasksctl('plan', '--json', '--detailed-exitcode', ...as('bob'));
    expect(stderr).toBe('');
    return { code, plan: planSchema.parse(JSON.parse(stdout)) };
  };
  /** pids.max of running units as the kernel has them, by cgroup. */
  const enforced = async (): Promise<Map<string, string>> => {
    const script =
      'cd /sys/fs/cgroup/pids && find . -name pids.max -exec sh -c \'echo "$1 $(cat "$1")"\' sh {} \\;';
    const lines = (await host.exec(script)).stdout.toString().trim().split('\n');
    return new Map(
      lines.map((line) => {
        const [path = '', value = ''] = line.split(' ');
        return [path.replace(/^\./, '').replace(/\/pids\.max$/, ''), value === 'max' ? 'infinity' : value];
      }),
    );
  };

  it('shows what the kernel enforces, where it comes from, and who is full', async () => {
    const { units, problems, host: seen } = await status(...as('bob'), '--all');
    expect(problems).toEqual([]);
    expect(seen.systemdVersion).toBe(host.systemdVersion);
    const limits = await enforced();
    const running = units.filter(({ type, cgroup }) => type === 'service' && cgroup !== null);
    expect(running.length).toBeGreaterThan(4);
    for (const { cgroup, live } of running) {
      if (cgroup !== null && limits.has(cgroup)) expect([cgroup, live]).toEqual([cgroup, limits.get(cgroup)]);
    }
    const crowd = units.find(({ name }) => name === 'crowd.service');
    expect(crowd).toMatchObject({
      live: '20',
      current: 20,
      utilization: 1,
      headroom: { tasks: '0' },
      configured: { provenance: { file: '/etc/systemd/system/crowd.service', line: 2 } },
    });
    expect(crowd?.rejections).toBeGreaterThan(0);
    // No specifiers here: %% is not a percent sign.
    expect(units.find(({ name }) => name === 'idle.service')?.configured?.assignments).toMatchObject([
      { raw: '50%%', outcome: 'ignored' },
    ]);
    expect(units.find(({ name }) => name.startsWith('user-'))).toMatchObject({
      live: '60',
      configured: { provenance: { text: '/etc/systemd/system/user-.slice.d/50-limits.conf:2' } },
    });
  });

  it('reads the same from a saved snapshot as from the host', async () => {
    const file = join(dir, `${suite}.json`);
    expect(await tasksctl('snapshot', ...as('root'), '-o', file)).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    const saved = await status('--snapshot', file, '--all');
    const live = await status(...as('root'), '--all');
    const settled = ({ units }: Status) =>
      units
        .filter(({ type }) => type === 'service' || type === 'slice')
        .filter(({ cgroup, parent }) => cgroup !== null && parent !== 'user-0.slice')
        .map(({ name, configured, live }) => ({ name, configured, live }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(settled(live)).toEqual(settled(saved));
    expect(readFileSync(file, 'utf8')).not.toContain('\x1b');
  });

  it('tells who cannot become root what is missing, and works with the rest', async () => {
    const { code, stdout, stderr } = await tasksctl('status', ...as('carol'));
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: .* no permission: /);
    expect(stdout).toContain('as carol, who may not see everything');
    expect(stdout).toContain('crowd.service');
  });

  it('asks for the sudo password on the terminal, and does not show it', async () => {
    const command = [program, 'status', '--explain', 'crowd.service', ...as('alice')].join(' ');
    const terminal = spawn('script', ['-qfec', command, '/dev/null'], { timeout: 60_000 });
    let seen = '';
    terminal.stdout.on('data', (chunk) => {
      seen += String(chunk);
      if (/sudo password for [^\n]*: $/.test(seen)) terminal.stdin.write(`${password}\r`);
    });
    const code = await new Promise((resolve) => terminal.on('exit', resolve));
    expect(seen).toContain('crowd.service on ');
    expect(seen).not.toContain(password);
    expect(code).toBe(0);
  });

  it('does not talk to a host whose key it does not know', async () => {
    const config = join(dir, 'stranger');
    writeFileSync(
      config,
      `HostName ${host.ssh.host}\nPort ${host.ssh.port}\nUserKnownHostsFile ${dir}/none\n`,
    );
    const run = await tasksctl('status', '--json', '--ssh-config', config, '-t', 'root@lab');
    expect(run).toMatchObject({ code: 4, stdout: '' });
    expect(JSON.parse(run.stderr)).toMatchObject({ kind: 'host-key-unknown', exitCode: 4 });
  });

  it('plans what, once done by hand as it says, the kernel enforces, and then has nothing more to plan', async () => {
    const { code, plan: made } = await plan();
    expect(code).toBe(2);
    const titles = made.changes.map(({ title }) => title);
    expect(titles).toContain('crowd.service');
    const files = made.files.flatMap(({ path, after }) =>
      after !== null && 'text' in after.content ? [[path, after.content.text] as const] : [],
    );
    expect(files).toHaveLength(made.files.length);
    await host.writeFiles(Object.fromEntries(files));
    // What an operator would paste.
    const commands = made.changes.flatMap(({ activation }) =>
      activation.steps.map(({ command }) => shellCommand(command)),
    );
    await host.exec(commands.join('\n'));
    const limits = await enforced();
    for (const change of made.changes) {
      if (change.limit.kind !== 'unit') continue;
      const { units } = await status(...as('bob'), '--unit', change.limit.unit);
      const cgroup = units[0]?.cgroup;
      if (cgroup == null) continue;
      expect([change.title, limits.get(cgroup)]).toEqual([change.title, change.to.count]);
    }
    const again = await plan();
    expect(again.plan.changes).toEqual([]);
    expect(again.code).toBe(0);
  });
});
