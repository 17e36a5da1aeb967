import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../src/host/connect.ts';
import { readTemplate } from '../../src/host/template.ts';
import { parseProbe } from '../../src/snapshot/parse-probe.ts';
import { readSnapshot } from '../../src/snapshot/read-snapshot.ts';
import { resolveContextOf } from '../../src/snapshot/resolve-context.ts';
import { type Snapshot, type SnapshotFile, snapshotSchema } from '../../src/snapshot/snapshot.ts';
import { resolveUnit } from '../../src/systemd/resolve.ts';
import { containersUnavailable, type LabHost, password, startContainer, startVm } from '../lab/lab.ts';

const probe = readTemplate('probe.sh');

/** Runs the probe by a command that reads it from standard input, `sh -s` for one. */
async function read(host: LabHost, command: string): Promise<{ snapshot: Snapshot; ms: number }> {
  const began = performance.now();
  const { stdout } = await host.exec(command, { input: Buffer.from(probe), timeoutMs: 240_000 });
  const ms = performance.now() - began;
  const result = parseProbe(stdout, host.name);
  if (result.kind !== 'ok') throw new Error('the probe did not run');
  expect(snapshotSchema.safeParse(result.snapshot).error).toBeUndefined();
  return { snapshot: result.snapshot, ms };
}

async function text(host: LabHost, script: string): Promise<string> {
  return (await host.exec(script, { timeoutMs: 240_000 })).stdout.toString();
}

/** Names below all the trouble a host's administrators can make. */
const trouble = {
  '/etc/systemd/system/probe-a.service': '[Service]\nExecStart=/bin/sleep infinity\nSlice=probe-x.slice\n',
  '/etc/systemd/system/probe-a.service.d/90 with space.conf': '[Service]\nTasksMax=77\n',
  '/etc/systemd/system/probe-a.service.d/a|"quote\\.conf': '[Service]\nTasksMax=78\n',
  '/etc/systemd/system/probe-x.slice': '[Slice]\nTasksMax=500\n',
  // A fragment and a directory of drop-ins that live elsewhere, behind links.
  '/opt/v1/probe-b.service': '[Service]\nExecStart=/bin/sleep infinity\nTasksMax=33\n',
  '/opt/current': { symlink: 'v1' },
  '/etc/systemd/system/probe-b.service': { symlink: '/opt/current/probe-b.service' },
  '/opt/v1/b-conf/50-b.conf': '[Service]\nTasksMax=34\n',
  '/etc/systemd/system/probe-b.service.d': { symlink: '../../../opt/current/b-conf' },
  '/etc/systemd/system/probe-c.service': { symlink: '/nowhere/at/all' },
  '/etc/systemd/system/probe-loop.service': { symlink: 'probe-loop.service' },
  '/etc/systemd/system/probe-d.service': Buffer.from('[Service]\nExecStart=/bin/true\n# \xff\n', 'latin1'),
  '/etc/systemd/system/probe-d.service.d/\x1b[31mred.conf': '[Service]\nTasksMax=5\n',
  '/etc/systemd/system/probe-d.service.d/new\nline.conf': '[Service]\nTasksMax=6\n',
  '/etc/systemd/login.conf.d/wrong.conf': '[login]\nUserTasksMax=infinity\n',
  '/etc/systemd/system/user-.slice/wrong.conf': '[Slice]\nTasksMax=1\n',
  '/etc/sysctl.d/90-pid.conf': 'kernel.pid_max = 65536\n',
  '/etc/security/limits.d/90-nproc.conf': '* soft nproc 4096\n',
};
const furnish = `
  mkfifo /etc/systemd/system/probe-fifo.service
  truncate -s 100M /etc/sysctl.d/huge.conf
  chmod 600 /etc/security/limits.d/90-nproc.conf
  mkdir -m 700 /etc/systemd/system/probe-private.service.d
  systemctl daemon-reload
  systemctl start probe-a.service probe-b.service
  systemctl set-property user-0.slice TasksMax=4000
  loginctl enable-linger bob
  until grep -qs STATE=lingering /run/systemd/users/1001; do sleep 0.1; done`;

const keys = [
  'ActiveState',
  'SubState',
  'LoadState',
  'FragmentPath',
  'Slice',
  'ControlGroup',
  'TasksMax',
] as const;

/** The units as `systemctl show` tells them without any choice of properties. */
async function shown(host: LabHost): Promise<Map<string, Map<string, string>>> {
  const units = new Map<string, Map<string, string>>();
  const output = await text(host, `systemctl show --all '*.service' '*.slice' '*.scope'`);
  for (const block of output.split('\n\n')) {
    const properties = new Map(
      block
        .split('\n')
        .map((line): [string, string] => [line.replace(/=.*/s, ''), line.replace(/^[^=]*=/, '')]),
    );
    const id = properties.get('Id');
    if (id !== undefined) units.set(id, properties);
  }
  return units;
}

/** The limits that the kernel enforces, `CGROUP MAX`, sorted. */
async function enforced(host: LabHost): Promise<string[]> {
  const root = host.kind === 'vm' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids';
  const limits = await text(host, `cd ${root} && find . -name pids.max -exec grep -H . {} +`);
  return limits
    .trim()
    .split('\n')
    .map((line) => line.slice(1).split('/pids.max:'))
    .map(([path, max]) => `${path || '/'} ${max}`)
    .sort();
}

/** A snapshot during which no cgroup came or went, and the limits in it as the kernel tells them. */
async function readStill(host: LabHost): Promise<{ snapshot: Snapshot; expected: string[] }> {
  for (let tries = 0; tries < 10; tries++) {
    const expected = await enforced(host);
    const { snapshot } = await read(host, 'sh -s');
    if (`${await enforced(host)}` === `${expected}`) return { snapshot, expected };
  }
  throw new Error(`${host.name} does not come to rest`);
}

async function expectTruth(host: LabHost): Promise<Snapshot> {
  const { snapshot, expected } = await readStill(host);
  const truth = await shown(host);
  expect(snapshot.systemd).toMatchObject({ version: host.systemdVersion, running: true });

  // Every active unit is there, and what is said of it is what systemctl says.
  const ids = new Set(snapshot.units.map(({ id }) => id));
  for (const [id, properties] of truth) {
    if (properties.get('ActiveState') === 'active') expect(ids).toContain(id);
  }
  for (const unit of snapshot.units) {
    const properties = truth.get(unit.id);
    if (properties === undefined) continue;
    const { active, sub, load, fragment, slice, cgroup, tasksMax } = unit;
    expect(
      [active, sub, load, fragment, slice, cgroup, tasksMax].map((value) => value ?? ''),
      unit.id,
    ).toEqual(keys.map((key) => properties.get(key) ?? ''));
  }

  // Every cgroup is there with the limit that the kernel enforces.
  const tree = snapshot.cgroups.tree.filter(({ max }) => max !== undefined);
  expect(tree.map(({ path, max }) => `${path} ${max}`).sort()).toEqual(expected);

  // The files are those that the resolver needs to find what systemd found.
  const context = resolveContextOf(snapshot);
  if (context === null) throw new Error('no systemd');
  for (const unit of snapshot.units) {
    // The probe leaves out the file with a newline in its name.
    if (unit.dropIns?.some((path) => path.includes('\n'))) continue;
    const resolved = resolveUnit(context, unit.id);
    expect([unit.id, resolved.fragmentPath ?? undefined, resolved.dropInPaths]).toEqual([
      unit.id,
      unit.fragment,
      unit.dropIns ?? [],
    ]);
  }
  return snapshot;
}

function fileOf(snapshot: Snapshot, path: string): SnapshotFile | undefined {
  return snapshot.files.find((file) => file.path === path);
}

describe.skipIf(containersUnavailable() !== null)('a snapshot of', () => {
  const suites = ['bullseye', 'bookworm', 'trixie'] as const;
  const hosts = new Map<string, LabHost>();
  beforeAll(async () => {
    await Promise.all(
      suites.map(async (suite) => {
        const host = await startContainer({ suite });
        hosts.set(suite, host);
        await host.writeFiles(trouble);
        await host.exec(furnish);
      }),
    );
  });
  afterAll(() => Promise.all([...hosts.values()].map((host) => host.stop())));

  function hostOf(suite: string): LabHost {
    const host = hosts.get(suite);
    if (host === undefined) throw new Error(`no host of ${suite}`);
    return host;
  }

  describe.each(suites)('%s', (suite) => {
    let host: LabHost;
    beforeAll(() => {
      host = hostOf(suite);
    });

    it('says what systemctl and the kernel say', async () => {
      const snapshot = await expectTruth(host);
      const unit = (id: string) => snapshot.units.find((candidate) => candidate.id === id);
      expect(unit('probe-a.service')).toMatchObject({
        tasksMax: '78',
        cgroup: '/probe.slice/probe-x.slice/probe-a.service',
      });
      expect(unit('probe-b.service')).toMatchObject({ tasksMax: '34' });
      // Not in memory until it is asked for by name.
      expect(unit('user-0.slice')).toMatchObject({ tasksMax: '4000', active: 'inactive' });
      expect(unit('user-1001.slice')).toMatchObject({ active: 'active' });
      expect(snapshot.users).toContainEqual({ uid: 1001, name: 'bob', linger: true, state: 'lingering' });
      expect(snapshot.rlimits).toContainEqual(expect.objectContaining({ pid: 1, comm: 'systemd', uid: 0 }));
    });

    it('has the files that matter, whatever their names and kinds', async () => {
      const { snapshot, ms } = await read(host, 'sh -s');
      expect(ms).toBeLessThan(30_000);
      for (const [path, content] of Object.entries(trouble)) {
        if (path.includes('\n') || path === '/etc/systemd/system/probe-a.service') continue;
        const file = fileOf(snapshot, path.replace('/opt/current/', '/opt/v1/'));
        if (typeof content === 'string') expect(file?.text, path).toBe(content);
        else if ('length' in content) expect(file?.base64, path).toBe(content.toString('base64'));
        else expect(file, path).toMatchObject({ type: 'symlink', target: content.symlink });
      }
      // Without a limit in it the fragment is listed and no more.
      expect(fileOf(snapshot, '/etc/systemd/system/probe-a.service')).not.toHaveProperty('text');
      expect(fileOf(snapshot, '/etc/systemd/system/probe-fifo.service')).toMatchObject({ type: 'other' });
      expect(fileOf(snapshot, '/etc/sysctl.d/huge.conf')).toMatchObject({
        size: 100 * 1024 * 1024,
        problem: 'too-large',
      });
      expect(snapshot.problems.map(({ part, reason }) => `${part} ${reason}`)).toEqual([
        'files malformed',
        'files too-large',
      ]);
    });

    it('leaves nothing behind on the host', async () => {
      for (const shell of ['dash', 'bash']) {
        await host.exec(': >/run/mark; sleep 0.1');
        await read(host, `${shell} -s`);
        const written = await text(
          host,
          `find / \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -cnewer /run/mark ! -path '/*/log/*' -print`,
        );
        // systemd makes and removes a directory of its own while user-0.slice is looked at.
        expect(
          written
            .trim()
            .split('\n')
            .filter((path) => path !== '' && !path.startsWith('/run/systemd')),
        ).toEqual([]);
      }
    });

    it('needs no writable file system', async () => {
      const { snapshot } = await read(
        host,
        `exec unshare --mount sh -c '
          for place in / /run /tmp /var/tmp /dev/shm; do
            mount --bind "$place" "$place" && mount -o remount,bind,ro "$place" || exit 1
          done 2>/dev/null
          (: >/tmp/x || : >/run/x || : >/x) 2>/dev/null && exit 9
          exec bash -s'`,
      );
      expect(snapshot.host.etc).toBe('read-only');
      expect(snapshot.units.length).toBeGreaterThan(10);
      expect(snapshot.problems.map(({ part, reason }) => `${part} ${reason}`)).toEqual([
        'files malformed',
        'files too-large',
      ]);
    });

    it('is partial for a user, with the reasons', async () => {
      const { snapshot } = await read(host, 'exec setpriv --reuid=1000 --regid=1000 --clear-groups sh -s');
      const root = (await read(host, 'sh -s')).snapshot;
      expect(snapshot.probe).toEqual({ uid: 1000, user: 'alice', sudoUser: null });
      expect(fileOf(snapshot, '/etc/security/limits.d/90-nproc.conf')).toMatchObject({
        problem: 'unreadable',
      });
      expect(snapshot.problems).toContainEqual({
        part: 'files',
        reason: 'no-permission',
        detail: '/etc/security/limits.d/90-nproc.conf cannot be read',
      });
      expect(snapshot.problems).toContainEqual({
        part: 'files',
        reason: 'no-permission',
        detail: '/etc/systemd/system/probe-private.service.d cannot be listed',
      });
      expect(snapshot.units.map(({ id }) => id)).toEqual(root.units.map(({ id }) => id));
      expect(snapshot.cgroups.tree.map(({ path }) => path)).toEqual(
        root.cgroups.tree.map(({ path }) => path),
      );
      expect(snapshot.host.etc).toBe('rw');
    });

    it('is one of files and cgroups where there is no systemctl', async () => {
      const { snapshot } = await read(
        host,
        `mkdir -p /run/tools && for tool in sh cat date find grep head id od readlink stat tail timeout true uname dmesg; do
           for dir in /usr/bin /bin; do [ ! -x "$dir/$tool" ] || ln -sf "$dir/$tool" /run/tools/; done
         done
         PATH=/run/tools exec sh -s`,
      );
      expect(snapshot.systemd).toMatchObject({
        version: host.systemdVersion,
        running: true,
        defaultTasksMax: null,
      });
      expect(snapshot.units).toEqual([]);
      expect(fileOf(snapshot, '/opt/v1/probe-b.service')?.text).toContain('TasksMax=33');
      expect(snapshot.cgroups.tree.length).toBeGreaterThan(5);
      expect(snapshot.problems).toContainEqual(
        expect.objectContaining({ part: 'systemd', reason: 'command-missing' }),
      );
    });

    it('does not wait for a systemctl that hangs', async () => {
      await host.writeFiles({ '/run/hang/systemctl': '#!/bin/sh\nsleep 1000\n' });
      const { snapshot, ms } = await read(host, 'PATH=/run/hang:$PATH TASKSCTL_PROBE_SECONDS=6 exec sh -s');
      expect(ms).toBeLessThan(30_000);
      expect(snapshot.problems).toContainEqual({
        part: 'systemd',
        reason: 'timeout',
        detail: 'systemctl show was ended at its time limit',
      });
      expect(snapshot.host.hostname).not.toBe('');
      expect(await text(host, `pgrep -f '[s]leep 1000' || :`)).toBe('');
    });
  });

  it('a host with no other shell and tools than those of busybox', async () => {
    const host = hostOf('bookworm');
    await host.writeFiles({ '/opt/busybox': readFileSync('/usr/bin/busybox') });
    await host.exec(`
        chmod 755 /opt/busybox; mkdir /opt/tools
        for tool in sh cat date find grep head id od readlink sleep stat tail timeout true uname dmesg; do
          ln -s /opt/busybox "/opt/tools/$tool"
        done
        ln -s "$(command -v systemctl)" /opt/tools/`);
    const busybox = (await read(host, 'PATH=/opt/tools exec /opt/tools/sh -s')).snapshot;
    const gnu = (await read(host, 'sh -s')).snapshot;
    expect(busybox.files).toEqual(gnu.files);
    expect(busybox.units.map(({ id, tasksMax, dropIns }) => [id, tasksMax, dropIns])).toEqual(
      gnu.units.map(({ id, tasksMax, dropIns }) => [id, tasksMax, dropIns]),
    );
    expect(busybox.cgroups.tree.map(({ path, max }) => [path, max])).toEqual(
      gnu.cgroups.tree.map(({ path, max }) => [path, max]),
    );
    expect(busybox.problems).toEqual(gnu.problems);
  });

  describe('a host over ssh', () => {
    async function readAs(user: string, askSecret?: () => Promise<string>) {
      const { ssh } = hostOf('bookworm');
      const config = `/tmp/tasksctl-snapshot-test-${process.pid}.conf`;
      const lines = [
        `IdentityFile ${ssh.identityFile}`,
        'IdentitiesOnly yes',
        `UserKnownHostsFile ${ssh.knownHostsFile}`,
        'GlobalKnownHostsFile /dev/null',
      ];
      writeFileSync(config, `${lines.join('\n')}\n`);
      const connected = await connect(`${user}@${ssh.host}:${ssh.port}`, {
        configFile: config,
        ...(askSecret === undefined ? {} : { askSecret }),
      });
      rmSync(config);
      if (!connected.ok) throw new Error(connected.error.message);
      const result = await readSnapshot(connected.transport);
      await connected.transport.close();
      if (result.kind === 'failed') throw new Error(result.error.message);
      return result.snapshot;
    }

    it('is whole with sudo and a password', async () => {
      const snapshot = await readAs('alice', async () => password);
      expect(snapshot.probe).toEqual({ uid: 0, user: 'root', sudoUser: 'alice' });
      expect(snapshot.problems.map(({ part }) => part)).toEqual(['files', 'files']);
      const session = snapshot.sessions.find(({ user }) => user === 'alice');
      expect(session).toMatchObject({ uid: 1000, service: 'sshd', class: 'user' });
      expect(snapshot.rlimits.map(({ pid }) => pid)).toContain(session?.leader);
      expect(snapshot.units.map(({ id }) => id)).toContain(session?.scope);
      expect(snapshot.units.map(({ id }) => id)).toContain('user-1000.slice');
    });

    it('is that of a user without sudo, and says so', async () => {
      const snapshot = await readAs('carol');
      expect(snapshot.probe.user).toBe('carol');
      expect(snapshot.problems[0]).toMatchObject({ part: 'probe', reason: 'no-permission' });
      expect(snapshot.units.length).toBeGreaterThan(10);
    });
  });

  it('a machine with systemd 262, which knows only cgroup v2', async () => {
    const host = await startVm({ suite: 'forky' });
    hosts.set('forky', host);
    await host.writeFiles(trouble);
    await host.exec(furnish, { timeoutMs: 240_000 });
    const snapshot = await expectTruth(host);
    expect(snapshot.cgroups).toMatchObject({
      mode: 'v2',
      pidsRoot: '/sys/fs/cgroup',
      eventsScope: 'limiting',
    });
    expect(snapshot.host.container).toBe(false);
    expect(snapshot.kernel.log).toEqual([]);
  });
});
