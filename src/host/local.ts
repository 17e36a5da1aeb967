import { spawn } from 'node:child_process';
import { runScript, type ScriptProcess } from './run-script.ts';
import { SudoPassword } from './sudo.ts';
import type { HostError, RunRequest, RunResult, Transport } from './transport.ts';

const target = 'local';
/** What may still come through the pipes once the shell has ended, milliseconds; then others hold them open. */
const drainMs = 1_000;

/**
 * This machine. Scripts run in a session of their own, so that ending one ends everything it started. By default nobody
 * can be asked for sudo's password, and sudo must do without.
 */
export function localTransport(sudo = new SudoPassword(target, undefined)): Transport {
  return new LocalTransport(sudo);
}

class LocalTransport implements Transport {
  readonly target = target;
  readonly #sudo: SudoPassword;
  readonly #running = new Set<ScriptProcess>();
  #closed = false;

  constructor(sudo: SudoPassword) {
    this.#sudo = sudo;
  }

  run(request: RunRequest): Promise<RunResult> {
    return runScript({
      target,
      // Root needs no sudo, and it may not be installed.
      request: process.getuid?.() === 0 ? { ...request, asRoot: false } : request,
      sudo: this.#sudo,
      start: (program) => this.#start(program),
    });
  }

  async #start(program: string): Promise<ScriptProcess | { readonly error: HostError }> {
    if (this.#closed) {
      const message = `${target}: this connection was closed; open a new one.`;
      return { error: { kind: 'connection-lost', target, message } };
    }
    const started = await startShell(program);
    if ('error' in started) return started;
    this.#running.add(started);
    void started.ended.then(() => this.#running.delete(started));
    return started;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const child of this.#running) child.kill();
    await Promise.all([...this.#running].map(({ ended }) => ended));
  }
}

function startShell(program: string): Promise<ScriptProcess | { readonly error: HostError }> {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', program], {
      cwd: '/',
      env: cleanEnvironment(),
      detached: true,
      stdio: 'pipe',
    });
    child.once('error', (error: NodeJS.ErrnoException) => {
      // EAGAIN here is the very thing this program is about.
      const why = error.code === 'EAGAIN' ? 'EAGAIN: a task limit of this session is reached' : error.message;
      const message = `${target}: sh could not be started (${why}).`;
      resolve({ error: { kind: 'spawn-failed', target, message } });
    });
    child.once('spawn', () => {
      const destroyPipes = (): void => {
        child.stdout.destroy();
        child.stderr.destroy();
      };
      // What has come by then is read first, however long this process was busy.
      child.once('exit', () => setTimeout(() => setImmediate(destroyPipes), drainMs).unref());
      resolve({
        stdin: child.stdin,
        stdout: child.stdout,
        stderr: child.stderr,
        ended: new Promise((ended) => {
          child.once('close', (code, signal) => ended({ code, signal }));
        }),
        kill: () => {
          try {
            if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
          } catch {
            // It has ended, or is root's: closed pipes end that.
          }
          child.stdin.destroy();
          destroyPipes();
        },
      });
    });
  });
}

/** The same environment whoever calls, as on a host reached by SSH. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SUDO_USER'] as const;
  const environment: NodeJS.ProcessEnv = { LC_ALL: 'C' };
  for (const name of kept) if (process.env[name] !== undefined) environment[name] = process.env[name];
  return environment;
}
