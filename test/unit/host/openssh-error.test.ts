import { describe, expect, it } from 'vitest';
import {
  type FailedLogin,
  keyNotices,
  loginError,
  sessionRefusal,
  whyLost,
} from '../../../src/host/openssh-error.ts';

/** What OpenSSH 9.2 and 10.0 write; the real ssh is in test/hosts/openssh.test.ts. */

function failed(log: string, more: Partial<FailedLogin> = {}) {
  return loginError({
    target: 'web1',
    where: 'web1.example port 22',
    user: 'alice',
    sshCommand: 'ssh -v web1',
    asked: false,
    log: log.replaceAll('\n', '\r\n'),
    said: '',
    ...more,
  });
}

const changed = `debug1: Server host key: ssh-ed25519 SHA256:6fg8
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:6fg8.
Please contact your system administrator.
Add correct host key in /home/a b/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/a b/.ssh/known_hosts:12
  remove with:
  ssh-keygen -f "/home/a b/.ssh/known_hosts" -R "[web1.example]:2222"
Host key for [web1.example]:2222 has changed and you have requested strict checking.
Host key verification failed.
`;

describe('a login of ssh that failed', () => {
  it.each([
    [
      'name-not-found',
      'ssh: Could not resolve hostname web1: Name or service not known\n',
      'no address for web1 (',
    ],
    ['refused', 'ssh: connect to host 10.0.0.1 port 22: Connection refused\n', '10.0.0.1 port 22 refused'],
    [
      'unreachable',
      'ssh: connect to host ::1 port 22: No route to host\n',
      'no route to ::1 port 22 (EHOSTUNREACH)',
    ],
    [
      'unreachable',
      'ssh: connect to host a port 22: Permission denied\n',
      '(Permission denied); check the address',
    ],
    ['connect-timeout', 'ssh: connect to host a port 22: Connection timed out\n', 'a port 22 did not answer'],
    [
      'connect-timeout',
      'Connection timed out during banner exchange\nConnection to 1.2.3.4 port 22 timed out\n',
      '',
    ],
    [
      'connection-lost',
      'kex_exchange_identification: Connection closed by remote host\nConnection closed by 1.2.3.4 port 22\n',
      'no login at web1.example port 22: Connection closed by 1.2.3.4 port 22; look into it with: ssh -v web1',
    ],
    [
      'host-key-unknown',
      'debug1: Server host key: ssh-ed25519 SHA256:6fg8\nNo ED25519 host key is known for web1 and you have requested strict checking.\nHost key verification failed.\n',
      'the host key ssh-ed25519 SHA256:6fg8 of web1 is in no known_hosts file',
    ],
    [
      'host-key-unknown',
      'Certificate invalid: expired\nHost key verification failed.\n',
      'the certificate of the host key is not valid (expired)',
    ],
    ['host-key-changed', changed, 'the host key SHA256:6fg8 is not the one at /home/a b/.ssh/known_hosts:12'],
    [
      'host-key-revoked',
      '@       WARNING: REVOKED HOST KEY DETECTED!               @\nThe ED25519 host key for web1 is marked as revoked.\nHost key verification failed.\n',
      '@revoked',
    ],
    [
      'host-key-revoked',
      'Host key ED25519 SHA256:6fg8 revoked by file /etc/ssh/revoked\nHost key verification failed.\n',
      'listed in /etc/ssh/revoked',
    ],
    [
      'config-invalid',
      'Error checking host key ED25519 SHA256:6fg8 in revoked keys file /x: No such file or directory\nHost key verification failed.\n',
      'RevokedHostKeys /x cannot be read',
    ],
    [
      'auth-failed',
      'alice@web1: Permission denied (publickey,password).\n',
      'login as alice@web1 failed, the host offers publickey,password and nobody can be asked',
    ],
    [
      'auth-failed',
      'Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures\nDisconnected from 1.2.3.4 port 22\n',
      'set IdentitiesOnly',
    ],
    [
      'unsupported',
      'Unable to negotiate with 1.2.3.4 port 22: no matching host key type found. Their offer: ssh-rsa\n',
      'no matching host key type found. Their offer: ssh-rsa',
    ],
    ['unsupported', '', 'ssh gave no reason'],
  ])('%s: %s', (kind, log, words) => {
    const error = failed(log);
    expect(error).toMatchObject({ kind, target: 'web1' });
    expect(error.message).toContain(words);
    expect(error.message).toMatch(/^web1: [^\u0000-\u001f]+$/);
  });

  it('for a changed key has file, line and the command that removes it', () => {
    expect(failed(changed)).toMatchObject({
      file: '/home/a b/.ssh/known_hosts',
      line: 12,
      message: expect.stringContaining("ssh-keygen -f '/home/a b/.ssh/known_hosts' -R '[web1.example]:2222'"),
    });
  });

  it('on the way there is told by what proxies say, and by nothing else', () => {
    const log =
      'kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n';
    const jump = (said: string) => failed(log, { said: said.replaceAll('\n', '\r\n') });
    expect(jump('ssh: connect to host jump port 22: Connection refused\n')).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('web1: on the way there, jump port 22 refused'),
    });
    expect(
      jump('debug1: x\nchannel 0: open failed: connect failed: No route to host\nstdio forwarding failed\n'),
    ).toMatchObject({ kind: 'unreachable', message: expect.stringContaining('jump host') });
    expect(
      jump('channel 0: open failed: administratively prohibited: open failed\nstdio forwarding failed\n'),
    ).toMatchObject({ kind: 'unsupported', message: expect.stringContaining('may not forward') });
    expect(jump('aws: no such instance\n')).toMatchObject({
      kind: 'connection-lost',
      message: expect.stringContaining('closed before SSH began; on the way there: aws: no such instance;'),
    });
    // The same words in a banner of the host itself.
    const said = 'jump: Permission denied (publickey).\n';
    expect(failed('ssh: connect to host a port 22: Connection refused\n', { said }).kind).toBe('refused');
  });

  it('is one line without escape sequences, whatever the host says', () => {
    const { message } = failed('Unable to negotiate with h port 22: \x1b]0;x\x07\u202e no\n');
    expect(message).not.toMatch(/[\u0000-\u001f\u007f\u202e]/);
  });
});

it('keys that were added are told, and nothing else', () => {
  const log =
    "debug1: x\r\nWarning: Permanently added 'web1' (ED25519) to the list of known hosts.\r\nmore\r\n";
  expect(keyNotices(log)).toEqual(["Permanently added 'web1' (ED25519) to the list of known hosts."]);
});

it('a lost connection has the last words of ssh', () => {
  expect(whyLost('debug1: x\r\nTimeout, server web1 not responding.\r\n')).toBe('it no longer answers');
  expect(whyLost('client_loop: send disconnect: Broken pipe\r\n')).toBe(
    'client_loop: send disconnect: Broken pipe',
  );
  expect(whyLost('debug1: x\r\n')).toBe('it was closed from there');
});

it('a session that was refused is told from everything else', () => {
  expect(
    sessionRefusal(
      'mux_client_request_session: session request failed: Session open refused by peer\r\nssh: x\r\n',
    ),
  ).toBe('Session open refused by peer');
  expect(sessionRefusal('ssh: Could not resolve hostname 0.0.0.0: x\r\n')).toBeNull();
});
