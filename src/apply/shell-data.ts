/**
 * How data becomes text of a POSIX sh script. Nothing a plan says is ever read as shell: words are in single quotes,
 * bytes are arguments of `printf %b` in which all but plain characters are octal.
 */

/** One word, quoted; throws for control characters, which no path or unit name of ours may have. */
export function shellWord(text: string): string {
  if (/[\0-\x1f\x7f]/.test(text)) throw new Error(`control character in ${JSON.stringify(text)}`);
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Longest argument given to one printf, in bytes of the original. */
const CHUNK_BYTES = 1024;

/** Commands that print exactly `bytes`, whatever they are; the status is that of the first that fails. */
export function shellBytes(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const chunk = bytes.subarray(at, at + CHUNK_BYTES);
    lines.push(`printf %b '${Array.from(chunk, escapeByte).join('')}'`);
  }
  return lines.length === 0 ? "printf ''" : lines.join(' &&\n');
}

/** XSI escapes of printf's %b: `\0` and three octal digits. */
function escapeByte(byte: number): string {
  const char = String.fromCharCode(byte);
  if (char === '\n') return '\\n';
  if (/[ -~]/.test(char) && char !== "'" && char !== '\\') return char;
  return `\\0${byte.toString(8).padStart(3, '0')}`;
}
