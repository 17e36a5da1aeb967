import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { planHost } from '../../../src/plan/plan-host.ts';
import { parsePolicy } from '../../../src/plan/policy.ts';
import { parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import { PrivateHost } from './private-host.ts';
import { applyScript, runOn, saved } from './scenario.ts';

/**
 * The limit of every user on hosts of before `user-.slice.d`, from saved snapshots of their kind: the files and the order
 * of commands are real, systemd is a few lines of shell. What these versions make of it was measured (docs/activation.md).
 */

const hosts: PrivateHost[] = [];
afterEach(() => {
  for (const host of hosts.splice(0)) host.dispose();
});

const SLICE = 'user-1000.slice';

function hostLike(name: string): { host: PrivateHost; plan: ReturnType<typeof planHost>; pidsMax: string } {
  const file = join(import.meta.dirname, '../../fixtures/hosts', name, 'snapshot.json');
  const loaded = parseSnapshot(readFileSync(file, 'utf8'));
  if (!loaded.ok) throw new Error(loaded.message);
  const { snapshot } = loaded;
  const policy = parsePolicy(
    'schema: tasksctl/policy/1\nname: old\nuser-default:\n  value: 800\n',
    'policy.yaml',
  );
  if (!policy.ok) throw new Error(JSON.stringify(policy.problems));

  const host = new PrivateHost();
  hosts.push(host);
  const cgroup = snapshot.units.find(({ id }) => id === SLICE)?.cgroup ?? '';
  host.addUnit(SLICE, '500', cgroup, 'user-.slice.d');
  host.setBootId(snapshot.host.bootId ?? '');
  for (const { path, type, text, mode } of snapshot.files) {
    if (type === 'file' && text !== undefined && path.startsWith('/etc/')) host.write(path, text, mode);
  }
  const systemctl = host.read('/bin-local/sbin/systemctl');
  host.write(
    '/bin-local/sbin/systemctl',
    systemctl.replace('systemd 252', `systemd ${snapshot.systemd?.version}`).replace(
      'case $1 in\n  daemon',
      `case $1 in
  set-property)
    mkdir -p "/run/systemd/system.control/$3.d"
    echo "[Slice]" >"/run/systemd/system.control/$3.d/50-TasksMax.conf"
    echo "\${4#*=}" >"$fake/units/$3/max"
    echo "\${4#*=}" >"/sys/fs/cgroup/pids$(cat $fake/units/$3/cgroup)/pids.max"
    ;;
  daemon`,
    ),
  );
  return { host, plan: planHost(snapshot, policy.policy), pidsMax: `/sys/fs/cgroup/pids${cgroup}/pids.max` };
}

const logind = '/etc/systemd/logind.conf.d';

describe.skipIf(process.getuid?.() !== 0)('the limit of every user', () => {
  it.each([
    [
      'ubuntu-18.04-systemd-237',
      logind,
      ['kill -s HUP systemd-logind.service', `set-property --runtime ${SLICE}`],
    ],
    [
      'debian-9-systemd-232',
      logind,
      ['kill -s HUP systemd-logind.service', `set-property --runtime ${SLICE}`],
    ],
    ['sles-12-systemd-228', logind, ['restart systemd-logind.service', `set-property --runtime ${SLICE}`]],
    ['rhel-7-systemd-219', logind, ['restart systemd-logind.service', `set-property --runtime ${SLICE}`]],
    ['sle-15-systemd-234', '/etc/systemd/system/user-.slice.d', ['daemon-reload']],
  ])('on %s', async (name, directory, commands) => {
    const { host, plan, pidsMax } = hostLike(name);
    const before = [host.tree('/etc'), host.tree('/run/systemd')];
    const acts = () =>
      host
        .read('/run/fake/log')
        .split('\n')
        .filter((line) => /^(?:kill|restart|set-property|daemon-reload)/.test(line));

    const report = await runOn(host, applyScript(plan));
    expect(report.end).toEqual({ kind: 'applied' });
    expect(acts().map((line) => line.replace(/ TasksMax=.*/, ''))).toEqual(commands);
    expect(host.read(pidsMax)).toBe('800\n');
    expect(host.list(directory).filter((file) => file.includes('tasksctl'))).toHaveLength(1);
    expect(report.verdicts).toMatchObject([{ state: 'enforced', enforced: 1 }]);

    expect((await runOn(host, saved('rollback'))).end).toEqual({ kind: 'rolled-back' });
    expect([host.tree('/etc'), host.tree('/run/systemd')]).toEqual(before);
    expect(host.read(pidsMax)).toBe('500\n');
    // logind reads the old file again, too.
    expect(acts().slice(commands.length)).toEqual(
      commands.filter((line) => !line.startsWith('set-property')),
    );
  });
});
