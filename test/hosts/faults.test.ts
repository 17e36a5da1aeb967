import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ApplyOptions, ApplyResult } from '../../src/apply/apply-plan.ts';
import { rollbackRun } from '../../src/apply/rollback.ts';
import type { Connect } from '../../src/apply/saved-run.ts';
import type { Transport } from '../../src/host/transport.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { containersUnavailable, type LabHost, password, startContainer, startVm } from '../lab/lab.ts';
import { Operator } from './apply-lab.ts';

/**
 * Faults, injected for real into a run on a real host. After each the host has its old or its new files, byte for byte,
 * and the next apply and rollback succeed. What was seen is written to docs/faults.md.
 */

const why = containersUnavailable();

/** Every step of the script that is run where a login has to be proven. */
const STEPS = [
  'lock',
  'unfinished',
  'preconditions',
  'space',
  'backup',
  'arm',
  'stage',
  'recheck',
  'replace',
  'syntax',
  'activate',
  'read-back',
  'commit',
];

const rows: string[] = [];

/** What the operator was told, in a few words. */
function told(result: ApplyResult): string {
  switch (result.kind) {
    case 'refused':
      return `refused (${result.reason})`;
    case 'restored':
    case 'restore-failed':
      return `${result.kind} (${result.reason})`;
    case 'unreachable':
    case 'unknown':
      return `${result.kind} (${result.error.kind})`;
    default:
      return result.kind;
  }
}

/** Runs a command as a step of the script begins; the copy that is saved on the host stays as it is. */
function atStep(script: string, step: string, command: string): string {
  const line = `\n  step ${step}\n`;
  const at = script.indexOf(line, script.indexOf('\napply() {'));
  if (at < 0) throw new Error(`no step ${step}`);
  return `${script.slice(0, at + line.length)}  ${command}\n${script.slice(at + line.length)}`;
}

describe.skipIf(why !== null)('a fault', { timeout: 300_000 }, () => {
  let host: LabHost;
  let dir = '';
  let bob: Operator;
  /** The files before each trial, and as the plan that is disturbed would leave them. */
  let oldFiles: string[] = [];
  let newFiles: string[] = [];
  const policy = (users: number, one: number, two: number) => [
    'user-default:',
    `  value: ${users}`,
    'units:',
    '  one.service:',
    `    value: ${one}`,
    '  two.service:',
    `    value: ${two}`,
  ];
  const wanted = policy(500, 350, 200);

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'tasksctl-faults-'));
    host = await startContainer({ suite: 'bookworm' });
    bob = new Operator(host, dir);
    const service = '[Service]\nExecStart=/bin/sleep infinity\n';
    await host.writeFiles({
      '/etc/systemd/system/one.service': service,
      '/etc/systemd/system/two.service': service,
    });
    await host.exec(`cp -a $(command -v systemctl) /run/real-systemctl
systemctl daemon-reload; systemctl enable -q one two; systemctl start one two`);
    // Two files of an earlier run that the plan will change; for two.service it makes a directory and a file.
    const earlier = await bob.plan(
      'user-default:',
      '  value: 400',
      'units:',
      '  one.service:',
      '    value: 300',
    );
    await bob.applied(earlier);
    const run = await bob.applied(await bob.plan(...wanted));
    newFiles = await bob.files();
    await rollbackRun(run.run, bob);
  });
  afterAll(async () => {
    await host?.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(async () => {
    oldFiles = await bob.files();
  });

  /** What came of it: then old or new files and nothing else, then the next apply and rollback. */
  async function trial(fault: string, done: string, seen: string, on: Operator = bob): Promise<void> {
    const files = await settle(on);
    const plan = await on.plan(...wanted);
    let next = 'nothing to do';
    if (plan.changes.length > 0) {
      const applied = await on.applied(plan);
      expect(await on.files()).toEqual(newFiles);
      expect(await rollbackRun(applied.run, on)).toMatchObject({ kind: 'rolled-back' });
      next = 'applied, rolled back';
    } else {
      const transport = await on.login();
      await transport.close();
      const { stdout } = await on.host.exec('ls /var/lib/tasksctl/runs | tail -n 1');
      expect(await rollbackRun(stdout.toString().trim(), on)).toMatchObject({ kind: 'rolled-back' });
      next = 'nothing to do; rolled back';
    }
    expect(await on.files()).toEqual(oldFiles);
    const state = files === 'old' ? 'old, byte for byte' : 'new, byte for byte';
    rows.push(`| ${fault} | ${done} | ${seen} | ${state} | ${next} |`);
  }

  /** Waits until the host is at rest (a dead man may still have to strike) and says which files it has. */
  async function settle(on: Operator): Promise<'old' | 'new'> {
    const until = Date.now() + 120_000;
    for (;;) {
      const { stdout } = await on.host.exec(
        'for d in /var/lib/tasksctl/runs/*; do tail -n 1 $d/state; done 2>/dev/null; ls /run/tasksctl/lock 2>/dev/null | wc -l',
      );
      const open = /awaiting|replacing|prepared|restoring|rolling-back|applied/.test(stdout.toString());
      if (!open && stdout.toString().trim().endsWith('0')) break;
      if (Date.now() > until) break;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const files = await on.files();
    if (files.join('\n') === newFiles.join('\n')) return 'new';
    expect(files).toEqual(oldFiles);
    return 'old';
  }

  /** Applies with the script changed on its way to the host. */
  async function disturbed(
    change: (script: string) => string,
    more: Partial<ApplyOptions> = {},
    on: Operator = bob,
    lines: readonly string[] = wanted,
  ): Promise<ApplyResult> {
    const plan = await on.plan(...lines);
    let connections = 0;
    const connect: Connect = async () => {
      const connected = await on.connect();
      if (!connected.ok || connections++ > 0) return connected;
      const { transport } = connected;
      const changed: Transport = {
        target: transport.target,
        run: (request) => transport.run({ ...request, script: change(request.script) }),
        close: () => transport.close(),
      };
      return { ok: true, transport: changed };
    };
    return on.apply(plan, { connect, ...more });
  }

  /** Has systemctl do something else for a verb, for everybody on the host; the function undoes it. */
  async function systemctlDoes(
    verb: string,
    what: string,
    on: Operator = bob,
  ): Promise<() => Promise<unknown>> {
    await on.host.writeFiles({
      '/run/fake-systemctl': `#!/bin/sh\ncase "$*" in *${verb}*) ${what} ;; esac\nexec /run/real-systemctl "$@"\n`,
    });
    await on.host.exec('mount --bind /run/fake-systemctl $(readlink -f $(command -v systemctl))');
    return () => on.host.exec('umount $(readlink -f /usr/bin/systemctl)');
  }

  /** A controller as a process of its own, so that it can be killed. */
  function controller(plan: Plan, deadMan: number): { child: ChildProcess; ended: Promise<unknown> } {
    const file = join(dir, 'plan.json');
    const { host: address, port } = host.ssh;
    writeFileSync(file, JSON.stringify({ ...plan, target: `bob@${address}:${port}` }));
    const cli = join(import.meta.dirname, '../../src/cli/tasksctl.ts');
    const child = spawn(
      process.execPath,
      [
        '--import',
        'tsx',
        cli,
        'apply',
        file,
        '--yes',
        '--ssh-config',
        bob.configFile,
        '--dead-man',
        String(deadMan),
      ],
      { stdio: 'ignore' },
    );
    return { child, ended: new Promise((resolve) => child.on('close', resolve)) };
  }

  async function until(what: string, script: string): Promise<void> {
    const deadline = Date.now() + 60_000;
    while ((await host.exec(script, { check: false })).code !== 0) {
      if (Date.now() > deadline) throw new Error(`waited for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  const lastState = (word: string) =>
    `d=$(ls -d /var/lib/tasksctl/runs/* | tail -n 1); [ "$(tail -n 1 $d/state)" = ${word} ]`;

  it.each(STEPS)('kill -9 of the script at step %s', async (step) => {
    const result = await disturbed((script) => atStep(script, step, 'kill -9 $$'));
    await trial('kill -9 of the script', `at step ${step}`, told(result));
  });

  it('kill -9 of the controller while systemd reloads', async () => {
    const restore = await systemctlDoes('daemon-reload', 'sleep 4');
    const { child, ended } = controller(await bob.plan(...wanted), 20);
    await until('the reload', lastState('replacing'));
    child.kill('SIGKILL');
    await ended;
    await until('the end', lastState('restored'));
    await restore();
    await trial(
      'kill -9 of the controller',
      'while systemd reloads; nobody confirms',
      'the host goes on, waits, and restores itself',
    );
  });

  it('kill -9 of the controller without a dead man', async () => {
    const restore = await systemctlDoes('daemon-reload', 'sleep 4');
    const result = disturbed((script) => script, { deadMan: false });
    await until('the reload', lastState('replacing'));
    expect(told(await result)).toBe('applied');
    await restore();
    await trial('daemon-reload slow by 4 s', '--no-dead-man', 'applied');
  });

  it('the network cable pulled for a moment', async () => {
    const restore = await systemctlDoes('daemon-reload', 'sleep 3');
    const result = disturbed((script) => script);
    await until('the reload', lastState('replacing'));
    await host.linkDown();
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    await host.linkUp();
    const seen = told(await result);
    await restore();
    await trial('link down', 'for 5 s while systemd reloads', seen);
  });

  it('the network cable pulled for longer than the dead man waits', async () => {
    const restore = await systemctlDoes('daemon-reload', 'sleep 3');
    const result = disturbed((script) => script, { deadManSeconds: 15 });
    await until('the reload', lastState('replacing'));
    await host.linkDown();
    await until('the restored state', lastState('restored'));
    await host.linkUp();
    const seen = told(await result);
    expect(seen).toMatch(/^(restored|unknown)/);
    await restore();
    await trial('link down', 'until after the deadline', 'the host restores itself; the operator is told so');
  });

  it.each([
    ['systemctl reboot', 'reboot'],
    ['a forced reboot, as a power cut', 'reboot --force --force'],
  ])('%s in the middle', async (what, command) => {
    const result = disturbed((script) => atStep(script, 'syntax', 'sleep 1000')).catch(() => null);
    await until('the replaced files', `${lastState('replacing')} && grep -q "step syntax" $d/report`);
    const boot = (await host.exec('cat /proc/sys/kernel/random/boot_id')).stdout.toString();
    await host.exec(`/run/real-systemctl ${command}`, { check: false });
    await untilBootedAnew(boot);
    await host.exec('cp -a $(command -v systemctl) /run/real-systemctl');
    const seen = await result;
    expect(seen === null || ['restored', 'unreachable'].includes(seen.kind)).toBe(true);
    // The files of this boot were read by systemd before the recovery put the old ones back: it reloaded.
    expect(await bob.pidsMax('one.service')).toBe('300');
    await trial(what, 'between renaming and activating', 'the next boot brings the old files back');
  });

  async function untilBootedAnew(boot: string): Promise<void> {
    const deadline = Date.now() + 120_000;
    for (;;) {
      const now = await host
        .exec('cat /proc/sys/kernel/random/boot_id; systemctl is-system-running', {
          check: false,
          timeoutMs: 5000,
        })
        .catch(() => null);
      const [id, state] = now?.stdout.toString().split('\n') ?? [];
      if (id !== undefined && id !== boot.trim() && (state === 'running' || state === 'degraded')) return;
      if (Date.now() > deadline) throw new Error('no new boot');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  it.each(['/etc/systemd/system', '/var/lib/tasksctl'])('a full disk at %s', async (at) => {
    await host.exec(`mkdir -p /run/small; mount -t tmpfs -o size=400k small /run/small
cp -a ${at}/. /run/small; mount --move /run/small ${at}; cat /dev/zero >${at}/fill 2>/dev/null || :`);
    const result = await disturbed((script) => script);
    await host.exec(`umount ${at}`);
    await trial('disk full', `${at}, from the start`, told(result));
  });

  it('a disk that fills up in the middle', async () => {
    const at = '/etc/systemd/system';
    await host.exec(`mkdir -p /run/small; mount -t tmpfs -o size=2m small /run/small
cp -a ${at}/. /run/small; mount --move /run/small ${at}`);
    const result = await disturbed((script) =>
      atStep(script, 'stage', `cat /dev/zero >${at}/fill 2>/dev/null; rm -f ${at}/nothing`),
    );
    await host.exec(`rm -f ${at}/fill`);
    expect(await bob.files()).toEqual(oldFiles);
    await host.exec(`umount ${at}`);
    await trial('disk full', 'from step stage on', told(result));
  });

  it('a read-only file system', async () => {
    await host.exec('mount --bind /etc/systemd /etc/systemd; mount -o remount,bind,ro /etc/systemd');
    const result = await disturbed((script) => script);
    await host.exec('umount /etc/systemd');
    await trial('file system read-only', 'from the start', told(result));
  });

  it('a file system that becomes read-only in the middle', async () => {
    await host.exec('mount --bind /etc/systemd /etc/systemd');
    const result = await disturbed((script) =>
      atStep(script, 'replace', 'mount -o remount,bind,ro /etc/systemd'),
    );
    await host.exec('mount -o remount,bind,rw /etc/systemd; umount /etc/systemd');
    await trial('file system read-only', 'from step replace on', told(result));
  });

  it('an immutable file', async () => {
    const file = '/etc/systemd/system/one.service.d/90-tasksctl.conf';
    const { code } = await host.exec(`chattr +i ${file}`, { check: false });
    expect(code).toBe(0);
    const checked = await disturbed((script) => script, { check: true });
    const result = await disturbed((script) => script);
    await host.exec(`chattr -i ${file}`);
    await trial('immutable file', 'chattr +i', `${told(result)}; with --check ${told(checked)}`);
  });

  it('no sudo right, and a wrong password', async () => {
    const plan = await bob.plan(...wanted);
    const carol = await new Operator(host, dir, 'carol').apply(plan);
    await trial('no sudo right', 'user carol', told(carol));
    const wrong = await new Operator(host, dir, 'alice', `not ${password}`).apply(plan);
    await trial('wrong sudo password', 'user alice', told(wrong));
  });

  it('daemon-reload that fails', async () => {
    const restore = await systemctlDoes('daemon-reload', 'echo "Failed to reload" >&2; exit 1');
    const result = await disturbed((script) => script);
    await restore();
    await trial('daemon-reload fails', 'every time', told(result));
    // Once only: then the way back works.
    const once = await systemctlDoes(
      'daemon-reload',
      '[ -e /run/failed-once ] || { touch /run/failed-once; exit 1; }',
    );
    const second = await disturbed((script) => script);
    await once();
    await host.exec('rm -f /run/failed-once');
    await trial('daemon-reload fails', 'once', told(second));
  });

  it('a systemctl that hangs', async () => {
    const all = await systemctlDoes('show', 'sleep 1000');
    const refused = await disturbed((script) => script);
    await all();
    await trial('systemctl hangs', 'whatever is asked', told(refused));
    const once = await systemctlDoes(
      'daemon-reload',
      '[ -e /run/hung-once ] || { touch /run/hung-once; sleep 1000; }',
    );
    const result = await disturbed((script) => script, { deadManSeconds: 120 });
    await once();
    await host.exec('rm -f /run/hung-once');
    await trial('systemctl hangs', 'at daemon-reload', told(result));
  });

  it('a hang that outlasts the dead man', async () => {
    const once = await systemctlDoes(
      'daemon-reload',
      '[ -e /run/hung-once ] || { touch /run/hung-once; sleep 1000; }',
    );
    const result = await disturbed((script) => script, { deadManSeconds: 10 });
    await once();
    await host.exec('rm -f /run/hung-once');
    expect(result.kind).toBe('restored');
    await trial(
      'systemctl hangs',
      'past the deadline of the dead man',
      'the timer kills the script and restores',
    );
  });

  it('two applies at once', async () => {
    const plan = await bob.plan(...wanted);
    const other = new Operator(host, dir, 'alice', password);
    const results = (await Promise.all([bob.apply(plan), other.apply(plan, { run: { ...runOf(1) } })])).map(
      told,
    );
    expect(results.filter((kind) => kind === 'applied' || kind === 'unchanged').length).toBeGreaterThan(0);
    expect(results.filter((kind) => kind === 'applied')).toHaveLength(1);
    await trial(
      'two applies at once',
      'bob and alice',
      'one applied; the other refused, or nothing left to do',
    );
  });

  function runOf(n: number) {
    const startedAt = new Date();
    const time = startedAt.toISOString().replaceAll(/[-:]|\.[0-9]+/g, '');
    return { id: `${time}-ff${String(n).padStart(2, '0')}`, startedAt, operator: 'other' };
  }

  it('a host key that changes before the apply, and before the confirmation', async () => {
    const real = bob.configFile;
    const plan = await bob.plan(...wanted);
    const forged = join(dir, 'forged');
    const key = 'AAAAC3NzaC1lZDI1NTE5AAAAIGPqTPvZ3wVJUPHPCIUn8iiGT5sNYu9m0Cq4sZ0xJ3Vn';
    writeFileSync(forged, `${host.ssh.host} ssh-ed25519 ${key}\n`);
    const stranger = new Operator(
      { ...host, ssh: { ...host.ssh, knownHostsFile: forged } } as LabHost,
      join(dir),
      'carol',
    );
    const before = await stranger.apply(plan);
    expect(real).toBe(bob.configFile);
    await trial('host key changed', 'before the apply', told(before));
    let connections = 0;
    const after = await bob.apply(plan, {
      deadManSeconds: 15,
      connect: () => (connections++ === 0 ? bob.connect() : stranger.connect()),
    });
    await trial('host key changed', 'between the apply and its confirmation', told(after));
  });

  it('a clock that jumps', async () => {
    const vm = await startVm({ suite: 'bookworm' });
    try {
      const operator = new Operator(vm, dir);
      for (const jump of ['+2 days', '-4 days']) {
        const before = await operator.files();
        const result = await disturbed(
          (script) => atStep(script, 'activate', `date -s '${jump}' >/dev/null`),
          {},
          operator,
          ['user-default:', '  value: 700'],
        );
        expect(told(result)).toBe('applied');
        if (result.kind !== 'applied') continue;
        expect(await rollbackRun(result.run, operator)).toMatchObject({ kind: 'rolled-back' });
        expect(await operator.files()).toEqual(before);
        const seen = 'applied | new, byte for byte | nothing to do; rolled back';
        rows.push(`| clock jumps (VM) | by ${jump} at step activate | ${seen} |`);
      }
    } finally {
      await vm.stop();
    }
  });

  it('the table', async () => {
    const table = [
      '# Faults, and what came of them',
      '',
      'Written by test/hosts/faults.test.ts, which injects each fault into a run of `tasksctl apply` on a real host (Debian',
      'bookworm, systemd 252; the clock in a VM) over SSH. The plan changes two files, adds a third in a new directory, and',
      'changes the limit of every user, so it waits for a new login. After each fault the files were compared byte for byte,',
      'with mode and owner; then the same plan was applied and rolled back.',
      '',
      '| fault | how | what the operator is told | files then | next apply, rollback |',
      '| --- | --- | --- | --- | --- |',
      ...rows,
      '',
    ];
    await expect(table.join('\n')).toMatchFileSnapshot('../../docs/faults.md');
  });
});
