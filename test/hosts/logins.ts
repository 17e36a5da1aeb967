import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { ConnectMemory } from '../../src/host/connect-memory.ts';
import { connectOpenSsh } from '../../src/host/openssh.ts';
import { type ConnectResult, connectSsh, type SshOptions } from '../../src/host/ssh.ts';
import type { HostError, RunRequest, RunResult, Transport } from '../../src/host/transport.ts';
import { type LabHost, password } from '../lab/lab.ts';

/** Both ways to log in. */
export const clients = { ssh2: connectSsh, openssh: connectOpenSsh } as const;

/** Logins to lab hosts by one of them, with configuration files in a directory of the test. */
export class Logins {
  readonly #dir: () => string;
  readonly #connect: (options: SshOptions) => Promise<ConnectResult>;
  static #files = 0;

  constructor(dir: () => string, client: keyof typeof clients) {
    this.#dir = dir;
    this.#connect = clients[client];
  }

  file(text: string): string {
    const path = join(this.#dir(), `file-${Logins.#files++}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** An ssh_config for a host; of what is in `lines` too, theirs holds. */
  configFor(host: LabHost, ...lines: string[]): string {
    return this.file(
      [
        'Host *',
        ...lines,
        'IdentityAgent none',
        `UserKnownHostsFile ${host.ssh.knownHostsFile}`,
        'GlobalKnownHostsFile none',
        `IdentityFile ${host.ssh.identityFile}`,
        '',
      ].join('\n'),
    );
  }

  open(
    host: LabHost,
    user: string,
    options: Partial<SshOptions> = {},
    ...lines: string[]
  ): Promise<ConnectResult> {
    return this.#connect({
      destination: { kind: 'ssh', host: host.ssh.host, user, port: host.ssh.port },
      target: `${user}@${host.name}`,
      memory: new ConnectMemory(),
      configFile: this.configFor(host, ...lines),
      ...options,
    });
  }

  async login(...args: Parameters<Logins['open']>): Promise<Transport> {
    const result = await this.open(...args);
    if (!result.ok) throw new Error(result.error.message);
    return result.transport;
  }

  async loginError(...args: Parameters<Logins['open']>): Promise<HostError> {
    const result = await this.open(...args);
    if (result.ok) {
      await result.transport.close();
      throw new Error('logged in');
    }
    expect(result.error.message).not.toContain(password);
    // One sentence or two clauses, ready for a terminal.
    expect(result.error.message).not.toMatch(/[\u0000-\u001f\u007f]/);
    return result.error;
  }
}

export function request(script: string, more: Partial<RunRequest> = {}): RunRequest {
  return { script, asRoot: true, timeoutMs: 30_000, maxOutputBytes: 100_000, ...more };
}

export function kind(result: RunResult): string {
  return result.kind === 'failed' ? result.error.kind : `exit ${result.code}`;
}

export function asker(...answers: (string | null)[]) {
  const prompts: string[] = [];
  const askSecret = async (prompt: string) => {
    prompts.push(prompt);
    return answers.length > 1 ? (answers.shift() ?? null) : (answers[0] ?? null);
  };
  return { prompts, askSecret };
}

export async function text(host: LabHost, script: string): Promise<string> {
  return (await host.exec(script)).stdout.toString().trim();
}
