import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { runsSchema } from '../../src/report/apply-json.ts';
import { fleetPlanSchema, rolloutSchema } from '../../src/report/rollout-json.ts';
import { containersUnavailable, type LabHost, type Suite, startContainer } from '../lab/lab.ts';
import { Terminal } from '../terminal.ts';
import { Program, pidsMax, type Run, until } from './program.ts';

/** Rollouts over a fleet of real hosts with systemd 247, 252 and 257, each with a network namespace and an sshd. */

type Rollout = z.infer<typeof rolloutSchema>;

const SUITES: readonly Suite[] = ['bullseye', 'bookworm', 'trixie'];
const HOSTS = 20;
/** Names of the hosts: web1 to web14, db1 to db6. */
const NAMES = Array.from({ length: HOSTS }, (_, i) => (i < 14 ? `web${i + 1}` : `db${i - 13}`));

const POLICY = 'schema: tasksctl/policy/1\nname: rollout\nuser-default:\n  value: 4321\n';
const LIMIT = '4321';
const SLICE = 'user-0.slice';

const why = containersUnavailable();

describe.skipIf(why !== null)('a fleet', () => {
  const hosts = new Map<string, LabHost>();
  let program: Program;
  let inventory = '';
  let policy = '';
  let config = '';

  const host = (name: string): LabHost => {
    const found = hosts.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  const onAll = <T>(
    names: readonly string[],
    task: (host: LabHost, name: string) => Promise<T>,
  ): Promise<T[]> => Promise.all(names.map((name) => task(host(name), name)));

  beforeAll(async () => {
    program = Program.build();
    process.env['XDG_STATE_HOME'] = join(program.dir, 'state');
    for (const some of [NAMES.slice(0, 10), NAMES.slice(10)]) {
      await Promise.all(
        some.map(async (name) => {
          const suite = SUITES[NAMES.indexOf(name) % SUITES.length] as Suite;
          const one = await startContainer({ suite });
          hosts.set(name, one);
          // Somebody who stays, so that there is a slice to see what the kernel enforces.
          await one.exec(`systemd-run --unit=sitter --slice=${SLICE} sleep infinity`);
        }),
      );
    }
    config = program.sshConfig(Object.fromEntries(hosts));
    policy = program.write('policy.yaml', POLICY);
    inventory = program.write(
      'hosts.ini',
      '[web]\nweb[1:14]\n\n[db]\ndb[1:6]\n\n[prod:children]\nweb\ndb\n\n[prod:vars]\nansible_user=root\n',
    );
  }, 600_000);
  afterAll(async () => {
    delete process.env['XDG_STATE_HOME'];
    await Promise.all([...hosts.values()].map((one) => one.stop()));
    program?.remove();
  });

  const options = (limit: string) => [
    '-i',
    inventory,
    '--limit',
    limit,
    '-p',
    policy,
    '--ssh-config',
    config,
  ];
  const rollout = (limit: string, ...more: string[]): Promise<Run> =>
    program.run('rollout', ...options(limit), '--yes', '--json', ...more);
  const told = ({ stdout, stderr }: Run): Rollout => {
    if (stdout === '') throw new Error(stderr);
    return rolloutSchema.parse(JSON.parse(stdout));
  };
  const states = ({ hosts: all }: Rollout): Record<string, string> =>
    Object.fromEntries(all.map(({ name, state }) => [name, state]));
  const rollback = async (run: string | null, ...more: string[]): Promise<Run> =>
    program.run('rollback', run ?? '', '--yes', '--json', '--ssh-config', config, ...more);

  /** The same on a terminal. */
  const inTerminal = (...argv: string[]): Terminal => {
    const cwd = join(program.dir, `terminal-${terminals.length}`);
    mkdirSync(cwd);
    const terminal = new Terminal([program.file, ...argv, '--ssh-config', config], cwd, {
      columns: 200,
      rows: 50,
    });
    terminals.push(terminal);
    return terminal;
  };
  const terminals: Terminal[] = [];
  afterEach(() => {
    for (const terminal of terminals) terminal.close();
  });

  /** All that a rollout may change: files, and what the kernel enforces. */
  const state = async (one: LabHost): Promise<string> => {
    const { stdout } = await one.exec(
      `set -- $(ls -d /etc/systemd /etc/sysctl.d /etc/security /run/systemd/system.control 2>/dev/null)
      sums=$(find "$@" -type f -exec sha256sum {} +) || exit
      echo "$sums" | sort`,
    );
    return `${stdout}${await pidsMax(one, SLICE)}`;
  };
  /** Runs that came through on a host, whether they were rolled back later or not. */
  const applied = async (name: string): Promise<number> => {
    const run = await program.run('runs', '-t', `root@${name}`, '--json', '--ssh-config', config);
    const { runs } = runsSchema.parse(JSON.parse(run.stdout));
    return runs.filter((one) => one.state === 'applied' || one.state === 'rolled-back').length;
  };

  it('has a canary, then more, then all; then nothing to do; drift is found; and all of it is taken back', async () => {
    const before = await onAll(NAMES, state);
    const run = await rollout('all');
    const result = told(run);
    expect(run.code, run.stderr).toBe(0);
    expect(new Set(Object.values(states(result)))).toEqual(new Set(['applied']));
    const waves = [1, 2, 3, 4].map((wave) => result.hosts.filter((one) => one.wave === wave).length);
    expect(waves).toEqual([1, 1, 8, 10]);
    for (const found of await onAll(NAMES, (one) => pidsMax(one, SLICE))) expect(found).toBe(LIMIT);

    const again = await rollout('all');
    expect([again.code, told(again).nothingToDo.length]).toEqual([0, HOSTS]);
    await host('web5').exec('rm /etc/systemd/system/user-.slice.d/*tasksctl*; systemctl daemon-reload');
    const drift = await program.run('rollout', ...options('all'), '--check', '--json');
    expect(drift.code, drift.stderr).toBe(2);
    const { groups } = fleetPlanSchema.parse(JSON.parse(drift.stdout));
    expect(groups.filter(({ plan }) => plan.changes.length > 0).map((group) => group.hosts)).toEqual([
      ['web5'],
    ]);

    const back = await rollback(result.run);
    expect(back.code, back.stderr).toBe(0);
    expect(new Set(Object.values(states(told(back))))).toEqual(new Set(['rolled-back']));
    expect(await onAll(NAMES, state)).toEqual(before);
  }, 600_000);

  it('shows hosts with the same plan once, and goes by what the inventory says of groups', async () => {
    const plan = await program.run('plan', ...options('prod:!web'), '--json');
    expect(plan.code, plan.stderr).toBe(0);
    const { groups } = fleetPlanSchema.parse(JSON.parse(plan.stdout));
    // Their defaults are those of their systemd.
    expect(groups.flatMap((group) => group.hosts).sort()).toEqual(
      NAMES.filter((name) => name.startsWith('db')),
    );
    expect(groups.length).toBeLessThanOrEqual(3);
    const saved = join(program.dir, 'fleet.ndjson');
    expect((await program.run('plan', ...options('db'), '--out', saved)).code).toBe(0);
    const check = await program.run(
      ...(['rollout', saved, '--limit', 'db1', '--check', '--json', '--ssh-config', config] as const),
    );
    expect(check.code, check.stderr).toBe(2);
    expect(fleetPlanSchema.parse(JSON.parse(check.stdout)).groups.map((group) => group.hosts)).toEqual([
      ['db1'],
    ]);
    const text = await program.run('status', '-i', inventory, '--limit', 'db', '--ssh-config', config);
    expect(text.stdout.trim().split('\n')).toHaveLength(6);
  }, 120_000);

  it('goes by a fleet file: labels, a policy per group, an order of its own, also once saved and resumed', async () => {
    program.write('db.yaml', POLICY.replace('name: rollout', 'name: db').replace(LIMIT, '5432'));
    const fleet = program.write(
      'fleet.yaml',
      `schema: tasksctl/fleet/1
inventories: [hosts.ini]
labels: {canary: "web3,db2"}
policies:
- {hosts: db, policy: db.yaml}
- {hosts: all, policy: policy.yaml}
waves:
- canary
- {hosts: db, serial: 1}
max-unavailable: {canary: 1}
`,
    );
    const five = ['web1', 'web2', 'web3', 'db1', 'db2'];
    const before = await onAll(five, state);
    const saved = join(program.dir, 'ordered.ndjson');
    const connection = ['--ssh-config', config];
    const plan = await program.run(
      ...(['plan', '-i', fleet, '--limit', 'canary,web1,web2,db1', '--out', saved, '--json'] as const),
      ...connection,
    );
    expect(plan.code, plan.stderr).toBe(0);
    const { groups } = fleetPlanSchema.parse(JSON.parse(plan.stdout));
    for (const group of groups) {
      expect(group.policies).toEqual([group.hosts[0]?.startsWith('db') === true ? 'db' : 'rollout']);
    }
    const twice = await program.run('plan', '-i', fleet, '-p', policy, ...connection);
    expect([twice.code, twice.stderr]).toEqual([
      1,
      expect.stringContaining('says which policy each host has'),
    ]);

    const first = await program.run('rollout', saved, '--yes', '--json', '--pause', ...connection);
    expect([first.code, told(first).verdict], first.stderr).toEqual([2, 'paused']);
    expect(told(first).hosts).toMatchObject([
      { name: 'web3', wave: 1, stage: 'canary', policy: 'rollout', state: 'applied' },
      { name: 'db2', wave: 1, stage: 'canary', policy: 'db', state: 'applied' },
      { name: 'db1', wave: 2, stage: 'db', policy: 'db', state: 'waiting' },
      { name: 'web1', wave: 3, stage: 'the others', policy: 'rollout', state: 'waiting' },
      { name: 'web2', wave: 3, stage: 'the others', policy: 'rollout', state: 'waiting' },
    ]);
    const { run } = told(first);
    const resume = ['rollout', '--resume', run ?? '', '--json', ...connection] as const;
    const second = told(await program.run(...resume));
    expect([second.verdict, states(second)]).toMatchObject(['paused', { db1: 'applied', web1: 'waiting' }]);
    expect(told(await program.run(...resume)).verdict).toBe('done');
    const wanted = five.map((name) => (name.startsWith('db') ? '5432' : LIMIT));
    expect(await onAll(five, (one) => pidsMax(one, SLICE))).toEqual(wanted);
    expect((await rollback(run)).code).toBe(0);
    expect(await onAll(five, state)).toEqual(before);
  }, 300_000);

  it.each([
    ['the check of the operator fails', 'web4', 'ssh2'],
    ['a unit has newly failed', 'web4', 'openssh'],
  ])(
    'stops and takes back the wave where %s (%s, by %s)',
    async (what, bad, transport) => {
      const four = ['web1', 'web2', 'web3', bad];
      const before = await onAll(four, state);
      const operator = what.includes('operator');
      if (!operator) {
        await host(bad).writeFiles({
          '/etc/systemd/system/touchy.service': '[Service]\nType=oneshot\nExecStart=/bin/false\n',
          '/etc/systemd/system/touchy.path':
            '[Path]\nPathExistsGlob=/etc/systemd/system/user-.slice.d/*tasksctl*\nUnit=touchy.service\n',
        });
        await host(bad).exec('systemctl daemon-reload; systemctl start touchy.path');
      }
      // In the second wave, of two.
      const gate = operator
        ? ['--gate-command', `case " $TASKSCTL_HOSTS " in *" ${bad} "*) echo too slow; exit 1; esac`]
        : [];
      const run = await rollout(
        four.join(','),
        '--serial',
        '2',
        '--on-failure',
        'rollback-wave',
        '--bake',
        '1s',
        '--transport',
        transport,
        ...gate,
      );
      const result = told(run);
      expect(run.code, run.stderr).toBe(3);
      expect(result.verdict).toBe('rolled-back');
      expect(result.why).toContain(operator ? 'too slow' : 'touchy.service has failed');
      expect(states(result)).toEqual({
        web1: 'applied',
        web2: 'applied',
        web3: 'rolled-back',
        web4: 'rolled-back',
      });
      if (!operator) {
        await host(bad).exec(
          'systemctl stop touchy.path; rm /etc/systemd/system/touchy.*; systemctl daemon-reload; systemctl reset-failed',
        );
      }
      const after = await onAll(four, state);
      expect(after.slice(2)).toEqual(before.slice(2));
      expect(await pidsMax(host('web1'), SLICE)).toBe(LIMIT);
      expect((await rollback(result.run, '--transport', transport)).code).toBe(0);
      expect(await onAll(four, state)).toEqual(before);
    },
    300_000,
  );

  it.each([
    'ssh2',
    'openssh',
  ])('loses no host to others that are broken, each in a way of its own, by %s', async (transport) => {
    const names = NAMES.slice(0, 10);
    const hang = await hangingServer();
    const known = program.write('known_hosts', '');
    const wrong = readFileSync(host('web9').ssh.knownHostsFile, 'utf8');
    const changed = program.write(
      'changed',
      `# the first line\n${wrong.replaceAll(host('web9').ssh.host, host('web3').ssh.host)}`,
    );
    // Each name of the fleet once more, at the head of the file: ssh takes the first it finds.
    const broken = program.write(
      'broken',
      [
        `Host web3\nUserKnownHostsFile ${changed}`,
        `Host web4\nUserKnownHostsFile ${known}`,
        `Host web5\nHostName 127.0.0.1\nPort ${port(hang)}`,
        'Host web6\nUser carol',
        '',
        readFileSync(config, 'utf8'),
      ].join('\n'),
    );
    await host('web2').exec(
      'mount -t tmpfs -o size=4k none /etc/systemd/system; head -c 8192 /dev/zero >/etc/systemd/system/x || :',
    );
    await host('web7').writeFiles({ '/etc/ssh/sshd_config.d/flood.conf': 'ForceCommand yes\n' });
    await host('web7').exec('systemctl reload ssh');
    // A slow host: a tenth of a second for each packet there.
    await host('web8').exec(
      'tc qdisc add dev "$(ls /sys/class/net | grep -v lo | head -1)" root netem delay 100ms || :',
    );
    const inventoryOf = program.write('mixed.ini', `[all]\n${names.join('\n')}\n`);
    const go = program.start(
      ...[
        'rollout',
        '-i',
        inventoryOf,
        '-p',
        policy,
        '--ssh-config',
        broken,
        '--timeout',
        '10',
        '--transport',
        transport,
        '--yes',
        '--json',
      ],
      ...['--serial', '100%', '--max-fail', '100%', '--junit', join(program.dir, 'junit.xml')],
    );
    const run = await go.ended;
    const result = told(run);
    expect(run.code, run.stderr).toBe(3);
    // A flood ends by what comes first, the bound on bytes or on time.
    const kind = (text: string): string => (text === 'output-limit' ? 'timeout' : text);
    const lost = Object.fromEntries(result.lost.map(({ name, error }) => [name, kind(error.kind)]));
    expect(lost).toEqual({
      web3: 'host-key-changed',
      web4: 'host-key-unknown',
      web5: 'connect-timeout',
      web7: 'timeout',
    });
    const errorOf = (name: string) => result.lost.find((one) => one.name === name)?.error;
    expect(errorOf('web3')?.message).toMatch(
      new RegExp(`SHA256:.* at ${changed}:2, .*: ssh-keygen .*-R '${host('web3').ssh.host}'`),
    );
    expect(errorOf('web4')?.message).toContain(await fingerprint(host('web4')));
    expect(errorOf('web4')?.message).toContain('ssh-keygen -lf');
    expect(states(result)).toEqual({
      web1: 'applied',
      web2: 'failed',
      web6: 'failed',
      web8: 'applied',
      web9: 'applied',
      web10: 'applied',
    });
    const junit = readFileSync(join(program.dir, 'junit.xml'), 'utf8');
    expect(junit).toContain('tests="10" failures="6"');
    hang.close();
    await host('web7').exec('rm /etc/ssh/sshd_config.d/flood.conf; systemctl reload ssh');
    await host('web2').exec('umount /etc/systemd/system');
    await host('web8').exec('tc qdisc del dev "$(ls /sys/class/net | grep -v lo | head -1)" root || :');
    expect(
      (
        await program.run(
          ...(['rollback', result.run ?? '', '--yes', '--json', '--ssh-config', broken] as const),
          ...['--transport', transport],
        )
      ).code,
    ).toBe(0);
  }, 300_000);

  it('tells hosts that a partition took away in mid-rollout, and resumes once they are back', async () => {
    const four = ['web9', 'web10', 'web11', 'web12'];
    const before = await onAll(four, state);
    await onAll(four, (one) => one.exec('rm -rf /var/lib/tasksctl/runs'));
    const reached = join(program.dir, 'reached');
    const go = join(program.dir, 'go');
    const gate = `touch ${reached}; while [ ! -e ${go} ]; do sleep 0.1; done`;
    const running = program.start(
      ...['rollout', ...options(four.join(',')), '--yes', '--json', '--timeout', '10'],
      ...['--waves', '2,100%', '--max-fail', '0', '--gate-command', gate],
    );
    await until('the first wave is through', async () => existsSync(reached));
    await onAll(['web11', 'web12'], (one) => one.linkDown());
    writeFileSync(go, '');
    const run = await running.ended;
    const result = told(run);
    expect([run.code, result.verdict], run.stderr).toEqual([3, 'stopped']);
    expect(states(result)).toEqual({ web9: 'applied', web10: 'applied', web11: 'failed', web12: 'failed' });
    await onAll(['web11', 'web12'], (one) => one.linkUp());
    const resumed = await program.run(
      'rollout',
      '--resume',
      result.run ?? '',
      '--json',
      '--ssh-config',
      config,
    );
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(new Set(Object.values(states(told(resumed))))).toEqual(new Set(['applied']));
    expect(await onAll(four, (_, name) => applied(name))).toEqual([1, 1, 1, 1]);
    // Half of it first.
    const half = await program.run(
      ...([
        'rollback',
        result.run ?? '',
        '--limit',
        'web9,web10',
        '--yes',
        '--json',
        '--ssh-config',
        config,
      ] as const),
    );
    expect(states(told(half))).toMatchObject({ web9: 'rolled-back', web11: 'applied' });
    expect((await rollback(result.run)).code).toBe(0);
    expect(await onAll(four, state)).toEqual(before);
  }, 300_000);

  it('asks on a terminal before each further wave, and goes on where it was left by no, Ctrl-C or Ctrl-D', async () => {
    const three = ['web1', 'web2', 'web3'];
    const before = await onAll(three, state);
    const limits = () => onAll(three, (one) => pidsMax(one, SLICE));
    const [old = ''] = await limits();
    await onAll(three, (one) => one.exec('rm -rf /var/lib/tasksctl/runs'));
    let screen = inTerminal('rollout', ...options(three.join(',')).slice(0, -2), '--serial', '1', '--pause');
    await screen.shows(/Apply this to 3 hosts\? \[y\/N\]/);
    // The second yes comes before its question.
    screen.keys('y', 'Enter');
    await screen.shows(/Wave 1 of 3/);
    screen.keys('y', 'Enter');
    await screen.shows(/Wave 1 is through\. Go on with wave 2\? \[y\/N\]/);
    screen.keys('n', 'Enter');
    expect(await screen.ended()).toBe('2');
    const run = rollouts().at(-1) ?? '';
    expect(screen.text()).toContain(`Paused. Run ${run}: 1 applied, 2 not begun of 3 hosts.`);
    expect(screen.text()).toContain(`To go on:   tasksctl rollout --resume ${run} --ssh-config ${config}`);
    expect((await limits()).slice(1)).not.toContain(LIMIT);

    screen = inTerminal('rollout', '--resume', run);
    await screen.shows(/Go on with wave 2/);
    screen.keys('C-c');
    expect(await screen.ended()).toBe('130');
    expect(screen.text()).toContain(`Interrupted. Run ${run}: 1 applied, 2 not begun of 3 hosts.`);
    expect(screen.text()).not.toContain('hosts that were begun');

    screen = inTerminal('rollout', '--resume', run);
    await screen.shows(/Go on with wave 2/);
    screen.keys('y', 'Enter');
    await screen.shows(/Go on with wave 3/);
    screen.keys('C-d');
    expect(await screen.ended()).toBe('2');
    expect((await limits()).map((limit) => limit === LIMIT)).toEqual([true, true, false]);

    screen = inTerminal('rollout', '--resume', run);
    await screen.shows(/Go on with wave 3/);
    screen.keys('y', 'Enter');
    expect(await screen.ended()).toBe('0');
    expect(await limits()).toEqual([LIMIT, LIMIT, LIMIT]);
    expect(old).not.toBe(LIMIT);
    expect(await onAll(three, (_, name) => applied(name))).toEqual([1, 1, 1]);
    expect((await rollback(run)).code).toBe(0);
    expect(await onAll(three, state)).toEqual(before);
  }, 300_000);

  it.each([
    'ssh2',
    'openssh',
  ])('by %s finishes what it has begun at Ctrl-C on a terminal, and leaves at once at a second, to be resumed', async (transport) => {
    const four = ['web5', 'web6', 'web7', 'web8'];
    const before = await onAll(four, state);
    const by = ['--transport', transport];
    // An ssh that logs in is hit by Ctrl-C as well; ssh2 is in the middle of the login that confirms the change.
    const amidLogin = transport === 'openssh';
    const saved = join(program.dir, 'four.ndjson');
    const plan = await program.run('plan', ...options(four.join(',')), '--out', saved);
    expect(plan.code, plan.stderr).toBe(0);
    await onAll(four, async (one) => {
      await one.writeFiles({
        '/opt/slow-systemctl': `#!/bin/sh\n[ "$*" != daemon-reload ] || [ -e /run/reloading ] || { : >/run/reloading; ${amidLogin ? '' : ': >/run/slow; '}sleep 3; }\nexec /opt/systemctl "$@"\n`,
        '/opt/slow-keys':
          '#!/bin/sh\n[ ! -e /run/slow ] || { rm /run/slow; : >/run/logging-in; sleep 3; }\ncat /root/.ssh/authorized_keys\n',
        '/etc/ssh/sshd_config.d/00-slow.conf':
          'AuthorizedKeysFile none\nAuthorizedKeysCommand /opt/slow-keys\nAuthorizedKeysCommandUser root\n',
      });
      await one.exec(
        `chmod 755 /opt/slow-*; rm -rf /var/lib/tasksctl/runs; systemctl reload ssh; sleep 0.5
        real=$(readlink -f "$(command -v systemctl)")
        cp -a $real /opt/systemctl; mount --bind /opt/slow-systemctl $real`,
      );
    });
    const reached = (name: string, what: string) =>
      until(`${name} is ${what}`, async () => {
        const { code } = await host(name).exec(`[ -e /run/${what} ]`, { check: false });
        return code === 0;
      });
    const begun = () => {
      const text = readFileSync(join(program.dir, 'state/tasksctl/rollouts', run, 'journal.ndjson'), 'utf8');
      return ['apply', 'applied'].map((what) => text.split(`"what":"${what}"`).length - 1);
    };
    if (amidLogin) await host('web5').exec(': >/run/slow');
    let screen = inTerminal('rollout', saved, ...by, '--yes', '--forks', '2', '--serial', '4');
    await reached('web5', 'logging-in');
    const run = rollouts().at(-1) ?? '';
    screen.keys('C-c');
    // One controller at a time.
    const second = await program.run('rollout', '--resume', run, '--ssh-config', config);
    expect([second.code, second.stderr]).toEqual([1, expect.stringContaining('is at work on it')]);
    expect(await screen.ended()).toBe('130');
    expect(screen.text()).toContain(`Interrupted. Run ${run}: 2 applied, 2 not begun of 4 hosts.`);
    expect(begun()).toEqual([2, 2]);

    screen = inTerminal('rollout', '--resume', run, ...by);
    await reached('web7', 'reloading');
    screen.keys('C-c');
    await screen.shows(/Press Ctrl-C again to leave at once;\s+then go on with: tasksctl rollout --resume/);
    screen.keys('C-c');
    expect(await screen.ended()).toBe('130');
    const [applies = 0, ends] = begun();
    expect([applies > 2, ends]).toEqual([true, 2]);

    screen = inTerminal('rollout', '--resume', run, ...by);
    expect(await screen.ended()).toBe('0');
    await onAll(four, (one) =>
      one.exec(
        'umount "$(readlink -f "$(command -v systemctl)")"; rm -f /etc/ssh/sshd_config.d/00-slow.conf /run/reloading /run/logging-in /run/slow; systemctl reload ssh; sleep 0.5',
      ),
    );
    expect(await onAll(four, (one) => pidsMax(one, SLICE))).toEqual(four.map(() => LIMIT));
    expect(await onAll(four, (_, name) => applied(name))).toEqual([1, 1, 1, 1]);
    expect((await rollback(run, ...by)).code).toBe(0);
    expect(await onAll(four, state)).toEqual(before);
  }, 300_000);

  it.each([
    'ssh2',
    'openssh',
  ])('files the keys of twenty new hosts at once only where --accept-new is given, by %s', async (transport) => {
    const foreign = readFileSync(host('web1').ssh.knownHostsFile, 'utf8').replace(
      host('web1').ssh.host,
      'elsewhere.example',
    );
    const known = program.write(`new-${transport}`, foreign);
    const enrolling = program.write(
      `enrolling-${transport}`,
      readFileSync(config, 'utf8').replaceAll(/^UserKnownHostsFile .*$/gm, `UserKnownHostsFile ${known}`),
    );
    const check = (...more: string[]) =>
      program.run(
        ...(['rollout', '-i', inventory, '-p', policy, '--check', '--ssh-config', enrolling] as const),
        ...['--transport', transport, '--max-fail', '100%', ...more],
      );
    const refused = fleetPlanSchema.parse(JSON.parse((await check('--json')).stdout));
    expect(refused.lost.map(({ error }) => error.kind)).toEqual(NAMES.map(() => 'host-key-unknown'));
    expect(readFileSync(known, 'utf8')).toBe(foreign);

    const enrolled = await check('--accept-new');
    expect(enrolled.code, enrolled.stderr).toBe(2);
    for (const one of hosts.values()) {
      const said = enrolled.stderr
        .split('\n')
        .filter((line) => line.includes(`${one.ssh.host}'`) || line.includes(`${one.ssh.host}:`));
      expect(said).toEqual([
        expect.stringMatching(/^warning: .*(?:Permanently added|was unknown and is now in)/),
      ]);
    }
    const keys = [...hosts.values()].map(({ ssh }) => readFileSync(ssh.knownHostsFile, 'utf8'));
    const linesOf = (text: string) =>
      text.split('\n').flatMap((line) => (line === '' ? [] : [line.split(' ').slice(0, 3).join(' ')]));
    expect(linesOf(readFileSync(known, 'utf8')).sort()).toEqual(
      linesOf([foreign, ...keys].join('\n')).sort(),
    );
  }, 120_000);

  /** A round takes a quarter of a minute: a dozen each time, more when looking for faults. */
  const ROUNDS = Number(process.env['TASKSCTL_ROUNDS'] ?? 12);

  it(`is resumed to the same end after kill -9 at ${ROUNDS} random instants, and no host is applied to twice`, async () => {
    const six = ['web13', 'web14', 'db1', 'db2', 'db3', 'db4'];
    const before = await onAll(six, state);
    const undisturbed = await rollout(six.join(','));
    expect(undisturbed.code, undisturbed.stderr).toBe(0);
    const wanted = await onAll(six, state);
    expect((await rollback(told(undisturbed).run)).code).toBe(0);
    expect(await onAll(six, state)).toEqual(before);
    let killed = 0;
    let span = 6_000;
    for (let round = 0; round < ROUNDS; round++) {
      await onAll(six, (one) => one.exec('rm -rf /var/lib/tasksctl/runs'));
      rmSync(join(program.dir, 'state'), { recursive: true, force: true });
      const started = performance.now();
      const running = program.start('rollout', ...options(six.join(',')), '--yes', '--json');
      // Evenly over all of it, however long it takes here.
      const killer = new AbortController();
      const timer = sleep((span * (round + Math.random())) / ROUNDS, null, { signal: killer.signal }).then(
        () => running.child.kill('SIGKILL'),
        () => {},
      );
      let run = await running.ended;
      killer.abort();
      await timer;
      if (run.code === 0) span = Math.max(1_000, (performance.now() - started) * 0.95);
      else killed++;
      const [id] = rollouts();
      if (run.code !== 0) {
        run =
          id === undefined
            ? await rollout(six.join(','))
            : await program.run('rollout', '--resume', id, '--json', '--ssh-config', config);
      }
      expect(run.code, `round ${round}: ${run.stderr}`).toBe(0);
      expect(await onAll(six, state), `round ${round}`).toEqual(wanted);
      expect(await onAll(six, (_, name) => applied(name)), `round ${round}`).toEqual(six.map(() => 1));
      expect((await rollback(told(run).run)).code, `round ${round}`).toBe(0);
      expect(await onAll(six, state), `round ${round}`).toEqual(before);
    }
    expect(killed).toBeGreaterThan(ROUNDS / 2);
  }, 1_800_000);

  /** Rollouts with a journal, in their order. */
  function rollouts(): string[] {
    const dir = join(program.dir, 'state/tasksctl/rollouts');
    if (!existsSync(dir)) return [];
    return readdirSync(dir)
      .filter((name) => existsSync(join(dir, name, 'journal.ndjson')))
      .filter((name) => readFileSync(join(dir, name, 'journal.ndjson'), 'utf8').includes('\n'))
      .sort();
  }
});

async function fingerprint(host: LabHost): Promise<string> {
  const { stdout } = await host.exec('ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub');
  return stdout.toString().split(' ')[1] ?? '';
}

/** Takes connections and says nothing. */
function hangingServer(): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer(() => {});
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

function port(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it does not listen');
  return address.port;
}
