import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeResult } from '../../../src/cli/write-file.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'tasksctl-write-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

describe('writeResult', () => {
  it('writes a new file, and replaces one keeping its mode, with nothing left beside it', async () => {
    const path = join(dir, 'plan.json');
    expect(await writeResult(path, 'one')).toBe(null);
    expect(readFileSync(path, 'utf8')).toBe('one');
    writeFileSync(path, 'x', { mode: 0o600 });
    execFileSync('chmod', ['600', path]);
    expect(await writeResult(path, 'two')).toBe(null);
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['plan.json']);
  });

  it('writes through a link and leaves it one', async () => {
    const path = join(dir, 'target');
    writeFileSync(path, 'old');
    symlinkSync('target', join(dir, 'link'));
    expect(await writeResult(join(dir, 'link'), 'new')).toBe(null);
    expect(lstatSync(join(dir, 'link')).isSymbolicLink()).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe('new');
  });

  it('writes to a device and does not replace it', async () => {
    // A device of its own: this machine's /dev/null is not risked.
    const path = join(dir, 'fifo');
    execFileSync('mkfifo', [path]);
    const [failure, read] = await Promise.all([writeResult(path, 'through'), readFile(path, 'utf8')]);
    expect(failure).toBe(null);
    expect(read).toBe('through');
    expect(lstatSync(path).isFIFO()).toBe(true);
  });

  it('says why it cannot', async () => {
    const failure = await writeResult(join(dir, 'missing/plan.json'), 'x');
    expect(failure).toMatchObject({ kind: 'output-failed' });
    expect(failure?.message).toMatch(/^Cannot write .*missing\/plan\.json: ENOENT/);
  });
});
