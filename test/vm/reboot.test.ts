import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApplyResult } from '../../src/apply/apply-plan.ts';
import { rollbackRun } from '../../src/apply/rollback.ts';
import { applySchema, runsSchema, verifySchema } from '../../src/report/apply-json.ts';
import { Operator, Session } from '../hosts/apply-lab.ts';
import { cgroupV1, type LabHost, labUnavailable, startVm } from '../lab/lab.ts';

/**
 * Applying on machines with a kernel of their own, and over their reboots: Debian 12 (systemd 252) on cgroup v2, Debian
 * 13 (257) in legacy cgroup v1 mode.
 */

/** A test takes most of a minute; several times that where the processors are busy with other things. */
const PATIENT = { timeout: 600_000 };

const root = join(import.meta.dirname, '../..');
let dir = '';
let program = '';

beforeAll(() => {
  const cache = join(root, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  dir = mkdtempSync(join(cache, 'tasksctl-vm-'));
  program = join(dir, 'tasksctl.js');
  const env = { ...process.env, TASKSCTL_OUTDIR: dir };
  execFileSync(process.execPath, [join(root, 'build.mjs')], { env });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The built program as bob runs it on a host. */
function tasksctl(
  bob: Operator,
  ...argv: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { host, port } = bob.host.ssh;
  const target = ['-t', `bob@${host}:${port}`, '--ssh-config', bob.configFile, '--timeout', '300'];
  const args = [program, ...argv, ...target];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { encoding: 'utf8' }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function policyFile(...lines: string[]): string {
  const file = join(dir, 'policy.yaml');
  writeFileSync(file, ['schema: tasksctl/policy/1', 'name: test', ...lines, ''].join('\n'));
  return file;
}

/** A session at its limit, apply, the same load again, rollback. */
async function giveRoom(bob: Operator): Promise<void> {
  await bob.host.writeFiles({
    '/etc/systemd/system/user-.slice.d/20-ours.conf': '# Ticket 4711\n[Slice]\n\tTasksMax =  60\n',
  });
  await bob.host.exec('systemctl daemon-reload');
  const before = await bob.files();
  const alice = new Session(new Operator(bob.host, dir, 'alice'));
  try {
    expect(await alice.type('echo hello')).toBe('hello');
    expect(await bob.pidsMax('user-1000.slice')).toBe('60');
    const refused = await alice.load(150);
    expect(refused.output).toContain('fork: Resource temporarily unavailable');
    expect(refused.started).toBeLessThan(60);

    const { run, report } = await bob.applied(await bob.plan('user-default:', '  value: 500'), {
      deadManSeconds: 240,
    });
    expect(report.verdicts).toMatchObject([{ state: 'enforced' }]);
    expect(await bob.pidsMax('user-1000.slice')).toBe('500');
    expect(await alice.load(150)).toMatchObject({ started: 150 });

    expect(await rollbackRun(run, bob)).toMatchObject({ kind: 'rolled-back' });
    expect(await bob.files()).toEqual(before);
    expect(await bob.pidsMax('user-1000.slice')).toBe('60');
    expect((await alice.load(150)).output).toContain('fork: Resource temporarily unavailable');
  } finally {
    alice.end();
  }
}

/** How often the machine's kernel has restarted it, by its own word. */
function restarts(host: LabHost): number {
  const log = readFileSync(host.consoleLog ?? '', 'latin1');
  return log.split('reboot: Restarting system').length - 1;
}

describe.skipIf(labUnavailable() !== null)('systemd 252 on cgroup v2', PATIENT, () => {
  let host: LabHost;
  let bob: Operator;
  beforeAll(async () => {
    host = await startVm({ suite: 'bookworm' });
    bob = new Operator(host, dir);
  });
  afterAll(() => host?.stop());

  it('a session at its limit gets room without a new login, and rollback brings back every byte', async () => {
    expect((await host.exec('stat -f -c %T /sys/fs/cgroup')).stdout.toString()).toBe('cgroup2fs\n');
    await giveRoom(bob);
  });

  it('a power cut between renaming and activating: the next boot brings the old files back', async () => {
    const before = await bob.files();
    const policy = ['user-default:', '  value: 500', 'service-default:', '  value: 2000'];
    const plan = await bob.plan(...policy);
    expect(plan.files).toHaveLength(2);
    let result: ApplyResult | undefined;
    await host.reboot(async () => {
      result = await bob.apply(plan, { connect: withoutPowerAt('activate', bob), deadManSeconds: 280 });
    });
    // At once and with nothing written back: no unit was stopped.
    expect(restarts(host)).toBe(0);
    // The controller asked while the host was on its way, or once it had mended itself.
    expect(result).toMatchObject({ kind: 'restored', reason: expect.stringMatching(/^(?:cut|boot)$/) });
    expect(await bob.files()).toEqual(before);

    const again = await bob.plan(...policy);
    const { run } = await bob.applied(again, { deadManSeconds: 240 });
    expect(await rollbackRun(run, bob)).toMatchObject({ kind: 'rolled-back' });
    expect(await bob.files()).toEqual(before);
  });

  it('apply --reboot tells what did not hold', async () => {
    // Something that brings files back to what it thinks they should be, as configuration management does.
    await host.writeFiles({
      '/etc/systemd/system/management.service':
        '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/sh -c "sed -i s/500/400/ /etc/systemd/system/user-.slice.d/*tasksctl.conf"\n',
    });
    await host.exec('systemctl daemon-reload; systemctl start management');
    const policy = policyFile('user-default:', '  value: 500');
    let result = { code: -1, stdout: '', stderr: '' };
    await host.reboot(async () => {
      result = await tasksctl(bob, 'apply', '-p', policy, '--yes', '--reboot', '--json', '--dead-man', '240');
    });
    expect(restarts(host)).toBe(1);
    expect(result, result.stdout).toMatchObject({ code: 1, stderr: '' });
    const { result: applied, verified } = applySchema.parse(JSON.parse(result.stdout));
    expect(applied).toMatchObject({ kind: 'applied', report: { changes: [{ state: 'enforced' }] } });
    const file = '/etc/systemd/system/user-.slice.d/90-tasksctl.conf';
    expect(verified).toMatchObject({
      holds: false,
      rebooted: true,
      changes: [{ wanted: '500', standing: { kind: 'lost', found: [`${file} was changed since`] } }],
    });

    const later = await tasksctl(bob, 'verify');
    expect(later.code).toBe(1);
    expect(later.stdout).toMatch(/^Not verified: run .*, after a reboot: 1 change did not hold\.$/m);
  });

  /** The first script of an apply, with the machine reset as a step of it begins: what is not on disk is lost. */
  function withoutPowerAt(step: string, operator: Operator): Operator['connect'] {
    let first = true;
    return async () => {
      const connected = await operator.connect();
      if (!connected.ok || !first) return connected;
      first = false;
      const { transport } = connected;
      const begin = `\n  step ${step}\n`;
      return {
        ok: true,
        transport: {
          target: transport.target,
          close: () => transport.close(),
          run: ({ script, ...request }) => {
            const at = script.indexOf(begin, script.indexOf('\napply() {')) + begin.length;
            const reset = 'echo b >/proc/sysrq-trigger; sleep 1000\n';
            return transport.run({ ...request, script: script.slice(0, at) + reset + script.slice(at) });
          },
        },
      };
    };
  }
});

describe.skipIf(labUnavailable() !== null)('systemd 257 on cgroup v1', PATIENT, () => {
  let host: LabHost;
  let bob: Operator;
  beforeAll(async () => {
    host = await startVm({ suite: 'trixie', kernelArgs: cgroupV1 });
    bob = new Operator(host, dir);
  });
  afterAll(() => host?.stop());

  it('a session at its limit gets room without a new login, and rollback brings back every byte', async () => {
    expect((await host.exec('stat -f -c %T /sys/fs/cgroup/pids')).stdout.toString()).toBe('cgroupfs\n');
    await giveRoom(bob);
  });

  it('what is pending is told, recorded, and verified after apply --reboot', async () => {
    await host.writeFiles({
      '/etc/systemd/system/batch.service':
        '[Service]\nSlice=batch.slice\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n',
    });
    await host.exec('systemctl daemon-reload; systemctl -q enable batch');
    const saved = join(dir, 'plan.json');
    const policy = policyFile('service-default:', '  value: 2000');
    expect(await tasksctl(bob, 'plan', '-p', policy, '--out', saved)).toMatchObject({ code: 0, stderr: '' });
    // Comes up after the plan was made, so no step of it writes this unit's limit; and this systemd's reload leaves it.
    await host.exec('systemctl start batch');
    const old = await bob.pidsMax('batch.service');
    expect(old).not.toBe('2000');

    const first = await tasksctl(bob, 'apply', saved, '--yes', '--json', '--dead-man', '240');
    expect(first, first.stdout).toMatchObject({ code: 0, stderr: '' });
    const { result } = applySchema.parse(JSON.parse(first.stdout));
    expect(result).toMatchObject({
      kind: 'applied',
      report: { changes: [{ state: 'pending', until: 'unit-restart', waiting: ['batch.service'] }] },
    });
    expect(await bob.pidsMax('batch.service')).toBe(old);
    const waiting = await tasksctl(bob, 'verify', '--json');
    expect(waiting.code).toBe(2);
    expect(verifySchema.parse(JSON.parse(waiting.stdout))).toMatchObject({
      holds: false,
      rebooted: false,
      changes: [{ standing: { kind: 'pending', waiting: [`batch.service (${old})`] } }],
    });

    let rebooted = { code: -1, stdout: '', stderr: '' };
    await host.reboot(async () => {
      rebooted = await tasksctl(bob, 'apply', saved, '--yes', '--reboot');
    });
    expect(restarts(host)).toBe(1);
    expect(rebooted, rebooted.stdout).toMatchObject({ code: 0 });
    expect(rebooted.stdout).toMatch(/^Verified: run .*, after a reboot: everything holds\.$/m);
    expect(await bob.pidsMax('batch.service')).toBe('2000');
    // The host remembers both: what waited when the run ended, and that it was found in force since.
    const { code, stdout } = await tasksctl(bob, 'runs', '--json');
    expect(code).toBe(0);
    const newest = runsSchema.parse(JSON.parse(stdout)).runs.at(-1);
    expect(newest).toMatchObject({ state: 'applied', pending: 1, verified: true });
  });
});
