import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RELOAD_RULES, reloadRule, stepsInOrder } from '../../../src/plan/activation.ts';
import type { Change } from '../../../src/plan/plan.ts';
import { planHost } from '../../../src/plan/plan-host.ts';
import { resolveContextOf } from '../../../src/snapshot/resolve-context.ts';
import { type AHost, aHost } from '../snapshot/a-host.ts';
import { aPolicy } from './a-policy.ts';

const SUSE = { osRelease: { ID: 'sles' }, generators: ['logind-compat-tasks-max-generator'] };
const LOGGED_IN: AHost = {
  units: [
    { id: 'user-1000.slice', use: { current: 10, peak: 20 } },
    { id: 'a.service', use: { current: 10, peak: 20 } },
    { id: 'off.service', use: null },
  ],
  users: [{ uid: 1000, name: 'alice', linger: false }],
  sessions: [{ id: '7', uid: 1000, user: 'alice', service: 'sshd', tty: 'pts/0', remoteHost: '192.0.2.1' }],
};

function changeOf(host: AHost, policy: string): Change {
  const [change, ...more] = planHost(aHost({ ...LOGGED_IN, ...host }), aPolicy(policy)).changes;
  if (change === undefined || more.length > 0) throw new Error('one change was expected');
  return change;
}

const commands = ({ activation }: Change) =>
  activation.steps.map(({ command }) =>
    command.kind === 'argv' ? command.argv.join(' ') : `${command.value} > ${command.path}`,
  );

describe('the rules', () => {
  it('cover every version once', () => {
    let next = 0;
    for (const { from, to } of RELOAD_RULES) {
      expect(from).toBe(next);
      next = to + 1;
    }
    expect(next).toBe(Number.POSITIVE_INFINITY);
  });

  it.each([
    [219, {}, 'unknown'],
    [234, {}, 'unknown'],
    [234, SUSE, 'rewrites'],
    [237, {}, 'rewrites'],
    [247, {}, 'rewrites'],
    [252, {}, 'rewrites'],
    [254, {}, 'rewrites'],
    [255, {}, 'unknown'],
    [256, {}, 'unknown'],
    [257, {}, 'leaves'],
    [258, {}, 'unknown'],
    [261, {}, 'unknown'],
    [262, {}, 'rewrites'],
    [263, {}, 'unknown'],
  ])('for systemd %i %o: daemon-reload %s', (version, host, does) => {
    const ctx = resolveContextOf(aHost({ version, ...host }));
    expect(ctx === null ? null : reloadRule(ctx.capabilities).does).toBe(does);
  });
});

describe('docs/activation.json', () => {
  interface Measured {
    hosts: Record<
      string,
      { rows: Record<string, { steps: { step: string; readings: Record<string, { live: string }> }[] }> }
    >;
  }
  const { hosts }: Measured = JSON.parse(
    readFileSync(new URL('../../../docs/activation.json', import.meta.url), 'utf8'),
  );

  it.each(Object.keys(hosts))('%s: the rule says what was measured', (key) => {
    const ctx = resolveContextOf(aHost({ version: Number.parseInt(key, 10) }));
    if (ctx === null) throw new Error('no systemd');
    const { does } = reloadRule(ctx.capabilities);
    for (const [row, unit] of [
      ['a.every-user', 'user-1000.slice'],
      ['d.default', 'trial-default.service'],
    ] as const) {
      const steps = hosts[key]?.rows[row]?.steps ?? [];
      const reloaded = steps.find(({ step }) => step === 'daemon-reload')?.readings[unit];
      expect([row, reloaded?.live]).toEqual([row, does === 'rewrites' ? 'new' : 'old']);
    }
  });
});

describe("every user's limit", () => {
  it('on 252: daemon-reload does it all', () => {
    const change = changeOf({ version: 252 }, 'user-default: { floor: 20000 }');
    expect(commands(change)).toEqual(['systemctl daemon-reload']);
    expect(change.activation).toMatchObject({
      when: 'daemon-reload',
      summary:
        'Enforced at once for 1 running unit, by daemon-reload; users who log in later have it from the start.',
      affected: [
        {
          what: 'user-1000.slice (alice: session 7 by sshd on pts/0 from 192.0.2.1)',
          note: '10813 -> 20000, nothing is restarted',
        },
      ],
      reboot: { needed: false },
    });
  });

  it('on 257: daemon-reload leaves running slices, a write to each bridges it', () => {
    const change = changeOf({ version: 257 }, 'user-default: { floor: 20000 }');
    expect(commands(change)).toEqual([
      'systemctl daemon-reload',
      '20000 > /sys/fs/cgroup/user.slice/user-1000.slice/pids.max',
    ]);
    expect(change.activation.when).toBe('live');
  });

  it.each([
    256, 258, 263,
  ])('on %i, which nobody measured: the write is there too, and the reason says that it is not known', (version) => {
    const change = changeOf({ version }, 'user-default: { floor: 20000 }');
    expect(commands(change)).toHaveLength(2);
    expect(change.activation.steps[1]?.why).toContain('not known');
  });

  it('on 262: daemon-reload does it all again', () => {
    const change = changeOf({ version: 262 }, 'user-default: { floor: 20000 }');
    expect(commands(change)).toEqual(['systemctl daemon-reload']);
  });

  it.each([
    [237, 'systemctl kill -s HUP systemd-logind.service'],
    [230, 'systemctl kill -s HUP systemd-logind.service'],
    [229, 'systemctl restart systemd-logind.service'],
  ])('on %i: logind reads its file, and running slices are told', (version, first) => {
    const change = changeOf({ version }, 'user-default: { floor: 20000 }');
    expect(commands(change)).toEqual([
      first,
      'systemctl set-property --runtime user-1000.slice TasksMax=20000',
    ]);
  });

  it("on SUSE's 234: daemon-reload does it all", () => {
    const change = changeOf({ version: 234, ...SUSE }, 'user-default: { floor: 20000 }');
    expect(commands(change)).toEqual(['systemctl daemon-reload']);
  });

  it('with nobody logged in waits for logins', () => {
    const change = changeOf({ version: 257, units: [] }, 'user-default: { floor: 20000 }');
    expect(change.activation.summary).toBe(
      'In force for users who log in later from the start; nothing it holds for runs now.',
    );
  });
});

describe('DefaultTasksMax', () => {
  it('reaches units that follow it, and no others', () => {
    const change = changeOf({ version: 257 }, 'service-default: { floor: 20000 }');
    expect(commands(change)).toEqual([
      'systemctl daemon-reload',
      '20000 > /sys/fs/cgroup/system.slice/a.service/pids.max',
    ]);
  });

  it('before 223 takes a daemon-reexec', () => {
    const rhel = { version: 219, osRelease: { ID: 'rhel', VERSION_ID: '7.9' } };
    expect(commands(changeOf(rhel, 'service-default: { value: 20000 }'))[0]).toBe('systemctl daemon-reexec');
  });
});

describe('a unit', () => {
  it('that does not run has its limit when it starts', () => {
    const change = changeOf({}, 'units: { off.service: { floor: 20000 } }');
    expect(commands(change)).toEqual(['systemctl daemon-reload']);
    expect(change.activation.summary).toContain('off.service from the start');
  });

  it('without a limit is told so by the word the kernel has', () => {
    const change = changeOf({ version: 257 }, 'units: { a.service: { value: infinity } }');
    expect(commands(change)[1]).toBe('max > /sys/fs/cgroup/system.slice/a.service/pids.max');
  });
});

describe('the kernel', () => {
  it('takes a sysctl from our file', () => {
    expect(commands(changeOf({}, 'kernel: { pid_max: { floor: 65536 } }'))).toEqual([
      'sysctl -p /etc/sysctl.d/90-tasksctl-pid-max.conf',
    ]);
  });
});

describe('stepsInOrder', () => {
  it('gives each step once: kernel, systemd, logind, properties, cgroups', () => {
    const host = aHost({ ...LOGGED_IN, version: 237, units: [...(LOGGED_IN.units ?? [])] });
    const policy =
      'user-default: { floor: 20000 }\nservice-default: { floor: 20000 }\nunits: { a.service: { floor: 21000 } }\nkernel: { pid_max: { floor: 65536 } }';
    const { changes } = planHost(host, aPolicy(policy));
    const steps = stepsInOrder(changes.map(({ activation }) => activation).reverse());
    expect(steps.map(({ command }) => (command.kind === 'argv' ? command.argv[1] : 'write'))).toEqual([
      '-p',
      'daemon-reload',
      'kill',
      'set-property',
    ]);
  });
});
