import type { SystemdCapabilities } from './capabilities.ts';
import { type ConfAssignment, type ConfFile, type ConfLine, parseConf } from './dialect.ts';

/** Where an assignment belongs. */
export interface ConfKey {
  readonly section: string;
  readonly key: string;
}

/**
 * The file with `key` set in `section`, and every other byte as it was: the value of its last assignment there is
 * replaced, or else a line is added at the end of the last such section, or else the section at the end of the file.
 * The file's own line ends are used, and it ends with one if it did before.
 *
 * A file that this systemd does not read to its end (`ConfFile.failure`) is edited all the same; whether the edit
 * counts is for the resolver to say. Throws a RangeError for a text that would not come back as it is: one with line
 * ends or a final backslash, or with white space around it.
 */
export function setAssignment(
  bytes: Uint8Array,
  wanted: ConfKey & { readonly value: string },
  capabilities: SystemdCapabilities,
): Uint8Array {
  for (const text of [wanted.section, wanted.key, wanted.value]) {
    if (/[\n\r\0]|\\$|^[ \t]|[ \t]$/.test(text))
      throw new RangeError(`cannot be written: ${JSON.stringify(text)}`);
  }
  const file = parseConf(bytes, capabilities);
  const present = file.assignments.findLast((assignment) => isOf(assignment, wanted));
  if (present !== undefined) {
    return present.value === wanted.value ? bytes : replaceValue(file, present, wanted.value);
  }
  const line = `${wanted.key}=${wanted.value}`;
  const end = endOfSection(file, wanted.section);
  if (end !== null) return insertLines(file, end, [line], capabilities);
  const blank = bytes.length > 0 && file.lines.at(-1)?.kind !== 'blank' ? [''] : [];
  return insertLines(file, bytes.length, [...blank, `[${wanted.section}]`, line], capabilities);
}

/** The file without any assignment of `key` in `section`; every other byte, comments among them, stays. */
export function removeAssignment(
  bytes: Uint8Array,
  unwanted: ConfKey,
  capabilities: SystemdCapabilities,
): Uint8Array {
  const file = parseConf(bytes, capabilities);
  const doomed = file.assignments.filter((assignment) => isOf(assignment, unwanted));
  if (doomed.length === 0) return bytes;
  const parts = file.lines
    .filter((line) => line.kind === 'comment' || !doomed.some((assignment) => isWithin(line, assignment)))
    .map(({ span }) => bytes.subarray(span.start, span.end));
  return Buffer.concat(parts);
}

function isOf(assignment: ConfAssignment, { section, key }: ConfKey): boolean {
  return assignment.section === section && assignment.key === key;
}

function isWithin(line: ConfLine, { span }: ConfAssignment): boolean {
  return line.span.start >= span.start && line.span.end <= span.end;
}

/** End of the last assignment in the last section of this name, or of its header; null without such a section. */
function endOfSection(file: ConfFile, name: string): number | null {
  const header = file.sections.findLast((section) => section.name === name);
  if (header === undefined) return null;
  const next = file.sections.find((section) => section.span.start > header.span.start);
  const last = file.assignments.findLast(
    ({ span }) => span.start >= header.span.end && (next === undefined || span.start < next.span.start),
  );
  return last?.span.end ?? header.span.end;
}

/** The value in place of the old one, which may go over several lines; comment lines between those stay. */
function replaceValue(file: ConfFile, assignment: ConfAssignment, value: string): Uint8Array {
  const { bytes } = file;
  const lines = file.lines.filter((line) => isWithin(line, assignment));
  const text = Buffer.from(bytes.subarray(assignment.span.start, assignment.span.end)).toString('latin1');
  const equals = assignment.span.start + text.indexOf('=');
  // The key itself may be spread over several lines; the value starts on the line of the equals sign.
  const first = lines.find(({ span }) => span.start <= equals && equals < span.end);
  const last = lines.findLast((line) => line.kind !== 'comment');
  if (first === undefined || last === undefined) throw new Error('an assignment without a line');
  let valueStart = equals + 1;
  while (valueStart < first.textEnd && (bytes[valueStart] === 0x20 || bytes[valueStart] === 0x09))
    valueStart++;
  const comments = lines.filter((line) => line.kind === 'comment' && line.span.start > first.span.start);
  return Buffer.concat([
    bytes.subarray(0, valueStart),
    Buffer.from(value),
    bytes.subarray(last.textEnd, last.span.end),
    ...comments.map(({ span }) => bytes.subarray(span.start, span.end)),
    bytes.subarray(Math.max(last.span.end, comments.at(-1)?.span.end ?? 0)),
  ]);
}

/** New lines at `offset`, the end of a line that is continued no further. */
function insertLines(
  file: ConfFile,
  offset: number,
  lines: readonly string[],
  capabilities: SystemdCapabilities,
): Uint8Array {
  const { bytes } = file;
  const lineEnd = lineEndAt(file, offset);
  const text = lines.join(lineEnd);
  const before = bytes.subarray(0, offset);
  if (offset < bytes.length) {
    return Buffer.concat([before, Buffer.from(text + lineEnd, 'utf8'), bytes.subarray(offset)]);
  }
  const endsOpen = bytes.length > 0 && file.lines.at(-1)?.textEnd === bytes.length;
  // Only an empty line ends a line that is still to be continued.
  const first = (endsOpen ? lineEnd : '') + (isContinuedAtEnd(file, capabilities) ? lineEnd : '');
  return Buffer.concat([before, Buffer.from(first + text + (endsOpen ? '' : lineEnd))]);
}

/** The end-of-line bytes of the line before `offset`, or of the first line that has any, or LF. */
function lineEndAt(file: ConfFile, offset: number): string {
  const withEnd = file.lines.filter((line) => line.textEnd < line.span.end);
  const line = withEnd.find(({ span }) => span.end === offset) ?? withEnd[0];
  return line === undefined
    ? '\n'
    : Buffer.from(file.bytes.subarray(line.textEnd, line.span.end)).toString('latin1');
}

function isContinuedAtEnd(file: ConfFile, capabilities: SystemdCapabilities): boolean {
  const last = file.lines.findLast((line) => line.kind !== 'comment' || !capabilities.dialect.since240);
  if (last === undefined) return false;
  let text = Buffer.from(file.bytes.subarray(last.span.start, last.textEnd)).toString('latin1');
  // Old systemd reads a line up to its first CR or NUL only.
  if (capabilities.dialect.lineEnds === 'lf') text = /^[^\r\0]*/.exec(text)?.[0] ?? '';
  return (/\\*$/.exec(text)?.[0].length ?? 0) % 2 === 1;
}
