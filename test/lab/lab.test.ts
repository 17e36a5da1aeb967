import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containersUnavailable, type LabHost, labUnavailable, startContainer, startVm } from './lab.ts';

/** A command as a user over the real network and a real login. */
async function ssh(host: LabHost, user: string, command: string, timeout = 'ConnectTimeout=20') {
  const { ssh } = host;
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=yes', 'GlobalKnownHostsFile=/dev/null', timeout];
  const args = options.flatMap((option) => ['-o', option]);
  args.push('-F', 'none', '-o', `UserKnownHostsFile=${ssh.knownHostsFile}`, '-i', ssh.identityFile);
  args.push('-p', String(ssh.port), `${user}@${ssh.host}`, command);
  return await promisify(execFile)('ssh', args);
}

async function text(host: LabHost, script: string): Promise<string> {
  return (await host.exec(script)).stdout.toString().trim();
}

describe.skipIf(containersUnavailable() !== null)('containers', () => {
  const wanted = [
    ['bullseye', 247],
    ['bookworm', 252],
    ['bookworm-backports', 254],
    ['trixie', 257],
  ] as const;
  let hosts: LabHost[] = [];
  beforeAll(async () => {
    hosts = await Promise.all(wanted.map(([suite]) => startContainer({ suite })));
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host.stop()));
  });

  it('boot the systemd of their suite as PID 1', async () => {
    expect(hosts.map((host) => host.systemdVersion)).toEqual(wanted.map(([, version]) => version));
    for (const host of hosts) {
      expect(await text(host, 'cat /proc/1/comm; systemctl is-system-running')).toBe('systemd\nrunning');
    }
  });

  it('put a login in a session scope whose limit the kernel enforces', async () => {
    // All at once: at the limit bash tries again for some seconds.
    const check = async (host: LabHost) => {
      const { stdout } = await ssh(host, 'alice', 'sed -n s/^.*:pids://p /proc/self/cgroup');
      expect(stdout).toMatch(/^\/user\.slice\/user-1000\.slice\/session-\w+\.scope\n$/);
      const keep = ssh(host, 'alice', 'sleep 10').catch(() => {});
      await text(host, 'until systemctl -q is-active user-1000.slice; do sleep 0.1; done');
      await text(host, 'systemctl set-property --runtime user-1000.slice TasksMax=30');
      expect(await text(host, 'cat /sys/fs/cgroup/pids/user.slice/user-1000.slice/pids.max')).toBe('30');
      // bash gives up at once where a child that ends interrupts its fork.
      const burst = await ssh(
        host,
        'alice',
        'i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i+1)); done; wait',
      ).catch((error: { stderr: string }) => error);
      expect(burst.stderr).toContain('fork: retry: Resource temporarily unavailable');
      await text(host, 'pkill -u alice sleep || :');
      await keep;
    };
    await Promise.all(hosts.map(check));
  });

  it('take files and links', async () => {
    for (const host of hosts) {
      const path = `/etc/lab/${'deep/'.repeat(30)}file`;
      await host.writeFiles({
        [path]: 'text\n',
        '/etc/lab/link': { symlink: path },
        '/etc/lab/run': '#!/bin/sh\nexit 3',
      });
      expect(await text(host, 'cat /etc/lab/link')).toBe('text');
      expect((await host.exec('/etc/lab/run', { check: false })).code).toBe(3);
    }
  });

  it('reboot with a new boot id, the same files and the same address', async () => {
    await Promise.all(
      hosts.map(async (host) => {
        const before = await text(host, 'cat /proc/sys/kernel/random/boot_id; touch /root/kept');
        await host.reboot();
        const after = await text(host, 'cat /proc/sys/kernel/random/boot_id; ls /root/kept');
        expect(after).not.toContain(before);
        expect((await ssh(host, 'bob', 'sudo -n ls /root')).stdout).toBe('kept\n');
      }),
    );
  });

  it('lose and regain their network', async () => {
    const [host] = hosts;
    if (!host) throw new Error('no host');
    await host.linkDown();
    await expect(ssh(host, 'alice', 'true', 'ConnectTimeout=2')).rejects.toThrow();
    await host.linkUp();
    await ssh(host, 'alice', 'true');
  });
});

describe.skipIf(labUnavailable() !== null)('virtual machines', () => {
  it('boot the newest systemd on a kernel of their own with cgroup v2', { timeout: 400_000 }, async () => {
    const host = await startVm({ suite: 'forky' });
    try {
      expect(host.systemdVersion).toBe(262);
      expect(await text(host, 'cat /proc/1/comm; stat -f -c %T /sys/fs/cgroup')).toBe('systemd\ncgroup2fs');
      const own = (await text(host, 'cat /proc/self/cgroup')).trim();
      expect(own).toBe('0::/system.slice/lab-sshd.service');
      const { stdout } = await ssh(host, 'alice', 'cat /proc/self/cgroup');
      expect(stdout).toMatch(/^0::\/user\.slice\/user-1000\.slice\/session-\w+\.scope\n$/);
      await host.linkDown();
      await expect(ssh(host, 'alice', 'true', 'ConnectTimeout=2')).rejects.toThrow();
      await host.linkUp();
      await ssh(host, 'alice', 'true');
    } finally {
      await host.stop();
    }
  });
});
