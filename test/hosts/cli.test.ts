import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Plan, planSchema } from '../../src/plan/plan.ts';
import { applySchema } from '../../src/report/apply-json.ts';
import { shellCommand } from '../../src/report/shell-quote.ts';
import { type Status, statusSchema } from '../../src/report/status-json.ts';
import { containersUnavailable, type LabHost, password, startContainer } from '../lab/lab.ts';
import { Program, type Run } from './program.ts';

/** The bundled program as an operator runs it, on a real host over a real sshd. */

let program: Program;

function tasksctl(...argv: readonly string[]): Promise<Run> {
  return program.run(...argv);
}

/** Text of a file of /proc, of a process that may be gone. */
function readQuietly(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

describe.skipIf(containersUnavailable() !== null).each(['bookworm', 'trixie'] as const)('%s', (suite) => {
  let host: LabHost;
  let as: (user: string) => string[];

  beforeAll(async () => {
    program = Program.build();
    host = await startContainer({ suite });
    const config = program.sshConfig({ lab: host });
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
    program.remove();
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
    const file = join(program.dir, `${suite}.json`);
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
    const command = [program.file, 'status', '--no-pager', '--explain', 'crowd.service', ...as('alice')].join(
      ' ',
    );
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

  it('applies with a sudo password that is in no argument, environment, file, log or output', async () => {
    const policy = join(program.dir, 'secret.yaml');
    writeFileSync(
      policy,
      'schema: tasksctl/policy/1\nname: secret\nunits:\n  idle.service:\n    value: 77\n',
    );
    // Whatever runs meanwhile, on the host and here, is looked at again and again.
    const look = `cd /proc; while [ ! -e /run/looked ]; do
  for file in [0-9]*/cmdline [0-9]*/environ; do
    tr '\\0' ' ' <$file 2>/dev/null | grep -q '${password.replace(' ', '[ ]')}' && echo "$file $(cat \${file%/*}/comm)" >>/run/found
  done
done; cat /run/found; rm /run/looked /run/found`;
    const looking = host.exec(look, { check: false, timeoutMs: 120_000 });
    let here = '';
    const lookHere = setInterval(() => {
      for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
        for (const file of ['cmdline', 'environ']) {
          const text = readQuietly(`/proc/${pid}/${file}`).replaceAll('\0', ' ');
          if (text.includes(password)) here += `${pid}/${file}: ${text}\n`;
        }
      }
    }, 100);
    const command = [program.file, 'apply', '--yes', '-p', policy, '--dead-man', '120', ...as('alice')].join(
      ' ',
    );
    const terminal = spawn('script', ['-qfec', command, '/dev/null'], { timeout: 120_000 });
    let seen = '';
    terminal.stdout.on('data', (chunk) => {
      seen += String(chunk);
      if (/sudo password for [^\n]*: $/.test(seen)) terminal.stdin.write(`${password}\r`);
    });
    const code = await new Promise((resolve) => terminal.on('exit', resolve));
    clearInterval(lookHere);
    // One that has it, to know that it would be found; it stays as long as anybody looks.
    await host.exec(`perl -e 'sleep 60' "${password.replace(' ', "$(printf ' ')")}" & perl=$!
for try in $(seq 100); do grep -q perl /run/found 2>/dev/null && break; sleep 0.5; done
: >/run/looked; while [ -e /run/looked ]; do sleep 0.1; done; kill $perl`);
    expect({ code, seen }).toMatchObject({ code: 0, seen: expect.stringContaining('Applied') });
    expect(seen).not.toContain(password);
    const holders = (await looking).stdout.toString().trim().split('\n');
    expect(new Set(holders.map((line) => line.replace(/^[0-9]+\/cmdline /, '')))).toEqual(new Set(['perl']));
    expect(here).toBe('');
    const found = await host.exec(
      `grep -rlF '${password}' /var/lib/tasksctl /var/log /run/log /run/tasksctl /tmp /etc/systemd 2>/dev/null
journalctl -q --no-pager | grep -F '${password}'`,
      { check: false },
    );
    expect(found.stdout.toString()).toBe('');
    // As it would be here.
    const { stdout } = await host.exec(
      `logger '${password}'; journalctl -q --sync; journalctl -q -n 20 | grep -cF '${password}'`,
    );
    expect(Number(stdout.toString())).toBeGreaterThan(0);
    expect((await tasksctl('rollback', '--yes', ...as('bob'))).code).toBe(0);
  });

  it('says where limits belong on systems that are images, and changes nothing', async () => {
    const saved = join(program.dir, `${suite}-plan.json`);
    expect((await tasksctl('plan', '-o', saved, ...as('bob'))).code).toBe(0);
    const { stdout: before } = await host.exec('find /etc /var/lib -xdev | sort | sha256sum');
    const images = {
      'touch /run/ostree-booted': ['rm /run/ostree-booted', /ostree system[\s\S]*MachineConfig/],
      'touch /etc/NIXOS': ['rm /etc/NIXOS', /NixOS system[\s\S]*configuration\.nix/],
      "cp -a /usr/lib/os-release /run/kept; sed -i 's/^ID=.*/ID=flatcar/' /usr/lib/os-release": [
        'cp -a /run/kept /usr/lib/os-release',
        /Flatcar system[\s\S]*Butane/,
      ],
    } as const;
    for (const [become, [undo, words]] of Object.entries(images)) {
      await host.exec(become);
      for (const option of ['--yes', '--check']) {
        const run = await tasksctl('apply', saved, option, ...as('bob'));
        expect(run).toMatchObject({ code: 4, stdout: expect.stringMatching(words) });
      }
      await host.exec(undo);
    }
    const { stdout: after } = await host.exec('find /etc /var/lib -xdev | sort | sha256sum');
    expect(after).toEqual(before);
  });

  it('does not lock anybody out, and does not look as if all was well', async () => {
    const policy = join(program.dir, 'locked.yaml');
    const units = ['ssh.service', 'init.scope', 'user-0.slice'].map((unit) => `  ${unit}:\n    value: 2\n`);
    writeFileSync(policy, `schema: tasksctl/policy/1\nname: locked\nunits:\n${units.join('')}`);
    const json = await tasksctl('apply', '--yes', '--json', '-p', policy, ...as('bob'));
    expect(json.code).toBe(4);
    const { result, refused } = applySchema.parse(JSON.parse(json.stdout));
    expect(result.kind).toBe('nothing');
    expect(refused.map(({ title, code }) => `${title} ${code}`).sort()).toEqual([
      'init.scope below-use',
      'ssh.service below-use',
      'user-0.slice below-use',
    ]);
    const text = await tasksctl('apply', '--yes', '-p', policy, ...as('bob'));
    expect(text).toMatchObject({ code: 4, stdout: expect.stringContaining('Not in the plan') });
  });

  it('gives back what it was interrupted in, and says so by its exit code', async () => {
    const policy = join(program.dir, 'interrupted.yaml');
    writeFileSync(policy, 'schema: tasksctl/policy/1\nname: interrupted\nuser-default:\n  value: 555\n');
    const files = async () =>
      (await host.exec('find /etc/systemd -type f -exec sha256sum {} + | sort')).stdout;
    const before = await files();
    await host.writeFiles({
      '/opt/slow-systemctl':
        '#!/bin/sh\n[ "$*" != daemon-reload ] || { : >/run/reloading; sleep 2; }\nexec /opt/systemctl "$@"\n',
    });
    await host.exec(
      'cp -a $(readlink -f /usr/bin/systemctl) /opt/systemctl; mount --bind /opt/slow-systemctl $(readlink -f /usr/bin/systemctl)',
    );
    const running = program.start('apply', '--yes', '--json', '-p', policy, ...as('bob'));
    await host.exec('until [ -e /run/reloading ]; do sleep 0.1; done');
    running.child.kill('SIGINT');
    const { code, stdout } = await running.ended;
    expect(code).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({ result: { kind: 'restored', reason: 'cut' } });
    await host.exec('umount $(readlink -f /usr/bin/systemctl)');
    expect(await files()).toEqual(before);
  });

  it('does not talk to a host whose key it does not know', async () => {
    const config = join(program.dir, 'stranger');
    writeFileSync(
      config,
      `HostName ${host.ssh.host}\nPort ${host.ssh.port}\nUserKnownHostsFile ${program.dir}/none\n`,
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
