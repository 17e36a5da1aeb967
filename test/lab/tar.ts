/** A tar stream for the lab's hosts: enough of the format for files and links of any length of path. */
export type TarEntry = { path: string; data: Uint8Array; mode: number } | { path: string; symlink: string };

export function tar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const target = 'symlink' in entry ? entry.symlink : '';
    // GNU's way to say a long path: a pseudo file before the entry proper.
    if (Buffer.byteLength(entry.path) > 100)
      blocks.push(...member('././@LongLink', 'L', 0o644, `${entry.path}\0`));
    if (Buffer.byteLength(target) > 100) blocks.push(...member('././@LongLink', 'K', 0o644, `${target}\0`));
    if ('symlink' in entry) blocks.push(...member(entry.path, '2', 0o777, '', target));
    else blocks.push(...member(entry.path, '0', entry.mode, entry.data));
  }
  blocks.push(Buffer.alloc(1024));
  return Buffer.concat(blocks);
}

function member(
  path: string,
  type: string,
  mode: number,
  content: Uint8Array | string,
  target = '',
): Buffer[] {
  const data = Buffer.from(content);
  const header = Buffer.alloc(512);
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, '0')}\0`;
  header.set(Buffer.from(path).subarray(0, 100), 0);
  header.write(octal(mode, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(data.length, 12), 124);
  header.write(octal(Math.floor(Date.now() / 1000), 12), 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.set(Buffer.from(target).subarray(0, 100), 157);
  header.write('ustar  \0', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
}
