import { type FileHandle, open, readFile, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { headSchema, type JournalHead, type JournalRecord, recordSchema } from './journal.ts';

const JOURNAL = 'journal.ndjson';
const LOCK = 'lock';

/** A journal that was read, or why it cannot be. */
export type JournalRead =
  | {
      readonly ok: true;
      readonly head: JournalHead;
      readonly records: readonly JournalRecord[];
      /** Bytes of whole lines; what is after them was being written when the controller went away. */
      readonly whole: number;
    }
  | { readonly ok: false; readonly message: string; readonly file: string; readonly line?: number };

/**
 * The record of a rollout in its own directory: one line of JSON each, appended and brought to disk before what it
 * announces is done. One process writes it at a time.
 */
export class JournalFile {
  readonly #dir: string;
  readonly #file: FileHandle;
  #last: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(dir: string, file: FileHandle) {
    this.#dir = dir;
    this.#file = file;
  }

  /** A new journal. The directory is there already and holds the plans. */
  static async create(dir: string, head: JournalHead): Promise<JournalFile> {
    await lock(dir);
    const journal = new JournalFile(dir, await open(join(dir, JOURNAL), 'ax', 0o600));
    await journal.#write(head);
    await syncDirectory(dir);
    await syncDirectory(dirname(dir));
    return journal;
  }

  /** Goes on with a journal; a torn last line is cut off. Throws a LockedError where another process is at it. */
  static async resume(dir: string, whole: number): Promise<JournalFile> {
    await lock(dir);
    const file = await open(join(dir, JOURNAL), 'r+');
    await file.truncate(whole);
    await file.close();
    return new JournalFile(dir, await open(join(dir, JOURNAL), 'a'));
  }

  static async read(dir: string): Promise<JournalRead> {
    const path = join(dir, JOURNAL);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      return { ok: false, file: path, message: error instanceof Error ? error.message : String(error) };
    }
    const end = text.lastIndexOf('\n') + 1;
    const lines = text.slice(0, end).split('\n').slice(0, -1);
    const records: JournalRecord[] = [];
    let head: JournalHead | null = null;
    for (const [index, line] of lines.entries()) {
      const json = parseLine(line);
      if (index === 0) {
        const parsed = headSchema.safeParse(json);
        if (!parsed.success)
          return { ok: false, file: path, line: 1, message: 'this is no journal of a rollout' };
        head = parsed.data;
        continue;
      }
      const parsed = recordSchema.safeParse(json);
      if (!parsed.success) return { ok: false, file: path, line: index + 1, message: 'the line is damaged' };
      records.push(parsed.data);
    }
    if (head === null)
      return { ok: false, file: path, message: 'the rollout ended before it began: nothing was done' };
    return { ok: true, head, records, whole: Buffer.byteLength(text.slice(0, end)) };
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
    await unlink(join(this.#dir, LOCK)).catch(() => {});
  }

  #write(value: object): Promise<void> {
    this.#last = this.#last.then(async () => {
      await this.#file.appendFile(`${JSON.stringify(value)}\n`);
      await this.#file.sync();
    });
    return this.#last;
  }
}

/** Another process goes on with the same rollout. */
export class LockedError extends Error {}

/** Holds the directory for this process; a lock whose process is gone is taken over. */
async function lock(dir: string): Promise<void> {
  const path = join(dir, LOCK);
  for (;;) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(String(process.pid));
      await file.close();
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => ''));
    if (owner > 0 && isAlive(owner)) throw new LockedError(`process ${owner} is at work on it`);
    // Moved aside by name, so that of two that find it stale only one removes it.
    await rename(path, `${path}.stale-${process.pid}`).catch(() => {});
    await unlink(`${path}.stale-${process.pid}`).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  await handle.sync();
  await handle.close();
}
