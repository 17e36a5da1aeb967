import { afterEach, describe, expect, it, vi } from 'vitest';
import { connect } from '../../../src/host/connect.ts';
import { sshUnavailable } from './sshd.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('connect', () => {
  it('runs scripts on this machine', async () => {
    const result = await connect('local');
    if (!result.ok) throw new Error(result.error.message);
    const ran = await result.transport.run({
      script: 'echo here',
      asRoot: false,
      timeoutMs: 10_000,
      maxOutputBytes: 1_000,
    });
    expect([result.transport.target, ran.kind, ran.stdout.toString()]).toEqual(['local', 'exit', 'here\n']);
    await result.transport.close();
  });

  it('refuses what is no target', async () => {
    expect(await connect('-oProxyCommand=id')).toEqual({
      ok: false,
      error: {
        kind: 'config-invalid',
        target: '-oProxyCommand=id',
        message:
          'Target "-oProxyCommand=id": the host name is empty or has a character no host name has; write local, [user@]host[:port] or ssh://[user@]host[:port].',
      },
    });
  });

  it.skipIf(sshUnavailable() !== null)('connects to hosts by SSH', async () => {
    const result = await connect('ssh://no-such-host.invalid', { configFile: '/dev/null' });
    expect(result).toMatchObject({ ok: false, error: { kind: 'name-not-found' } });
  });

  it.skipIf(sshUnavailable() !== null)(
    'connects by the ssh of this machine where that is wanted',
    async () => {
      const result = await connect('no-such-host.invalid', { client: 'openssh', configFile: '/dev/null' });
      expect(result).toMatchObject({ ok: false, error: { kind: 'name-not-found' } });
    },
  );

  it('says that there is no ssh where one is wanted', async () => {
    vi.stubEnv('PATH', '/nonexistent');
    expect(await connect('web1', { client: 'openssh' })).toEqual({
      ok: false,
      error: {
        kind: 'unsupported',
        target: 'web1',
        message:
          'web1: there is no ssh here, which --transport openssh starts; install the OpenSSH client or leave the option out.',
      },
    });
  });
});
