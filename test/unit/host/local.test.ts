import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { localTransport } from '../../../src/host/local.ts';
import type { RunRequest, RunResult, Transport } from '../../../src/host/transport.ts';

let transport: Transport;
let scratch: string;
beforeEach(() => {
  transport = localTransport();
  scratch = mkdtempSync(join(tmpdir(), 'tasksctl-local-test-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await transport.close();
  rmSync(scratch, { recursive: true });
});

function run(script: string, more: Partial<RunRequest> = {}): Promise<RunResult> {
  return transport.run({ script, asRoot: false, timeoutMs: 20_000, maxOutputBytes: 1_000_000, ...more });
}

async function output(script: string, more: Partial<RunRequest> = {}): Promise<string> {
  const result = await run(script, more);
  if (result.kind === 'failed') throw new Error(result.error.message);
  return result.stdout.toString();
}

/** No process has this id, or it is one that waits to be reaped. */
async function gone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    const state = await output(`sed -n 's/^State:[[:space:]]*//p' /proc/${pid}/status 2>/dev/null || :`);
    if (state === '' || state.startsWith('Z')) return true;
  }
  return false;
}

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

describe('localTransport', () => {
  it('runs a script and brings back its bytes and its exit status', async () => {
    const result = await run('printf "a\\000\\377"; echo oops >&2; exit 7');
    if (result.kind === 'failed') throw new Error(result.error.message);
    expect(result).toMatchObject({ kind: 'exit', code: 7, signal: null });
    expect([...result.stdout]).toEqual([0x61, 0, 0xff]);
    expect(result.stderr.toString()).toBe('oops\n');
  });

  it('gives every script the same environment', async () => {
    vi.stubEnv('LANG', 'de_DE.UTF-8');
    vi.stubEnv('SECRET_TOKEN', 'x');
    const names = (await output('env; pwd')).split('\n');
    expect(names).toContain('LC_ALL=C');
    expect(names).toContain('/');
    expect(names.filter((line) => /^(?:LANG|SECRET_TOKEN)=/.test(line))).toEqual([]);
  });

  it('ends the script and all it started at the time limit', async () => {
    const file = join(scratch, 'pids');
    const result = await run(
      `echo $$ >${file}; sh -c 'echo $$ >>${file}; trap "" TERM; sleep 1000 & wait; sleep 1000' & wait; echo after`,
      { timeoutMs: 1_500 },
    );
    expect(result).toMatchObject({ kind: 'failed', error: { kind: 'timeout', target: 'local' } });
    const pids = (await output(`cat ${file}`)).trim().split('\n').map(Number);
    expect(pids).toHaveLength(2);
    for (const pid of pids) expect(await gone(pid)).toBe(true);
  });

  it('ends it when the operator stops', async () => {
    const stop = new AbortController();
    const file = join(scratch, 'started');
    const running = run(`: >${file}; sleep 1000`, { signal: stop.signal });
    while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10));
    stop.abort();
    expect(await running).toMatchObject({ kind: 'failed', error: { kind: 'aborted' } });
  });

  it('ends it when it prints too much, and keeps what came', async () => {
    const result = await run('while :; do echo 0123456789; done', { maxOutputBytes: 5_000 });
    expect(result).toMatchObject({ kind: 'failed', error: { kind: 'output-limit' } });
    expect(result.stdout.length).toBeGreaterThan(0);
    expect(result.stdout.length).toBeLessThanOrEqual(5_000);
  });

  it('does not wait for what a finished script left in the background', async () => {
    const began = performance.now();
    expect(await output('sleep 30 & echo done')).toBe('done\n');
    expect(performance.now() - began).toBeLessThan(15_000);
  });

  it('fails where there is no sh', async () => {
    vi.stubEnv('PATH', scratch);
    expect(await run('true')).toMatchObject({
      kind: 'failed',
      error: { kind: 'spawn-failed', target: 'local' },
    });
  });

  it('ends what runs when it is closed, and runs nothing after', async () => {
    const running = run('sleep 1000');
    await new Promise((resolve) => setTimeout(resolve, 200));
    await transport.close();
    expect(await running).toMatchObject({ kind: 'exit', signal: 'SIGKILL' });
    expect(await run('true')).toMatchObject({ kind: 'failed', error: { kind: 'connection-lost' } });
  });

  describe('as root', () => {
    it.skipIf(process.getuid?.() !== 0)('needs no sudo where it is root already', async () => {
      writeStub('sudo', 'exit 1');
      vi.stubEnv('PATH', `${scratch}:${process.env['PATH']}`);
      expect(await output('id -u', { asRoot: true })).toBe('0\n');
    });

    it('goes through sudo where it is not', async () => {
      // Another user as far as the transport and its first shell can tell; sudo makes it root.
      vi.spyOn(process, 'getuid').mockReturnValue(1000);
      writeStub('id', '[ -z "$FAKE_ROOT" ] && echo 1000 || echo 0');
      writeStub('sudo', 'while [ "$1" != -- ]; do shift; done; shift; FAKE_ROOT=1 exec "$@"');
      vi.stubEnv('PATH', `${scratch}:${process.env['PATH']}`);
      expect(await output('id -u', { asRoot: true })).toBe('0\n');
      expect(await output('id -u')).toBe('1000\n');
    });

    it('says that sudo is missing', async () => {
      vi.spyOn(process, 'getuid').mockReturnValue(1000);
      writeStub('id', 'echo 1000');
      writeStub('sh', '#!/bin/sh\nexec /bin/sh "$@"');
      vi.stubEnv('PATH', scratch);
      const result = await run('true', { asRoot: true });
      expect(result).toMatchObject({ kind: 'failed', error: { kind: 'sudo-missing' } });
    });
  });

  it('loses nothing of a script that ends while this process is busy for longer than output is waited for', async () => {
    const second = output('sleep 0.7; echo second');
    const silent = output('exec >&- 2>&-; sleep 0.7').then(() => block(1500));
    const first = output('sleep 0.1; echo first', { onStdout: () => block(1000) });
    // All have their scripts. The first ends now, the others while its output is looked at: what the second has said
    // waits, while one after the other is found to have ended.
    await new Promise((resolve) => setTimeout(resolve, 60));
    block(300);
    expect(await first).toBe('first\n');
    expect(await second).toBe('second\n');
    await silent;
  });
});

function writeStub(name: string, text: string): void {
  const path = join(scratch, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}
