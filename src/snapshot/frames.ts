/** One part of what templates/probe.sh prints. */
export interface Frame {
  readonly name: string;
  readonly payload: Buffer;
}

export interface Frames {
  readonly frames: readonly Frame[];
  /**
   * `complete`: ended by the `end` frame. `truncated`: the output stops before it. `malformed`: something that is no
   * frame stands where one should; what came before it is kept. `missing`: this is no output of the probe.
   */
  readonly end: 'complete' | 'truncated' | 'malformed' | 'missing';
}

const magic = 'tasksctl-probe 1\n';
/** `@NAME LENGTH`; the longest is the length of the largest output ever accepted. */
const header = /^@([a-z-]{1,32}) ([0-9]{1,10})$/;
const longestHeader = 64;
const newline = 0x0a;

/**
 * Splits the output of the probe into its frames. The output is of a host, so anything at all: a login banner may
 * stand before the first line, lengths may lie, the end may be cut off. Never throws; a frame is given only whole.
 */
export function parseFrames(output: Buffer): Frames {
  const frames: Frame[] = [];
  let at = findMagic(output);
  if (at < 0) return { frames, end: 'missing' };
  for (;;) {
    const lineEnd = output.subarray(at, at + longestHeader).indexOf(newline);
    if (lineEnd < 0) return { frames, end: output.length - at < longestHeader ? 'truncated' : 'malformed' };
    const match = header.exec(output.toString('latin1', at, at + lineEnd));
    const name = match?.[1];
    if (name === undefined) return { frames, end: 'malformed' };
    const start = at + lineEnd + 1;
    const end = start + Number(match?.[2]);
    if (end >= output.length) return { frames, end: 'truncated' };
    // The newline after the payload is not part of it: it tells a right length from a wrong one.
    if (output[end] !== newline) return { frames, end: 'malformed' };
    if (name === 'end') return { frames, end: 'complete' };
    frames.push({ name, payload: output.subarray(start, end) });
    at = end + 1;
  }
}

/** Where the first frame starts: after the first line that is the magic one. */
function findMagic(output: Buffer): number {
  for (let from = 0; ; ) {
    const found = output.indexOf(magic, from);
    if (found < 0) return -1;
    if (found === 0 || output[found - 1] === newline) return found + magic.length;
    from = found + 1;
  }
}
