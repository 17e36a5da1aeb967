import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { SETFATTR, toolMissing } from '../../tools.ts';
import { makeChange, makePlan, plannedFile, RELOAD, writeStep } from './plans.ts';
import type { PrivateHost } from './private-host.ts';
import {
  applyScript,
  atStep,
  CI,
  killedAt,
  makeHost,
  NGINX,
  powerCut,
  RUN,
  RUN_DIR,
  runOn,
  saved,
  standardPlan,
  template,
  timerFires,
  USERS,
} from './scenario.ts';
import { isInstalled, SHELLS } from './shells.ts';

/** Mounts of its own are for root alone. */
const root = process.getuid?.() === 0;

const noAttributes = root ? toolMissing(SETFATTR) : null;

const hosts: PrivateHost[] = [];
function host(shell?: readonly string[]): PrivateHost {
  const made = makeHost(shell);
  hosts.push(made);
  return made;
}
afterEach(() => {
  for (const made of hosts.splice(0)) made.dispose();
});

const userSlice = '/sys/fs/cgroup/pids/user.slice/user-1000.slice/pids.max';
const nginxService = '/sys/fs/cgroup/pids/system.slice/nginx.service/pids.max';

/** A tree without what every script does: it leaves the limits of its login session, and talks to systemctl. */
function lasting(tree: string[]): string[] {
  return tree.filter((line) => !/init\.scope\/cgroup\.procs|run\/fake\/log/.test(line));
}

/** The state file's words. */
function states(on: PrivateHost, run = RUN): string[] {
  return on.read(`/var/lib/tasksctl/runs/${run}/state`).trim().split('\n');
}

describe.skipIf(!root).each(SHELLS)('the transaction under $shell', ({ shell }) => {
  it('replaces, adds and removes files, activates, reads back, and leaves nothing else', async () => {
    const on = host([...shell, '-s']);
    const report = await runOn(on, applyScript(standardPlan()));
    expect(report.stderr).toBe('');
    expect(report.code).toBe(0);
    expect(report.end).toEqual({ kind: 'applied' });
    expect(report.verdicts.map(({ change, state, enforced }) => [change, state, enforced])).toEqual([
      [1, 'enforced', 1],
      [2, 'enforced', 1],
      [3, 'enforced', 1],
    ]);
    expect(report.verdicts[1]?.readings).toEqual([{ unit: 'nginx.service', manager: '9000', live: '9000' }]);
    expect(report.before.get('nginx.service')).toBe('4915');
    expect([on.read(userSlice), on.read(nginxService)]).toEqual(['20000\n', '9000\n']);
    expect(on.tree('/etc/systemd/system')).toEqual([
      'ci.service.d/ 755 0:0',
      'nginx.service.d/ 755 0:0',
      'nginx.service.d/10-limits.conf 640 0:0 # by hand, keep\r\n[Service]\nTasksMax=9000\n\xff',
      'user-.slice.d/ 755 0:0',
      "user-.slice.d/60-tasksctl.conf 644 0:0 # tasksctl's\n[Slice]\nTasksMax=20000\n",
    ]);
    expect(on.list('/run/tasksctl')).toEqual(['lock']);
    expect(on.list('/run/tasksctl/lock')).toEqual([]);
    expect(on.read('/run/fake/log')).toContain(`stop tasksctl-guard-${RUN}.timer`);
    expect(states(on)).toEqual(['prepared', 'replacing', 'applied', 'closed']);
    expect(on.tree('/var/lib')).toContainEqual('tasksctl/ 700 0:0');
    expect(JSON.parse(on.read(`${RUN_DIR}/plan.json`))).toEqual(standardPlan());
  });

  it('rolls back to the same bytes, once', async () => {
    const on = host([...shell, '-s']);
    const before = on.tree('/etc');
    await runOn(on, applyScript(standardPlan()));
    const back = await runOn(on, saved('rollback'));
    expect(back.stderr).toBe('');
    expect(back.end).toEqual({ kind: 'rolled-back' });
    expect(back.problems).toEqual([]);
    expect(on.tree('/etc')).toEqual(before);
    expect([on.read(userSlice), on.read(nginxService)]).toEqual(['10813\n', '4915\n']);
    expect(states(on).slice(-2)).toEqual(['rolling-back', 'rolled-back']);
    expect((await runOn(on, saved('rollback'))).end).toEqual({ kind: 'unchanged' });
    expect(on.tree('/etc')).toEqual(before);
  });

  it('does nothing the second time', async () => {
    const on = host([...shell, '-s']);
    await runOn(on, applyScript(standardPlan()));
    const after = on.tree('/');
    const again = await runOn(on, applyScript(standardPlan(), { run: '20261122T201600Z-0001' }), {
      run: '20261122T201600Z-0001',
    });
    expect(again.end).toEqual({ kind: 'unchanged' });
    expect(again.verdicts.map(({ state }) => state)).toEqual(['enforced', 'enforced', 'enforced']);
    expect(lasting(on.tree('/'))).toEqual(lasting(after));
  });

  it('checks without writing', async () => {
    const on = host([...shell, '-s']);
    const before = on.tree('/');
    const report = await runOn(on, applyScript(standardPlan(), { mode: 'check' }));
    expect(report.stderr).toBe('');
    expect(report.end).toEqual({ kind: 'checked' });
    expect(lasting(on.tree('/'))).toEqual(lasting(before));
  });

  it('waits for confirmation and goes on by a second script', async () => {
    const on = host([...shell, '-s']);
    const report = await runOn(on, applyScript(standardPlan(), { deadMan: true }));
    expect(report.end).toMatchObject({ kind: 'awaiting' });
    expect(on.read('/run/fake/timer')).toBe(`60 /bin/sh ${RUN_DIR}/transaction.sh recover timer\n`);
    const confirmed = await runOn(on, saved('confirm'));
    expect(confirmed.end).toEqual({ kind: 'applied' });
    expect(states(on)).toEqual(['prepared', 'replacing', 'awaiting', 'applied', 'closed']);
    expect(on.list('/etc/systemd/system')).toEqual(['ci.service.d', 'nginx.service.d', 'user-.slice.d']);
    await timerFires(on);
    expect(on.read(nginxService)).toBe('9000\n');
  });

  it('restores itself when nobody confirms', async () => {
    const on = host([...shell, '-s']);
    const before = on.tree('/etc');
    await runOn(on, applyScript(standardPlan(), { deadMan: true }));
    await timerFires(on);
    expect(on.tree('/etc')).toEqual(before);
    expect(on.read(userSlice)).toBe('10813\n');
    expect((await runOn(on, saved('confirm'))).end).toMatchObject({ kind: 'restored' });
    expect(on.tree('/etc')).toEqual(before);
  });

  it('restores itself in the same script when systemd refuses to reload', async () => {
    const on = host([...shell, '-s']);
    const before = on.tree('/etc');
    on.write('/run/fake/fail-daemon-reload', '');
    const report = await runOn(on, applyScript(standardPlan()));
    expect(report.code).toBe(6);
    expect(report.end).toMatchObject({ kind: 'restore-failed', step: 'activate', reason: 'activation' });
    expect(on.tree('/etc').filter((line) => !/generators/.test(line))).toEqual(before);
    on.remove('/run/fake/fail-daemon-reload');
    // The next run ends it first.
    const next = await runOn(on, applyScript(standardPlan(), { run: '20261122T201600Z-0001' }), {
      run: '20261122T201600Z-0001',
    });
    expect(next.unfinished).toEqual([{ run: RUN, state: 'restoring' }]);
    expect(next.end).toEqual({ kind: 'applied' });
  });
});

describe.skipIf(!root)('a killed transaction', () => {
  const boundaries = [...template.matchAll(/^ {2}step ([a-z-]+)$/gm)].map((match) => match[1] ?? '');
  const steps = [...new Set(boundaries)].filter((step) => !['restore', 'recover'].includes(step));
  const ways = ['boot', 'timer', 'next apply', 'rollback'] as const;

  /** Old or new, by what the run itself recorded, and nothing of ours beside it; then the next run goes through. */
  async function expectWhole(on: PrivateHost, old: string[], way: (typeof ways)[number]): Promise<void> {
    const recorded = on.exists(`${RUN_DIR}/state`) ? states(on) : [];
    const committed = recorded.includes('applied') && way !== 'rollback';
    // Killed before anything could be replaced and before timer or boot were armed: what was staged waits for the next run.
    const unarmed =
      recorded.length < 2 &&
      (way === 'timer' || (way === 'boot' && !on.exists('/etc/systemd/system-generators/tasksctl-recover')));
    const settled = (files: string[]) =>
      unarmed ? files.filter((line) => !/\.tasksctl-|generators/.test(line)) : files;
    if (way === 'boot') await powerCut(on);
    if (way === 'timer') await timerFires(on);
    if (way === 'rollback' && recorded.length > 0) await runOn(on, saved('rollback'));
    if (way === 'next apply') await nextRun(on);
    const files = on.tree('/etc');
    if (committed) {
      expect(files).toContainEqual(expect.stringContaining('TasksMax=9000'));
      expect(files).toContainEqual(expect.stringContaining('TasksMax=20000'));
      expect(files.filter((line) => /90-old|\.tasksctl-|generators/.test(line))).toEqual([]);
    } else {
      expect(settled(files)).toEqual(settled(old));
      expect([on.read(nginxService), on.read(userSlice)]).toEqual(['4915\n', '10813\n']);
    }
    await nextRun(on);
    if (!committed) expect(on.tree('/etc')).toEqual(old);
    if (on.exists(`${RUN_DIR}/state`)) {
      expect(['closed', 'restored', 'rolled-back']).toContain(states(on).at(-1));
    }
    expect(on.list('/run/tasksctl')).toEqual(['lock']);
    expect(on.list('/run/tasksctl/lock')).toEqual([]);
  }

  /** It refuses, for the file it expects is not there; what was unfinished is finished all the same. */
  async function nextRun(on: PrivateHost): Promise<void> {
    const run = '20261122T201600Z-0001';
    const plan = makePlan([plannedFile('/etc/systemd/system/x.slice.d/1.conf', 'x', '# y')], [], {
      preconditions: { bootId: null, systemdVersion: 252 },
    });
    expect((await runOn(on, applyScript(plan, { run }), { run })).end).toMatchObject({ reason: 'drift' });
  }

  it.each(
    steps.map((step, i) => [step, ways[i % ways.length] ?? 'boot'] as const),
  )('at step %s leaves the old or the new state after: %s', async (step, way) => {
    const on = host();
    const old = on.tree('/etc');
    const report = await runOn(on, atStep(applyScript(standardPlan()), step, 'kill -9 $$'));
    expect([report.signal, report.step]).toEqual(['SIGKILL', step]);
    await expectWhole(on, old, way);
  });

  // Every command, on demand: TASKSCTL_KILL_STRIDE=1 takes some twenty minutes.
  const bash = isInstalled('bash');
  const stride = Number(process.env['TASKSCTL_KILL_STRIDE'] ?? 67);
  const places = Array.from({ length: Math.ceil(1150 / stride) }, (_, i) => 1 + i * stride);
  it.skipIf(!bash).each(places)(
    'at command %i leaves the old or the new state',
    { timeout: 20_000 },
    async (place) => {
      const on = host(['bash', '--posix', '-s']);
      const old = on.tree('/etc');
      await runOn(on, killedAt(applyScript(standardPlan()), place));
      await expectWhole(on, old, ways[Math.floor(place / stride) % ways.length] ?? 'boot');
    },
  );

  it.skipIf(!bash).each(places.filter((_, i) => i % 4 === 0))(
    'and its recovery killed at command %i is taken up again',
    { timeout: 20_000 },
    async (place) => {
      const on = host(['bash', '--posix', '-s']);
      const old = on.tree('/etc');
      await runOn(on, atStep(applyScript(standardPlan()), 'read-back', 'kill -9 $$'));
      expect(states(on).at(-1)).toBe('replacing');
      const program = on.read(`${RUN_DIR}/transaction.sh`).replace('main "$@"', 'main recover now');
      await runOn(on, killedAt(program, place));
      await expectWhole(on, old, 'boot');
    },
  );
});

describe.skipIf(!root || noAttributes !== null)('what a file has besides its bytes', () => {
  /** An access list of uid 1000 and an attribute of somebody's, with an owner who is not root. */
  const ACL = '0x0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000000ffffffff';
  const MARK = `setfattr -n user.mark -v mine ${NGINX}; setfattr -n system.posix_acl_access -v ${ACL} ${NGINX}; chown 1000:1001 ${NGINX}`;

  async function attributes(on: PrivateHost): Promise<string> {
    const { stdout } = await on.run(
      `stat -c '%a %u:%g' ${NGINX}; getfattr --absolute-names -d -m - ${NGINX}`,
    );
    return stdout.toString();
  }

  async function marked(): Promise<{ on: PrivateHost; plan: ReturnType<typeof standardPlan>; had: string }> {
    const on = host();
    await on.run(MARK);
    const had = await attributes(on);
    expect(had).toMatch(/^660 1000:1001\n.*posix_acl_access=.*user\.mark="mine"/s);
    const plan = standardPlan();
    const files = plan.files.map((file) =>
      file.path === NGINX && file.before !== null && file.after !== null
        ? {
            ...file,
            before: { ...file.before, mode: 0o660, uid: 1000, gid: 1001 },
            after: { ...file.after, mode: 0o660 },
          }
        : file,
    );
    return { on, plan: { ...plan, files }, had };
  }

  it('is kept when it is replaced, and rolled back', async () => {
    const { on, plan, had } = await marked();
    expect((await runOn(on, applyScript(plan))).end).toEqual({ kind: 'applied' });
    expect(on.read(NGINX)).toContain('TasksMax=9000');
    expect(await attributes(on)).toBe(had);
    expect((await runOn(on, saved('rollback'))).end).toEqual({ kind: 'rolled-back' });
    expect(on.read(NGINX)).toContain('TasksMax=4915');
    expect(await attributes(on)).toBe(had);
  });

  it('is the context that the policy of SELinux gives, for what is new; what is replaced keeps its own', async () => {
    const on = host();
    on.write(
      '/bin-local/sbin/restorecon',
      '#!/bin/sh\nshift\nprintf "%s\\n" "$@" >>/run/fake/restorecon\n',
      0o755,
    );
    expect((await runOn(on, applyScript(standardPlan()))).end).toEqual({ kind: 'applied' });
    expect(on.read('/run/fake/restorecon').trim().split('\n').sort()).toEqual([
      '/etc/systemd/system-generators',
      '/etc/systemd/system-generators/tasksctl-recover',
      '/etc/systemd/system/user-.slice.d',
      USERS,
    ]);
  });

  it('is kept when it is restored in the same script', async () => {
    const { on, plan, had } = await marked();
    on.write('/run/fake/fail-daemon-reload', '');
    const report = await runOn(on, applyScript(plan));
    expect(report.end).toMatchObject({ reason: 'activation' });
    expect(on.read(NGINX)).toContain('TasksMax=4915');
    expect(await attributes(on)).toBe(had);
  });
});

describe.skipIf(!root)('what is refused, with nothing written', () => {
  it.each([
    ['another content', (on: PrivateHost) => on.write(NGINX, 'other\n', 0o640), 'drift'],
    ['another mode', (on: PrivateHost) => on.write(CI, on.read(CI), 0o600), 'drift'],
    ['a file where there was none', (on: PrivateHost) => on.write(USERS, 'x\n'), 'drift'],
    ['no file where there was one', (on: PrivateHost) => on.remove(CI), 'drift'],
    ['a new boot', (on: PrivateHost) => on.setBootId('33333333-3333-4333-8333-333333333333'), 'rebooted'],
    ['no systemd', (on: PrivateHost) => on.remove('/run/systemd/system'), 'systemd-not-running'],
    ['NixOS', (on: PrivateHost) => on.write('/etc/NIXOS', ''), 'image-based'],
    ['ostree', (on: PrivateHost) => on.write('/run/ostree-booted', ''), 'image-based'],
    ['Flatcar', (on: PrivateHost) => on.write('/etc/os-release', 'NAME=x\nID=flatcar\n'), 'image-based'],
    ['no timer', (on: PrivateHost) => on.write('/run/fake/fail-systemd-run', ''), 'no-timer'],
  ])('%s', async (_what, prepare, reason) => {
    const on = host();
    prepare(on);
    const before = on.tree('/etc');
    const report = await runOn(on, applyScript(standardPlan()));
    expect(report.code).toBe(4);
    expect(report.end).toMatchObject({ kind: 'refused', reason });
    expect(on.tree('/etc')).toEqual(before);
    expect(on.tree('/var')).toEqual(['lib/ 755 0:0']);
    if (reason !== 'no-timer') {
      const check = await runOn(on, applyScript(standardPlan(), { mode: 'check' }));
      expect(check.end).toMatchObject({ kind: 'refused', reason });
    }
  });

  it('a file systemd-analyze complains about', async () => {
    const on = host();
    const before = on.tree('/');
    const etc = on.tree('/etc');
    const plan = makePlan(
      [plannedFile(USERS, null, '[Slice]\nTasksMax=banana\n')],
      [makeChange({ kind: 'user-default' }, '20000', { files: [USERS] })],
    );
    for (const mode of ['check', 'apply'] as const) {
      const { end } = await runOn(on, applyScript(plan, { mode }));
      expect(end).toMatchObject({ kind: 'refused', step: 'syntax', reason: 'parse-warning' });
      expect(end).toHaveProperty(
        'detail',
        expect.stringContaining(`${USERS}:2: Maximum tasks value 'banana'`),
      );
      if (mode === 'check') expect(lasting(on.tree('/'))).toEqual(lasting(before));
    }
    expect(on.tree('/etc')).toEqual(etc);
    expect(on.list('/run')).toEqual(['fake', 'systemd', 'tasksctl']);
  });

  it('another systemd than the plan was made for', async () => {
    const plan = standardPlan({ preconditions: { bootId: null, systemdVersion: 257 } });
    expect((await runOn(host(), applyScript(plan))).end).toMatchObject({ reason: 'systemd-version' });
  });

  it('drift comes with what is there now', async () => {
    const on = host();
    const now = Buffer.from('[Service]\nTasksMax=7\n\0\xfe', 'latin1');
    on.write(NGINX, now, 0o640);
    const report = await runOn(on, applyScript(standardPlan()));
    const hash = createHash('sha256').update(now).digest('hex');
    expect(report.drifts).toEqual([{ file: 2, found: `${hash}:640:0:0`, content: now }]);
  });

  it('a link that leads out of its directory, but not one that stays in it', async () => {
    const on = host();
    await on.run(`mkdir /etc/elsewhere; cd ${'/etc/systemd/system'}; ln -s /etc/elsewhere user-.slice.d`);
    expect((await runOn(on, applyScript(standardPlan()))).end).toMatchObject({
      reason: 'symlink',
      detail: '/etc/systemd/system/user-.slice.d',
    });
    await on.run('cd /etc/systemd/system; rm user-.slice.d; mkdir real.d; ln -s real.d user-.slice.d');
    expect((await runOn(on, applyScript(standardPlan()))).end).toEqual({ kind: 'applied' });
    expect(on.read('/etc/systemd/system/real.d/60-tasksctl.conf')).toContain('20000');
  });

  it('a link in the place of the file', async () => {
    const on = host();
    await on.run(`mv ${NGINX} /etc/kept; ln -s /etc/kept ${NGINX}`);
    const report = await runOn(on, applyScript(standardPlan()));
    expect(report.end).toMatchObject({ reason: 'drift' });
    expect(report.drifts).toEqual([{ file: 2, found: 'a symbolic link', content: null }]);
  });

  it('a read-only file system', async () => {
    const on = host();
    const before = 'mount --bind etc etc; mount -o remount,bind,ro etc';
    for (const mode of ['check', 'apply'] as const) {
      const report = await runOn(on, applyScript(standardPlan(), { mode }), { before });
      expect(report.end).toMatchObject({ kind: 'refused', reason: 'read-only' });
    }
  });

  it.each(['etc/systemd', 'var/lib'])('a file system without room at %s', async (at) => {
    const on = host();
    const before = `mkdir -p tmp/small; mount -t tmpfs -o size=300k small tmp/small; cp -a ${at}/. tmp/small; mount --move tmp/small ${at}`;
    const report = await runOn(on, applyScript(standardPlan()), { before });
    expect(report.end).toMatchObject({ kind: 'refused', reason: 'no-space' });
  });
});

describe.skipIf(!root)('a disk that fills up in the middle', () => {
  // The check saw room; from the given step on there is none, neither for files nor for the record. What has been
  // staged by then needs no more: renames and a few bytes of the record fit in blocks there are.
  it.each([
    ['backup', 'refused'],
    ['arm', 'refused'],
    ['stage', 'refused'],
    ['replace', 'applied'],
    ['commit', 'applied'],
  ])('from step %s on: %s, and the next run succeeds', { timeout: 30_000 }, async (step, end) => {
    const on = host();
    const old = on.tree('/etc');
    const fill = `for at in /etc /var/lib; do
  cat /dev/zero >$at/fill; sync
  i=0; while head -c 1024 /dev/zero >$at/fill$i && sync $at/fill$i; do i=$((i+1)); done
done 2>/dev/null`;
    // File systems in images, for the private host's mounts last as long as one script.
    const before = ['etc', 'var/lib']
      .map(
        (at, i) =>
          `[ -e img${i} ] || { truncate -s 4M img${i}; mkfs.ext4 -q -O ^has_journal -m 0 -d ${at} img${i}; }; mount -o loop img${i} ${at}`,
      )
      .join('\n');
    const report = await runOn(on, atStep(applyScript(standardPlan()), step, fill), { before });
    expect(report.end).toMatchObject({ kind: end, ...(end === 'refused' ? { reason: 'no-space' } : {}) });
    expect(report.problems).toEqual([]);
    await on.run('rm -rf /etc/fill* /var/lib/fill* /etc/lost+found; cp -a /etc /etc-now', { before });
    if (end === 'refused') expect(on.tree('/etc-now')).toEqual(old);
    else expect(on.tree('/etc-now')).toContainEqual(expect.stringContaining('TasksMax=9000'));
    const run = '20261122T201600Z-0001';
    expect((await runOn(on, applyScript(standardPlan(), { run }), { run, before })).end).toEqual({
      kind: end === 'refused' ? 'applied' : 'unchanged',
    });
  });
});

describe.skipIf(!root)('what is off after the replacing', () => {
  async function expectRestored(on: PrivateHost, script: string, reason: string): Promise<string> {
    const before = on.tree('/etc');
    const report = await runOn(on, script);
    expect(report.end).toMatchObject({ kind: 'restored', reason });
    expect(report.code).toBe(5);
    expect(on.tree('/etc')).toEqual(before);
    expect([on.read(userSlice), on.read(nginxService)]).toEqual(['10813\n', '4915\n']);
    expect(states(on).slice(-2)).toEqual(['restoring', 'restored']);
    return report.end?.kind === 'restored' ? report.end.detail : '';
  }

  it('a value systemd does not take', async () => {
    const on = host();
    const plan = standardPlan();
    const [users, nginx] = plan.changes;
    if (users === undefined || nginx === undefined) throw new Error('no changes');
    const script = applyScript({
      ...plan,
      changes: [users, { ...nginx, to: { text: '9001', count: '9001' } }],
    });
    const detail = await expectRestored(on, script, 'not-enforced');
    expect(detail).toBe('nginx.service: systemd says 9000, not 9001');
  });

  it('a value the kernel does not have although the plan promised it', async () => {
    const on = host();
    on.write('/run/fake/lazy', '');
    const detail = await expectRestored(on, applyScript(standardPlan()), 'not-enforced');
    expect(detail).toBe('nginx.service: the kernel enforces 4915, not 9000');
  });

  it('a complaint in the journal about a file of ours', async () => {
    const on = host();
    on.write('/run/fake/journal', `${USERS}:2: Invalid TasksMax=, ignoring: banana\n`);
    await expectRestored(on, applyScript(standardPlan()), 'parse-warning');
  });

  it('but old complaints about a file that was there before are only told', async () => {
    const on = host();
    on.write('/run/fake/journal', `${NGINX}:4: Unknown key name\n/etc/systemd/system/other.conf:1: x\n`);
    const report = await runOn(on, applyScript(standardPlan()));
    expect(report.end).toEqual({ kind: 'applied' });
    expect(report.notes).toEqual([`${NGINX}:4: Unknown key name`]);
  });

  it('a command that fails', async () => {
    const on = host();
    const plan = standardPlan();
    const restart = {
      why: '',
      command: { kind: 'argv' as const, argv: ['systemctl', 'restart', 'nginx.service'] },
    };
    on.write('/run/fake/fail-restart', '');
    const changes = plan.changes.map((change) => ({
      ...change,
      activation: { ...change.activation, steps: [RELOAD, restart] },
    }));
    const before = on.tree('/etc');
    const report = await runOn(on, applyScript({ ...plan, changes }));
    expect(report.end).toMatchObject({ step: 'activate', reason: 'activation' });
    expect(report.end).toHaveProperty('detail', expect.stringContaining('systemctl restart nginx.service'));
    // It fails on the way back too: the run stays open, its files are the old ones.
    expect(report.end?.kind).toBe('restore-failed');
    expect(on.tree('/etc').filter((line) => !/generators/.test(line))).toEqual(before);
  });

  it('a signal', async () => {
    const on = host();
    const script = atStep(applyScript(standardPlan()), 'read-back', 'kill -TERM $$');
    const before = on.tree('/etc');
    expect((await runOn(on, script)).end).toMatchObject({ kind: 'restored', reason: 'signal' });
    expect(on.tree('/etc')).toEqual(before);
  });
});

describe.skipIf(!root)('values of the kernel', () => {
  it('bridges what a reload leaves alone, and brings it back', async () => {
    const on = host();
    on.write('/run/fake/lazy', '');
    const steps = [RELOAD, writeStep(userSlice.slice(0), '20000')].map((step) => step);
    const path = '/sys/fs/cgroup/pids/user.slice/user-1000.slice/pids.max';
    const plan = makePlan(
      [plannedFile(USERS, null, '[Slice]\nTasksMax=20000\n')],
      [makeChange({ kind: 'user-default' }, '20000', { files: [USERS], steps, when: 'live' })],
    );
    expect((await runOn(on, applyScript(plan))).verdicts[0]).toMatchObject({
      state: 'enforced',
      enforced: 1,
    });
    expect(on.read(path)).toBe('20000\n');
    expect((await runOn(on, saved('rollback'))).end).toEqual({ kind: 'rolled-back' });
    expect(on.read(path)).toBe('10813\n');
  });

  it('tells who is still under the old limit where the plan promised nothing', async () => {
    const on = host();
    on.write('/run/fake/lazy', '');
    const plan = makePlan(
      [plannedFile(USERS, null, '[Slice]\nTasksMax=20000\n')],
      [makeChange({ kind: 'user-default' }, '20000', { files: [USERS], when: 'next-login' })],
    );
    const report = await runOn(on, applyScript(plan));
    expect(report.end).toEqual({ kind: 'applied' });
    expect(report.verdicts).toMatchObject([
      { state: 'pending', until: 'next-login', waiting: ['user-1000.slice'] },
    ]);
  });

  it('sets a bare cgroup and puts it back when something else fails', async () => {
    const on = host();
    const path = '/sys/fs/cgroup/pids/docker/abc/pids.max';
    on.write(path, 'max\n');
    const change = makeChange({ kind: 'cgroup', path: '/docker/abc' }, '500', {
      from: 'infinity',
      steps: [writeStep(path, '500')],
      when: 'live',
    });
    expect((await runOn(on, applyScript(makePlan([], [change])))).end).toEqual({ kind: 'applied' });
    expect(on.read(path)).toBe('500\n');
    expect((await runOn(on, saved('rollback'))).end).toEqual({ kind: 'rolled-back' });
    expect(on.read(path)).toBe('max\n');
  });

  it('sets a sysctl by its file', async () => {
    const on = host();
    const conf = '/etc/sysctl.d/60-tasksctl.conf';
    on.write(
      '/bin-local/sbin/sysctl',
      '#!/bin/sh\nsed -n "s/^kernel.pid_max *= *//p" "$2" >/proc/sys/kernel/pid_max\n',
    );
    await on.run('chmod 755 /usr/local/sbin/sysctl');
    const step = { why: '', command: { kind: 'argv' as const, argv: ['sysctl', '-p', conf] } };
    const plan = makePlan(
      [plannedFile(conf, null, 'kernel.pid_max = 99999\n')],
      [
        makeChange({ kind: 'sysctl', name: 'kernel.pid_max' }, '99999', {
          from: '4194304',
          files: [conf],
          steps: [step],
          when: 'live',
        }),
      ],
    );
    expect((await runOn(on, applyScript(plan))).verdicts[0]).toMatchObject({ state: 'enforced' });
    expect(on.read('/pid_max')).toBe('99999\n');
    await runOn(on, saved('rollback'));
    expect(on.read('/pid_max')).toBe('4194304\n');
    expect(on.list('/etc/sysctl.d')).toEqual([]);
  });

  it('undoes what set-property wrote', async () => {
    const on = host();
    const dropIn = '/run/systemd/system.control/user-1000.slice.d/50-TasksMax.conf';
    on.write(
      '/bin-local/sbin/systemctl',
      on.read('/bin-local/sbin/systemctl').replace(
        'case $1 in\n  daemon',
        `case $1 in
  set-property)
    mkdir -p "/run/systemd/system.control/$3.d"
    echo "[Slice]" >"/run/systemd/system.control/$3.d/50-TasksMax.conf"
    echo "\${4#*=}" >"/sys/fs/cgroup/pids$(cat $fake/units/$3/cgroup)/pids.max"
    ;;
  daemon`,
      ),
    );
    const step = {
      why: '',
      command: {
        kind: 'argv' as const,
        argv: ['systemctl', 'set-property', '--runtime', 'user-1000.slice', 'TasksMax=20000'],
      },
    };
    const before = on.tree('/run/systemd');
    const plan = makePlan(
      [],
      [makeChange({ kind: 'user-default' }, '20000', { steps: [step], when: 'next-login' })],
    );
    expect((await runOn(on, applyScript(plan))).end).toEqual({ kind: 'applied' });
    expect(on.exists(dropIn)).toBe(true);
    expect(on.read(userSlice)).toBe('20000\n');
    expect((await runOn(on, saved('rollback'))).end).toEqual({ kind: 'rolled-back' });
    expect(on.tree('/run/systemd')).toEqual(before);
    expect(on.read(userSlice)).toBe('10813\n');
  });
});

describe.skipIf(!root)('the lock', () => {
  it('lets one of two through', async () => {
    const on = host();
    const script = (run: string) => applyScript(standardPlan(), { run, deadMan: true });
    const ids = ['20261122T201530Z-0001', '20261122T201530Z-0002'];
    const ends = await Promise.all(ids.map(async (run) => (await runOn(on, script(run), { run })).end?.kind));
    expect(ends.sort()).toEqual(['awaiting', 'refused']);
  });

  it('is not held by the dead, nor by a process that only has the number of one', async () => {
    const on = host();
    const boot = '11111111-1111-4111-8111-111111111111';
    on.write(`/run/tasksctl/lock/1-1-${boot}`, 'x\n');
    on.write(`/run/tasksctl/lock/999999-5-${boot}`, 'x\n');
    on.write('/run/tasksctl/lock/1-0-another-boot', 'x\n');
    expect((await runOn(on, applyScript(standardPlan()))).end).toEqual({ kind: 'applied' });
    expect(on.list('/run/tasksctl/lock')).toEqual([]);
  });

  it('is respected while its owner lives', { timeout: 20_000 }, async () => {
    const on = host();
    const slow = atStep(applyScript(standardPlan()), 'space', 'sleep 7');
    let started = (): void => {};
    const locked = new Promise<void>((resolve) => {
      started = resolve;
    });
    const first = on.run(slow, {
      onStdout: (text) => (/step unfinished/.test(text) ? started() : undefined),
    });
    await locked;
    const run = '20261122T201600Z-0001';
    expect((await runOn(on, applyScript(standardPlan(), { run }), { run })).end).toMatchObject({
      kind: 'refused',
      reason: 'busy',
      detail: RUN,
    });
    expect((await first).code).toBe(0);
  });

  it('the timer takes it from a run that hangs past its deadline', { timeout: 30_000 }, async () => {
    const on = host();
    const old = on.tree('/etc');
    const hangs = atStep(applyScript(standardPlan()), 'read-back', 'sleep 1000');
    let hanging = (): void => {};
    const there = new Promise<void>((resolve) => {
      hanging = resolve;
    });
    const first = on.run(hangs, {
      onStdout: (text) => (/step read-back/.test(text) ? hanging() : undefined),
    });
    await there;
    await timerFires(on);
    expect(on.tree('/etc')).toEqual(old);
    expect(states(on).at(-1)).toBe('restored');
    // What it left waiting goes with the test.
    await on.run(
      "for p in /proc/[0-9]*; do if grep -qz '^1000$' $p/cmdline 2>/dev/null && [ $p/root -ef / ]; then kill -9 ${p#/proc/}; fi; done",
    );
    await first;
  });
});

describe.skipIf(!root)('runs on the host', () => {
  it('refuses a second run while one waits for confirmation, and takes it up once its time is over', async () => {
    const on = host();
    const before = on.tree('/etc');
    await runOn(on, applyScript(standardPlan(), { deadMan: true }));
    const run = '20261122T201600Z-0001';
    const second = await runOn(on, applyScript(standardPlan(), { run }), { run });
    expect(second.end).toMatchObject({ kind: 'refused', reason: 'awaiting' });
    expect(second.end).toHaveProperty('detail', expect.stringMatching(`^${RUN} [0-9]+$`));
    const deadline = on.read(`${RUN_DIR}/deadline`).split(' ');
    on.write(`${RUN_DIR}/deadline`, `${deadline[0]} 1\n`);
    const third = await runOn(on, applyScript(standardPlan(), { run }), { run });
    expect(third.unfinished).toEqual([{ run: RUN, state: 'awaiting' }]);
    expect(third.end).toEqual({ kind: 'applied' });
    await runOn(on, saved('rollback', run), { run });
    expect(on.tree('/etc')).toEqual(before);
  });

  it('does not roll back over what somebody changed since', async () => {
    const on = host();
    await runOn(on, applyScript(standardPlan()));
    on.write(NGINX, 'theirs\n', 0o640);
    const after = on.tree('/etc');
    const report = await runOn(on, saved('rollback'));
    expect(report.end).toMatchObject({ kind: 'refused', reason: 'drift' });
    expect(report.drifts).toMatchObject([{ file: 2, content: Buffer.from('theirs\n') }]);
    expect(on.tree('/etc')).toEqual(after);
  });

  it('leaves alone what somebody changed while it was waiting', async () => {
    const on = host();
    await runOn(on, applyScript(standardPlan(), { deadMan: true }));
    on.write(NGINX, 'theirs\n', 0o640);
    await timerFires(on);
    expect(on.read(NGINX)).toBe('theirs\n');
    expect(on.exists(USERS)).toBe(false);
    expect(states(on).at(-1)).toBe('restored');
    const { left } = await runOn(on, saved('status'));
    expect(left).toEqual([2]);
  });

  it('keeps the newest runs, none past their age, and never an open one', async () => {
    const on = host();
    const ids = Array.from(
      { length: 24 },
      (_, i) => `2026${String(10 + (i >> 1)).padStart(2, '0')}0${1 + (i % 2)}T000000Z-0000`,
    );
    for (const id of ids) on.write(`/var/lib/tasksctl/runs/${id}/state`, 'closed\n');
    on.write('/var/lib/tasksctl/runs/20200101T000000Z-0000/state', 'applied\nclo');
    on.write('/var/lib/tasksctl/runs/20200101T000000Z-0000/transaction.sh', 'exit 0\n');
    const hash = createHash('sha256').update('exit 0\n').digest('hex');
    on.write('/var/lib/tasksctl/runs/20200101T000000Z-0000/transaction.sha256', hash);
    on.write('/var/lib/tasksctl/runs/not-a-run/keep', '');
    const run = '20991122T201600Z-0001';
    await runOn(on, applyScript(standardPlan(), { run, keepSince: '20261801T000000Z-0000' }), { run });
    const left = on.list('/var/lib/tasksctl/runs');
    expect(left).toEqual([
      '20200101T000000Z-0000',
      ...ids.filter((id) => id >= '20261801').slice(-19),
      run,
      'not-a-run',
    ]);
  });
});
