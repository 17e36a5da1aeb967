import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../../package.json' with { type: 'json' };

/** What only the real, bundled program in a process of its own can show. */

const root = join(import.meta.dirname, '../../..');
const example = join(root, 'examples/snapshots/debian-12-systemd-252.json');
let dir = '';
let program = '';

beforeAll(() => {
  // Inside the checkout, since the program looks for templates above itself.
  const cache = join(root, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  dir = mkdtempSync(join(cache, 'tasksctl-bundle-'));
  execFileSync(process.execPath, [join(root, 'build.mjs')], {
    env: { ...process.env, TASKSCTL_OUTDIR: dir },
  });
  program = join(dir, 'tasksctl.js');
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('the bundle', () => {
  it('runs by its own name, from anywhere', () => {
    const { stdout, status } = spawnSync(program, ['--version'], { cwd: '/', encoding: 'utf8' });
    expect({ stdout, status }).toEqual({ stdout: `${packageJson.version}\n`, status: 0 });
  });

  it('reads a saved host', () => {
    const { stdout, stderr, status } = spawnSync(program, ['status', '--snapshot', example], {
      encoding: 'utf8',
    });
    expect(stderr).toBe("note: 2 warnings about this host's settings: tasksctl lint\n");
    expect(status).toBe(0);
    expect(stdout).toContain('user-1000.slice');
  });

  it('has SSH that works as far as a port where nobody listens', () => {
    const { stderr, status } = spawnSync(program, ['status', '-t', '127.0.0.1:1', '--json'], {
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ kind: 'refused' });
  });

  it('holds no path of the machine it was built on', () => {
    expect(readFileSync(program, 'utf8')).not.toContain(root);
  });

  it('says nothing when its reader goes away, and keeps its exit code', () => {
    const command = '"$1" lint --snapshot "$2" | true; echo "${PIPESTATUS[0]}"';
    const { stdout, stderr } = spawnSync('bash', ['-c', command, 'bash', program, example], {
      encoding: 'utf8',
    });
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' });
  });

  it('fails when the disk is full', () => {
    const full = openSync('/dev/full', 'w');
    const { stderr, status } = spawnSync(program, ['lint', '--snapshot', example], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(stderr).toBe('error: Cannot write to standard output: ENOSPC: no space left on device, write\n');
    expect(status).toBe(1);
  });

  it('ends with 130 when interrupted while it waits', async () => {
    const child = spawn(program, ['status', '--snapshot', '-'], { stdio: ['pipe', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
    // More than a pipe holds: once it is written, the program has come to read its input, and waits for the rest.
    await new Promise((resolve) => child.stdin.write(' '.repeat(2 ** 20), resolve));
    child.kill('SIGINT');
    expect(await ended).toEqual({ code: 130, signal: null });
    expect(stderr).toBe('error: Interrupted.\n');
  });
});
