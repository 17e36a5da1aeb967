import { randomUUID } from 'node:crypto';
import { open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import type { Failure } from './failure.ts';

/**
 * Writes a result to the file the operator named, whole or not at all: a reader never sees half of it, and a full
 * disk leaves the former file. What is no regular file (`/dev/stdout`, a FIFO) is written to, not replaced.
 */
export async function writeResult(path: string, text: string): Promise<Failure | null> {
  try {
    const existing = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (existing !== null && !existing.isFile()) await writeFile(path, text);
    // A link keeps pointing where it does.
    else await replaceFile(existing === null ? path : await realpath(path), text, existing?.mode);
    return null;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: 'output-failed', message: `Cannot write ${path}: ${reason}` };
  }
}

async function replaceFile(path: string, text: string, mode: number | undefined): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode === undefined ? 0o666 : mode & 0o777);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
