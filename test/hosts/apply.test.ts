import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rollbackRun } from '../../src/apply/rollback.ts';
import { showRun } from '../../src/apply/runs.ts';
import { verifyRun } from '../../src/apply/verify.ts';
import { containersUnavailable, type LabHost, password, type Suite, startContainer } from '../lab/lab.ts';
import { Operator, Session } from './apply-lab.ts';

/** Applying on real hosts: systemd 247, 252 and 257 as PID 1, sshd, sudo, and the kernel's pids controller. */

const why = containersUnavailable();
const suites: Suite[] = ['bullseye', 'bookworm', 'trixie'];

describe.skipIf(why !== null)('a host', () => {
  const hosts = new Map<Suite, LabHost>();
  let dir = '';

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'tasksctl-apply-'));
    await Promise.all(suites.map(async (suite) => hosts.set(suite, await startContainer({ suite }))));
  });
  afterAll(async () => {
    await Promise.all([...hosts.values()].map((host) => host.stop()));
    rmSync(dir, { recursive: true, force: true });
  });
  /** Tests of one host in turn, those of different hosts at the same time. */
  const turns = new Map<Suite, Promise<unknown>>();
  function onEach(title: string, test: (suite: Suite) => Promise<void>): void {
    it.concurrent.each(suites)(`%s: ${title}`, (suite) => {
      const turn = (turns.get(suite) ?? Promise.resolve()).then(() => test(suite));
      turns.set(
        suite,
        turn.catch(() => {}),
      );
      return turn;
    });
  }
  function operator(suite: Suite, user?: string, secret?: string): Operator {
    const host = hosts.get(suite);
    if (host === undefined) throw new Error(`no ${suite}`);
    return new Operator(host, dir, user, secret);
  }

  // An administrator's file, in a style of its own.
  const theirs = '/etc/systemd/system/user-.slice.d/20-ours.conf';
  const text = '# Ticket 4711\n[Slice]\n\tTasksMax =  60\n';

  onEach(
    'a session at its limit gets room without a new login, and rollback brings back every byte',
    async (suite) => {
      const bob = operator(suite);
      await bob.host.writeFiles({ [theirs]: text });
      await bob.host.exec('systemctl daemon-reload');
      const before = await bob.state();

      const session = new Session(operator(suite, 'alice'));
      expect(await session.type('echo hello')).toBe('hello');
      expect(await bob.pidsMax('user-1000.slice')).toBe('60');
      const refused = await session.load(150);
      expect(refused.output).toContain('fork: Resource temporarily unavailable');
      expect(refused.started).toBeLessThan(60);

      const plan = await bob.plan('user-default:', '  value: 500');
      expect(plan.changes).toHaveLength(1);
      const result = await bob.applied(plan);
      expect(result.proof).toBe('new-login');
      expect(result.report.verdicts).toMatchObject([{ state: 'enforced' }]);
      expect(result.report.before.get('user-1000.slice')).toBe('60');
      expect(result.report.verdicts[0]?.readings).toContainEqual({
        unit: 'user-1000.slice',
        manager: '500',
        live: '500',
      });
      expect(await bob.pidsMax('user-1000.slice')).toBe('500');

      const accepted = await session.load(150);
      expect(accepted).toMatchObject({ started: 150 });
      expect(accepted.output).not.toContain('unavailable');

      // Nothing of the transaction is left but files and record; a second plan finds nothing to do.
      expect((await bob.plan('user-default:', '  value: 500')).changes).toEqual([]);
      expect((await bob.apply(plan)).kind).toBe('unchanged');
      const after = await bob.state();
      expect(after.filter((line) => /tasksctl-|generators|\.tasksctl|\.old|\.new/.test(line))).toEqual([]);

      const transport = await bob.login();
      const shown = await showRun(transport, result.run);
      await transport.close();
      if (shown.kind === 'failed' || shown.value === null || shown.value.plan === null)
        throw new Error('no run');
      const standing = verifyRun(shown.value.plan, shown.value, await bob.snapshot(), await bob.limits());
      expect(standing).toMatchObject({ holds: true, rebooted: false });

      expect(await rollbackRun(result.run, bob)).toMatchObject({ kind: 'rolled-back' });
      expect(await bob.state()).toEqual(before);
      expect(await bob.pidsMax('user-1000.slice')).toBe('60');
      expect((await session.load(150)).output).toContain('fork: Resource temporarily unavailable');
      expect(await rollbackRun(result.run, bob)).toMatchObject({ kind: 'unchanged' });
      expect(await bob.state()).toEqual(before);
      session.end();
      await bob.host.exec(`rm ${theirs}; systemctl daemon-reload`);
    },
  );

  onEach('services, the manager default and a check that writes nothing', async (suite) => {
    const alice = operator(suite, 'alice', password);
    const service = '[Service]\nExecStart=/bin/sleep infinity\n';
    await alice.host.writeFiles({
      '/etc/systemd/system/one.service': `${service}TasksMax=50\n`,
      '/etc/systemd/system/two.service': service,
    });
    await alice.host.exec('systemctl daemon-reload; systemctl start one two');
    const before = await alice.state();
    const policy = ['service-default:', '  value: 3000', 'units:', '  one.service:', '    value: 700'];
    const plan = await alice.plan(...policy);
    expect(plan.changes.map(({ limit }) => limit.kind).sort()).toEqual(['manager-default', 'unit']);

    expect((await alice.apply(plan, { check: true })).kind).toBe('checked');
    expect(await alice.state()).toEqual(before);

    const result = await alice.applied(plan);
    expect(await alice.pidsMax('one.service')).toBe('700');
    expect(await alice.pidsMax('two.service')).toBe('3000');
    const manager = result.report.verdicts.find(({ readings }) => readings.length > 1);
    expect(manager?.readings).toContainEqual({ unit: 'two.service', manager: '3000', live: '3000' });

    expect(await rollbackRun(result.run, alice)).toMatchObject({ kind: 'rolled-back' });
    expect(await alice.state()).toEqual(before);
    expect(await alice.pidsMax('one.service')).toBe('50');
    expect(await alice.pidsMax('two.service')).not.toBe('3000');
    await alice.host.exec(
      'systemctl stop one two; rm /etc/systemd/system/one.service /etc/systemd/system/two.service; systemctl daemon-reload',
    );
  });

  onEach('a UserTasksMax= from before an upgrade is moved to where it counts', async (suite) => {
    const bob = operator(suite);
    const sap = '/etc/systemd/logind.conf.d/sap.conf';
    await bob.host.writeFiles({ [sap]: '[Login]\n# SAP\nUserTasksMax=777\n' });
    const before = await bob.state();
    const result = await bob.applied(await bob.plan('user-default:', '  value: UserTasksMax'));
    const { stdout } = await bob.host.exec(`systemctl show -p TasksMax --value user-4242.slice; cat ${sap}`);
    expect(stdout.toString()).toBe('777\n[Login]\n# SAP\n');
    expect(await rollbackRun(result.run, bob)).toMatchObject({ kind: 'rolled-back' });
    expect(await bob.state()).toEqual(before);
    await bob.host.exec(`rm ${sap}`);
  });

  onEach('a sysctl is set by its file, read back, and rolled back', async (suite) => {
    const bob = operator(suite);
    const machine = readFileSync('/proc/sys/kernel/pid_max', 'utf8');
    const pidMax = async () => (await bob.host.exec('cat /proc/sys/kernel/pid_max')).stdout.toString();
    // A pid namespace has a pid_max of its own since Linux 6.14. Before, this is the machine's, and left alone.
    if ((await pidMax()) === machine) return;
    await bob.host.exec('mount -o remount,bind,rw /proc/sys; echo 100000 >/proc/sys/kernel/pid_max');
    const before = await bob.state();
    const snapshot = await bob.snapshot();
    // The planner takes no container for a machine of its own; as to pid_max this one is.
    const asMachine = { ...snapshot, host: { ...snapshot.host, container: false } };
    const plan = bob.planFor(asMachine, 'kernel:', '  pid_max:', '    value: 120000');
    const result = await bob.applied(plan);
    expect(await pidMax()).toBe('120000\n');
    expect(result.report.verdicts).toMatchObject([
      { state: 'enforced', readings: [{ unit: '/proc/sys/kernel/pid_max', live: '120000' }] },
    ]);
    const { stdout } = await bob.host.exec('cat /etc/sysctl.d/*tasksctl*');
    expect(stdout.toString()).toContain('kernel.pid_max = 120000\n');
    expect(await rollbackRun(result.run, bob)).toMatchObject({ kind: 'rolled-back' });
    expect(await bob.state()).toEqual(before);
    expect(await pidMax()).toBe('100000\n');
    expect(readFileSync('/proc/sys/kernel/pid_max', 'utf8')).toBe(machine);
  });

  onEach('a limit that locks the operator out is taken back', async (suite) => {
    const alice = operator(suite, 'alice', password);
    const before = await alice.state();
    // Forced: the planner refuses it.
    const plan = await alice.plan('users:', '  alice:', '    value: 1', '    force: true');
    const result = await alice.apply(plan, { deadManSeconds: 20 });
    expect(result).toMatchObject({ kind: 'restored', step: 'commit', reason: 'not-confirmed' });
    expect(await alice.state()).toEqual(before);
    expect((await alice.snapshot()).probe.user).toBe('root');
  });

  onEach('the dead man brings the host back by itself', async (suite) => {
    const bob = operator(suite);
    const alice = operator(suite, 'alice', password);
    const before = await bob.state();
    const plan = await alice.plan('users:', '  alice:', '    value: 1', '    force: true');
    // A controller that is gone after the first answer.
    const gone = new AbortController();
    let connections = 0;
    const result = await alice.apply(plan, {
      deadManSeconds: 10,
      connect: () => {
        connections++;
        if (connections === 1) return alice.connect();
        gone.abort();
        const target = 'alice';
        return Promise.resolve({ ok: false, error: { kind: 'unreachable', target, message: 'gone' } });
      },
      signal: gone.signal,
    });
    // It takes back what it can over the connection that is still there; here not even that.
    expect(['restored', 'unknown']).toContain(result.kind);
    for (let i = 0; i < 60 && (await bob.state()).join() !== before.join(); i++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(await bob.state()).toEqual(before);
    const transport = await alice.login();
    await transport.close();
  });
});
