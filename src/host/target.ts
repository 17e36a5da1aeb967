import { isIPv6 } from 'node:net';
import { printable } from './printable.ts';

/** What the operator named: this machine, or a host to log in to. */
export type Target =
  | { readonly kind: 'local' }
  | {
      readonly kind: 'ssh';
      /** Name, alias of ~/.ssh/config or address; an IPv6 address without brackets. */
      readonly host: string;
      /** Left out where ssh_config (or the login name here) decides. */
      readonly user?: string;
      readonly port?: number;
    };

/** One end of an ssh connection as it is written on a command line or after ProxyJump. */
export type SshDestination = Extract<Target, { kind: 'ssh' }>;

export type ParsedTarget =
  | { readonly ok: true; readonly target: Target }
  | { readonly ok: false; readonly message: string };

// The names are handed to `ssh -G` as arguments and may meet %h and %r of a `Match exec` there, which a shell runs.
// So they are taken from a list of harmless characters (ssh.c valid_hostname() and valid_ruser() list the bad ones).
const hostName = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const ipv6Zone = /^[A-Za-z0-9._-]+$/;
const userName = /^[A-Za-z0-9._][A-Za-z0-9._@+-]*\$?$/;

/**
 * Reads `local`, `[user@]host[:port]`, `[user@][IPv6]:port`, a bare IPv6 address, or `ssh://[user@]host[:port]`.
 * Brackets may stand around any host: `ssh -G` prints ProxyJump so.
 * `message` is one sentence naming what was given and what is wanted.
 */
export function parseTarget(text: string): ParsedTarget {
  const shown = printable(JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text));
  const bad = (why: string): ParsedTarget => ({
    ok: false,
    message: `Target ${shown}: ${why}; write local, [user@]host[:port] or ssh://[user@]host[:port].`,
  });
  if (text === 'local') return { ok: true, target: { kind: 'local' } };

  const uri = text.startsWith('ssh://');
  // A trailing slash is an empty path, which ssh(1) allows in the URI form.
  const rest = uri ? text.slice('ssh://'.length).replace(/\/$/, '') : text;
  // The last @, as ssh does: users of a directory service may be called alice@example.org.
  const at = rest.lastIndexOf('@');
  const user = at < 0 ? undefined : rest.slice(0, at);
  if (user !== undefined && !userName.test(user))
    return bad('the user name is empty or has a character no user has');

  const address = splitPort(rest.slice(at + 1));
  if (address === null) return bad('the address is not host, host:port or [IPv6]:port');
  const { host, portText } = address;
  if (!validHost(host)) return bad('the host name is empty or has a character no host name has');
  if (
    portText !== undefined &&
    !(/^[0-9]{1,5}$/.test(portText) && Number(portText) >= 1 && Number(portText) <= 65535)
  ) {
    return bad('the port is not a number from 1 to 65535');
  }
  return {
    ok: true,
    target: {
      kind: 'ssh',
      host,
      ...(user === undefined ? {} : { user }),
      ...(portText === undefined ? {} : { port: Number(portText) }),
    },
  };
}

function splitPort(address: string): { host: string; portText: string | undefined } | null {
  if (address.startsWith('[')) {
    const match = /^\[([^\]]*)\](?::(.*))?$/s.exec(address);
    if (match === null) return null;
    return { host: match[1] ?? '', portText: match[2] };
  }
  if (isIPv6Literal(address)) return { host: address, portText: undefined };
  const colon = address.indexOf(':');
  if (colon < 0) return { host: address, portText: undefined };
  return { host: address.slice(0, colon), portText: address.slice(colon + 1) };
}

function isIPv6Literal(text: string): boolean {
  const [address = '', zone] = text.split('%', 2);
  return isIPv6(address) && (zone === undefined || ipv6Zone.test(zone));
}

function validHost(host: string): boolean {
  return host.length <= 255 && (hostName.test(host) || isIPv6Literal(host));
}
