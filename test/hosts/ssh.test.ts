import { readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ConnectMemory } from '../../src/host/connect-memory.ts';
import { containersUnavailable, type LabHost, password, startContainer } from '../lab/lab.ts';
import { asker, kind, Logins, request, text } from './logins.ts';

/**
 * Logins and sudo on real Debian hosts: sudo 1.9.5 (bullseye), 1.9.13 (bookworm) and 1.9.16 (trixie, use_pty by
 * default), PAM, and a network whose cable can be pulled. The rest of ssh2 is tested in test/unit/host/ssh.test.ts, of the
 * system's ssh in openssh.test.ts.
 */

let dir: string;
const why = containersUnavailable();

const suites = ['bullseye', 'bookworm', 'trixie'] as const;
const hosts: Partial<Record<(typeof suites)[number], LabHost>> = {};

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ssh-hosts-'));
  if (why !== null) return;
  await Promise.all(
    suites.map(async (suite) => {
      hosts[suite] = await startContainer({ suite });
    }),
  );
});
afterAll(async () => {
  await Promise.all(Object.values(hosts).map((host) => host.stop()));
  rmSync(dir, { recursive: true });
});

function hostOf(suite: (typeof suites)[number]): LabHost {
  const host = hosts[suite];
  if (host === undefined) throw new Error(`${suite} was not started`);
  return host;
}

const clients = ['ssh2', 'openssh'] as const;
const both = suites.flatMap((suite) => clients.map((client) => [suite, client] as const));

describe.skipIf(why !== null).each(both)('sudo of %s, by %s', (suite, client) => {
  const logins = new Logins(() => dir, client);
  let host: LabHost;
  beforeAll(async () => {
    host = hostOf(suite);
    await host.exec("echo 'carol:staple battery' | chpasswd");
    // Counts failures as hosts do that lock accounts.
    await host.writeFiles({
      '/etc/pam.d/sudo': [
        'auth required pam_faillock.so preauth audit deny=100',
        'auth sufficient pam_unix.so',
        'auth [default=die] pam_faillock.so authfail audit deny=100',
        'account include common-account',
        'session include common-session-noninteractive',
        '',
      ].join('\n'),
    });
  });
  beforeEach(async () => {
    await host.exec('rm -rf /etc/sudoers.d/test /run/sudo/ts/* /var/run/faillock/*');
  });
  const sudoers = (...lines: string[]) => host.writeFiles({ '/etc/sudoers.d/test': `${lines.join('\n')}\n` });
  const failures = async (user: string) =>
    Number(await text(host, `faillock --user ${user} | grep -c ' V$' || :`));

  it('gives root for a password that is asked once, and none of its noise', async () => {
    await sudoers('Defaults lecture=always', 'Defaults:alice timestamp_timeout=0');
    const { prompts, askSecret } = asker(password);
    const transport = await logins.login(host, 'alice', { askSecret });
    for (const n of [1, 2, 3]) {
      const result = await transport.run(
        request(`id -u; echo ${n} >&2; cat; echo "$HOME $SUDO_USER"; exit ${n}`),
      );
      expect(kind(result)).toBe(`exit ${n}`);
      expect(result.stdout.toString()).toBe('0\n/root alice\n');
      expect(result.stderr.toString()).toBe(`${n}\n`);
    }
    expect(kind(await transport.run(request('test $(id -u) = 1000', { asRoot: false })))).toBe('exit 0');
    expect(prompts).toEqual([`sudo password for alice@${host.name}: `]);
    expect(await failures('alice')).toBe(0);
    await transport.close();
  });

  it('shows the password to no command line, environment, file or log', async () => {
    const { askSecret } = asker(password);
    await sudoers('Defaults log_output, log_input');
    const transport = await logins.login(host, 'alice', { askSecret });
    // Looks again and again while sudo runs; the brackets keep the pattern from matching itself.
    const sample = (rounds: number) =>
      host.exec(
        `n=0; hits=0; sudo=0; while [ $n -lt ${rounds} ]; do n=$((n+1));` +
          ' hits=$((hits + $(cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -ac "correct[ ]horse" || :)));' +
          ' sudo=$((sudo + $(cat /proc/[0-9]*/cmdline 2>/dev/null | grep -ac "tasksctl: sudo passwor[d]" || :)));' +
          ' sleep 0.05; done; echo $hits $sudo',
        { timeoutMs: 60_000 },
      );
    const careless = host.exec(`PW='${password}' sh -c 'sleep 2; :'`);
    const control = await sample(5);
    expect(Number(control.stdout.toString().split(' ')[0])).toBeGreaterThan(0);
    await careless;
    const sampler = sample(40);
    for (let n = 0; n < 4; n++)
      expect(kind(await transport.run(request('set; env; sleep 0.5')))).toBe('exit 0');
    const [hits, seen] = (await sampler).stdout.toString().trim().split(' ').map(Number);
    expect(hits).toBe(0);
    // The sampler did see the sudo that took it.
    expect(seen).toBeGreaterThan(0);
    const result = await transport.run(request('set; env; cat /proc/$$/environ /proc/$PPID/environ'));
    expect(result.stdout.toString()).not.toContain(password);
    await transport.close();
    expect(
      await text(
        host,
        'journalctl --no-pager -a >/tmp/journal; grep -rac "correct[ ]horse" /tmp/journal /var/log /home /root /tmp /run /etc 2>/dev/null | grep -v ":0$"; find /var/log/sudo-io -name "*in" | xargs zcat 2>/dev/null | grep -ac "correct[ ]horse"; :',
      ),
    ).toBe('0');
  });

  it('gives root without asking where it needs no password, and the script is read from its first byte', async () => {
    const { prompts, askSecret } = asker('never asked for');
    const transport = await logins.login(host, 'bob', { askSecret });
    const result = await transport.run(request('id -u'));
    expect(kind(result)).toBe('exit 0');
    expect(result.stdout.toString()).toBe('0\n');
    expect(prompts).toEqual([]);
    await transport.close();
  });

  it('sends no password where the credentials are still cached', async () => {
    await sudoers('Defaults:alice timestamp_type=global, timestamp_timeout=5');
    const { prompts, askSecret } = asker(password);
    const transport = await logins.login(host, 'alice', { askSecret });
    expect(kind(await transport.run(request('true')))).toBe('exit 0');
    // The password is proven, so sudo is started to ask for it, and does not.
    for (const _ of [1, 2]) {
      const result = await transport.run(request('id -u; cat'));
      expect([kind(result), result.stdout.toString(), result.stderr.toString()]).toEqual([
        'exit 0',
        '0\n',
        '',
      ]);
    }
    await transport.close();
    // Nobody to ask and none needed.
    const other = await logins.login(host, 'alice');
    expect(kind(await other.run(request('true')))).toBe('exit 0');
    await other.close();
    expect(prompts).toHaveLength(1);
  });

  it('counts a wrong password once, whatever number of runs and connections want it', async () => {
    for (const more of ['', 'Defaults insults', 'Defaults passwd_tries=1']) {
      await sudoers(more);
      await host.exec('rm -rf /var/run/faillock/*');
      const { prompts, askSecret } = asker('wrong horse');
      const memory = new ConnectMemory();
      const [a, b] = [
        await logins.login(host, 'alice', { askSecret, memory }),
        await logins.login(host, 'alice', { askSecret, memory }),
      ];
      const results = await Promise.all([a, a, b, b].map((transport) => transport.run(request('true'))));
      expect(results.map(kind), more).toEqual(Array(4).fill('sudo-password-wrong'));
      expect(kind(await a.run(request('true')))).toBe('sudo-password-wrong');
      expect(prompts).toHaveLength(1);
      expect(await failures('alice'), more).toBe(1);
      await Promise.all([a.close(), b.close()]);
    }
  });

  it('is asked for once for all hosts that have the same, and tried on no second one after a refusal', async () => {
    await sudoers('carol ALL=(ALL:ALL) ALL', 'Defaults timestamp_timeout=0');
    for (const [answer, ends, failed] of [
      [password, ['exit 0', 'sudo-password-wrong', 'exit 0'], [0, 1]],
      ['wrong horse', Array(3).fill('sudo-password-wrong'), [1, 0]],
    ] as const) {
      await host.exec('rm -rf /var/run/faillock/*');
      const { prompts, askSecret } = asker(answer);
      const options = { askSecret, memory: new ConnectMemory(), oneSudoPassword: true };
      // carol stands for a host that has another one.
      const [alice, carol] = [
        await logins.login(host, 'alice', options),
        await logins.login(host, 'carol', options),
      ];
      const runs = [];
      for (const transport of [alice, carol, alice]) runs.push(kind(await transport.run(request('true'))));
      expect(runs).toEqual(ends);
      expect(prompts).toEqual(['sudo password for all hosts: ']);
      expect([await failures('alice'), await failures('carol')]).toEqual(failed);
      await Promise.all([alice.close(), carol.close()]);
    }
  });

  it('says that it needs a password where nobody can be asked, and that is no failure in its books', async () => {
    const transport = await logins.login(host, 'alice');
    const result = await transport.run(request('true'));
    expect(kind(result)).toBe('sudo-password-needed');
    await transport.close();
    const declined = await logins.login(host, 'alice', asker(null));
    expect(kind(await declined.run(request('true')))).toBe('sudo-password-needed');
    await declined.close();
    expect(await failures('alice')).toBe(0);
  });

  it('is denied to who has no right, with and without the password', async () => {
    const transport = await logins.login(host, 'carol', asker('staple battery'));
    const result = await transport.run(request('true'));
    expect(kind(result)).toBe('sudo-denied');
    expect(kind(await transport.run(request('true', { asRoot: false })))).toBe('exit 0');
    await transport.close();
    await sudoers('carol ALL=(ALL:ALL) NOPASSWD: /bin/true');
    const other = await logins.login(host, 'carol', asker('staple battery'));
    expect(kind(await other.run(request('true')))).toBe('sudo-denied');
    await other.close();
  });

  it('names requiretty', async () => {
    await sudoers('Defaults:bob requiretty');
    const transport = await logins.login(host, 'bob');
    const result = await transport.run(request('true'));
    expect(kind(result)).toBe('sudo-denied');
    if (result.kind === 'failed') expect(result.error.message).toContain('requiretty');
    await transport.close();
  });

  it('is missed where it is not installed, and not by root', async () => {
    await host.exec('mv /usr/bin/sudo /usr/bin/sudo.away');
    try {
      const transport = await logins.login(host, 'bob');
      expect(kind(await transport.run(request('true')))).toBe('sudo-missing');
      await transport.close();
      const root = await logins.login(host, 'root');
      expect((await root.run(request('id -u'))).stdout.toString()).toBe('0\n');
      await root.close();
    } finally {
      await host.exec('mv /usr/bin/sudo.away /usr/bin/sudo');
    }
  });

  it('works under dash, busybox ash and a noisy bash as login shells', async () => {
    await host.exec('ln -sf /bin/busybox /usr/local/bin/ash; echo /usr/local/bin/ash >>/etc/shells');
    await host.exec(
      "echo 'echo welcome; echo beware >&2' >/tmp/rc; cat /tmp/rc /home/bob/.bashrc >/tmp/rc2; cp /tmp/rc2 /home/bob/.bashrc",
    );
    for (const shell of ['/bin/dash', '/usr/local/bin/ash', '/bin/bash']) {
      await host.exec(`usermod -s ${shell} bob`);
      const transport = await logins.login(host, 'bob');
      const result = await transport.run(request('id -u; echo err >&2'));
      expect([kind(result), result.stdout.toString(), result.stderr.toString()], shell).toEqual([
        'exit 0',
        '0\n',
        'err\n',
      ]);
      await transport.close();
    }
    await host.exec('usermod -s /usr/sbin/nologin bob');
    const closed = await logins.login(host, 'bob');
    const result = await closed.run(request('true'));
    expect(kind(result)).toBe('unsupported');
    if (result.kind === 'failed')
      expect(result.error.message).toContain('This account is currently not available.');
    await closed.close();
    await host.exec('usermod -s /bin/bash bob');
  });

  it('lets a root script be stopped at its limits', async () => {
    const transport = await logins.login(host, 'alice', asker(password));
    expect(kind(await transport.run(request('sleep 60', { timeoutMs: 4_000 })))).toBe('timeout');
    expect(kind(await transport.run(request('yes', { maxOutputBytes: 200_000 })))).toBe('output-limit');
    expect(kind(await transport.run(request('true')))).toBe('exit 0');
    await transport.close();
    // What writes gets SIGPIPE.
    await host.exec(
      'i=0; while pgrep -x yes >/dev/null; do i=$((i+1)); [ $i -lt 100 ] || exit 1; sleep 0.1; done',
    );
  });
});

describe.skipIf(why !== null)('login by ssh2', () => {
  const logins = new Logins(() => dir, 'ssh2');
  let host: LabHost;
  beforeAll(() => {
    host = hostOf('bookworm');
  });
  const sshdConfig = async (...lines: string[]) => {
    await host.writeFiles({ '/etc/ssh/sshd_config.d/00-test.conf': `${lines.join('\n')}\n` });
    await host.exec('systemctl reload ssh');
    // The reload is a signal: a connection made now must meet the new sshd.
    await host.exec('sleep 1');
  };
  const journal = (since: string, pattern: string) =>
    text(host, `journalctl --no-pager -u ssh --since "${since}" | grep -c "${pattern}" || :`).then(Number);
  const now = () => text(host, "sleep 1; date '+%F %T'");

  it('takes a password by keyboard-interactive, and by the password method where there is no other', async () => {
    for (const lines of [['PasswordAuthentication no'], ['KbdInteractiveAuthentication no']]) {
      await sshdConfig(...lines);
      const { prompts, askSecret } = asker(password);
      const memory = new ConnectMemory();
      const options = { askSecret, memory };
      const transports = await Promise.all(
        [1, 2, 3].map(() => logins.login(host, 'alice', options, 'PubkeyAuthentication no')),
      );
      for (const transport of transports) {
        expect((await transport.run(request('id -un', { asRoot: false }))).stdout.toString()).toBe('alice\n');
        await transport.close();
      }
      expect(prompts).toEqual([`password for alice@${host.ssh.host}: `]);
    }
    await sshdConfig('');
  });

  it('tries a wrong password once, on all connections together', async () => {
    const since = await now();
    const { prompts, askSecret } = asker('wrong horse');
    const memory = new ConnectMemory();
    const errors = await Promise.all(
      [1, 2, 3].map(() => logins.loginError(host, 'alice', { askSecret, memory }, 'PubkeyAuthentication no')),
    );
    for (const error of errors) expect(error.kind).toBe('auth-failed');
    expect(errors.map((error) => error.message).join()).toContain(
      'the password was refused and is not tried again',
    );
    expect(prompts).toHaveLength(1);
    expect(await journal(since, 'pam_unix(sshd:auth): authentication failure')).toBe(1);
  });

  it('fails at once where nobody can be asked, in BatchMode, and where the operator declines', async () => {
    const since = await now();
    const nobody = await logins.loginError(host, 'alice', {}, 'PubkeyAuthentication no');
    expect(nobody.message).toContain('nobody can be asked for a password');
    const { prompts, askSecret } = asker(password);
    expect(
      (await logins.loginError(host, 'alice', { askSecret }, 'PubkeyAuthentication no', 'BatchMode yes'))
        .kind,
    ).toBe('auth-failed');
    expect(prompts).toEqual([]);
    const declined = await logins.loginError(host, 'alice', asker(null), 'PubkeyAuthentication no');
    expect(declined.kind).toBe('auth-failed');
    expect(await journal(since, 'authentication failure')).toBe(0);
  });

  it('gives a key and a password where both are demanded', async () => {
    for (const methods of [
      'publickey,password',
      'publickey,keyboard-interactive:pam',
      'keyboard-interactive,publickey',
    ]) {
      await sshdConfig('Match User alice', `AuthenticationMethods ${methods}`);
      const { prompts, askSecret } = asker(password);
      const transport = await logins.login(host, 'alice', { askSecret });
      expect(kind(await transport.run(request('true', { asRoot: false }))), methods).toBe('exit 0');
      await transport.close();
      expect(prompts).toEqual([`password for alice@${host.ssh.host}: `]);
      expect((await logins.loginError(host, 'alice')).kind).toBe('auth-failed');
    }
    await sshdConfig('');
  });

  it('waits for a person longer than for a host', async () => {
    const askSecret = async () => {
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      return password;
    };
    const transport = await logins.login(
      host,
      'alice',
      { askSecret, connectTimeoutMs: 2_000 },
      'PubkeyAuthentication no',
    );
    const result = await transport.run(request('true', { timeoutMs: 2_000 }));
    expect(kind(result)).toBe('exit 0');
    await transport.close();
  });
});

describe.skipIf(why !== null).each(clients)('login by %s', (client) => {
  const logins = new Logins(() => dir, client);
  let host: LabHost;
  let inner: LabHost;
  beforeAll(() => {
    host = hostOf('bookworm');
    inner = hostOf('trixie');
  });

  it('goes through one host to another, and is root there with the password of that one', async () => {
    const known = logins.file(
      [host, inner].map(({ ssh }) => readFileSync(ssh.knownHostsFile, 'utf8')).join(''),
    );
    const { prompts, askSecret } = asker(password);
    const config = logins.file(
      [
        `Host ${inner.ssh.host}`,
        `ProxyJump bob@${host.ssh.host}`,
        'Host *',
        'IdentityAgent none',
        `UserKnownHostsFile ${known}`,
        `IdentityFile ${host.ssh.identityFile}`,
        '',
      ].join('\n'),
    );
    const through = await logins.login(inner, 'alice', { askSecret, configFile: config });
    const result = await through.run(request('id -u; hostname; echo ${SUDO_USER}'));
    expect(result.stdout.toString()).toMatch(/^0\n.*\nalice\n$/);
    const from = await through.run(request('echo $SSH_CONNECTION', { asRoot: false }));
    expect(from.stdout.toString()).toMatch(new RegExp(`^${host.ssh.host} `));
    expect(prompts).toEqual([`sudo password for alice@${inner.name}: `]);
    await through.close();
  });

  it('notices a pulled cable, in a run and before one, and finds the host again', async () => {
    const lines = ['ServerAliveInterval 1', 'ServerAliveCountMax 2'];
    const transport = await logins.login(host, 'bob', {}, ...lines);
    let pulled: Promise<void> | undefined;
    const started = performance.now();
    const result = await transport.run(
      request('echo begun; sleep 60', {
        onStdout: () => {
          pulled ??= host.linkDown();
        },
      }),
    );
    try {
      await pulled;
      expect(kind(result)).toBe('connection-lost');
      expect(result.stdout.toString()).toBe('begun\n');
      if (result.kind === 'failed') expect(result.error.message).toContain('it no longer answers');
      expect(performance.now() - started).toBeLessThan(15_000);
      await transport.close();
      const error = await logins.loginError(host, 'bob', { connectTimeoutMs: 1_500 }, ...lines);
      expect(['connect-timeout', 'unreachable']).toContain(error.kind);
    } finally {
      await host.linkUp();
    }
    const again = await logins.login(host, 'bob', {}, ...lines);
    expect(kind(await again.run(request('true')))).toBe('exit 0');
    await again.close();
  });
});
