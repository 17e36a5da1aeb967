import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { HostError, RunResult, Transport } from '../../src/host/transport.ts';
import { applySchema } from '../../src/report/apply-json.ts';
import { containersUnavailable, type LabHost, password, startContainer } from '../lab/lab.ts';
import { kind, Logins, request, text } from './logins.ts';
import { Program, pidsMax, until } from './program.ts';

/** The system's ssh on a real sshd; what both transports have in common, sudo above all, is in ssh.test.ts. */

function runError(result: RunResult): HostError {
  if (result.kind === 'exit') throw new Error(`exit ${result.code}`);
  return result.error;
}

describe.skipIf(containersUnavailable() !== null)('by the ssh of this machine', () => {
  let dir: string;
  let host: LabHost;
  let program: Program;
  const logins = new Logins(() => dir, 'openssh');
  const login = logins.login.bind(logins);
  const loginError = logins.loginError.bind(logins);

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'openssh-'));
    // Sockets are looked for there, and other tests make some, too.
    vi.stubEnv('XDG_RUNTIME_DIR', dir);
    program = Program.build();
    host = await startContainer({ suite: 'bookworm' });
    await host.writeFiles({
      '/etc/systemd/system/idle.service': '[Service]\nTasksMax=50\nExecStart=/bin/sleep 1d\n',
    });
    await host.exec('systemctl daemon-reload && systemctl start idle.service');
  });
  afterAll(async () => {
    await host?.stop();
    program?.remove();
    vi.unstubAllEnvs();
    rmSync(dir, { recursive: true });
  });

  const sshdConfig = async (...lines: string[]) => {
    await host.writeFiles({ '/etc/ssh/sshd_config.d/00-test.conf': `${lines.join('\n')}\n` });
    await host.exec('systemctl reload ssh; sleep 1');
  };
  const key = (name: string): string => {
    const path = join(dir, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', path]);
    return path;
  };
  /** Directories of sockets that are left. */
  const sockets = async (): Promise<string[]> =>
    (await readdir(dir)).filter((name) => /^tasksctl-\w{6}$/.test(name));
  /** Runs a command on a terminal and gives the password whenever it is asked for one. */
  const answering = async (command: string) => {
    const terminal = spawn('script', ['-qfec', command, '/dev/null'], {
      env: { ...process.env, NO_COLOR: '1' },
      timeout: 60_000,
    });
    let seen = '';
    let asked = 0;
    terminal.stdout.on('data', (chunk) => {
      seen += String(chunk);
      const questions = seen.match(/[Pp]assword[^\n]*: /g)?.length ?? 0;
      if (questions > asked) terminal.stdin.write(`${password}\r`);
      asked = questions;
    });
    const [code] = (await once(terminal, 'exit')) as [number | null];
    return { code, seen, asked };
  };
  const fingerprint = async (): Promise<string> =>
    (await text(host, 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub')).split(' ')[1] ?? '';

  describe('a login', () => {
    it('is one for all runs of a connection, another for the next connection, and over at its end', async () => {
      const before = await sockets();
      const since = await text(host, "sleep 1; date '+%F %T'");
      const accepted = async () =>
        Number(
          await text(
            host,
            `journalctl --no-pager -u ssh --since "${since}" | grep -c 'Accepted publickey' || :`,
          ),
        );
      const one = await login(host, 'bob');
      const results = await Promise.all(
        [1, 2, 3, 4, 5].map((n) => one.run(request(`sleep 0.2; echo ${n}`, { asRoot: false }))),
      );
      expect(results.map(({ stdout }) => stdout.toString())).toEqual(['1\n', '2\n', '3\n', '4\n', '5\n']);
      expect(await accepted()).toBe(1);
      const made = (await sockets()).filter((name) => !before.includes(name));
      expect(made).toHaveLength(1);
      const { mode } = await stat(join(dir, made[0] ?? ''));
      expect((mode & 0o777).toString(8)).toBe('700');
      const two = await login(host, 'bob');
      expect(await accepted()).toBe(2);
      // One of them ends, the other does not notice.
      await one.close();
      await one.close();
      expect(runError(await one.run(request('true'))).kind).toBe('connection-lost');
      expect(kind(await two.run(request('id -u')))).toBe('exit 0');
      await two.close();
      expect(await sockets()).toEqual(before);
      await until(
        'nobody is logged in',
        async () => (await text(host, 'pgrep -fc "sshd: [b]ob" || :')) === '0',
      );
    });

    it('stays while nothing is run, longer than ssh stays by itself', async () => {
      const transport = await login(host, 'bob');
      await sleep(13_000);
      expect(kind(await transport.run(request('true')))).toBe('exit 0');
      await transport.close();
    });

    it('uses no master of the operator, and nothing of a configuration made for people', async () => {
      const lines = [
        'ControlMaster auto',
        `ControlPath ${dir}/mine-%C`,
        'RemoteCommand echo no',
        'RequestTTY force',
        'LocalCommand touch /nonexistent/x',
        'PermitLocalCommand yes',
        'LocalForward 1 localhost:1',
        'ExitOnForwardFailure yes',
        'LogLevel QUIET',
        'ForwardAgent yes',
        'SessionType subsystem',
      ];
      const transport = await login(host, 'bob', {}, ...lines);
      const result = await transport.run(request('echo out; echo err >&2; tty; exit 7', { asRoot: false }));
      expect([kind(result), result.stdout.toString(), result.stderr.toString()]).toEqual([
        'exit 7',
        'out\nnot a tty\n',
        'err\n',
      ]);
      await transport.close();
      expect((await readdir(dir)).filter((name) => name.startsWith('mine'))).toEqual([]);
    });

    it('ends by itself when tasksctl is killed', async () => {
      const before = await sockets();
      const config = program.sshConfig({ lab: host });
      const argv = ['--transport', 'openssh', '--ssh-config', config, '-t', 'bob@lab'];
      const running = program.start('measure', '-d', '5m', ...argv);
      await until('bob is logged in', async () => (await text(host, 'pgrep -fc "sshd: [b]ob" || :')) !== '0');
      await sleep(2_000);
      running.child.kill('SIGKILL');
      await running.ended;
      await until(
        'nobody is logged in',
        async () => (await text(host, 'pgrep -fc "sshd: [b]ob" || :')) === '0',
      );
      for (const name of await sockets()) {
        if (!before.includes(name)) rmSync(join(dir, name), { recursive: true });
      }
    });

    it('is refused without a key, and nobody is asked', async () => {
      const error = await loginError(host, 'bob', {}, 'PubkeyAuthentication no');
      expect(error.kind).toBe('auth-failed');
      expect(error.message).toMatch(
        /^bob@\S+: login as bob@\S+ failed, the host offers publickey.*; look into it with: ssh -v -p 22 bob@/,
      );
    });

    it('by a password that ssh asks for on the terminal', async () => {
      const config = join(dir, 'password');
      writeFileSync(
        config,
        `PubkeyAuthentication no\nHostName ${host.ssh.host}\nUserKnownHostsFile ${host.ssh.knownHostsFile}\n`,
      );
      const command = `${program.file} status --no-pager --explain idle.service --transport openssh --ssh-config ${config} -t alice@lab`;
      const { code, seen, asked } = await answering(command);
      expect({ code, seen }).toMatchObject({ code: 0, seen: expect.stringContaining('idle.service on ') });
      expect(seen).not.toContain(password);
      // The login's, and sudo's.
      expect(asked).toBe(2);
    });
  });

  it('keeps no host of a fleet waiting for another, and asks for those that want an answer', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const config = logins.file(
      [
        `Host silent\nHostName 127.0.0.1\nPort ${(silent.address() as AddressInfo).port}`,
        'Host asks\nUser alice\nPubkeyAuthentication no',
        `Host *\nHostName ${host.ssh.host}\nUser bob\nIdentityFile ${host.ssh.identityFile}\nIdentityAgent none`,
        `UserKnownHostsFile ${host.ssh.knownHostsFile}\nGlobalKnownHostsFile none\n`,
      ].join('\n'),
    );
    const hosts = 'one,silent,asks,two,three';
    const command = `${program.file} status --no-pager -i ${hosts} --timeout 8 --transport openssh --ssh-config ${config}`;
    const { code, seen, asked } = await answering(command);
    silent.close();
    expect({ code, seen }).toMatchObject({ code: 3 });
    // The login's, and sudo's.
    expect({ asked, seen }).toMatchObject({ asked: 2 });
    const at = (text: RegExp) => seen.search(text);
    const lost = at(/silent.*did not answer in time/);
    expect({ lost, seen }).not.toMatchObject({ lost: -1 });
    for (const name of ['one', 'two', 'three', 'asks']) {
      const read = at(new RegExp(`${name}: .* used at `));
      expect({ name, early: read >= 0 && read < lost, seen }).toMatchObject({ early: true });
    }
  });

  describe('the host key', () => {
    it('is refused where it is unknown, with its fingerprint, and nothing is written', async () => {
      const known = logins.file('');
      const error = await loginError(
        host,
        'bob',
        {},
        `UserKnownHostsFile ${known}`,
        'StrictHostKeyChecking no',
      );
      expect(error.kind).toBe('host-key-unknown');
      expect(error.message).toContain(await fingerprint());
      expect(readFileSync(known, 'utf8')).toBe('');
    });

    it('is added where that was asked for, which is said', async () => {
      const known = logins.file('');
      const warnings: string[] = [];
      const options = { acceptNew: true, warn: (message: string) => warnings.push(message) };
      const transport = await login(host, 'bob', options, `UserKnownHostsFile ${known}`);
      await transport.close();
      expect(readFileSync(known, 'utf8')).toContain(host.ssh.host);
      expect(warnings).toEqual([expect.stringMatching(/^bob@\S+: ssh: Permanently added /)]);
      const again = await login(host, 'bob', {}, `UserKnownHostsFile ${known}`);
      await again.close();
    });

    it('is refused where it has changed, with file and line, whatever was asked for', async () => {
      const other = readFileSync(`${key('other')}.pub`, 'utf8');
      const known = logins.file(`# first\n${host.ssh.host} ${other}`);
      for (const options of [{}, { acceptNew: true }]) {
        const error = await loginError(host, 'bob', options, `UserKnownHostsFile ${known}`);
        expect(error).toMatchObject({ kind: 'host-key-changed', file: known, line: 2 });
        expect(error.message).toContain(await fingerprint());
        expect(error.message).toContain(`ssh-keygen -f '${known}' -R '${host.ssh.host}'`);
      }
    });

    it('is refused where it is revoked', async () => {
      const line = readFileSync(host.ssh.knownHostsFile, 'utf8');
      const known = logins.file(`@revoked ${line}${line}`);
      expect((await loginError(host, 'bob', {}, `UserKnownHostsFile ${known}`)).kind).toBe(
        'host-key-revoked',
      );
      const revoked = logins.file(`${line.split(' ').slice(1).join(' ')}`);
      const error = await loginError(host, 'bob', {}, `RevokedHostKeys ${revoked}`);
      expect(error).toMatchObject({ kind: 'host-key-revoked', file: revoked });
    });

    it('is taken by its certificate, where a line names the authority', async () => {
      const ca = key('host-ca');
      const publicKey = await text(host, 'cat /etc/ssh/ssh_host_ed25519_key.pub');
      const certify = async (name: string, ...more: string[]) => {
        const file = join(dir, `${name}.pub`);
        writeFileSync(file, `${publicKey}\n`);
        execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', name, '-h', ...more, file]);
        await host.writeFiles({
          '/etc/ssh/host-cert.pub': readFileSync(join(dir, `${name}-cert.pub`), 'utf8'),
        });
        await sshdConfig('HostCertificate /etc/ssh/host-cert.pub');
      };
      const known = logins.file(`@cert-authority * ${readFileSync(`${ca}.pub`, 'utf8')}`);
      try {
        await certify('good', '-n', host.ssh.host);
        const transport = await login(host, 'bob', {}, `UserKnownHostsFile ${known}`);
        expect(kind(await transport.run(request('true')))).toBe('exit 0');
        await transport.close();
        for (const [name, why] of [
          ['elsewhere', ['-n', 'elsewhere.example']],
          ['expired', ['-n', host.ssh.host, '-V', '20200101:20210101']],
        ] as const) {
          await certify(name, ...why);
          const error = await loginError(host, 'bob', {}, `UserKnownHostsFile ${known}`);
          expect(error.kind, name).toBe('host-key-unknown');
          expect(error.message, name).toContain('certificate of the host key is not valid');
        }
      } finally {
        await sshdConfig('');
      }
    });
  });

  it('logs in by a certificate of the user', async () => {
    const ca = key('user-ca');
    const mine = key('mine');
    execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'me', '-n', 'bob', `${mine}.pub`]);
    await host.writeFiles({ '/etc/ssh/user-ca.pub': readFileSync(`${ca}.pub`, 'utf8') });
    await sshdConfig('TrustedUserCAKeys /etc/ssh/user-ca.pub');
    try {
      const lines = [`IdentityFile ${mine}`, 'IdentitiesOnly yes'];
      const bare = [...lines, `UserKnownHostsFile ${host.ssh.knownHostsFile}`, 'IdentityAgent none', ''];
      const configFile = logins.file(bare.join('\n'));
      const transport = await login(host, 'bob', { configFile });
      expect((await transport.run(request('id -un', { asRoot: false }))).stdout.toString()).toBe('bob\n');
      await transport.close();
      // It is the certificate that is taken.
      rmSync(`${mine}-cert.pub`);
      expect((await loginError(host, 'bob', { configFile })).kind).toBe('auth-failed');
    } finally {
      await sshdConfig('');
    }
  });

  describe('a ProxyCommand', () => {
    it('is gone through', async () => {
      const relay = logins.file(
        `import net from 'node:net';const s=net.connect(${host.ssh.port},'${host.ssh.host}');process.stdin.pipe(s);s.pipe(process.stdout);`,
      );
      const proxy = `ProxyCommand ${process.execPath} --input-type=module -e "$(cat ${relay})"`;
      const transport = await login(host, 'bob', {}, proxy);
      expect(kind(await transport.run(request('true')))).toBe('exit 0');
      await transport.close();
    });

    it('that fails is shown with its words', async () => {
      // In a shell of its own: "exec echo >&2" would first end its output, upon which ssh ends it.
      const error = await loginError(host, 'bob', {}, 'ProxyCommand sh -c "echo no way through >&2; exit 1"');
      expect(error.kind).toBe('connection-lost');
      expect(error.message).toContain('no way through');
    });

    it('of a jump host names what is at fault', async () => {
      const behind: LabHost = { ...host, ssh: { ...host.ssh, host: 'behind', port: 1 } };
      const by = (jump: string) => ['Host behind', 'HostName 127.0.0.1', `ProxyJump ${jump}`, 'Host *'];
      const nobody = await loginError(behind, 'bob', {}, ...by('bob@127.0.0.1:2'));
      expect(nobody.kind).toBe('refused');
      expect(nobody.message).toContain('on the way there, 127.0.0.1 port 2 refused the connection');
      const denied = await loginError(behind, 'bob', {}, ...by(`nobody@${host.ssh.host}`));
      expect(denied.kind).toBe('auth-failed');
      expect(denied.message).toMatch(/on the way there, login (as nobody@|at )10\.77\.0\..* failed, /);
      const refused = await loginError(behind, 'bob', {}, ...by(`bob@${host.ssh.host}`));
      expect(refused.kind).toBe('refused');
      expect(refused.message).toContain('127.0.0.1 port 1 refused the connection from the jump host');
    });
  });

  describe('a host that cannot be reached', () => {
    const at = (address: string, port = 22): LabHost => ({
      ...host,
      ssh: { ...host.ssh, host: address, port },
    });

    it.each([
      ['name-not-found', 'no-such-host.invalid', 22],
      ['refused', '127.0.0.1', 1],
    ] as const)('%s', async (wanted, address, port) => {
      const error = await loginError(at(address, port), 'bob');
      expect([error.kind, error.message]).toEqual([wanted, expect.stringContaining(`${address}`)]);
    });

    it('by a route', async () => {
      const error = await loginError(at('10.77.0.250'), 'bob', { connectTimeoutMs: 8_000 });
      expect(['unreachable', 'connect-timeout']).toContain(error.kind);
    });

    it('before the operator stops it', async () => {
      await host.linkDown();
      try {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 500);
        const error = await loginError(host, 'bob', { signal: controller.signal });
        expect(error.kind).toBe('aborted');
        expect((await loginError(host, 'bob', { connectTimeoutMs: 1_500 })).kind).toMatch(
          /connect-timeout|unreachable/,
        );
      } finally {
        await host.linkUp();
      }
      await until('the network is back', async () => {
        const result = await logins.open(host, 'bob');
        if (result.ok) await result.transport.close();
        return result.ok;
      });
    });

    it('for want of a client', async () => {
      const path = process.env['PATH'];
      process.env['PATH'] = '/nonexistent';
      try {
        const error = await loginError(host, 'bob');
        expect(error.kind).toBe('unsupported');
        expect(error.message).toContain('install the OpenSSH client');
      } finally {
        process.env['PATH'] = path;
      }
    });

    it('by a configuration that is wrong, with file and line', async () => {
      const configFile = logins.file('Host *\n  Nonsense yes\n');
      const error = await loginError(host, 'bob', { configFile });
      expect(error).toMatchObject({ kind: 'config-invalid', file: configFile, line: 2 });
    });
  });

  describe.each(['root', 'carol'])('a run of %s', (user) => {
    let transport: Transport;
    const plain = (script: string, more = {}) => request(script, { asRoot: false, ...more });
    const gone = (pattern: string) =>
      until(`${pattern} is gone`, async () => (await text(host, `pgrep -fc "${pattern}" || :`)) === '0');
    beforeAll(async () => {
      transport = await login(host, user);
    });
    afterAll(() => transport?.close());

    it('carries bytes of every kind both ways, and a script of a megabyte', async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const octal = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
      expect((await transport.run(plain(`printf '${octal}'`))).stdout.equals(bytes)).toBe(true);
      const script = `${'# filler filler filler\n'.repeat(45_000)}head -c 8000000 /dev/zero; echo end >&2`;
      const result = await transport.run(plain(script, { maxOutputBytes: 10_000_000 }));
      expect([kind(result), result.stdout.length, result.stderr.toString()]).toEqual([
        'exit 0',
        8_000_000,
        'end\n',
      ]);
    });

    it('that ends with 255 or by a signal is no lost connection', async () => {
      expect(kind(await transport.run(plain('exit 255')))).toBe('exit 255');
      expect(kind(await transport.run(plain('kill -TERM $$')))).toBe('exit 255');
    });

    it('is ended on the host too, at its limits and by the signal, and the connection serves on', async () => {
      const timeout = await transport.run(plain('echo first; sleep 4321; echo on', { timeoutMs: 1_500 }));
      expect([kind(timeout), timeout.stdout.toString()]).toEqual(['timeout', 'first\n']);
      await gone('[s]leep 4321');
      const flood = await transport.run(plain('yes flood', { maxOutputBytes: 300_000 }));
      expect([kind(flood), flood.stdout.length]).toEqual(['output-limit', 300_000]);
      await gone('[y]es flood');
      const controller = new AbortController();
      const aborted = await transport.run(
        plain('echo begun; sleep 4322', { signal: controller.signal, onStdout: () => controller.abort() }),
      );
      expect(kind(aborted)).toBe('aborted');
      await gone('[s]leep 4322');
      expect((await transport.run(plain('echo on'))).stdout.toString()).toBe('on\n');
    });
  });

  it('is refused by a host that allows no more sessions', async () => {
    await sshdConfig('MaxSessions 1');
    try {
      const transport = await login(host, 'bob');
      const first = transport.run(request('sleep 2; echo done'));
      await sleep(700);
      const second = runError(await transport.run(request('true')));
      expect([second.kind, second.message]).toEqual(['unsupported', expect.stringContaining('MaxSessions')]);
      expect((await first).stdout.toString()).toBe('done\n');
      await transport.close();
    } finally {
      await sshdConfig('');
    }
  });

  it('is lost when sshd there is, in a run and after it, and logs in no more', async () => {
    const transport = await login(host, 'bob');
    const result = await transport.run(
      request('echo begun; sleep 30', {
        asRoot: false,
        onStdout: () => void host.exec('pkill -KILL -f "sshd: [b]ob"', { check: false }),
      }),
    );
    expect([kind(result), result.stdout.toString()]).toEqual(['connection-lost', 'begun\n']);
    expect(runError(result).message).toContain('what was running there may have gone on');
    expect(kind(await transport.run(request('true')))).toBe('connection-lost');
    expect(await text(host, 'pgrep -fc "sshd: [b]ob" || :')).toBe('0');
    await transport.close();
  });

  it('outlives a Ctrl-C on the terminal, and the host is given back what it had', async () => {
    const config = program.sshConfig({ lab: host });
    const policy = join(program.dir, 'interrupted.yaml');
    writeFileSync(policy, 'schema: tasksctl/policy/1\nname: interrupted\nuser-default:\n  value: 556\n');
    await host.writeFiles({
      '/opt/slow-systemctl':
        '#!/bin/sh\n[ "$*" != daemon-reload ] || { : >/run/reloading; sleep 2; }\nexec /opt/systemctl "$@"\n',
    });
    await host.exec(
      'cp -a $(readlink -f /usr/bin/systemctl) /opt/systemctl; mount --bind /opt/slow-systemctl $(readlink -f /usr/bin/systemctl)',
    );
    const command = `${program.file} apply --yes -p ${policy} --transport openssh --ssh-config ${config} -t bob@lab`;
    const terminal = spawn('script', ['-qfec', command, '/dev/null'], { timeout: 120_000 });
    let seen = '';
    terminal.stdout.on('data', (chunk) => {
      seen += String(chunk);
    });
    await host.exec('until [ -e /run/reloading ]; do sleep 0.1; done');
    terminal.stdin.write('\x03');
    const code = await new Promise((resolve) => terminal.on('exit', resolve));
    await host.exec('umount $(readlink -f /usr/bin/systemctl)');
    expect({ code, seen }).toMatchObject({ code: 130 });
    expect(seen).not.toContain('was lost');
    expect(await text(host, 'grep -rl 556 /etc/systemd || :')).toBe('');
  });

  it('applies and rolls back, each with the proof of a login', async () => {
    const config = program.sshConfig({ lab: host });
    const as = ['--transport', 'openssh', '--ssh-config', config, '-t', 'bob@lab'];
    const policy = join(program.dir, 'policy.yaml');
    writeFileSync(
      policy,
      'schema: tasksctl/policy/1\nname: openssh\nunits:\n  idle.service:\n    value: 77\nuser-default:\n  value: 555\n',
    );
    const before = await sockets();
    const applied = await program.run('apply', '--yes', '--json', '-p', policy, ...as);
    expect(applied.stderr).toBe('');
    expect(applied.code).toBe(0);
    expect(applySchema.parse(JSON.parse(applied.stdout)).result.kind).toBe('applied');
    expect(await pidsMax(host, 'idle.service')).toBe('77');
    expect((await program.run('verify', ...as)).code).toBe(0);
    const undone = await program.run('rollback', '--yes', ...as);
    expect({ code: undone.code, stderr: undone.stderr }).toEqual({ code: 0, stderr: '' });
    expect(await pidsMax(host, 'idle.service')).toBe('50');
    expect(await sockets()).toEqual(before);
  });
});
