import type { ClientChannel } from 'ssh2';
import { runScript, type ScriptProcess } from './run-script.ts';
import type { SshConnection } from './ssh-connection.ts';
import { sessionRefused } from './ssh-error.ts';
import type { SudoPassword } from './sudo.ts';
import type { HostError, RunRequest, RunResult, Transport } from './transport.ts';

/** Scripts on one open login, each in a session channel of its own. */
export class SshTransport implements Transport {
  readonly target: string;
  readonly #connection: SshConnection;
  readonly #sudo: SudoPassword;

  constructor(target: string, connection: SshConnection, sudo: SudoPassword) {
    this.target = target;
    this.#connection = connection;
    this.#sudo = sudo;
  }

  run(request: RunRequest): Promise<RunResult> {
    return runScript({
      target: this.target,
      request,
      sudo: this.#sudo,
      start: (program) => this.#start(program),
    });
  }

  #start(program: string): Promise<ScriptProcess | { readonly error: HostError }> {
    const connection = this.#connection;
    const { target } = this;
    return new Promise((resolve) => {
      if (connection.closed) {
        resolve({ error: connection.lost(target) });
        return;
      }
      try {
        // The login shell may be csh or fish: the program has no character that means anything to them in quotes.
        connection.client.exec(`exec sh -c '${program}'`, (error, channel) => {
          if (error === undefined || error === null)
            resolve(scriptProcess(channel, () => connection.lost(target)));
          else
            resolve({
              error: connection.closed ? connection.lost(target) : sessionRefused(target, error.message),
            });
        });
      } catch {
        resolve({ error: connection.lost(target) });
      }
    });
  }

  async close(): Promise<void> {
    this.#connection.close();
    await this.#connection.ended;
  }
}

function scriptProcess(channel: ClientChannel, lost: () => HostError): ScriptProcess {
  let exit: { readonly code: number | null; readonly signal: string | null } | undefined;
  channel.on('error', () => {});
  channel.stderr.on('error', () => {});
  channel.on('exit', (code: number | null, signal?: string) => {
    exit = { code, signal: signal ?? null };
  });
  const closed = (stream: NodeJS.EventEmitter): Promise<void> =>
    new Promise((resolve) => {
      stream.once('close', resolve);
    });
  return {
    stdin: channel,
    stdout: channel,
    stderr: channel.stderr,
    ended: Promise.all([closed(channel), closed(channel.stderr)]).then(() => exit ?? { error: lost() }),
    kill: () => {
      // To the process group, where sshd (7.9 and later, not for root) and the rights of the user allow it; before the
      // end of the input, which a sudo at its prompt would take for one more wrong password.
      channel.signal('KILL');
      channel.close();
    },
  };
}
