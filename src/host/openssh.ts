import { spawn } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onAbort } from './abort.ts';
import { keyNotices, loginError } from './openssh-error.ts';
import { OpenSshMaster, readQuietly, sshEnvironment } from './openssh-master.ts';
import { OpenSshTransport } from './openssh-transport.ts';
import type { ConnectResult, SshOptions } from './ssh.ts';
import { destinationArguments } from './ssh-config.ts';
import type { SshDestination } from './target.ts';
import type { HostError } from './transport.ts';

/** Where ssh_config sets none, as for the other transport. */
const defaultConnectTimeoutSeconds = 15;
const defaultKeepaliveSeconds = 15;
/** For the login, where nobody is asked. */
const loginTimeoutSeconds = 60;
/** Seconds a master stays that nobody holds. */
const persistSeconds = 10;
/** A socket's path has 104 bytes on some systems, and ssh makes it with 17 more in its name at first. */
const maxDirectoryLength = 80;

export interface OpenSshOptions extends SshOptions {
  /** Keeps the terminal free for what asks there by itself. */
  readonly lendTerminal?: <T>(use: () => Promise<T>) => Promise<T>;
}

/** What of the configuration is needed to start ssh and to name its faults. */
interface Settings {
  /** `host port 22` */
  readonly where: string;
  readonly user: string;
  readonly connectTimeoutSeconds: number;
  readonly keepaliveSeconds: number;
}

/**
 * Logs in to a host by the system's ssh, for what ssh2 cannot do. Each time it is a login of its own. Failures are
 * values, as those of connectSsh.
 */
export async function connectOpenSsh(options: OpenSshOptions): Promise<ConnectResult> {
  const { target, destination, configFile, memory, askSecret } = options;
  const answer = await memory.sshConfig.ask(destination, target, configFile);
  if (!answer.ok) return { ok: false, error: answer.missing === true ? noClient(target) : answer.error };
  const one = (key: string): string | undefined => answer.values.get(key)?.[0];
  const { connectTimeoutMs } = options;
  const settings: Settings = {
    where: `${one('hostname') ?? destination.host} port ${one('port') ?? 22}`,
    user: one('user') ?? destination.user ?? '',
    connectTimeoutSeconds:
      connectTimeoutMs === undefined
        ? Number(one('connecttimeout')) || defaultConnectTimeoutSeconds
        : Math.ceil(connectTimeoutMs / 1000),
    keepaliveSeconds: Number(one('serveraliveinterval')) || defaultKeepaliveSeconds,
  };
  const terminal = askSecret === undefined ? null : openTerminal();
  let opened =
    terminal === null
      ? await login(options, settings, null)
      : await loginOnTerminal(options, settings, terminal);
  if (terminal !== null) closeSync(terminal);
  // Ctrl-C on the terminal has ended ssh, but not what needs it: once more, where it cannot be reached nor ask.
  if ('kind' in opened && opened.kind === 'aborted' && options.signal === undefined)
    opened = await login(options, settings, null);
  if ('kind' in opened) return { ok: false, error: opened };
  const sudo = memory.sudoPassword(
    target,
    askSecret && memory.oneAtATime(askSecret),
    options.oneSudoPassword,
  );
  return { ok: true, transport: new OpenSshTransport(target, opened, sudo) };
}

/** Failures that could be for want of an answer. */
const FOR_WANT_OF_AN_ANSWER: ReadonlySet<HostError['kind']> = new Set([
  'auth-failed',
  // By what a proxy says, or does not.
  'connection-lost',
  'unsupported',
]);

/**
 * On a terminal ssh asks by itself, so there it is one login at a time. That is for the first host, and for those that fail
 * where it cannot ask: the hosts of a fleet are not to wait for each other.
 */
async function loginOnTerminal(
  options: OpenSshOptions,
  settings: Settings,
  terminal: number,
): Promise<OpenSshMaster | HostError> {
  const { memory, target, lendTerminal = (use) => use() } = options;
  const { onTerminal } = memory;
  const [first] = onTerminal.values();
  if (first !== undefined && !onTerminal.has(target)) {
    await first;
    const opened = await login(options, settings, null);
    if (!('kind' in opened && FOR_WANT_OF_AN_ANSWER.has(opened.kind))) return opened;
  }
  const opening = memory.alone(() => lendTerminal(() => login(options, settings, terminal)));
  if (!onTerminal.has(target)) onTerminal.set(target, opening);
  return opening;
}

function noClient(target: string): HostError {
  return {
    kind: 'unsupported',
    target,
    message: `${target}: there is no ssh here, which --transport openssh starts; install the OpenSSH client or leave the option out.`,
  };
}

async function login(
  options: SshOptions,
  settings: Settings,
  terminal: number | null,
): Promise<OpenSshMaster | HostError> {
  const { target, destination } = options;
  const { where, user } = settings;
  const dir = await privateDirectory();
  if (dir === null) {
    const message = `${target}: no directory for the socket of ssh can be made; set TMPDIR to one with a short path.`;
    return { kind: 'unsupported', target, message };
  }
  const said = join(dir, 'stderr');
  const end = await runLogin(options, settings, dir, terminal ?? openSync(said, 'w', 0o600), terminal);
  let error: HostError | undefined;
  if (end.kind === 'logged-in') {
    const master = await OpenSshMaster.hold(dir, where);
    if (master !== null) {
      for (const notice of keyNotices(await readQuietly(OpenSshMaster.log(dir))))
        options.warn?.(`${target}: ssh: ${notice}`);
      return master;
    }
  }
  if (end.kind === 'failed') error = end.error;
  error ??= loginError({
    target,
    where,
    user,
    asked: terminal !== null,
    sshCommand: sshCommand(destination),
    log: await readQuietly(OpenSshMaster.log(dir)),
    said: await readQuietly(said),
  });
  await rm(dir, { recursive: true, force: true });
  return error;
}

type LoginEnd =
  | { readonly kind: 'logged-in' | 'refused' }
  | { readonly kind: 'failed'; readonly error: HostError };

/** Starts ssh and waits until it has logged in, which is when it goes to the background. */
function runLogin(
  options: SshOptions,
  settings: Settings,
  dir: string,
  stderr: number,
  terminal: number | null,
): Promise<LoginEnd> {
  const { target, destination, configFile } = options;
  const failed = (kind: HostError['kind'], message: string): LoginEnd => ({
    kind: 'failed',
    error: { kind, target, message: `${target}: ${message}` },
  });
  const stopped = failed('aborted', 'stopped by the operator.');
  const args = [
    ...loginArguments(options, settings, dir, terminal !== null),
    ...destinationArguments(destination, configFile),
  ];
  return new Promise((resolve) => {
    const child = spawn('ssh', [...args, '--', destination.host], {
      // A session of its own has no terminal, so nothing that ssh starts can ask there.
      detached: terminal === null,
      env: { ...sshEnvironment(), ...(terminal === null ? { SSH_ASKPASS_REQUIRE: 'never' } : {}) },
      stdio: ['ignore', 'ignore', stderr],
    });
    if (terminal === null) closeSync(stderr);
    let timer: NodeJS.Timeout | undefined;
    let ignoreAbort = (): void => {};
    const settle = (end: LoginEnd): void => {
      clearTimeout(timer);
      ignoreAbort();
      resolve(end);
    };
    // Not SIGKILL: ssh gives the terminal its echo back.
    const giveUp = (end: LoginEnd): void => {
      child.kill();
      settle(end);
    };
    child.once('error', (error) =>
      settle(failed('spawn-failed', `ssh could not be started (${error.message}).`)),
    );
    child.once('exit', (code, signal) => {
      if (code === 0) settle({ kind: 'logged-in' });
      else settle(signal === 'SIGINT' ? stopped : { kind: 'refused' });
    });
    if (terminal === null) {
      const seconds = settings.connectTimeoutSeconds + loginTimeoutSeconds;
      const message = `the login at ${settings.where} took longer than ${seconds} s; check sshd and PAM there.`;
      timer = setTimeout(() => giveUp(failed('connect-timeout', message)), seconds * 1000);
    }
    ignoreAbort = onAbort(options.signal, () => giveUp(stopped));
  });
}

function loginArguments(
  { acceptNew }: SshOptions,
  settings: Settings,
  dir: string,
  terminal: boolean,
): string[] {
  const set: Readonly<Record<string, string | number>> = {
    ControlPersist: persistSeconds,
    // Two minutes of a kernel's patience are too long.
    ConnectTimeout: settings.connectTimeoutSeconds,
    ServerAliveInterval: settings.keepaliveSeconds,
    // One question, one failed attempt: a typing mistake locks no account.
    NumberOfPasswordPrompts: 1,
    StrictHostKeyChecking: acceptNew === true ? 'accept-new' : 'yes',
    UpdateHostKeys: 'no',
    // Nothing of the configuration that is for other uses of the host.
    RemoteCommand: 'none',
    PermitLocalCommand: 'no',
    ClearAllForwardings: 'yes',
    ForwardAgent: 'no',
    ForwardX11: 'no',
    Tunnel: 'no',
    // Into the log: the fingerprint of a key that is unknown.
    LogLevel: 'DEBUG1',
    ...(terminal ? {} : { BatchMode: 'yes' }),
  };
  return [
    ...['-M', '-N', '-T', '-S', OpenSshMaster.socket(dir), '-E', OpenSshMaster.log(dir)],
    ...Object.entries(set).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    // Else ssh throws away what proxies say, where it is to go to the background.
    ...(terminal ? [] : ['-v']),
  ];
}

/** The terminal ssh would ask on; null where there is none. */
function openTerminal(): number | null {
  try {
    return openSync('/dev/tty', 'r+');
  } catch {
    return null;
  }
}

/** Those of this process; what is left of them when it exits in the middle of something goes with it. */
const directories = new Set<string>();
process.once('exit', () => {
  for (const dir of directories) rmSync(dir, { recursive: true, force: true });
});

/** A new directory that is nobody else's, for a socket. */
async function privateDirectory(): Promise<string | null> {
  for (const base of [process.env['XDG_RUNTIME_DIR'], tmpdir(), '/tmp']) {
    // ssh would expand other characters.
    if (base === undefined || !/^\/[A-Za-z0-9._/+-]*$/.test(base) || base.length > maxDirectoryLength - 16)
      continue;
    const dir = await mkdtemp(join(base, 'tasksctl-')).catch(() => null);
    if (dir !== null) {
      directories.add(dir);
      return dir;
    }
  }
  return null;
}

/** What the operator can look into a failed login with. */
function sshCommand({ host, port, user }: SshDestination): string {
  const address = user === undefined ? host : `${user}@${host}`;
  return ['ssh -v', ...(port === undefined ? [] : ['-p', port]), address].join(' ');
}
