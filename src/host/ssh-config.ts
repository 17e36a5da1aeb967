import { execFile } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { hostname as localHostname, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { printable } from './printable.ts';
import { type SshConfigScope, sshConfigScope } from './ssh-config-scope.ts';
import { parseTarget, type SshDestination } from './target.ts';
import type { HostError } from './transport.ts';

/** What ssh_config(5) says of one host, as far as this transport uses it. */
export interface SshSettings {
  readonly hostname: string;
  readonly user: string;
  readonly port: number;
  /** 0: either family. */
  readonly addressFamily: 0 | 4 | 6;
  readonly bindAddress?: string;
  /** Hops before the host, first hop first. */
  readonly proxyJump: readonly SshDestination[];
  /** In order, absolute; they may not exist. */
  readonly identityFiles: readonly string[];
  readonly identitiesOnly: boolean;
  /** Socket of the agent. */
  readonly identityAgent?: string;
  readonly userKnownHostsFiles: readonly string[];
  readonly globalKnownHostsFiles: readonly string[];
  readonly revokedHostKeys?: string;
  /**
   * `strict`: an unknown key is refused (StrictHostKeyChecking yes and ask: nobody is asked). `accept-new`: it is
   * added. `off` (no): it is added; a changed key is refused all the same.
   */
  readonly strictHostKeyChecking: 'strict' | 'accept-new' | 'off';
  readonly hashKnownHosts: boolean;
  readonly hostKeyAlias?: string;
  /** Milliseconds; left out where ssh_config sets none. */
  readonly connectTimeoutMs?: number;
  /** Milliseconds, 0: no keepalive asked for. */
  readonly serverAliveIntervalMs: number;
  readonly serverAliveCountMax: number;
  /** Which kinds of authentication are allowed; BatchMode leaves only publickey. */
  readonly publickey: boolean;
  readonly keyboardInteractive: boolean;
  readonly password: boolean;
  /** Names in order of preference; empty: the transport's own defaults. */
  readonly kexAlgorithms: readonly string[];
  readonly ciphers: readonly string[];
  readonly macs: readonly string[];
  readonly hostKeyAlgorithms: readonly string[];
}

export type SshSettingsResult =
  | { readonly ok: true; readonly settings: SshSettings }
  | { readonly ok: false; readonly error: HostError };

/** `Match exec` may run anything; a host name may wait for DNS (CanonicalizeHostname). */
const sshTimeoutMs = 20_000;

/** Keywords in lower case with their values. */
type SshValues = ReadonlyMap<string, readonly string[]>;

export type SshConfigResult =
  | {
      readonly ok: true;
      readonly values: SshValues;
      /** Configuration files that were read. */
      readonly files: readonly string[];
    }
  /** `missing`: there is no ssh client. */
  | { readonly ok: false; readonly missing?: true; readonly error: HostError };

function invalidConfig(target: string, message: string, file?: string, line?: number): HostError {
  return {
    kind: 'config-invalid',
    target,
    message: `${target}: ${message}`,
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
  };
}

/** What of a destination and a configuration file goes before the `--` of ssh's arguments. */
export function destinationArguments(destination: SshDestination, configFile?: string): string[] {
  return [
    ...(configFile === undefined ? [] : ['-F', configFile]),
    ...(destination.user === undefined ? [] : ['-l', destination.user]),
    ...(destination.port === undefined ? [] : ['-p', String(destination.port)]),
  ];
}

/**
 * Asks the system's OpenSSH client what it would use for a destination (`ssh -G`): Include, Host, Match, tokens and
 * the system-wide file are then right by definition.
 */
export async function askSshConfig(
  destination: SshDestination,
  target: string,
  configFile?: string,
): Promise<SshConfigResult> {
  // -v: with the names of the files it reads.
  const args = ['-v', '-G', ...destinationArguments(destination, configFile), '--', destination.host];
  const answer = await runSsh(args);
  switch (answer.kind) {
    case 'missing': {
      const file = configFile ?? join(userInfo().homedir, '.ssh/config');
      const message = `${file} cannot be read without ssh; install the OpenSSH client or move the file away.`;
      return { ok: false, missing: true, error: invalidConfig(target, message, file) };
    }
    case 'failed': {
      const words = printable(answer.stderr.replace(/^(?:OpenSSH_|debug\d: ).*\n?/gm, ''));
      // "/etc/ssh/ssh_config: line 3: Bad configuration option: foo", "cfg line 8: Bad Match condition"
      const at = /^(.+?):? line (\d+): (.*)$/m.exec(words);
      if (at?.[1] !== undefined) {
        const message = `${at[1]}:${at[2]}: ${at[3]}; correct it (ssh -G ${destination.host} shows the same).`;
        return { ok: false, error: invalidConfig(target, message, at[1], Number(at[2])) };
      }
      const why = words.split('\n').find((line) => line !== '' && !line.startsWith('Pseudo-terminal'));
      const message = `ssh -G ${destination.host} failed: ${(why ?? 'no reason given').slice(0, 300)}; correct the ssh configuration.`;
      return { ok: false, error: invalidConfig(target, message) };
    }
    case 'output':
      return { ok: true, values: sshValues(answer.stdout), files: filesRead(answer.stderr) };
  }
}

function filesRead(stderr: string): readonly string[] {
  return [...stderr.matchAll(/^debug1: Reading configuration data (.+?)\r?$/gm)].flatMap(
    ([, file]) => file ?? [],
  );
}

/**
 * The answers of `ssh -G` in one process. A host is asked about once, and of hosts that the configuration makes no
 * difference between, one: for the others its answer holds, with their own name.
 */
export class SshConfigAnswers {
  /** By configuration file. */
  readonly #scopes = new Map<string, Promise<SshConfigScope | null>>();
  readonly #answers = new Map<string, { readonly host: string; readonly result: Promise<SshConfigResult> }>();

  /** What askSshConfig() gives for the destination. */
  async ask(destination: SshDestination, target: string, configFile?: string): Promise<SshConfigResult> {
    const { host } = destination;
    const ask = () => askSshConfig(destination, target, configFile);
    const keyOf = (what: object): string =>
      JSON.stringify([configFile, destination.user, destination.port, what]);
    const keyIn = (scope: SshConfigScope | null): string => {
      const part = scope?.of(host) ?? null;
      return keyOf(part === null ? { host } : { part });
    };
    let scope = this.#scopes.get(configFile ?? '');
    if (scope === undefined) {
      const result = ask();
      scope = result.then(scopeOf).then((found) => {
        this.#answers.set(keyIn(found), { host, result });
        return found;
      });
      this.#scopes.set(configFile ?? '', scope);
    }
    const found = await scope;
    const key = keyIn(found);
    const known = this.#answers.get(key);
    if (known === undefined) {
      const result = ask();
      this.#answers.set(key, { host, result });
      return result;
    }
    const answer = await known.result;
    if (known.host === host) return answer;
    const shared = answer.ok && found !== null ? forOther(answer, known.host, host, found) : null;
    if (shared !== null) return shared;
    const own = keyOf({ host });
    const before = this.#answers.get(own)?.result;
    if (before !== undefined) return before;
    const result = ask();
    this.#answers.set(own, { host, result });
    return result;
  }
}

async function scopeOf(answer: SshConfigResult): Promise<SshConfigScope | null> {
  if (!answer.ok) return null;
  try {
    return sshConfigScope(await Promise.all(answer.files.map((file) => readFile(file, 'utf8'))));
  } catch {
    return null;
  }
}

/**
 * The answer for one host as that for another; null: whether its HostName is set or is its name is not told, or ssh may
 * refuse the other one, which is its own jump host.
 */
function forOther(
  answer: Extract<SshConfigResult, { ok: true }>,
  host: string,
  other: string,
  { hostNames }: SshConfigScope,
): SshConfigResult | null {
  if (answer.values.get('proxyjump')?.some((hops) => hops.toLowerCase().includes(other))) return null;
  if (answer.values.get('hostname')?.[0] !== host) return answer;
  if (hostNames.has(host)) return null;
  return { ...answer, values: new Map([...answer.values, ['hostname', [other]]]) };
}

/**
 * What ssh would use for a destination, read for a login without it. Where there is no ssh client the defaults of
 * ssh_config(5) hold, unless there is a configuration nobody could read.
 */
export async function readSshSettings(
  destination: SshDestination,
  target: string,
  configFile?: string,
  answers = new SshConfigAnswers(),
): Promise<SshSettingsResult> {
  const invalid = (message: string): SshSettingsResult => ({
    ok: false,
    error: invalidConfig(target, message),
  });
  const answer = await answers.ask(destination, target, configFile);
  if (answer.ok) return parseSettings(answer.values, destination, invalid);
  const { file } = answer.error;
  if (answer.missing !== true || (file !== undefined && (await exists(file)))) return answer;
  return parseSettings(new Map(), destination, invalid);
}

type SshAnswer =
  | { readonly kind: 'output'; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'failed'; readonly stderr: string }
  | { readonly kind: 'missing' };

function runSsh(args: readonly string[]): Promise<SshAnswer> {
  return new Promise((resolve) => {
    const options = { timeout: sshTimeoutMs, env: { ...process.env, LC_ALL: 'C' }, maxBuffer: 1024 * 1024 };
    const child = execFile('ssh', args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ kind: 'output', stdout, stderr });
      else if (error.code === 'ENOENT') resolve({ kind: 'missing' });
      else if (error.killed) resolve({ kind: 'failed', stderr: `no answer within ${sshTimeoutMs / 1000} s` });
      else resolve({ kind: 'failed', stderr });
    });
    child.stdin?.end();
  });
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** Reads what `ssh -G` prints: one `keyword value` a line, keywords in lower case. */
function sshValues(text: string): SshValues {
  const values = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    if (space < 0) continue;
    const key = line.slice(0, space);
    const list = values.get(key);
    if (list === undefined) values.set(key, [line.slice(space + 1)]);
    else list.push(line.slice(space + 1));
  }
  return values;
}

/** What has no value gets the default. */
function parseSettings(
  values: SshValues,
  destination: SshDestination,
  invalid: (message: string) => SshSettingsResult,
): SshSettingsResult {
  const all = (key: string): readonly string[] => values.get(key) ?? [];
  const one = (key: string): string | undefined => {
    const value = all(key)[0];
    return value === undefined || value === 'none' ? undefined : value;
  };
  const yes = (key: string, whenUnset: boolean): boolean => {
    const value = one(key);
    return value === undefined ? whenUnset : value === 'yes' || value === 'true';
  };
  const names = (key: string): readonly string[] => one(key)?.split(',') ?? [];

  const proxyCommand = one('proxycommand');
  if (proxyCommand !== undefined) {
    return invalid(
      'ProxyCommand needs --transport openssh; or use ProxyJump for this host in ~/.ssh/config instead.',
    );
  }
  const proxyJump: SshDestination[] = [];
  for (const hop of names('proxyjump')) {
    const parsed = parseTarget(hop);
    if (!parsed.ok || parsed.target.kind !== 'ssh') {
      return invalid(
        `ProxyJump ${JSON.stringify(printable(hop))} is not [user@]host[:port]; correct it in ~/.ssh/config.`,
      );
    }
    proxyJump.push(parsed.target);
  }

  const me = userInfo();
  const hostname = one('hostname') ?? destination.host;
  const user = one('user') ?? destination.user ?? me.username;
  const port = Number(one('port') ?? destination.port ?? 22);
  const hostKeyAlias = one('hostkeyalias');
  const tokens: Readonly<Record<string, string>> = {
    '%': '%',
    d: me.homedir,
    u: me.username,
    i: String(me.uid),
    l: localHostname(),
    L: localHostname().split('.')[0] ?? '',
    h: hostname,
    n: destination.host,
    k: hostKeyAlias ?? destination.host,
    p: String(port),
    r: user,
  };
  let badToken: string | undefined;
  const path = (value: string): string => {
    const expanded = value
      .replace(/^~(?=\/|$)/, me.homedir)
      .replace(/%(.)?/g, (whole, token: string | undefined) => {
        const text = token === undefined ? undefined : tokens[token];
        if (text === undefined) badToken = `${whole} in ${value}`;
        return text ?? '';
      })
      .replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (whole, name: string) => {
        const text = process.env[name];
        if (text === undefined) badToken = `${whole} in ${value}`;
        return text ?? '';
      });
    return isAbsolute(expanded) ? expanded : join(process.cwd(), expanded);
  };
  const paths = (key: string, whenUnset: readonly string[]): readonly string[] => {
    const value = all(key)[0];
    return (value === undefined ? whenUnset : value.split(' '))
      .filter((item) => item !== '' && item !== 'none')
      .map(path);
  };

  const identityFiles = (values.get('identityfile') ?? defaultIdentityFiles)
    .filter((item) => item !== 'none')
    .map(path);
  const agent = identityAgent(all('identityagent')[0], path);
  const bindAddress = one('bindaddress');
  const revoked = one('revokedhostkeys');
  const revokedHostKeys = revoked === undefined ? undefined : path(revoked);
  const connectTimeout = one('connecttimeout');
  const batch = yes('batchmode', false);
  const settings: SshSettings = {
    hostname,
    user,
    port,
    addressFamily: one('addressfamily') === 'inet' ? 4 : one('addressfamily') === 'inet6' ? 6 : 0,
    ...(bindAddress === undefined ? {} : { bindAddress }),
    proxyJump,
    identityFiles,
    identitiesOnly: yes('identitiesonly', false),
    ...(agent === undefined ? {} : { identityAgent: agent }),
    userKnownHostsFiles: paths('userknownhostsfile', ['~/.ssh/known_hosts', '~/.ssh/known_hosts2']),
    globalKnownHostsFiles: paths('globalknownhostsfile', [
      '/etc/ssh/ssh_known_hosts',
      '/etc/ssh/ssh_known_hosts2',
    ]),
    ...(revokedHostKeys === undefined ? {} : { revokedHostKeys }),
    strictHostKeyChecking: strictness(one('stricthostkeychecking')),
    hashKnownHosts: yes('hashknownhosts', false),
    ...(hostKeyAlias === undefined ? {} : { hostKeyAlias }),
    ...(connectTimeout === undefined ? {} : { connectTimeoutMs: Number(connectTimeout) * 1000 }),
    serverAliveIntervalMs: Number(one('serveraliveinterval') ?? 0) * 1000,
    serverAliveCountMax: Number(one('serveralivecountmax') ?? 3),
    publickey: one('pubkeyauthentication') !== 'no' && one('pubkeyauthentication') !== 'false',
    keyboardInteractive: yes('kbdinteractiveauthentication', true) && !batch,
    password: yes('passwordauthentication', true) && !batch,
    kexAlgorithms: names('kexalgorithms'),
    ciphers: names('ciphers'),
    macs: names('macs'),
    hostKeyAlgorithms: names('hostkeyalgorithms'),
  };
  if (badToken !== undefined) {
    return invalid(`${badToken} has no value here; write the path out in ~/.ssh/config.`);
  }
  return { ok: true, settings };
}

const defaultIdentityFiles = ['~/.ssh/id_rsa', '~/.ssh/id_ecdsa', '~/.ssh/id_ed25519'];

function identityAgent(value: string | undefined, path: (value: string) => string): string | undefined {
  if (value === 'none') return undefined;
  if (value === undefined || value === 'SSH_AUTH_SOCK') return process.env['SSH_AUTH_SOCK'] || undefined;
  if (/^\$[A-Za-z_]\w*$/.test(value)) return process.env[value.slice(1)] || undefined;
  return path(value);
}

function strictness(value: string | undefined): SshSettings['strictHostKeyChecking'] {
  if (value === 'accept-new') return 'accept-new';
  return value === 'no' || value === 'off' || value === 'false' ? 'off' : 'strict';
}
