import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runScript, type ScriptProcess } from '../../../src/host/run-script.ts';
import {
  passwordPrompt,
  plainProgram,
  readyLine,
  SudoPassword,
  sudoFailure,
  sudoPasswordProgram,
  sudoProgram,
} from '../../../src/host/sudo.ts';
import type { RunRequest, RunResult } from '../../../src/host/transport.ts';

/**
 * Real shells on this machine, and a sudo that does what the real one does on its standard streams; the real sudo
 * is in test/hosts/ssh.test.ts. FAKE_SUDO says how it behaves, everything it reads is recorded.
 */
let dir: string;
const password = 'correct horse';

const fakeSudo = `#!/bin/sh
printf '%s\\n' "$*" >>"$FAKE_LOG"
mode=$FAKE_SUDO
prompt=
interactive=yes
while [ $# -gt 0 ]; do
  case $1 in
    -n) interactive=no; shift ;;
    -S|-H) shift ;;
    -p) prompt=$2; shift 2 ;;
    --) shift; break ;;
  esac
done
case $mode in
  nopasswd) exec "$@" ;;
  noise) echo "sudo: unable to resolve host x" >&2; echo "start-up file"; exec "$@" ;;
  denied) echo "alice is not allowed to run sudo on x." >&2; exit 1 ;;
  tty) echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1 ;;
esac
[ $interactive = yes ] || { echo "sudo: a password is required" >&2; exit 1; }
tries=0
while [ $tries -lt 3 ]; do
  printf '%s' "$prompt" >&2
  IFS= read -r line || { echo "sudo: no password was provided" >&2; exit 1; }
  printf 'read %s\\n' "$line" >>"$FAKE_LOG"
  [ "$line" = "${password}" ] && {
    [ $mode = not-in-sudoers ] && { echo "carol is not in the sudoers file." >&2; exit 1; }
    exec "$@"
  }
  tries=$((tries + 1))
  [ $mode = one-try ] && { echo "sudo: 1 incorrect password attempt" >&2; exit 1; }
  echo "Sorry, try again." >&2
done
exit 1
`;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'run-script-'));
  writeFileSync(join(dir, 'sudo'), fakeSudo);
  chmodSync(join(dir, 'sudo'), 0o755);
  // The programs take a login as root for granted; here they must not.
  writeFileSync(join(dir, 'id'), '#!/bin/sh\necho 1000\n');
  chmodSync(join(dir, 'id'), 0o755);
});

afterAll(() => rmSync(dir, { recursive: true }));

function request(script: string, more: Partial<RunRequest> = {}): RunRequest {
  return { script, asRoot: false, timeoutMs: 10_000, maxOutputBytes: 1_000_000, ...more };
}

let logs = 0;

function host(
  mode: string,
  answer: string | null | undefined = undefined,
  path = `${dir}:${process.env['PATH']}`,
) {
  const log = join(dir, `log-${logs++}`);
  writeFileSync(log, '');
  const prompts: string[] = [];
  const ask =
    answer === undefined
      ? undefined
      : async (prompt: string) => {
          prompts.push(prompt);
          return answer;
        };
  const sudo = new SudoPassword('web1', ask);
  const pids: number[] = [];
  const start = async (program: string): Promise<ScriptProcess> => {
    const child = spawn('/bin/sh', ['-c', program], {
      env: { PATH: path, FAKE_SUDO: mode, FAKE_LOG: log },
      detached: true,
    });
    if (child.pid !== undefined) pids.push(child.pid);
    return {
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      ended: new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal }))),
      kill: () => process.kill(-(child.pid ?? 0), 'SIGKILL'),
    };
  };
  return {
    prompts,
    pids,
    log: () => readFileSync(log, 'utf8'),
    run: (wanted: RunRequest): Promise<RunResult> =>
      runScript({ target: 'web1', request: wanted, sudo, start }),
  };
}

function text(result: RunResult): string {
  return result.stdout.toString();
}

function kind(result: RunResult): string {
  return result.kind === 'failed' ? result.error.kind : `exit ${result.code}`;
}

describe('a script', () => {
  it('gives its output, its errors and its exit status', async () => {
    const result = await host('nopasswd').run(request('echo out; echo err >&2; exit 7'));
    expect(result).toMatchObject({ kind: 'exit', code: 7, signal: null });
    expect(text(result)).toBe('out\n');
    expect(result.stderr.toString()).toBe('err\n');
  });

  it('ends with the status of its last command, is empty, or ends in a comment or here-document', async () => {
    for (const [script, code] of [
      ['false', 1],
      ['', 0],
      ['# nothing', 0],
      ['#!/bin/sh\n(exit 4)', 4],
      ['cat <<EOF\n}\nEOF', 0],
      ['f() { return 5; }\nf\n', 5],
    ] as const) {
      expect(kind(await host('nopasswd').run(request(script))), script).toBe(`exit ${code}`);
    }
  });

  it('names the signal that ended it', async () => {
    expect(await host('nopasswd').run(request('kill -KILL $$'))).toMatchObject({
      code: null,
      signal: 'SIGKILL',
    });
  });

  it('has an empty standard input, so a command in it cannot eat the rest of it', async () => {
    expect(text(await host('nopasswd').run(request('cat\nread x\necho "end $x"')))).toBe('end \n');
  });

  it('is not run in part when the connection is cut before all of it arrived', async () => {
    const marker = join(dir, 'ran');
    const script = `touch ${marker}\n${'# filler\n'.repeat(10_000)}`;
    const cut = async (program: string): Promise<ScriptProcess> => {
      const child = spawn('/bin/sh', ['-c', program]);
      const stdin = new PassThrough();
      stdin.once('data', (chunk: Buffer) => child.stdin.end(chunk.subarray(0, script.length / 2)));
      return {
        stdin,
        stdout: child.stdout,
        stderr: child.stderr,
        ended: new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal }))),
        kill: () => child.kill('SIGKILL'),
      };
    };
    const sudo = new SudoPassword('web1', undefined);
    const result = await runScript({ target: 'web1', request: request(script), sudo, start: cut });
    expect(result).toMatchObject({ kind: 'exit', code: 2 });
    expect(() => readFileSync(marker)).toThrow();
  });

  it('is stopped at the output limit with what came until then', async () => {
    const result = await host('nopasswd').run(request('yes', { maxOutputBytes: 5_000 }));
    expect(kind(result)).toBe('output-limit');
    expect(result.stdout).toHaveLength(5_000);
    const both = await host('nopasswd').run(request('yes >&2', { maxOutputBytes: 5_000 }));
    expect([kind(both), both.stderr.length]).toEqual(['output-limit', 5_000]);
  });

  it('is stopped at the time limit, and so is what it started', async () => {
    const { run } = host('nopasswd');
    const started = performance.now();
    const result = await run(request('sleep 60 & echo $!; sleep 61; echo second', { timeoutMs: 300 }));
    expect(kind(result)).toBe('timeout');
    if (result.kind === 'failed') expect(result.error.message).toMatch(/^web1: no end after 0\.3 s/);
    expect(text(result)).toMatch(/^\d+\n$/);
    expect(performance.now() - started).toBeLessThan(5_000);
    // Gone, or dead and not yet waited for (proc_pid_stat(5)).
    const stat = await readFile(`/proc/${text(result).trim()}/stat`, 'utf8').catch(() => ') Z');
    expect(stat).toContain(') Z');
  });

  it('is stopped by the abort signal, at once where it was given before', async () => {
    const controller = new AbortController();
    const running = host('nopasswd').run(
      request('echo begun; sleep 60', { signal: controller.signal, onStdout: () => controller.abort() }),
    );
    expect(kind(await running)).toBe('aborted');
    const late = host('nopasswd');
    expect(kind(await late.run(request('true', { signal: controller.signal })))).toBe('aborted');
    expect(late.pids).toEqual([]);
  });

  it('streams its output without the noise before it', async () => {
    const chunks: string[] = [];
    const result = await host('noise').run(
      request('echo a; sleep 0.1; echo b', {
        asRoot: true,
        onStdout: (chunk) => chunks.push(Buffer.from(chunk).toString()),
      }),
    );
    expect(chunks.join('')).toBe('a\nb\n');
    expect(text(result)).toBe('a\nb\n');
    expect(result.stderr).toHaveLength(0);
  });

  it('throws what the reader of the stream throws: that is a bug of ours and no failure of the host', async () => {
    const bug = new Error('bug');
    const onStdout = () => {
      throw bug;
    };
    await expect(host('nopasswd').run(request('echo a; sleep 60', { onStdout }))).rejects.toBe(bug);
  });

  it('says so where the login shell runs something else', async () => {
    const start = async (): Promise<ScriptProcess> => {
      const child = spawn('/bin/sh', ['-c', 'echo "This account is \u001b[31mnot available."; exit 1']);
      return {
        stdin: child.stdin,
        stdout: child.stdout,
        stderr: child.stderr,
        ended: new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal }))),
        kill: () => child.kill(),
      };
    };
    const sudo = new SudoPassword('web1', undefined);
    const result = await runScript({ target: 'web1', request: request('true'), sudo, start });
    expect(kind(result)).toBe('unsupported');
    if (result.kind === 'failed')
      expect(result.error.message).toContain('This account is ?[31mnot available.');
  });
});

describe('root', () => {
  const root = request('echo "$0 $*"; cat', { asRoot: true });

  it('comes without a password where sudo wants none; it is neither asked for nor sent', async () => {
    const { run, prompts, log } = host('nopasswd', password);
    expect(kind(await run(root))).toBe('exit 0');
    expect(prompts).toEqual([]);
    expect(log()).not.toMatch(/^read/m);
  });

  it('comes with the password, asked for once and sent once a run, with no prompt in the output', async () => {
    const { run, prompts, log } = host('password', password);
    const results = [await run(root), await run(root), await run(root)];
    expect(results.map(kind)).toEqual(['exit 0', 'exit 0', 'exit 0']);
    expect(prompts).toEqual(['sudo password for web1: ']);
    expect(log().match(/^read correct horse$/gm)).toHaveLength(3);
    for (const result of results) {
      expect(Buffer.concat([result.stdout, result.stderr]).toString()).toBe('sh \n');
    }
  });

  it('never shows the password to the script, to the shell or on a command line', async () => {
    const { run, log } = host('password', password);
    const result = await run(
      request('set; env; for f in /proc/[0-9]*/cmdline; do tr "\\0" " " <$f 2>/dev/null; echo; done', {
        asRoot: true,
      }),
    );
    expect(kind(result)).toBe('exit 0');
    expect(text(result)).not.toMatch(/correct.horse/);
    expect(log().replace(/^read .*$/m, '')).not.toContain(password);
  });

  it('takes one try with a wrong password, whatever number of runs wait for it', async () => {
    const { run, prompts, log } = host('password', 'wrong horse');
    const results = await Promise.all([run(root), run(root), run(root)]);
    expect(results.map(kind)).toEqual(['sudo-password-wrong', 'sudo-password-wrong', 'sudo-password-wrong']);
    expect(kind(await run(root))).toBe('sudo-password-wrong');
    expect(prompts).toHaveLength(1);
    expect(log().match(/^read/gm)).toHaveLength(1);
    expect(log()).not.toContain('cat');
  });

  it('knows a wrong password from a sudo with passwd_tries=1', async () => {
    expect(kind(await host('one-try', 'wrong horse').run(root))).toBe('sudo-password-wrong');
  });

  it('says that a password is needed where nobody can be asked or the operator declines', async () => {
    expect(kind(await host('password').run(root))).toBe('sudo-password-needed');
    const declined = host('password', null);
    expect(kind(await declined.run(root))).toBe('sudo-password-needed');
    expect(kind(await declined.run(root))).toBe('sudo-password-needed');
    expect(declined.prompts).toHaveLength(1);
    expect(declined.log()).not.toMatch(/^read/m);
  });

  it('is denied with the reason', async () => {
    expect(kind(await host('denied').run(root))).toBe('sudo-denied');
    expect(kind(await host('not-in-sudoers', password).run(root))).toBe('sudo-denied');
    const tty = await host('tty').run(root);
    expect(kind(tty)).toBe('sudo-denied');
    if (tty.kind === 'failed') expect(tty.error.message).toContain('requiretty');
  });

  it('is impossible without sudo', async () => {
    // A directory with everything these programs call but sudo.
    const bare = mkdtempSync(join(dir, 'bare-'));
    writeFileSync(join(bare, 'id'), '#!/bin/sh\necho 1000\n');
    chmodSync(join(bare, 'id'), 0o755);
    expect(kind(await host('password', password, bare).run(root))).toBe('sudo-missing');
  });
});

describe('the streams of a host', () => {
  /** A process that is nothing but these bytes, in chunks of these lengths. */
  function recorded(stdout: Buffer, stderr: Buffer, cuts: readonly number[]): ScriptProcess {
    const chunks = (bytes: Buffer) => {
      const stream = new PassThrough();
      let at = 0;
      for (let n = 0; at < bytes.length; n++) {
        const length = cuts[n % cuts.length] ?? 1;
        stream.write(bytes.subarray(at, at + length));
        at += length;
      }
      stream.end();
      return stream;
    };
    const [out, err] = [chunks(stdout), chunks(stderr)];
    const ended = Promise.all(
      [out, err].map((stream) => new Promise((resolve) => stream.on('end', resolve))),
    );
    return {
      stdin: new PassThrough(),
      stdout: out,
      stderr: err,
      ended: ended.then(() => ({ code: 0, signal: null })),
      kill: () => {},
    };
  }

  it('give the same result however they are cut into chunks', async () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
    const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 });
    const mark = Buffer.from(`${readyLine}\n`);
    await fc.assert(
      fc.asyncProperty(bytes, bytes, bytes, cuts, async (noise, out, err, lengths) => {
        fc.pre(!Buffer.concat([noise, mark]).subarray(0, -1).includes(mark));
        const chunks: Uint8Array[] = [];
        const result = await runScript({
          target: 'web1',
          request: request('', { onStdout: (chunk) => chunks.push(Buffer.from(chunk)) }),
          sudo: new SudoPassword('web1', undefined),
          start: async () =>
            recorded(Buffer.concat([noise, mark, out]), Buffer.concat([noise, mark, err]), lengths),
        });
        expect(result).toMatchObject({ kind: 'exit', code: 0 });
        expect(result.stdout.equals(out)).toBe(true);
        expect(Buffer.concat(chunks).equals(out)).toBe(true);
        expect(result.stderr.equals(err)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('are a failure without the ready line, and end the run where they never stop before it', async () => {
    const run = (stdout: Buffer) =>
      runScript({
        target: 'web1',
        request: request('', { timeoutMs: 2_000 }),
        sudo: new SudoPassword('web1', undefined),
        start: async () => recorded(stdout, Buffer.alloc(0), [1_000]),
      });
    expect(kind(await run(Buffer.from('hello\n')))).toBe('unsupported');
    const endless = await run(Buffer.alloc(100_000, 'x'));
    expect(kind(endless)).toBe('output-limit');
    if (endless.kind === 'failed') expect(endless.error.message).toContain('start-up files');
  });
});

describe('the programs', () => {
  it('are safe in the single quotes of any login shell', () => {
    for (const program of [plainProgram, sudoProgram, sudoPasswordProgram]) {
      expect(program).not.toMatch(/['\\!\n]/);
      expect(program).toContain(readyLine);
    }
    expect(sudoPasswordProgram).toContain(passwordPrompt);
  });
});

describe('sudoFailure', () => {
  const failure = (stderr: string, more: { code?: number | null; prompts?: number } = {}) =>
    sudoFailure({ target: 'web1', code: more.code ?? 1, stderr, prompts: more.prompts ?? 0 });

  it.each([
    ['sudo: a password is required\n', 'sudo-password-needed'],
    ['sudo: no password was provided\nsudo: a password is required\n', 'sudo-password-needed'],
    // sudo-rs
    ['sudo: interactive authentication is required\n', 'sudo-password-needed'],
    ['sudo: Authentication failed, try again.\n', 'sudo-password-wrong'],
    ['sudo: Maximum 3 incorrect authentication attempts reached\n', 'sudo-password-wrong'],
    ["sudo: I'm sorry carol. I'm afraid I can't do that\n", 'sudo-denied'],
    ['sudo: 3 incorrect password attempts\n', 'sudo-password-wrong'],
    ['carol is not in the sudoers file.  This incident will be reported.\n', 'sudo-denied'],
    ['Sorry, user carol may not run sudo on web1.\n', 'sudo-denied'],
    ["Sorry, user carol is not allowed to execute '/bin/sh -c x' as root on web1.\n", 'sudo-denied'],
    ['sudo: sorry, you must have a tty to run sudo\n', 'sudo-denied'],
    ['sudo: /etc/sudoers is world writable\n', 'sudo-denied'],
    ['tasksctl: no sudo\n', 'sudo-missing'],
  ])('%j is %s', (stderr, kind) => {
    expect(failure(stderr).kind).toBe(kind);
    expect(failure(stderr).message).toMatch(/^web1: .*[a-z.]$/);
  });

  it('shows unknown words of sudo, made harmless', () => {
    expect(failure('x\u001b[2Jsudo: unable to initialize policy plugin\n').message).toBe(
      'web1: sudo did not start a shell (exit status 1): x?[2Jsudo: unable to initialize policy plugin; check "sudo -l" there.',
    );
  });
});
