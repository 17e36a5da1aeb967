import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { stepClass } from '../../../src/apply/allowed.ts';
import { makeRunId, runIdTime } from '../../../src/apply/run-id.ts';
import { runRecord } from '../../../src/apply/run-record.ts';
import { mayLockOut, transactionScript } from '../../../src/apply/transaction.ts';
import type { Change, Plan } from '../../../src/plan/plan.ts';
import { SHELLCHECK, toolMissing } from '../../tools.ts';
import { makeChange, makePlan, plannedFile, RELOAD, writeStep } from './plans.ts';
import { applyScript, NGINX, RUN, standardPlan, template, USERS } from './scenario.ts';
import { SHELLS } from './shells.ts';

function make(plan: Plan, more: { deadMan?: boolean; mode?: 'apply' | 'check' } = {}) {
  const record = runRecord(plan, { id: RUN, startedAt: new Date(0), operator: 'x' });
  const options = {
    record,
    keepSince: RUN,
    deadMan: true,
    deadManSeconds: 60,
    mode: 'apply' as const,
    ...more,
  };
  return transactionScript(plan, options, template);
}

function argv(...words: string[]) {
  return { why: '', command: { kind: 'argv' as const, argv: words } };
}

describe('the script', () => {
  it.each(SHELLS)('is good syntax for %j', ({ shell: [program = '', ...args] }) => {
    for (const mode of ['apply', 'check'] as const) {
      execFileSync(program, [...args, '-n'], { input: applyScript(standardPlan(), { mode }) });
    }
  });

  it.skipIf(toolMissing(SHELLCHECK) !== null)('passes shellcheck', { timeout: 60_000 }, () => {
    const check = (input: string) => execFileSync(SHELLCHECK, ['--shell=sh', '-'], { input });
    check(template);
    // Single quotes are what keeps data data, and functions nothing calls in one mode are called in another.
    const data = applyScript(standardPlan(), { mode: 'check' }).slice(template.length);
    execFileSync(SHELLCHECK, ['--shell=sh', '--exclude=SC2034,SC2016,SC2317,SC2329', '-'], { input: data });
  });

  it.each(SHELLS)('reads a number below /proc/sys whole under %j', ({ shell: [program = '', ...args] }) => {
    const file = '/proc/sys/kernel/threads-max';
    const script = `${template}\nread_word ${file}; echo; read_word /nowhere; read_word /proc/self/limits`;
    const said = execFileSync(program, [...args, '-s'], { input: script, encoding: 'utf8' });
    expect(said).toMatch(new RegExp(`^${readFileSync(file, 'utf8').trim()}\nLimit `));
  });

  it('is the same for the same plan', () => {
    expect(make(standardPlan())).toEqual(make(standardPlan()));
  });

  it('has no line that data of a plan could have begun', () => {
    const evil =
      "'; intruder /tmp/x; echo '\n$(intruder /tmp/x)\n`intruder /tmp/x`\nend-of-the-saved-program\n";
    const path = "/etc/systemd/system/a'$(intruder x)`b`.service.d/1.conf";
    const plan = makePlan(
      [plannedFile(path, evil, `${evil}TasksMax=1\n`)],
      [makeChange({ kind: 'user-default' }, '1')],
    );
    const made = make({ ...plan, target: evil, policy: { name: evil, sha256: '' } });
    if (made.kind !== 'script') throw new Error(made.detail);
    for (const line of made.script.split('\n')) expect(line).not.toMatch(/^[^']*intruder/);
    expect(made.script.match(/^end-of-the-saved-program$/gm)).toHaveLength(1);
    execFileSync('dash', ['-n'], { input: made.script });
  });

  it('carries contents once, and the saved copy none', () => {
    const { script } = make(standardPlan()) as { script: string };
    const program = script.slice(
      script.indexOf("<<'end-of-the-saved-program'"),
      script.indexOf('\nend-of-the-saved'),
    );
    expect(program).not.toContain('TasksMax=9000');
    expect(program).toContain('main "$@"');
  });
});

describe('a plan that may not be applied', () => {
  it.each([
    '/etc/passwd',
    '/etc/sudoers.d/x',
    '/usr/lib/systemd/system/x.service.d/1.conf',
    'etc/systemd/system/x.conf',
    '/etc/systemd/../shadow',
    '/etc/systemd/./x',
    '/etc/systemd//x',
    '/etc/systemd/',
    '/etc/systemd/a\nb',
    '/etc/sysctl.conf/x',
  ])('writes %j', (path) => {
    const plan = makePlan([plannedFile(path, null, 'x')], []);
    expect(make(plan)).toMatchObject({ kind: 'refused', reason: 'plan-unsafe' });
  });

  it('has a content its hash does not fit, one path twice, or a value that is none', () => {
    const file = plannedFile(USERS, null, '# x');
    const damaged = {
      ...file,
      after: { content: { text: 'y' }, sha256: file.after?.sha256 ?? '', mode: 0o644 },
    };
    expect(make(makePlan([damaged], []))).toMatchObject({ reason: 'plan-damaged' });
    expect(make(makePlan([file, file], []))).toMatchObject({ reason: 'plan-damaged' });
    const change = makeChange({ kind: 'user-default' }, '1');
    const text = { ...change, to: { text: '1', count: '1; reboot' } };
    expect(make(makePlan([], [text]))).toMatchObject({ reason: 'plan-damaged' });
    const unit = makeChange({ kind: 'unit', unit: '--help' }, '1');
    expect(make(makePlan([], [unit]))).toMatchObject({ reason: 'plan-unsafe' });
    const cgroup = makeChange({ kind: 'cgroup', path: '/a/../..' }, '1');
    expect(make(makePlan([], [cgroup]))).toMatchObject({ reason: 'plan-unsafe' });
  });
});

describe('steps', () => {
  it.each([
    [['systemctl', 'daemon-reload'], 'reload'],
    [['systemctl', 'daemon-reexec'], 'reload'],
    [['systemctl', 'restart', 'systemd-logind.service'], 'restart'],
    [['systemctl', 'kill', '-s', 'HUP', 'systemd-logind.service'], 'restart'],
    [['systemctl', 'kill', '--signal=HUP', 'systemd-logind.service'], 'restart'],
    [['systemctl', 'set-property', '--runtime', 'user-1000.slice', 'TasksMax=800'], 'set-property'],
    [['systemctl', 'set-property', 'user-1000.slice', 'TasksMax=infinity'], 'set-property'],
    [['sysctl', '-p', '/etc/sysctl.d/60-tasksctl.conf'], 'sysctl'],
    [['rm', '-rf', '/'], null],
    [['/bin/systemctl', 'daemon-reload'], null],
    [['systemctl'], null],
    [['systemctl', 'daemon-reload', '--root=/x'], null],
    [['systemctl', 'poweroff'], null],
    [['systemctl', 'restart'], null],
    [['systemctl', 'restart', '--root=/', 'a.service'], null],
    [['systemctl', 'kill', 'ssh.service'], null],
    [['systemctl', 'kill', '-s', 'KILL', 'ssh.service'], null],
    [['systemctl', 'kill', '--signal=KILL', 'ssh.service'], null],
    [['systemctl', 'kill', '-s', 'HUP', 'a.service', 'b.service'], null],
    [['systemctl', 'set-property', 'user-1000.slice', 'TasksMax=40%'], null],
    [['systemctl', 'set-property', 'user-1000.slice', 'CPUQuota=1%'], null],
    [['systemctl', 'set-property', 'user-1000.slice', 'TasksMax=1', 'CPUQuota=1%'], null],
    [['sysctl', '-p', '/etc/passwd'], null],
    [['sysctl', '-w', 'kernel.core_pattern=|/x'], null],
  ])('%j is %s', (words, expected) => {
    expect(stepClass({ kind: 'argv', argv: words })).toBe(expected);
  });

  it.each([
    ['/sys/fs/cgroup/pids/user.slice/pids.max', '500', 'write'],
    ['/sys/fs/cgroup/user.slice/user-1000.slice/pids.max', 'max', 'write'],
    ['/sys/fs/cgroup/user.slice/memory.max', '1', null],
    ['/sys/fs/cgroup/../../etc/pids.max', '1', null],
    ['/etc/pids.max', '1', null],
    ['/sys/fs/cgroup/a/pids.max', '-1', null],
  ])('a write to %s of %s is %s', (path, value, expected) => {
    expect(stepClass({ kind: 'write', path, value })).toBe(expected);
  });

  it('run once each, what reads files first and single values of the kernel last', () => {
    const write = writeStep('/sys/fs/cgroup/a/pids.max', '5');
    const hup = argv('systemctl', 'kill', '-s', 'HUP', 'systemd-logind.service');
    const change = (steps: Change['activation']['steps']) =>
      makeChange({ kind: 'user-default' }, '5', { steps });
    const plan = makePlan([], [change([RELOAD, write]), change([hup, RELOAD]), change([write])]);
    const { script } = make(plan) as { script: string };
    const block = /each_step\(\) \{\n([^}]*)\}/.exec(script)?.[1] ?? '';
    expect(block.trim().split('\n')).toEqual([
      `"$@" 'reload' '1' 'systemctl' 'daemon-reload'`,
      `"$@" 'restart' '2' 'systemctl' 'kill' '-s' 'HUP' 'systemd-logind.service'`,
      `"$@" 'write' '3' '/sys/fs/cgroup/a/pids.max' '5'`,
    ]);
  });
});

describe('who could be locked out', () => {
  it.each<[Change['limit'], boolean]>([
    [{ kind: 'user-default' }, true],
    [{ kind: 'manager-default', manager: 'system' }, true],
    [{ kind: 'manager-default', manager: 'user' }, false],
    [{ kind: 'sysctl', name: 'kernel.pid_max' }, true],
    [{ kind: 'cgroup', path: '/user.slice/user-0.slice/x' }, true],
    [{ kind: 'cgroup', path: '/docker/abc' }, false],
    ...['user.slice', 'system.slice', '-.slice', 'init.scope', 'user-0.slice', 'user-1000.slice'].map(
      (unit) => [{ kind: 'unit', unit }, true] as [Change['limit'], boolean],
    ),
    ...[
      'ssh.service',
      'sshd.service',
      'sshd@1.service',
      'ssh.socket',
      'user@1000.service',
      'session-3.scope',
    ].map((unit) => [{ kind: 'unit', unit }, true] as [Change['limit'], boolean]),
    ...['nginx.service', 'machine.slice', 'sshguard.service'].map(
      (unit) => [{ kind: 'unit', unit }, false] as [Change['limit'], boolean],
    ),
  ])('by a change of %j: %s', (limit, expected) => {
    expect(mayLockOut(makeChange(limit, '1'))).toBe(expected);
    const made = make(makePlan([], [makeChange(limit, '1')]));
    expect(made).toMatchObject({ confirm: expected, guardSeconds: expected ? 60 : 300 });
    expect(make(makePlan([], [makeChange(limit, '1')]), { deadMan: false })).toMatchObject({
      confirm: false,
    });
  });
});

describe('run ids', () => {
  it('sort by time and tell it', () => {
    const at = (ms: string, random: number) => makeRunId(new Date(`2026-11-22T20:15:30.${ms}Z`), random);
    expect(at('254', 0x1a)).toBe(RUN);
    expect(at('000', 7)).toBe('20261122T201530Z-0007');
    // Whatever tells them apart, the later one of a second comes later.
    expect(at('254', 0xffff) < at('255', 0)).toBe(true);
    expect(at('998', 0xffff) < at('999', 0)).toBe(true);
    expect(runIdTime(RUN).toISOString()).toBe('2026-11-22T20:15:30.000Z');
  });
});

it('a plan with a file that stays as it is leaves it out', () => {
  const same = plannedFile(NGINX, 'x\n', 'x\n');
  const { script } = make(makePlan([same], [])) as { script: string };
  expect(script).toContain('each_file() { :; }');
});
