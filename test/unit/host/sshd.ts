/**
 * A real OpenSSH server on loopback for tests, with keys, agent and configuration of its own in a directory of its
 * own: nothing of ~/.ssh is read or written. It runs as root, as sshd must to log root in.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConnectMemory } from '../../../src/host/connect-memory.ts';
import { type ConnectResult, connectSsh, type SshOptions } from '../../../src/host/ssh.ts';
import { SSHD, toolMissing } from '../../tools.ts';

/** Why there is no OpenSSH client here, or null. */
export function sshUnavailable(): string | null {
  return spawnSync('ssh', ['-V']).error === undefined ? null : 'no ssh (package openssh-client)';
}

/** Why there can be no real sshd here, or null. */
export function sshdUnavailable(): string | null {
  if (process.getuid?.() !== 0) return 'a real sshd needs root';
  return toolMissing(SSHD) ?? sshUnavailable();
}

export interface Sshd {
  readonly port: number;
  /** `type base64` of each host key. */
  readonly hostKeys: readonly string[];
  log(): string;
}

export class SshRig {
  readonly dir = mkdtempSync(join(tmpdir(), 'ssh-rig-'));
  readonly #children: ChildProcess[] = [];
  #files = 0;

  file(text: string, name = `file-${this.#files++}`): string {
    const path = join(this.dir, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** Makes a key pair; gives the path of the private key. */
  key(name: string, options: { type?: string; passphrase?: string; format?: string } = {}): string {
    const path = join(this.dir, name);
    const { type = 'ed25519', passphrase = '', format } = options;
    execFileSync('ssh-keygen', [
      ...['-q', '-t', type, '-N', passphrase, '-C', name, '-f', path],
      ...(format === undefined ? [] : ['-m', format]),
      ...(type === 'rsa' ? ['-b', '2048'] : []),
    ]);
    return path;
  }

  /** `type base64 comment` of a key pair. */
  publicKey(path: string): string {
    return readFileSync(`${path}.pub`, 'utf8').trim();
  }

  async sshd(options: { authorized: string[]; hostKeys?: string[]; config?: string }): Promise<Sshd> {
    // The directory for privilege separation that the Debian package expects, made by its service.
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const id = this.#files++;
    const hostKeys = options.hostKeys ?? [this.key(`host-${id}`)];
    const authorized = this.file(options.authorized.map((path) => `${this.publicKey(path)}\n`).join(''));
    const port = await freePort();
    const config = this.file(
      [
        `Port ${port}`,
        'ListenAddress 127.0.0.1',
        ...hostKeys.map((path) => `HostKey ${path}`),
        `AuthorizedKeysFile ${authorized}`,
        'StrictModes no',
        'UsePAM no',
        'UseDNS no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'PermitRootLogin yes',
        'PidFile none',
        'PrintMotd no',
        // bash started by sshd reads ~/.bashrc unless it is told that it is not the first shell.
        'SetEnv SHLVL=1',
        // The first of several lines wins.
        options.config ?? '',
        'LogLevel VERBOSE',
      ].join('\n'),
    );
    const child = spawn(SSHD, ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#children.push(child);
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    await until(
      `sshd on port ${port}`,
      () => log.includes('Server listening'),
      () => log,
    );
    return {
      port,
      hostKeys: hostKeys.map((path) => this.publicKey(path).split(' ').slice(0, 2).join(' ')),
      log: () => log,
    };
  }

  /** Starts an agent that holds the keys; gives its socket. */
  async agent(...keys: string[]): Promise<string> {
    const socket = join(this.dir, `agent-${this.#files++}`);
    const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
    this.#children.push(child);
    await until(
      'ssh-agent',
      () => existsSync(socket),
      () => '',
    );
    if (keys.length > 0) {
      execFileSync('ssh-add', ['-q', ...keys], {
        env: { ...process.env, SSH_AUTH_SOCK: socket },
        stdio: 'ignore',
      });
    }
    return socket;
  }

  /** An ssh_config for `Host h` at the port, with its key known, plus lines that come first. */
  config(server: Pick<Sshd, 'port' | 'hostKeys'>, ...lines: string[]): string {
    const known = this.file(server.hostKeys.map((key) => `[127.0.0.1]:${server.port} ${key}\n`).join(''));
    return this.file(
      [
        'Host h',
        ...lines,
        'HostName 127.0.0.1',
        `Port ${server.port}`,
        'User root',
        'IdentityAgent none',
        `UserKnownHostsFile ${known}`,
        'GlobalKnownHostsFile /dev/null',
        'IdentityFile none',
        '',
      ].join('\n'),
    );
  }

  connect(configFile: string, options: Partial<SshOptions> = {}): Promise<ConnectResult> {
    return connectSsh({
      destination: { kind: 'ssh', host: 'h' },
      target: 'h',
      memory: new ConnectMemory(),
      configFile,
      ...options,
    });
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true });
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** A TCP relay to a port, which can cut what goes through it or swallow it. */
export async function relay(
  port: number,
): Promise<{ port: number; cut(): void; swallow(): void; close(): void }> {
  const sockets = new Set<import('node:net').Socket>();
  let swallowing = false;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (chunk) => {
        if (!swallowing) to.write(chunk);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const end = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cut: end,
    swallow: () => {
      swallowing = true;
    },
    close: () => {
      end();
      server.close();
    },
  };
}

async function until(what: string, holds: () => boolean, log: () => string): Promise<void> {
  const end = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`${what} did not come up: ${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
