import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { readSshSettings, SshConfigAnswers, type SshSettings } from '../../../src/host/ssh-config.ts';
import type { SshDestination } from '../../../src/host/target.ts';
import { sshUnavailable } from './sshd.ts';

const sshMissing = sshUnavailable() !== null;

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ssh-config-'));
});
afterAll(() => rmSync(dir, { recursive: true }));
afterEach(() => {
  vi.unstubAllEnvs();
});

let files = 0;
function config(text: string): string {
  const file = join(dir, `config-${files++}`);
  writeFileSync(file, text);
  return file;
}

async function settings(text: string, destination: Partial<SshDestination> = {}): Promise<SshSettings> {
  const result = await readSshSettings({ kind: 'ssh', host: 'web1', ...destination }, 'web1', config(text));
  if (!result.ok) throw new Error(result.error.message);
  return result.settings;
}

describe.skipIf(sshMissing)('readSshSettings with the ssh client', () => {
  it('has the defaults of ssh', async () => {
    const me = userInfo();
    const got = await settings('');
    expect(got).toMatchObject({
      hostname: 'web1',
      user: me.username,
      port: 22,
      addressFamily: 0,
      proxyJump: [],
      identitiesOnly: false,
      userKnownHostsFiles: [`${me.homedir}/.ssh/known_hosts`, `${me.homedir}/.ssh/known_hosts2`],
      globalKnownHostsFiles: ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'],
      strictHostKeyChecking: 'strict',
      serverAliveIntervalMs: 0,
      serverAliveCountMax: 3,
      publickey: true,
      keyboardInteractive: true,
      password: true,
    });
    expect(got.identityFiles).toContain(`${me.homedir}/.ssh/id_ed25519`);
    expect(got.connectTimeoutMs).toBeUndefined();
    expect(got.kexAlgorithms).toContain('curve25519-sha256');
  });

  it('follows Include, Host, Match host, Match exec and what the command line gave', async () => {
    const included = config('Host web*\n  Port 2222\n');
    const text = [
      `Include ${included}`,
      'Match host web1 user deploy',
      '  IdentityAgent none',
      'Match host web1 exec "test %h = web1"',
      '  ConnectTimeout 7',
      'Host web1',
      '  HostName %h.example.org',
      '  User alice',
      '  Port 99',
    ].join('\n');
    expect(await settings(text)).toMatchObject({
      hostname: 'web1.example.org',
      user: 'alice',
      port: 2222,
      connectTimeoutMs: 7_000,
    });
    vi.stubEnv('SSH_AUTH_SOCK', '/agent');
    const given = await settings(text, { user: 'deploy', port: 2200 });
    expect(given).toMatchObject({ user: 'deploy', port: 2200 });
    expect(given.identityAgent).toBeUndefined();
    expect((await settings(text)).identityAgent).toBe('/agent');
  });

  it('reads every setting it uses', async () => {
    vi.stubEnv('MY_AGENT', '/run/agent');
    const got = await settings(
      [
        'IdentityFile ~/.ssh/%r@%h-%p',
        'IdentityFile %d/second',
        'IdentitiesOnly yes',
        'IdentityAgent $MY_AGENT',
        'UserKnownHostsFile ~/kh1 /kh2',
        'GlobalKnownHostsFile /gkh',
        'RevokedHostKeys ~/revoked',
        'StrictHostKeyChecking accept-new',
        'HashKnownHosts yes',
        'HostKeyAlias Cluster',
        'ConnectTimeout 3',
        'ServerAliveInterval 5',
        'ServerAliveCountMax 2',
        'AddressFamily inet6',
        'BindAddress 192.0.2.1',
        'PasswordAuthentication no',
        'ProxyJump u@j1:2200,ssh://j2,[2001:db8::1]:22',
        'KexAlgorithms curve25519-sha256',
        'Ciphers aes128-ctr,aes256-ctr',
      ].join('\n'),
      { user: 'bob' },
    );
    const home = userInfo().homedir;
    expect(got).toMatchObject({
      identityFiles: [`${home}/.ssh/bob@web1-22`, `${home}/second`],
      identitiesOnly: true,
      identityAgent: '/run/agent',
      userKnownHostsFiles: [`${home}/kh1`, '/kh2'],
      globalKnownHostsFiles: ['/gkh'],
      revokedHostKeys: `${home}/revoked`,
      strictHostKeyChecking: 'accept-new',
      hashKnownHosts: true,
      hostKeyAlias: 'cluster',
      connectTimeoutMs: 3_000,
      serverAliveIntervalMs: 5_000,
      serverAliveCountMax: 2,
      addressFamily: 6,
      bindAddress: '192.0.2.1',
      password: false,
      keyboardInteractive: true,
      proxyJump: [
        { kind: 'ssh', host: 'j1', user: 'u', port: 2200 },
        { kind: 'ssh', host: 'j2' },
        { kind: 'ssh', host: '2001:db8::1', port: 22 },
      ],
      kexAlgorithms: ['curve25519-sha256'],
      ciphers: ['aes128-ctr', 'aes256-ctr'],
    });
  });

  it.each([
    ['yes', 'strict'],
    ['ask', 'strict'],
    ['no', 'off'],
    ['off', 'off'],
    ['accept-new', 'accept-new'],
  ])('StrictHostKeyChecking %s is %s', async (value, expected) => {
    expect((await settings(`StrictHostKeyChecking ${value}`)).strictHostKeyChecking).toBe(expected);
  });

  it('asks nobody in BatchMode', async () => {
    expect(await settings('BatchMode yes')).toMatchObject({
      publickey: true,
      keyboardInteractive: false,
      password: false,
    });
  });

  it('has no jump host after ProxyJump none', async () => {
    expect((await settings('Host web1\n ProxyJump none\nHost *\n ProxyJump j')).proxyJump).toEqual([]);
  });

  it('names file and line of a mistake, and what it cannot do', async () => {
    const read = (text: string) =>
      readSshSettings({ kind: 'ssh', host: 'web1' }, 'alice@web1', config(text)).then((result) =>
        result.ok ? null : result.error,
      );
    const bad = await read('Host *\n  User alice\n  Prot 22\n');
    expect(bad).toMatchObject({ kind: 'config-invalid', target: 'alice@web1', line: 3 });
    expect(bad?.file).toContain('config-');
    expect(bad?.message).toMatch(/^alice@web1: .*config-\d+:3: Bad configuration option: prot; correct it/);
    expect(await read('Match host web1 exec "true\n')).toMatchObject({ kind: 'config-invalid', line: 1 });
    expect((await read('ProxyCommand nc %h %p'))?.message).toContain('use ProxyJump for this host');
    expect((await read('IdentityFile ~/.ssh/%C'))?.message).toContain('%C in ~/.ssh/%C has no value here');
  });

  it('says why where the file of -F is missing', async () => {
    const result = await readSshSettings({ kind: 'ssh', host: 'web1' }, 'web1', join(dir, 'nowhere'));
    expect(result).toMatchObject({ ok: false, error: { kind: 'config-invalid' } });
    if (!result.ok) expect(result.error.message).toContain("Can't open user config file");
  });
});

describe.skipIf(sshMissing)('the answers of ssh for a fleet', () => {
  const hosts = [
    'web1',
    'web2',
    'web3',
    'db1',
    'db2',
    'alias',
    'real',
    'WEB1',
    'jump',
    '10.0.0.1',
    '10.0.0.2',
    '::1',
  ];

  /** Asks about all hosts at once, and gives how often ssh was started for that. */
  async function asked(text: string): Promise<number> {
    const bin = mkdtempSync(join(dir, 'bin-'));
    const log = join(bin, 'log');
    writeFileSync(join(bin, 'ssh'), `#!/bin/sh\necho "$@" >>${log}\nPATH=\${PATH#*:} exec ssh "$@"\n`);
    chmodSync(join(bin, 'ssh'), 0o755);
    const file = config(text);
    const read = (host: string, answers: SshConfigAnswers) =>
      readSshSettings({ kind: 'ssh', host }, host, file, answers);
    const each = await Promise.all(hosts.map((host) => read(host, new SshConfigAnswers())));
    vi.stubEnv('PATH', `${bin}:${process.env['PATH']}`);
    const answers = new SshConfigAnswers();
    const together = await Promise.all(hosts.map((host) => read(host, answers)));
    expect(together).toEqual(each);
    expect(await Promise.all(hosts.map((host) => read(host, answers)))).toEqual(each);
    return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0;
  }

  it('are those for each host, of one call where all are alike', async () => {
    // Of a name with capitals ssh makes another one, and an IPv6 address is no name.
    expect(await asked('User deploy\nIdentityFile ~/.ssh/fleet\n')).toBe(3);
  });

  it('are asked for once for each set of Host lines that are for a host', async () => {
    const text = 'Host web* !web3\n  Port 2222\nHost db1 db2 web2\n  User dba\nHost 10.0.?.*\n  Port 99\n';
    // web1; web2; db1 and db2; the 10s; web3; alias, real and jump; the two that are asked alone.
    expect(await asked(text)).toBe(8);
  });

  it.each([
    ['a HostName of one that is also called so', 'Host alias real\n  HostName real\n  User bob\n'],
    ['a HostName', 'Host web*\n  HostName gate.example.org\n'],
    ['a token', 'Host web*\n  HostName %h.example.org\n'],
    ['a token in a path', 'UserKnownHostsFile ~/.ssh/known_%h\n'],
    ['Match', 'Match host web1\n  User bob\n'],
    ['Match exec', 'Match exec "test %h = db1"\n  User bob\n'],
    ['quotes', 'Host "web1" db1\n  User bob\n'],
    ['an equals sign, tabs and capitals', 'HOST=web1\tdb1\n\tUSER = bob\n'],
    ['a jump host', 'ProxyJump jump\n'],
    ['a negation alone', 'Host !web1\n  User bob\n'],
    ['a comment behind', 'Host web1 # db1\n  User bob\n'],
    ['a mistake', 'Prot 22\n'],
    ['a mistake for some', 'Host web1\n  Port banana\n'],
  ])('are those for each host with %s', async (_, text) => {
    await asked(text);
  });

  it('are those for each host with an Include for some', async () => {
    const included = config('User bob\nHost web1\n  Port 99\n');
    await asked(`Include ${included}\n`);
    await asked(`Host web1 db1\n  Include ${included}\n`);
  });
});

describe('readSshSettings without an ssh client', () => {
  it('has plain defaults', async () => {
    vi.stubEnv('PATH', dir);
    const file = join(dir, 'absent');
    const result = await readSshSettings(
      { kind: 'ssh', host: 'web1', user: 'bob', port: 2222 },
      'web1',
      file,
    );
    if (!result.ok) throw new Error(result.error.message);
    expect(result.settings).toMatchObject({
      hostname: 'web1',
      user: 'bob',
      port: 2222,
      strictHostKeyChecking: 'strict',
      kexAlgorithms: [],
    });
    expect(result.settings.userKnownHostsFiles[0]).toBe(`${userInfo().homedir}/.ssh/known_hosts`);
  });

  it('refuses to guess what a configuration says', async () => {
    const file = config('Host web1\n  HostName 192.0.2.1\n');
    vi.stubEnv('PATH', dir);
    const result = await readSshSettings({ kind: 'ssh', host: 'web1' }, 'web1', file);
    expect(result).toMatchObject({ ok: false, error: { kind: 'config-invalid', file } });
    if (!result.ok) expect(result.error.message).toContain('install the OpenSSH client');
  });
});
