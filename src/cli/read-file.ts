import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import type { Failure } from './failure.ts';
import type { Io } from './terminal.ts';

/** A saved snapshot of a large host is a few megabytes; past this a file is no document of ours. */
const MAX_BYTES = 256 * 1024 * 1024;

export type FileText =
  | { readonly ok: true; readonly text: string /** The file's name for messages. */; readonly name: string }
  | { readonly ok: false; readonly failure: Failure };

/** The text of a file the operator named, `-` for standard input. */
export async function readText(path: string, io: Io): Promise<FileText> {
  const name = path === '-' ? 'standard input' : path;
  try {
    const stream = path === '-' ? io.stdin : createReadStream(path);
    const bytes = await readAll(addAbortSignal(io.signal, stream));
    if (bytes !== null) return { ok: true, text: new TextDecoder().decode(bytes), name };
    const message = `${name} is larger than ${MAX_BYTES / 1024 / 1024} MiB.`;
    return { ok: false, failure: { kind: 'input-invalid', message } };
  } catch (error) {
    if (io.signal.aborted) return { ok: false, failure: { kind: 'aborted', message: 'Interrupted.' } };
    const reason = error instanceof Error ? error.message : String(error);
    return { ok: false, failure: { kind: 'input-unreadable', message: `Cannot read ${name}: ${reason}` } };
  }
}

async function readAll(stream: Readable): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_BYTES) return null;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}
