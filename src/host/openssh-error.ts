import { printable } from './printable.ts';
import { forwardError, tcpError } from './ssh-error.ts';
import type { HostError } from './transport.ts';

/** An ssh that ended before it was logged in. */
export interface FailedLogin {
  readonly target: string;
  /** `host port 22` */
  readonly where: string;
  readonly user: string;
  /** What the operator can look into it with. */
  readonly sshCommand: string;
  /** ssh had a terminal to ask on. */
  readonly asked: boolean;
  /** What ssh wrote into its log. */
  readonly log: string;
  /** Its standard error, where its proxies write, jump hosts among them. */
  readonly said: string;
}

type Finding = Pick<HostError, 'kind' | 'message' | 'file' | 'line'>;

/** The words of strerror(3) that ssh shows, untranslated, as node calls them. */
const errorCodes: Readonly<Record<string, string>> = {
  'Connection refused': 'ECONNREFUSED',
  'No route to host': 'EHOSTUNREACH',
  'Network is unreachable': 'ENETUNREACH',
  'Host is down': 'EHOSTDOWN',
  'Cannot assign requested address': 'EADDRNOTAVAIL',
  "Can't assign requested address": 'EADDRNOTAVAIL',
  'Connection timed out': 'ETIMEDOUT',
  'Operation timed out': 'ETIMEDOUT',
  'Connection reset by peer': 'ECONNRESET',
};

/** Names the failure of a login. The texts are those of OpenSSH 8 to 10 (sshconnect.c, sshconnect2.c, packet.c). */
export function loginError(login: FailedLogin): HostError {
  const { target } = login;
  const own = messagesOf(login.log);
  const proxies = messagesOf(login.said);
  // A connection that is no socket has no address: the fault is what it goes through.
  const byProxy = /UNKNOWN port|^kex_exchange_identification|^banner exchange/m.test(own)
    ? findReason(proxies, login, 'on the way there, ')
    : null;
  const found = byProxy ?? findReason(own, login, '') ?? unexplained(login, own, proxies);
  return { ...found, target, message: printable(`${target}: ${found.message}`).replaceAll('\n', '?') };
}

function findReason(text: string, login: FailedLogin, way: string): Finding | null {
  const finding = (kind: HostError['kind'], message: string): Finding => ({
    kind,
    message: `${way}${message}`,
  });
  const from = (error: HostError): Finding =>
    finding(error.kind, error.message.slice(login.target.length + 2));
  return hostKeyReason(text, login.log, finding) ?? loginReason(text, login, finding, from);
}

type Find = (kind: HostError['kind'], message: string) => Finding;

function hostKeyReason(text: string, log: string, finding: Find): Finding | null {
  const at = /^Offending \S+ key in (.+):([0-9]+)$/m.exec(text);
  const place = at?.[1] === undefined ? {} : { file: at[1], line: Number(at[2]) };
  if (/^@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED/m.test(text)) {
    const sent = /^(SHA256:[A-Za-z0-9+/=]+)\.$/m.exec(text)?.[1];
    const key = sent === undefined ? 'the host key' : `the host key ${sent}`;
    const remedy =
      at?.[1] === undefined
        ? ''
        : `, and if all is well remove the old key with: ssh-keygen -f '${at[1]}' -R '${changedName(text)}'`;
    const message = `${key} is not the one ${at?.[1] === undefined ? 'on file' : `at ${at[1]}:${at[2]}`}, so the host or something between has changed; find out which${remedy}`;
    return { ...finding('host-key-changed', message), ...place };
  }
  const revoked = /^Host key (\S+ SHA256:\S+) revoked by file (.+)$/m.exec(text);
  if (revoked !== null) {
    const message = `the host key ${revoked[1]} is listed in ${revoked[2]} (RevokedHostKeys); do not connect until the host has a new key.`;
    return { ...finding('host-key-revoked', message), ...(revoked[2] ? { file: revoked[2] } : {}) };
  }
  if (/REVOKED HOST KEY DETECTED|is marked as revoked/.test(text)) {
    const message =
      'the host key is marked @revoked in known_hosts; do not connect until the host has a new key.';
    return { ...finding('host-key-revoked', message), ...place };
  }
  const unreadable = /^Error checking host key .* in revoked keys file (.+): (.*)$/m.exec(text);
  if (unreadable !== null) {
    const message = `RevokedHostKeys ${unreadable[1]} cannot be read (${unreadable[2]}), so no host key can be trusted; correct the ssh configuration.`;
    return finding('config-invalid', message);
  }
  const invalid = /^Certificate invalid: (.*)$/m.exec(text);
  if (invalid !== null) {
    const message = `the certificate of the host key is not valid (${short(invalid[1])}); have it signed anew, for the name you use.`;
    return finding('host-key-unknown', message);
  }
  const unknown = /^No \S+ host key is known for (.+) and you have requested strict checking/m.exec(text);
  if (unknown !== null || /^Host key verification failed/m.test(text)) {
    const sent = /^debug1: Server host key: (\S+ SHA256:[A-Za-z0-9+/=]+)/m.exec(log)?.[1];
    const message = `the host key${sent === undefined ? '' : ` ${sent}`}${unknown === null ? '' : ` of ${unknown[1]}`} is in no known_hosts file; compare it with the host's own (ssh-keygen -lf there) and add it by connecting once with ssh.`;
    return finding('host-key-unknown', message);
  }
  return null;
}

/** The name under which a changed key is on file. */
function changedName(text: string): string {
  return /^Host key for (\S+) has changed/m.exec(text)?.[1] ?? 'HOST';
}

function loginReason(
  text: string,
  login: FailedLogin,
  finding: Find,
  from: (error: HostError) => Finding,
): Finding | null {
  const { target, where, user, sshCommand, asked } = login;
  const nobody = asked ? '' : ' and nobody can be asked for a password or passphrase';
  const denied = /^(?:(\S+): )?Permission denied \((.*)\)\.?$/m.exec(text);
  if (denied !== null) {
    const account = denied[1] ?? user;
    return finding(
      'auth-failed',
      `login as ${short(account)} failed, the host offers ${short(denied[2])}${nobody}; look into it with: ${sshCommand}`,
    );
  }
  const tooMany = /^Received disconnect from (\S+ port [0-9]+):.*Too many authentication failures/m.exec(
    text,
  );
  if (tooMany !== null) {
    return finding(
      'auth-failed',
      `login at ${tooMany[1]} failed, it ended the connection after too many attempts${nobody}; set IdentitiesOnly, or look into it with: ${sshCommand}`,
    );
  }
  const nameless = /Could not resolve hostname (\S+): (.*)$/m.exec(text);
  if (nameless !== null) {
    return finding(
      'name-not-found',
      `no address for ${nameless[1]} (${short(nameless[2])}); check the name, DNS and HostName in ~/.ssh/config.`,
    );
  }
  const refused = [...text.matchAll(/^ssh: connect to host (\S+) port ([0-9]+): (.*)$/gm)].at(-1);
  if (refused?.[3] !== undefined) {
    const fault = { message: refused[3], ...codeOf(refused[3]) };
    return from(tcpError(target, `${refused[1]} port ${refused[2]}`, fault));
  }
  if (/timed out/i.test(text)) {
    return finding(
      'connect-timeout',
      `${where} did not answer in time; check the network, firewalls and that sshd runs there.`,
    );
  }
  const negotiate = /^Unable to negotiate with .*?: (.*)$/m.exec(text);
  if (negotiate !== null) {
    return finding(
      'unsupported',
      `${where} and ssh share no algorithm (${short(negotiate[1])}); allow one more in sshd_config there or in ~/.ssh/config.`,
    );
  }
  // What a jump host says that does not reach the next one.
  const forward = /^channel 0: open failed: ([^:]*): (.*)$/m.exec(text);
  if (forward !== null) {
    const reason = forward[1] === 'administratively prohibited' ? 1 : 2;
    return from(forwardError(target, where, { message: forward[2] ?? '', reason }));
  }
  return null;
}

function unexplained(login: FailedLogin, own: string, proxies: string): Finding {
  const { where, sshCommand } = login;
  const last = short(lastLine(own));
  // What goes through a program has no address.
  const words = last.includes('UNKNOWN port') ? 'the connection was closed before SSH began' : last;
  const proxy = lastLine(proxies);
  const more = proxy === '' ? '' : `; on the way there: ${short(proxy)}`;
  const kind = words === '' ? 'unsupported' : 'connection-lost';
  return {
    kind,
    message: `no login at ${where}: ${words || 'ssh gave no reason'}${more}; look into it with: ${sshCommand}`,
  };
}

/** Why a connection that was open is no more, by what ssh has logged since its login. */
export function whyLost(log: string): string {
  const messages = messagesOf(log);
  if (/not responding|timed out/i.test(messages)) return 'it no longer answers';
  return short(lastLine(messages)) || 'it was closed from there';
}

/** Keys that ssh has added to known_hosts, or could not add, one sentence each. */
export function keyNotices(log: string): string[] {
  return messagesOf(log)
    .split('\n')
    .filter((line) => /Permanently added|Failed to add the host/.test(line))
    .map((line) => line.replace(/^Warning: /, ''));
}

/** What the client of one run says of a session that the host would not start; null where it says no such thing. */
export function sessionRefusal(log: string): string | null {
  return /session request failed: (.*)$/m.exec(messagesOf(log))?.[1] ?? null;
}

/** Lines meant for people. */
function messagesOf(text: string): string {
  return text
    .replaceAll('\r', '')
    .split('\n')
    .filter(
      (line) =>
        line !== '' && !/^debug[123]: |^OpenSSH_|^Authenticated to |^Transferred: |^Bytes per/.test(line),
    )
    .join('\n');
}

function codeOf(words: string): { readonly code?: string } {
  const code = errorCodes[words];
  return code === undefined ? {} : { code };
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

function short(words = ''): string {
  return printable(words).slice(0, 200);
}
