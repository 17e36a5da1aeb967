import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JournalHead, JournalRecord } from '../../../src/fleet/journal.ts';
import { JournalFile, LockedError } from '../../../src/fleet/journal-file.ts';

const HEAD: JournalHead = {
  schema: 'tasksctl/rollout-journal/1',
  run: '20260101T000000Z-0000',
  startedAt: '2026-01-01T00:00:00.000Z',
  operator: 'test',
  settings: {
    forks: 1,
    maxFail: { kind: 'count', count: 0 },
    maxUnavailable: [],
    bakeSeconds: 0,
    pause: false,
    onFailure: 'stop',
    gateCommand: null,
    reboot: false,
    drain: null,
    undrain: null,
    deadManSeconds: null,
  },
  hosts: [{ name: 'web1', target: 'web1', groups: [], policy: 'test', wave: 0, stage: null }],
};

const APPLY: JournalRecord = { what: 'apply', at: '2026-01-01T00:00:01.000Z', host: 'web1', run: 'r' };

describe('the journal of a rollout', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tasksctl-journal-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const file = () => join(dir, 'journal.ndjson');

  it('comes back whole after it was cut off within any byte of its last line', async () => {
    const journal = await JournalFile.create(dir, HEAD);
    await journal.append(APPLY);
    await journal.close();
    const whole = readFileSync(file());
    const first = whole.indexOf('\n') + 1;
    for (let end = 0; end <= whole.length; end++) {
      writeFileSync(file(), whole.subarray(0, end));
      const read = await JournalFile.read(dir);
      if (end < first) {
        expect(read).toMatchObject({ ok: false, message: expect.stringContaining('nothing was done') });
        continue;
      }
      expect(read).toMatchObject({ ok: true, records: end === whole.length ? [APPLY] : [] });
      const resumed = await JournalFile.resume(dir);
      if (!resumed.ok) throw new Error(resumed.message);
      await resumed.journal.append(APPLY);
      await resumed.journal.close();
      expect(await JournalFile.read(dir)).toMatchObject({ ok: true });
    }
  });

  it('is of one process at a time; the lock of a process that is gone does not count', async () => {
    const journal = await JournalFile.create(dir, HEAD);
    await expect(JournalFile.resume(dir)).rejects.toThrow(LockedError);
    await journal.close();
    // No process has this number: pid_max is at most 4194304.
    writeFileSync(join(dir, 'lock-4194305-x'), '');
    const resumed = await JournalFile.resume(dir);
    if (!resumed.ok) throw new Error(resumed.message);
    await resumed.journal.close();
    await resumed.journal.close();
    expect(readdirSync(dir)).toEqual(['journal.ndjson']);
  });

  it('is refused where a line in it is damaged, with the line', async () => {
    const journal = await JournalFile.create(dir, HEAD);
    await journal.append(APPLY);
    await journal.close();
    appendFileSync(file(), '{"what":"apply"}\n');
    expect(await JournalFile.resume(dir)).toEqual({
      ok: false,
      file: file(),
      line: 3,
      message: 'the line is damaged',
    });
    expect(readdirSync(dir)).toEqual(['journal.ndjson']);
  });
});
