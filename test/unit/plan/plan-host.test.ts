import { describe, expect, it } from 'vitest';
import type { Change, Plan } from '../../../src/plan/plan.ts';
import { planHost } from '../../../src/plan/plan-host.ts';
import { simulatePlan } from '../../../src/plan/simulate-plan.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import { type AHost, aHost } from '../snapshot/a-host.ts';
import { aPolicy } from './a-policy.ts';

function planOf(host: AHost, policy: string): Plan {
  return planHost(aHost(host), aPolicy(policy));
}

function only<T>(list: readonly T[]): T {
  const [first, ...more] = list;
  if (first === undefined || more.length > 0) throw new Error(`${list.length} where one was expected`);
  return first;
}

function textAt(plan: Plan, path: string): string {
  const content = plan.files.find((file) => file.path === path)?.after?.content;
  if (content === undefined || !('text' in content)) throw new Error(`no text at ${path}`);
  return content.text;
}

const commands = ({ activation }: Change) =>
  activation.steps.map(({ command }) =>
    command.kind === 'argv' ? command.argv.join(' ') : `${command.value} > ${command.path}`,
  );

const alice = { id: 'user-1000.slice', use: { current: 10, peak: 20, events: 0 } };
const SUSE = { osRelease: { ID: 'sles' }, generators: ['logind-compat-tasks-max-generator'] };

describe('UserTasksMax= that systemd no longer reads', () => {
  const MOVE = 'user-default: { value: UserTasksMax }';
  const MAIN = '/etc/systemd/logind.conf';
  const SAP = '/etc/systemd/logind.conf.d/sap.conf';
  const OURS = '/etc/systemd/system/user-.slice.d/90-tasksctl.conf';
  const host = (files: Record<string, string>, version = 252): AHost => ({ version, units: [alice], files });

  it('is moved, with nothing else changed in the files it was in', () => {
    const before = aHost(
      host({
        [MAIN]: '# ours\n[Login]\nUserTasksMax=700 \n#UserTasksMax=33%\nKillUserProcesses=yes\n',
        [SAP]: '[Login]\r\n# SAP needs it\r\nUserTasksMax=\\\r\n20000\r\n',
      }),
    );
    const plan = planHost(before, aPolicy(MOVE));
    const change = only(plan.changes);
    expect(change).toMatchObject({ limit: { kind: 'user-default' }, to: { text: '20000' } });
    expect(change.reason).toEqual([`fixed by the policy (UserTasksMax= at ${SAP}:3): 20000`]);
    expect([...change.files].sort()).toEqual([MAIN, SAP, OURS]);
    expect(textAt(plan, OURS)).toContain('[Slice]\nTasksMax=20000\n');
    expect(textAt(plan, MAIN)).toBe('# ours\n[Login]\n#UserTasksMax=33%\nKillUserProcesses=yes\n');
    expect(textAt(plan, SAP)).toBe('[Login]\r\n# SAP needs it\r\n');
    expect(plan.diagnostics.map(({ code }) => code)).not.toContain('user-tasks-max-removed');
    expect(planOf(host({ [MAIN]: '[Login]\nUserTasksMax=700\n' }), '').diagnostics).toHaveLength(1);
    const after = simulatePlan(before, plan);
    expect(planHost(after, aPolicy(MOVE))).toMatchObject({ changes: [], files: [], refused: [] });
  });

  it('is the last one systemd would have taken, also one that lowers or lifts the limit', () => {
    const to = (text: string) => planOf(host({ [MAIN]: `[Login]\n${text}\n` }), MOVE).changes[0]?.to.text;
    expect(to('UserTasksMax=500\nUserTasksMax=4K')).toBe('500');
    expect(to('UserTasksMax=infinity')).toBe('infinity');
    expect(to('UserTasksMax=50%')).toBe('50%');
    expect(to('UserTasksMax=500\nUserTasksMax=')).toBeUndefined();
    expect(to('[login]\nUserTasksMax=500')).toBeUndefined();
  });

  it('is not moved where that would be below what is in use', () => {
    const plan = planOf(host({ [MAIN]: '[Login]\nUserTasksMax=30\n' }), MOVE);
    expect(plan).toMatchObject({ changes: [], files: [] });
    expect(only(plan.refused).diagnostic.code).toBe('below-use');
  });

  it('stays in a file of the vendor', () => {
    const vendor = '/usr/lib/systemd/logind.conf.d/x.conf';
    const plan = planOf(host({ [vendor]: '[Login]\nUserTasksMax=500\n' }), MOVE);
    expect(plan.files.map(({ path }) => path)).toEqual([OURS]);
  });

  it.each([
    ['there is none', {}, 252, 'set no UserTasksMax='],
    ['systemd reads it', { [MAIN]: '[Login]\nUserTasksMax=500\n' }, 237, 'counts on this host'],
  ])('leaves the host as it is where %s', (_, files, version, why) => {
    const plan = planOf(host(files, version), MOVE);
    expect(plan).toMatchObject({ changes: [], files: [], refused: [] });
    expect(only(plan.unchanged).reason).toContain(why);
  });
});

describe('where a limit is written', () => {
  it.each([
    [
      'systemd 252',
      { version: 252 },
      '/etc/systemd/system/user-.slice.d/90-tasksctl.conf',
      '[Slice]\nTasksMax=20000\n',
    ],
    [
      "SUSE's 234",
      { version: 234, ...SUSE },
      '/etc/systemd/system/user-.slice.d/90-tasksctl.conf',
      '[Slice]\nTasksMax=20000\n',
    ],
    [
      'systemd 237',
      { version: 237 },
      '/etc/systemd/logind.conf.d/90-tasksctl.conf',
      '[Login]\nUserTasksMax=20000\n',
    ],
    [
      'systemd 228',
      { version: 228 },
      '/etc/systemd/logind.conf.d/90-tasksctl.conf',
      '[Login]\nUserTasksMax=20000\n',
    ],
  ])('for every user on %s', (_, host, path, body) => {
    const plan = planOf(host, 'user-default: { floor: 20000 }');
    expect(textAt(plan, path).endsWith(body)).toBe(true);
    expect(only(plan.changes).limit).toEqual({ kind: 'user-default' });
  });

  it.each([
    ['a.service', '/etc/systemd/system/a.service.d/90-tasksctl.conf', '[Service]'],
    ['a.socket', '/etc/systemd/system/a.socket.d/90-tasksctl.conf', '[Socket]'],
    ['user.slice', '/etc/systemd/system/user.slice.d/90-tasksctl.conf', '[Slice]'],
    ['a@b.service', '/etc/systemd/system/a@b.service.d/90-tasksctl.conf', '[Service]'],
  ])('for the unit %s', (unit, path, section) => {
    const plan = planOf(
      { units: [{ id: unit, use: { current: 1 } }] },
      `units: { ${unit}: { value: 9000 } }`,
    );
    expect(textAt(plan, path).endsWith(`${section}\nTasksMax=9000\n`)).toBe(true);
  });

  it('for units without a limit, and for the kernel', () => {
    const plan = planOf({}, 'service-default: { floor: 20000 }\nkernel: { pid_max: { floor: 65536 } }');
    expect(textAt(plan, '/etc/systemd/system.conf.d/90-tasksctl.conf')).toContain(
      '[Manager]\nDefaultTasksMax=20000\n',
    );
    expect(textAt(plan, '/etc/sysctl.d/90-tasksctl-pid-max.conf')).toMatch(/\nkernel\.pid_max = 65536\n$/);
  });

  it('is a file that says what wrote it, why, and how to undo it', () => {
    const plan = planOf({ units: [alice] }, 'user-default: { floor: 20000 }');
    expect(textAt(plan, '/etc/systemd/system/user-.slice.d/90-tasksctl.conf')).toBe(
      [
        '# Written by tasksctl. Changes of yours belong in a file of another name.',
        '# Policy test, user-.slice (every user): 33% -> 20000',
        '# Why: peak 20 of user-1000.slice',
        '# Why: 20 x 1.5 (headroom 50%) = 30, rounded up to 64',
        '# Why: floor of the policy (user-default): 20000',
        '# Undo: tasksctl rollback, or remove this file and run systemctl daemon-reload',
        '[Slice]',
        'TasksMax=20000',
        '',
      ].join('\n'),
    );
  });

  it.each([
    { version: 227, message: /systemd 227 knows no limit for every user/ },
    { version: 219, message: /systemd 219 knows no limit for every user/ },
  ])('is nowhere where systemd $version has no such limit', ({ version, message }) => {
    const plan = planOf({ version }, 'user-default: { floor: 20000 }');
    expect(plan.files).toEqual([]);
    expect(only(plan.refused).diagnostic.message).toMatch(message);
  });

  it('is the next name where a later file would win', () => {
    const files = { '/usr/lib/systemd/system/user-.slice.d/99-vendor.conf': '[Slice]\nTasksMax=100\n' };
    const plan = planOf({ files }, 'user-default: { floor: 20000 }');
    expect(only(plan.files).path).toBe('/etc/systemd/system/user-.slice.d/99-zz-tasksctl.conf');
  });

  it('is refused with file and line where nothing would win', () => {
    const files = { '/etc/systemd/system/a.service.d/zzzzz.conf': '# by hand\n[Service]\nTasksMax=100\n' };
    const plan = planOf(
      { files, units: [{ id: 'a.service', use: { current: 1 } }] },
      'units: { a.service: { floor: 9000 } }',
    );
    expect(plan.files).toEqual([]);
    expect(only(plan.refused)).toMatchObject({
      limit: { kind: 'unit', unit: 'a.service' },
      wanted: '9000',
      diagnostic: { code: 'shadowed', file: '/etc/systemd/system/a.service.d/zzzzz.conf', line: 3 },
    });
  });

  it('may not be proven where a file could not be read, which is said with the change', () => {
    const path = '/etc/systemd/system/a.service.d/secret.conf';
    const host = aHost({ units: [{ id: 'a.service', use: { current: 10 } }] });
    const secret = {
      path,
      type: 'file',
      mode: 0o600,
      uid: 0,
      gid: 0,
      size: 9,
      problem: 'unreadable',
    } as const;
    const plan = planHost(
      { ...host, files: [...host.files, secret] },
      aPolicy('units: { a.service: { value: 500 } }'),
    );
    expect(only(plan.changes).warnings).toContainEqual(
      expect.objectContaining({ code: 'file-not-available', file: path }),
    );
    expect(plan.diagnostics).toContainEqual(
      expect.objectContaining({ code: 'file-not-available', file: path }),
    );
  });

  it('is refused where somebody masked our file, and moves on where somebody made it theirs', () => {
    const path = '/etc/systemd/system/user-.slice.d/90-tasksctl.conf';
    const masked = planOf({ files: { [path]: '-> /dev/null' } }, 'user-default: { floor: 20000 }');
    expect(only(masked.refused).diagnostic).toMatchObject({ code: 'own-file-masked', file: path });
    const theirs = planOf(
      { files: { [path]: '[Slice]\nTasksMax=50\nCPUWeight=10\n' } },
      'user-default: { floor: 20000 }',
    );
    expect(only(theirs.files)).toMatchObject({
      path: '/etc/systemd/system/user-.slice.d/99-zz-tasksctl.conf',
      before: null,
    });
  });

  it('is one file for each limit: a name that no longer wins is removed', () => {
    const first = aHost({});
    const policy = aPolicy('user-default: { floor: 20000 }');
    const applied = simulatePlan(first, planHost(first, policy));
    const text = '[Slice]\nTasksMax=100\n';
    const rival = { path: '/etc/systemd/system/user-.slice.d/95-rival.conf', type: 'file' as const, text };
    const files = [...applied.files, { ...rival, mode: 0o644, uid: 0, gid: 0, size: text.length }];
    const plan = planHost({ ...applied, files }, policy);
    expect(plan.files.map(({ path, after }) => [path, after === null])).toEqual([
      ['/etc/systemd/system/user-.slice.d/90-tasksctl.conf', true],
      ['/etc/systemd/system/user-.slice.d/99-zz-tasksctl.conf', false],
    ]);
  });

  it('replaces our own file, whatever number somebody put into it', () => {
    const host = aHost({});
    const policy = aPolicy('user-default: { value: 20000 }');
    const after = simulatePlan(host, planHost(host, policy));
    const edited = after.files.map((file) =>
      file.path.includes('tasksctl')
        ? { ...file, text: file.text?.replace('=20000', '=7') ?? '', size: file.size - 4 }
        : file,
    );
    const plan = planHost({ ...after, files: edited }, policy);
    expect(only(plan.files).before?.content).toEqual({ text: expect.stringContaining('TasksMax=7\n') });
    expect(only(plan.changes)).toMatchObject({ from: { text: '7' }, to: { text: '20000' } });
  });
});

describe('users with a limit of their own', () => {
  const exception = { '/etc/systemd/system/user-1000.slice.d/50-more.conf': '[Slice]\nTasksMax=15000\n' };

  it('keep it: the file for every user goes before theirs, and a note says so', () => {
    const plan = planOf({ files: exception, units: [alice] }, 'user-default: { floor: 20000 }');
    expect(only(plan.files).path).toBe('/etc/systemd/system/user-.slice.d/20-tasksctl.conf');
    expect(plan.diagnostics).toContainEqual(
      expect.objectContaining({ code: 'user-exception', unit: 'user-1000.slice', line: 2 }),
    );
    expect(only(plan.changes).activation.affected).toEqual([]);
  });

  it('keep it also between what holds for every user and their own, however close', () => {
    const files = {
      '/etc/systemd/system/user-.slice.d/50-a.conf': '[Slice]\nTasksMax=900\n',
      '/etc/systemd/system/user-1000.slice.d/50-b.conf': '[Slice]\nTasksMax=15000\n',
    };
    const plan = planOf({ files, units: [alice] }, 'user-default: { floor: 20000 }');
    expect(only(plan.files).path).toBe('/etc/systemd/system/user-.slice.d/50-a.tasksctl.conf');
  });

  it('lose it to a policy that names them', () => {
    const plan = planOf({ files: exception, units: [alice] }, 'users: { 1000: { floor: 30000 } }');
    expect(only(plan.files).path).toBe('/etc/systemd/system/user-1000.slice.d/90-tasksctl.conf');
  });

  it('by name get a file of their own that wins over the one for every user', () => {
    const plan = planOf(
      { units: [alice], users: [{ uid: 1000, name: 'alice', linger: false }] },
      'user-default: { value: 20000 }\nusers: { alice: { value: 9000 } }',
    );
    expect(plan.files.map(({ path }) => path)).toEqual([
      '/etc/systemd/system/user-.slice.d/90-tasksctl.conf',
      '/etc/systemd/system/user-1000.slice.d/90-tasksctl.conf',
    ]);
  });

  it('get none where what every user gets is enough for them', () => {
    const plan = planOf(
      { units: [alice] },
      'user-default: { floor: 20000 }\nusers: { 1000: { floor: 15000 } }',
    );
    expect(plan.changes.map(({ title }) => title)).toEqual(['user-.slice (every user)']);
  });

  it('are not made up where the snapshot does not know the name', () => {
    const plan = planOf({}, 'users: { mallory: { floor: 9000 } }');
    expect(plan.changes).toEqual([]);
    expect(plan.diagnostics).toContainEqual(expect.objectContaining({ code: 'user-unknown' }));
  });
});

describe('how much', () => {
  const busy = (numbers: { current: number; peak?: number; events?: number }, live?: number) => ({
    files: { '/etc/systemd/system/a.service.d/a.conf': '[Service]\nTasksMax=512\n' },
    units: [{ id: 'a.service', use: numbers, ...(live === undefined ? {} : { live }) }],
  });

  it('is the peak and half of it again, rounded up, with the arithmetic shown', () => {
    const change = only(planOf(busy({ current: 300, peak: 400 }), 'units: { a.service: {} }').changes);
    expect(change.to).toEqual({ text: '640', count: '640' });
    expect(change.reason).toEqual([
      'peak 400 of a.service',
      '400 x 1.5 (headroom 50%) = 600, rounded up to 640',
    ]);
  });

  it('is never lowered for lack of need', () => {
    const plan = planOf(busy({ current: 3, peak: 4 }), 'units: { a.service: { ceiling: 100 } }');
    expect(plan.changes).toEqual([]);
    expect(only(plan.unchanged).reason).toMatch(/^512 is enough \(peak 4 of a\.service; /);
  });

  it('goes by the limit where it was reached: the measurement ends there', () => {
    const change = only(
      planOf(busy({ current: 3, peak: 512, events: 7 }), 'growth: 100%\nunits: { a.service: {} }').changes,
    );
    expect(change.reason).toEqual([
      'a.service reached its limit of 512 and 7 forks were rejected: what it would have used is not known',
      'so at least 512 x 2 (growth 100%) = 1024',
      '1024 x 1.5 (headroom 50%) = 1536',
    ]);
  });

  it('goes by rejected forks where the kernel keeps no peak, and by the same ones only once', () => {
    const host = aHost(busy({ current: 3, events: 7 }));
    const policy = aPolicy('units: { a.service: {} }');
    const plan = planHost(host, policy);
    expect(only(plan.changes).to.text).toBe('1280');
    const after = simulatePlan(host, plan);
    expect(planHost(after, policy).changes).toEqual([]);

    const forks = (count: number): Snapshot => {
      const tree = after.cgroups.tree.map((cgroup) =>
        cgroup.events === 7 ? { ...cgroup, events: count } : cgroup,
      );
      return { ...after, cgroups: { ...after.cgroups, tree } };
    };
    expect(only(planHost(forks(8), policy).changes).from.text).toBe('1280');
    // Another boot counts from zero.
    const rebooted = { ...forks(2), host: { ...after.host, bootId: '8d6b4c4e-0000-4000-8000-000000000002' } };
    expect(only(planHost(rebooted, policy).changes).from.text).toBe('1280');
  });

  it('does not blame a limit for what its ancestor rejected', () => {
    const host: AHost = {
      files: { '/etc/systemd/system/system.slice.d/a.conf': '[Slice]\nTasksMax=100\n' },
      units: [
        { id: 'system.slice', use: { current: 50 } },
        { id: 'a.service', use: { current: 40, events: 5 } },
      ],
    };
    expect(planOf(host, 'units: { a.service: {} }').changes).toEqual([]);
    expect(only(planOf(host, 'units: { system.slice: {} }').changes).title).toBe('system.slice');
  });

  it('is at least the floor and at most the ceiling, in percent of what the host can have', () => {
    const host = busy({ current: 300, peak: 400 });
    expect(only(planOf(host, 'units: { a.service: { floor: 10% } }').changes).to.text).toBe('3276');
    expect(only(planOf(host, 'units: { a.service: { ceiling: 600 } }').changes).to.text).toBe('600');
  });

  it('is refused where the ceiling is below use', () => {
    const plan = planOf(busy({ current: 500, peak: 600 }, 4000), 'units: { a.service: { ceiling: 520 } }');
    expect(only(plan.refused).diagnostic).toMatchObject({
      code: 'below-use',
      help: expect.stringContaining('600'),
    });
  });

  it('is exactly the value, up or down', () => {
    const host = busy({ current: 30, peak: 40 });
    expect(only(planOf(host, 'units: { a.service: { value: 100 } }').changes).to.text).toBe('100');
    expect(only(planOf(host, 'units: { a.service: { value: 9000 } }').changes).to.text).toBe('9000');
    expect(planOf(host, 'units: { a.service: { value: 512 } }').changes).toEqual([]);
  });

  it('is a percentage as it stands where systemd keeps it one, else the number', () => {
    const policy = 'user-default: { value: 50% }';
    expect(only(planOf({ version: 252 }, policy).changes).to).toEqual({ text: '50%', count: '16383' });
    const old = only(planOf({ version: 241 }, policy).changes);
    expect(old.to).toEqual({ text: '16383', count: '16383' });
    expect(old.reason.join()).toContain('when it reads the file');
    expect(only(planOf({ version: 228 }, policy).changes).to.text).toBe('16384');
  });

  it('is all Linux can have where logind knows no word for no limit', () => {
    const change = only(planOf({ version: 229 }, 'user-default: { value: infinity }').changes);
    expect(change.to.text).toBe('4194304');
    expect(
      only(planOf({ version: 252 }, 'user-default: { value: infinity }').changes).warnings,
    ).toContainEqual(expect.objectContaining({ code: 'no-limit' }));
  });
});

describe('never below use', () => {
  it('refuses a value under what is in use, and does what is forced by name', () => {
    const host = { units: [{ id: 'a.service', use: { current: 300, peak: 900 } }] };
    const plan = planOf(host, 'units: { a.service: { value: 500 } }');
    expect(only(plan.refused)).toMatchObject({ wanted: '500', diagnostic: { code: 'below-use' } });
    expect(only(planOf(host, 'units: { a.service: { value: 500, force: true } }').changes).to.text).toBe(
      '500',
    );
  });

  it.each([
    'user-0.slice',
    'user-1000.slice',
    'ssh.service',
    'user.slice',
    'system.slice',
    'user@1000.service',
    'init.scope',
  ])('keeps room to log in under %s', (unit) => {
    const host: AHost = {
      units: [{ id: unit, use: { current: 100, peak: 120 } }],
      probe: { uid: 0, user: 'root', sudoUser: 'alice' },
      users: [{ uid: 1000, name: 'alice', linger: false }],
    };
    expect(only(planOf(host, `units: { ${unit}: { value: 150 } }`).refused).diagnostic.message).toMatch(
      /64 more/,
    );
    expect(only(planOf(host, `units: { ${unit}: { value: 184 } }`).changes).to.text).toBe('184');
  });

  it('looks at every user before it lowers what all get, root among them', () => {
    const host = { units: [alice, { id: 'user-0.slice', use: { current: 3, peak: 800 } }] };
    expect(only(planOf(host, 'user-default: { value: 850 }').refused).diagnostic.message).toContain(
      '800 tasks',
    );
  });

  it('looks at units that have a rule of their own before it lowers the default they follow', () => {
    const host = { units: [{ id: 'a.service', use: { current: 700, peak: 700 } }] };
    const policy = 'service-default: { value: 500 }\nunits: { a.service: { value: 600 } }';
    const plan = planOf(host, policy);
    expect(plan.changes).toEqual([]);
    expect(plan.refused.map(({ title }) => title).sort()).toEqual([
      'DefaultTasksMax (units without a limit of their own)',
      'a.service',
    ]);
  });
});

describe('never above the kernel', () => {
  it('caps what the kernel cannot have, and says so', () => {
    const change = only(planOf({}, 'user-default: { floor: 100000 }').changes);
    expect(change.to.text).toBe('32767');
    expect(change.reason.at(-1)).toBe(
      'the kernel can have 32767 tasks at once (kernel.pid_max 32768), so no more than that',
    );
  });

  it('brings the sysctl where the policy has a rule for it, and only the one that binds', () => {
    const plan = planOf({}, 'user-default: { floor: 50000 }\nkernel: { pid_max: {}, threads-max: {} }');
    expect(plan.changes.map(({ title, to }) => [title, to.text])).toEqual([
      ['kernel.pid_max', '50001'],
      ['user-.slice (every user)', '50000'],
    ]);
  });

  it('raises a sysctl no further than its ceiling', () => {
    const plan = planOf({}, 'user-default: { floor: 50000 }\nkernel: { pid_max: { ceiling: 40000 } }');
    expect(plan.changes.map(({ to }) => to.text)).toEqual(['40000', '39999']);
  });

  it('leaves the kernel of a container to its host', () => {
    const plan = planOf({ host: { container: true } }, 'kernel: { pid_max: { floor: 65536 } }');
    expect(only(plan.refused).diagnostic.code).toBe('container-sysctl');
  });

  it('knows that a 32-bit kernel has no more than 32768 process ids', () => {
    const plan = planOf({ host: { machine: 'armv7l' } }, 'kernel: { pid_max: { floor: 65536 } }');
    expect(plan.changes).toEqual([]);
  });

  it('refuses a sysctl that /etc/sysctl.conf would undo, with its line', () => {
    const files = { '/etc/sysctl.conf': '# x\nkernel.pid_max = 40000\n' };
    const plan = planOf({ files }, 'kernel: { pid_max: { floor: 65536 } }');
    expect(only(plan.refused).diagnostic).toMatchObject({
      code: 'shadowed',
      file: '/etc/sysctl.conf',
      line: 2,
    });
  });

  it('goes after a later file of sysctl.d', () => {
    const files = { '/usr/lib/sysctl.d/99-a.conf': 'kernel.pid_max = 40000\n' };
    const plan = planOf({ files }, 'kernel: { pid_max: { floor: 65536 } }');
    expect(only(plan.files).path).toBe('/etc/sysctl.d/99-zz-tasksctl-pid-max.conf');
  });

  it('writes a file where the kernel is right and the next boot would not be', () => {
    const files = { '/etc/sysctl.d/10-a.conf': 'kernel.pid_max = 40000\n' };
    const change = only(
      planOf({ files, kernel: { pidMax: 65_536 } }, 'kernel: { pid_max: { floor: 65536 } }').changes,
    );
    expect(change.activation.steps).toEqual([]);
    expect(change.files).toEqual(['/etc/sysctl.d/90-tasksctl-pid-max.conf']);
  });

  it('says which percentages move with it', () => {
    const change = only(planOf({}, 'kernel: { pid_max: { floor: 65536 } }').changes);
    expect(only(change.activation.affected).note).toContain(
      'DefaultTasksMax 15% is 4915 now and will be 9000',
    );
  });
});

describe('limits above', () => {
  const host: AHost = {
    files: { '/etc/systemd/system/user.slice.d/a.conf': '[Slice]\nTasksMax=1000\n' },
    units: [{ id: 'user.slice', use: { current: 20, peak: 30 } }, alice],
  };

  it('are raised as well where the policy names them', () => {
    const plan = planOf(host, 'users: { 1000: { value: 15000 } }\nunits: { user.slice: {} }');
    expect(plan.changes.map(({ title, to }) => [title, to.text])).toEqual([
      ['user-1000.slice', '15000'],
      ['user.slice', '15000'],
    ]);
    expect(plan.changes[1]?.reason).toContain('user-1000.slice below it is to have 15000');
    expect(plan.changes[0]?.warnings).toEqual([]);
  });

  it('are named in a warning where it does not', () => {
    const change = only(planOf(host, 'users: { 1000: { value: 15000 } }').changes);
    expect(change.warnings).toContainEqual(
      expect.objectContaining({
        code: 'ancestor-binds',
        unit: 'user.slice',
        message:
          'user.slice above it allows only 1000 tasks in all (/etc/systemd/system/user.slice.d/a.conf:2), so that is what binds',
      }),
    );
  });

  it('are held against the sum of what is below them', () => {
    const bob = { id: 'user-1001.slice', use: { current: 1 } };
    const change = only(
      planOf({ ...host, units: [...(host.units ?? []), bob] }, 'user-default: { value: 900 }').changes,
    );
    expect(change.warnings).toContainEqual(
      expect.objectContaining({
        code: 'overcommit',
        message: 'The limits of 2 units in user.slice add up to 1800, and it allows 1000 in all',
      }),
    );
  });
});

describe('what is only partly in force', () => {
  const files = { '/etc/systemd/system/a.service.d/a.conf': '[Service]\nTasksMax=9000\n' };

  it('files right, kernel not: steps and no files', () => {
    const units = [{ id: 'a.service', use: { current: 5 }, manager: '9000', live: 512 }];
    const change = only(
      planOf({ version: 257, files, units }, 'units: { a.service: { floor: 8000 } }').changes,
    );
    expect(change.files).toEqual([]);
    expect(change).toMatchObject({ from: { text: '512' }, to: { text: '9000' } });
    expect(change.reason.at(-1)).toBe(
      'the files say 9000 already (/etc/systemd/system/a.service.d/a.conf:2)',
    );
    expect(commands(change)).toEqual(['9000 > /sys/fs/cgroup/system.slice/a.service/pids.max']);
  });

  it('kernel right, files not: files, and systemd reads them', () => {
    const units = [{ id: 'a.service', use: { current: 5 }, live: 20_000 }];
    const change = only(planOf({ version: 257, units }, 'units: { a.service: { value: 20000 } }').changes);
    expect(change.files).toHaveLength(1);
    expect(commands(change)).toEqual(['systemctl daemon-reload']);
  });

  it('written below /run alone: it would not outlast a reboot', () => {
    const runtime = {
      '/run/systemd/system.control/a.service.d/50-TasksMax.conf': '[Service]\nTasksMax=9000\n',
    };
    const units = [{ id: 'a.service', use: { current: 5 } }];
    const change = only(planOf({ files: runtime, units }, 'units: { a.service: { floor: 8000 } }').changes);
    expect(change.files).toEqual(['/etc/systemd/system/a.service.d/90-tasksctl.conf']);
    expect(change.to.text).toBe('8000');
  });

  it('automatic rules leave alone what the kernel allows more of', () => {
    const units = [{ id: 'a.service', use: { current: 5 }, live: 20_000 }];
    const plan = planOf({ version: 257, units }, 'units: { a.service: { floor: 9000 } }');
    expect(commands(only(plan.changes))).toEqual(['systemctl daemon-reload']);
    const reloads = planOf({ version: 252, units }, 'units: { a.service: { floor: 9000 } }');
    expect(only(reloads.changes).warnings).toContainEqual(expect.objectContaining({ code: 'live-lowered' }));
  });
});

describe('units that are left', () => {
  it.each([
    ['not on the host', {}, 'units: { gone.service: { floor: 9 } }', /not on this host/],
    [
      'masked',
      { files: { '/etc/systemd/system/m.service': '-> /dev/null' }, units: [{ id: 'm.service', use: null }] },
      'units: { m.service: { floor: 9 } }',
      /masked/,
    ],
    [
      'of a session, by a pattern',
      { units: [{ id: 'session-4.scope', use: { current: 3 }, unit: { transient: true } }] },
      'units: { "*.scope": { floor: 9 } }',
      /made by a program/,
    ],
  ])('because they are %s', (_, host, policy, reason) => {
    const plan = planOf(host as AHost, policy);
    expect(plan.changes).toEqual([]);
    expect(only(plan.unchanged).reason).toMatch(reason);
  });

  it('are refused where they were asked for by name', () => {
    const units = [{ id: 'run-1.service', use: { current: 3 }, unit: { transient: true } }];
    expect(only(planOf({ units }, 'units: { run-1.service: { floor: 9 } }').refused).diagnostic.code).toBe(
      'transient-unit',
    );
    expect(only(planOf({}, 'units: { "-.slice": { value: 9000 } }').refused).diagnostic.code).toBe(
      'root-slice',
    );
  });

  it('are found by their other names', () => {
    const units = [
      { id: 'ssh.service', use: { current: 3 }, unit: { names: ['ssh.service', 'sshd.service'] } },
    ];
    expect(only(planOf({ units }, 'units: { sshd.service: { floor: 9000 } }').changes).title).toBe(
      'ssh.service',
    );
  });

  it('may be such that never ran: their files are enough', () => {
    const files = { '/etc/systemd/system/new.service': '[Service]\nExecStart=/x\n' };
    const plan = planOf({ files }, 'units: { new.service: { floor: 9000 } }');
    expect(only(plan.files).path).toBe('/etc/systemd/system/new.service.d/90-tasksctl.conf');
  });

  it('give way to an exact name, and to the first pattern that fits', () => {
    const units = [{ id: 'pg@1.service', use: { current: 3 } }];
    const policy =
      'units: { "*.service": { floor: 7000 }, "pg*": { floor: 8000 }, pg@1.service: { floor: 9000 } }';
    const right = policy.replace('"pg*"', '"pg*.service"');
    expect(only(planOf({ units }, right).changes).to.text).toBe('9000');
    expect(only(planOf({ units }, right.replace('pg@1.service:', 'x.service:')).changes).to.text).toBe(
      '7000',
    );
  });
});

describe('hosts', () => {
  it('without systemd get an empty plan that says why', () => {
    const plan = planHost({ ...aHost(), systemd: null }, aPolicy('user-default: { floor: 9000 }'));
    expect(plan.changes).toEqual([]);
    expect(only(plan.diagnostics).code).toBe('no-systemd');
  });

  it('where systemd does not run get the files and no commands', () => {
    const host = aHost();
    const systemd = host.systemd === null ? null : { ...host.systemd, running: false };
    const plan = planHost({ ...host, systemd }, aPolicy('user-default: { floor: 20000 }'));
    expect(only(plan.changes).activation.steps).toEqual([]);
    expect(plan.files).toHaveLength(1);
  });

  it('whose /etc is not to be written to, or without the controller, say so', () => {
    const host = aHost({ host: { etc: 'nixos' } });
    const plan = planHost(
      { ...host, cgroups: { ...host.cgroups, pidsRoot: null } },
      aPolicy('user-default: { floor: 20000 }'),
    );
    expect(plan.diagnostics.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['etc-not-writable', 'no-pids-controller']),
    );
  });

  it('of whose kernel nothing is known get no sysctl', () => {
    const plan = planOf({ kernel: { pidMax: null } }, 'kernel: { pid_max: { floor: 65536 } }');
    expect(only(plan.refused).diagnostic.code).toBe('kernel-limits-unknown');
  });
});
