import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sessionRefusal } from './openssh-error.ts';
import { type OpenSshMaster, readQuietly } from './openssh-master.ts';
import { runScript, type ScriptProcess } from './run-script.ts';
import { sessionRefused } from './ssh-error.ts';
import type { SudoPassword } from './sudo.ts';
import type { HostError, RunRequest, RunResult, Transport } from './transport.ts';

/** Said before anything else, so it is noise to whoever reads the output. */
const processLine = /^tasksctl: process ([1-9][0-9]{0,9})$/m;
const sayProcess = 'echo tasksctl: process $$; ';
/** Time to end what runs on the host before its connection is cut, milliseconds. */
const killMs = 5_000;

/** Scripts on one open login, each in a session of its own. */
export class OpenSshTransport implements Transport {
  readonly target: string;
  readonly #master: OpenSshMaster;
  readonly #sudo: SudoPassword;
  #runs = 0;

  constructor(target: string, master: OpenSshMaster, sudo: SudoPassword) {
    this.target = target;
    this.#master = master;
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

  async #start(program: string): Promise<ScriptProcess | { readonly error: HostError }> {
    const { target } = this;
    const master = this.#master;
    if (master.closed) return { error: await master.lost(target) };
    const log = join(master.dir, `run-${this.#runs++}`);
    // The login shell may be csh or fish: the program has no character that means anything to them in quotes.
    const command = `exec sh -c '${sayProcess}${program}'`;
    const child = master.spawn(['-E', log], [command]) as ChildProcessWithoutNullStreams;
    const started = await new Promise<Error | null>((resolve) => {
      child.once('error', resolve);
      child.once('spawn', () => resolve(null));
    });
    if (started !== null) {
      const message = `${target}: ssh could not be started (${started.message}).`;
      return { error: { kind: 'spawn-failed', target, message } };
    }
    const closed = new Promise<number | null>((resolve) => {
      child.once('close', (code) => resolve(code));
    });
    return {
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      ended: closed.then((code) => this.#end(code, log)),
      kill: remoteKill(master, child),
    };
  }

  /**
   * ssh ends with 255 for itself, for a script that was ended by a signal, and for one that ended so. Only the first is
   * told apart.
   */
  async #end(code: number | null, log: string): Promise<Awaited<ScriptProcess['ended']>> {
    const { target } = this;
    const said = await readQuietly(log);
    await rm(log, { force: true });
    if (code !== null && code !== 255) return { code, signal: null };
    const refusal = sessionRefusal(said);
    if (refusal !== null) return { error: sessionRefused(target, refusal) };
    if (this.#master.closed || !(await this.#master.listens()))
      return { error: await this.#master.lost(target) };
    return { code, signal: null };
  }

  close(): Promise<void> {
    return this.#master.close();
  }
}

/**
 * The way to end a run. ssh passes no signals on, so a session of its own sends it to the process group, which the login
 * made for it; not to what root runs, where the user is not root. It is sent before the input ends, which a sudo at its
 * prompt would take for one more wrong password.
 */
function remoteKill(master: OpenSshMaster, child: ChildProcessWithoutNullStreams): () => void {
  let begun = '';
  const listen = (chunk: Buffer): void => {
    begun += chunk.toString('latin1');
    if (processLine.test(begun) || begun.length > 65_536) child.stdout.off('data', listen);
  };
  child.stdout.on('data', listen);
  const cut = (): void => {
    child.kill('SIGKILL');
    child.stdin.destroy();
    child.stdout.destroy();
    child.stderr.destroy();
  };
  return () => {
    const group = processLine.exec(begun)?.[1];
    if (group === undefined || master.closed) {
      cut();
      return;
    }
    const killer = master.spawn([], [`exec sh -c 'kill -s KILL -- -${group}'`]);
    const timer = setTimeout(() => killer.kill('SIGKILL'), killMs);
    const done = (): void => {
      clearTimeout(timer);
      cut();
    };
    killer.stdin?.on('error', () => {});
    killer.stdin?.end();
    killer.stdout?.resume();
    killer.stderr?.resume();
    killer.once('error', done);
    killer.once('exit', done);
  };
}
