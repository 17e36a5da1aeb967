import { open, readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { isWanted, snapshotOfCollection } from '../diagnose/offline.ts';
import { failed } from './failure.ts';
import type { Source } from './read-source.ts';

/** Of a log the end is read. */
const MAX_FILE_BYTES = 32 * 1024 * 1024;
/** A collection of a host with thousands of cgroups and processes has some ten thousand files that matter. */
const MAX_FILES = 200_000;

/** What a collected directory (sosreport, supportconfig, or just logs) says of its host, as a snapshot. */
export async function readDirectory(path: string, signal: AbortSignal): Promise<Source> {
  const directory = resolve(path);
  try {
    const { mtime } = await stat(directory);
    const files = new Map<string, string>();
    // Links are not followed: they would lead out of the collection, to this machine's own files.
    const pending = [''];
    for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
      for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
        const name = below === '' ? entry.name : `${below}/${entry.name}`;
        if (entry.isDirectory()) pending.push(name);
        else if (entry.isFile() && isWanted(name) && files.size < MAX_FILES) {
          signal.throwIfAborted();
          files.set(name, await readEnd(join(directory, name)));
        }
      }
    }
    const takenAt = mtime.toISOString().replace(/\.[0-9]+Z$/, 'Z');
    const snapshot = snapshotOfCollection({ name: basename(directory), takenAt, files });
    if (snapshot !== null) return { kind: 'ok', snapshot };
    return failed({
      kind: 'input-invalid',
      message: `${path} has nothing in it that concerns task limits.`,
      help: 'Name the unpacked directory itself: the one with sos_commands/ in it, or with boot.txt and systemd.txt.',
    });
  } catch (error) {
    if (signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
    const reason = error instanceof Error ? error.message : String(error);
    return failed({ kind: 'input-unreadable', message: `Cannot read ${path}: ${reason}` });
  }
}

async function readEnd(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - MAX_FILE_BYTES);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size - start), position: start });
    return buffer.subarray(0, bytesRead).toString('utf8');
  } catch (error) {
    // Left out, as if it had not been collected.
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return '';
    throw error;
  } finally {
    await file.close();
  }
}
