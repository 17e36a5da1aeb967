/** Running scripts on a host and putting files there, whatever the way in. */
import { spawn } from 'node:child_process';
import { withTimeout } from './supervisor.ts';
import { type TarEntry, tar } from './tar.ts';

export interface ExecOptions {
  /** Default: one minute. */
  timeoutMs?: number;
  /** The script's standard input; empty by default. */
  input?: Uint8Array;
  /** Throw when the script ends with another code than 0; on by default. */
  check?: boolean;
}

export interface ExecResult {
  code: number;
  stdout: Buffer;
  stderr: Buffer;
}

export type Exec = (script: string, options?: ExecOptions) => Promise<ExecResult>;

/** An argument can have 128 KiB; longer scripts are read from a pipe, which then is not there for input. */
const longestArgument = 120_000;

export async function runScript(
  name: string,
  command: (script: string) => string[],
  script: string,
  { timeoutMs = 180_000, input, check = true }: ExecOptions,
): Promise<ExecResult> {
  const long = Buffer.byteLength(script) > longestArgument;
  if (long && input) throw new Error('a script of this length cannot have input');
  const [file = '', ...args] = command(long ? 'exec sh -s' : script);
  const child = spawn(file, args, { stdio: 'pipe', detached: true });
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(long ? script : input);
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    // Not 'close': what the script left running in the background may hold the pipes for ever.
    child.on('exit', (code, signal) => {
      const code2 = code ?? 128 + (signal === 'SIGKILL' ? 9 : 15);
      const closed = setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve(code2);
      }, 300);
      child.on('close', () => {
        clearTimeout(closed);
        resolve(code2);
      });
    });
  });
  let code: number;
  try {
    code = await withTimeout(ended, timeoutMs, `a script on ${name}`);
  } catch (error) {
    killGroup();
    throw error;
  }
  const result = { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) };
  if (check && code !== 0) {
    throw new Error(
      `script on ${name} ended with code ${code}\n${script.slice(0, 2000)}\n${result.stdout.toString().slice(-2000)}\n${result.stderr.toString().slice(-2000)}`,
    );
  }
  return result;
}

export async function writeFiles(
  exec: Exec,
  files: Record<string, Uint8Array | string | { symlink: string }>,
): Promise<void> {
  const entries = Object.entries(files).map(([path, content]): TarEntry => {
    if (!path.startsWith('/')) throw new Error(`not an absolute path: ${path}`);
    const relative = path.slice(1);
    if (typeof content === 'object' && 'symlink' in content)
      return { path: relative, symlink: content.symlink };
    const data = typeof content === 'string' ? Buffer.from(content) : content;
    const executable = data[0] === 0x23 && data[1] === 0x21;
    return { path: relative, data, mode: executable ? 0o755 : 0o644 };
  });
  await exec('umask 022; exec tar -x -p -C / -f -', { input: tar(entries) });
}

export async function systemdVersion(exec: Exec): Promise<number> {
  const { stdout } = await exec('systemctl --version');
  const version = /^systemd (\d+)/.exec(stdout.toString())?.[1];
  if (version === undefined) throw new Error(`unknown systemd version: ${stdout}`);
  return Number(version);
}
