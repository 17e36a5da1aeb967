/** One frame of the transaction script: `%tasksctl RUN KIND ARGS LENGTH`, a newline, LENGTH bytes, a newline. */
export interface Frame {
  readonly kind: string;
  readonly args: readonly string[];
  readonly payload: Buffer;
}

/** A header longer than this is none. */
const MAX_HEADER = 1024;

/**
 * The frames of one run in what a host printed. Other output (start-up files, a shell's complaints) is passed over; a
 * frame that was cut short ends the list.
 */
export function readFrames(output: Buffer, runId: string): Frame[] {
  const frames: Frame[] = [];
  const mark = Buffer.from(`%tasksctl ${runId} `);
  let at = output.indexOf(mark);
  while (at >= 0) {
    const frame = at === 0 || output[at - 1] === 0x0a ? frameAt(output, at + mark.length) : null;
    if (frame === 'cut') break;
    if (frame !== null) frames.push(frame.frame);
    at = output.indexOf(mark, frame === null ? at + 1 : frame.end);
  }
  return frames;
}

function frameAt(output: Buffer, at: number): { frame: Frame; end: number } | 'cut' | null {
  const newline = output.indexOf(0x0a, at);
  if (newline < 0) return output.length - at > MAX_HEADER ? null : 'cut';
  if (newline - at > MAX_HEADER) return null;
  const words = output.toString('latin1', at, newline).split(' ');
  const length = words.pop() ?? '';
  const [kind, ...args] = words;
  if (kind === undefined || !/^[0-9]{1,9}$/.test(length)) return null;
  const end = newline + 1 + Number(length);
  if (end >= output.length) return 'cut';
  return { frame: { kind, args, payload: output.subarray(newline + 1, end) }, end };
}
