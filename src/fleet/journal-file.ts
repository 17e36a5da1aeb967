import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir, readFile, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type JournalHead, type JournalRecord, type ParsedJournal, parseJournal } from './journal.ts';

const JOURNAL = 'journal.ndjson';
const LOCK = 'lock';

/** A journal that was read, or why it cannot be. */
export type JournalRead =
  | Extract<ParsedJournal, { ok: true }>
  | (Extract<ParsedJournal, { ok: false }> & { readonly file: string });

export type JournalResumed =
  | {
      readonly ok: true;
      readonly journal: JournalFile;
      readonly head: JournalHead;
      readonly records: readonly JournalRecord[];
    }
  | Extract<JournalRead, { ok: false }>;

/**
 * The record of a rollout in its own directory: one line of JSON each, appended and brought to disk before what it
 * announces is done. One process writes it at a time.
 */
export class JournalFile {
  /** Its entry among those who want to write. */
  readonly #lock: string;
  readonly #file: FileHandle;
  #last: Promise<void> = Promise.resolve();
  readonly #waiting: string[] = [];
  #closed = false;

  private constructor(entry: string, file: FileHandle) {
    this.#lock = entry;
    this.#file = file;
  }

  /** A new journal. The directory is there already and holds the plans. */
  static async create(dir: string, head: JournalHead): Promise<JournalFile> {
    const entry = await lock(dir);
    const journal = new JournalFile(entry, await open(join(dir, JOURNAL), 'ax', 0o600));
    await journal.#write(head);
    await syncDirectory(dir);
    await syncDirectory(dirname(dir));
    return journal;
  }

  /**
   * Goes on with a journal; a torn last line is cut off. It is read after it is held: whoever wrote it until then may have
   * added to it. Throws a LockedError where another process is at it.
   */
  static async resume(dir: string): Promise<JournalResumed> {
    const entry = await lock(dir);
    const read = await JournalFile.read(dir);
    if (!read.ok) {
      await unlink(entry);
      return read;
    }
    const file = await open(join(dir, JOURNAL), 'r+');
    await file.truncate(read.whole);
    await file.close();
    const journal = new JournalFile(entry, await open(join(dir, JOURNAL), 'a'));
    return { ok: true, journal, head: read.head, records: read.records };
  }

  static async read(dir: string): Promise<JournalRead> {
    const path = join(dir, JOURNAL);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      return { ok: false, file: path, message: error instanceof Error ? error.message : String(error) };
    }
    const parsed = parseJournal(text);
    return parsed.ok ? parsed : { ...parsed, file: path };
  }

  /** Returns when the record is on the disk. */
  append(record: JournalRecord): Promise<void> {
    return this.#write(record);
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    await this.#file.close();
    await unlink(this.#lock).catch(() => {});
  }

  /** What comes while the disk is busy is brought there together: a sync takes as long for many lines as for one. */
  #write(value: object): Promise<void> {
    this.#waiting.push(`${JSON.stringify(value)}\n`);
    if (this.#waiting.length === 1) {
      this.#last = this.#last.then(async () => {
        const lines = this.#waiting.splice(0).join('');
        await this.#file.appendFile(lines);
        await this.#file.sync();
      });
    }
    return this.#last;
  }
}

/** Another process goes on with the same rollout. */
export class LockedError extends Error {}

/**
 * Holds the directory for this process and gives the path of its entry. Each contender makes one before it looks at the
 * others, so of two at least one sees the other: both may give up, never do both go on (docs/decisions/0011). An entry of
 * a process that is gone means nothing, and its name is never anybody else's.
 */
async function lock(dir: string): Promise<string> {
  const own = `${LOCK}-${process.pid}-${randomUUID()}`;
  const path = join(dir, own);
  await (await open(path, 'wx', 0o600)).close();
  for (const name of await readdir(dir)) {
    const [, pid] = /^lock-([0-9]+)-/.exec(name) ?? [];
    if (pid === undefined || name === own) continue;
    if (isAlive(Number(pid))) {
      await unlink(path);
      throw new LockedError(`process ${pid} is at work on it`);
    }
    await unlink(join(dir, name)).catch(() => {});
  }
  return path;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  await handle.sync();
  await handle.close();
}
