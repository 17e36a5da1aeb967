import { printable } from './printable.ts';
import type { HostError } from './transport.ts';

/** An error of a socket or of ssh2, which marks its own with `level`. */
export interface ConnectionFault {
  readonly message: string;
  readonly code?: string | number;
  readonly level?: string;
  /** Node tries several addresses of a name and gives one error for each. */
  readonly errors?: readonly { readonly code?: string; readonly message: string }[];
}

/** Names the failure to open a TCP connection to `where` (`host port 22`). */
export function tcpError(label: string, where: string, fault: ConnectionFault): HostError {
  const make = (kind: HostError['kind'], message: string): HostError => ({
    kind,
    target: label,
    message: `${label}: ${message}`,
  });
  const code = fault.errors?.at(-1)?.code ?? fault.code;
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
      return make(
        'name-not-found',
        `no address for ${where} (${code}); check the name, DNS and HostName in ~/.ssh/config.`,
      );
    case 'ECONNREFUSED':
      return make(
        'refused',
        `${where} refused the connection; check that sshd runs there and the port is right.`,
      );
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
    case 'EHOSTDOWN':
      return make(
        'unreachable',
        `no route to ${where} (${code}); check the network and that the host is up.`,
      );
    case 'ETIMEDOUT':
      return make(
        'connect-timeout',
        `${where} did not answer (${code}); check the network, firewalls and that the host is up.`,
      );
    case 'ECONNRESET':
    case 'EPIPE':
      return make('connection-lost', `${where} cut the connection (${code}); check sshd's log there.`);
    default:
      return make(
        'unreachable',
        `no connection to ${where} (${code ?? printable(fault.message).slice(0, 200)}); check the address.`,
      );
  }
}

/** Names a failure between the TCP connection and the end of the login, other than those of keys and passwords. */
export function handshakeError(label: string, where: string, fault: ConnectionFault): HostError {
  const words = printable(fault.message).replace(/\s+/g, ' ').slice(0, 200);
  const make = (kind: HostError['kind'], message: string): HostError => ({
    kind,
    target: label,
    message: `${label}: ${message}`,
  });
  if (fault.level === 'client-socket') return tcpError(label, where, fault);
  if (fault.level === 'handshake' && /no matching/i.test(words)) {
    return make(
      'unsupported',
      `${where} and this program share no algorithm (${words}); allow one more in sshd_config there.`,
    );
  }
  if (fault.message === 'Connection lost before handshake') {
    return make(
      'connection-lost',
      `${where} closed the connection before SSH began; check sshd's log there (MaxStartups, access rules).`,
    );
  }
  // Numbers are reasons of SSH_MSG_DISCONNECT (RFC 4253 11.1) with the words of the host.
  if (typeof fault.code === 'number') {
    const kind = /too many authentication failures/i.test(words) ? 'auth-failed' : 'connection-lost';
    return make(kind, `${where} ended the connection: ${words}; check sshd's log there.`);
  }
  return make(
    'connection-lost',
    `the connection to ${where} failed: ${words}; check that sshd answers there and its log.`,
  );
}

/** Names a forwarding that a jump host would not open (RFC 4254 5.1). */
export function forwardError(
  label: string,
  where: string,
  fault: { readonly message: string; readonly reason?: number | string },
): HostError {
  const words = printable(fault.message)
    .replace('(SSH) Channel open failure: ', '')
    .replace(/\s+/g, ' ')
    .slice(0, 200);
  const make = (kind: HostError['kind'], message: string): HostError => ({
    kind,
    target: label,
    message: `${label}: ${message}`,
  });
  if (fault.reason === 1) {
    return make(
      'unsupported',
      `the jump host may not forward to ${where} (${words}); allow TCP forwarding in sshd_config there.`,
    );
  }
  if (/refused/i.test(words)) {
    return make(
      'refused',
      `${where} refused the connection from the jump host; check that sshd runs there and the port is right.`,
    );
  }
  if (/not known|resolve|name resolution|no address/i.test(words)) {
    return make(
      'name-not-found',
      `the jump host has no address for ${where} (${words}); use a name or address it knows.`,
    );
  }
  if (/timed out/i.test(words)) {
    return make(
      'connect-timeout',
      `${where} did not answer the jump host (${words}); check that the host is up.`,
    );
  }
  return make(
    'unreachable',
    `the jump host has no connection to ${where} (${words}); check the network between them.`,
  );
}

/** The error of something that needed a connection which is gone. */
export function connectionLost(label: string, where: string, why: string): HostError {
  return {
    kind: 'connection-lost',
    target: label,
    message: `${label}: the connection to ${where} was lost (${why}); what was running there may have gone on, read the host again.`,
  };
}

/** Names a session channel that a host would not open. */
export function sessionRefused(label: string, words: string): HostError {
  return {
    kind: 'unsupported',
    target: label,
    message: `${label}: the host would not start a session (${printable(words).slice(0, 200)}); check MaxSessions and that the user may run commands.`,
  };
}
