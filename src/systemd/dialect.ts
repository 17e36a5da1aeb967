import { isUtf8 } from 'node:buffer';
import type { SystemdCapabilities } from './capabilities.ts';

/** A stretch of a file: bytes `start` up to but not including `end`, beginning on `line` (from 1). */
export interface Span {
  readonly line: number;
  readonly start: number;
  readonly end: number;
}

/** One line of the file as systemd reads lines, its end-of-line bytes included in the span. */
export interface ConfLine {
  readonly span: Span;
  /** Where the line's text ends and its end-of-line bytes start. */
  readonly textEnd: number;
  /** `continued`: a later part of the assignment, comment or whatever it was that an earlier line began. */
  readonly kind: 'blank' | 'comment' | 'section' | 'assignment' | 'continued' | 'ignored' | 'unread';
}

/** One `Key=value`, over as many lines as it is continued on. */
export interface ConfAssignment {
  /** Name of the section it is in, null before the first. */
  readonly section: string | null;
  readonly key: string;
  /** As systemd sees it: continuation lines joined, outer white space gone. */
  readonly value: string;
  /** From its first line to the end of its last. */
  readonly span: Span;
}

export interface ConfSection {
  readonly name: string;
  /** The header's line. */
  readonly span: Span;
}

/** A file in systemd's INI dialect, with every byte accounted for. */
export interface ConfFile {
  readonly bytes: Uint8Array;
  /** All lines; their spans cover the bytes without gap or overlap. */
  readonly lines: readonly ConfLine[];
  /** Section headers in order; a name may come back. */
  readonly sections: readonly ConfSection[];
  readonly assignments: readonly ConfAssignment[];
  /**
   * Where this systemd stops reading the file with an error; assignments before it have been carried out, none after
   * it are listed. null where it reads to the end.
   */
  readonly failure: { readonly line: number; readonly reason: string } | null;
  /** Lines that systemd skips with a warning. */
  readonly skipped: readonly { readonly line: number; readonly reason: string }[];
}

/** Sections some part of systemd knows; in any other, old versions do not look at lines at all. */
const KNOWN_SECTIONS: ReadonlySet<string> = new Set([
  'Unit',
  'Install',
  'Service',
  'Slice',
  'Scope',
  'Socket',
  'Mount',
  'Swap',
  'Automount',
  'Timer',
  'Path',
  'Login',
  'Manager',
]);

const BYTE_ORDER_MARK = '\xef\xbb\xbf';

/** Reads a file as this systemd version does (`config_parse()` of systemd's conf-parser.c). Never throws. */
export function parseConf(bytes: Uint8Array, capabilities: SystemdCapabilities): ConfFile {
  return new Parser(bytes, capabilities).parse();
}

/** The file's bytes, put together again from its lines. */
export function printConf(file: ConfFile): Uint8Array {
  return Buffer.concat(file.lines.map(({ span }) => file.bytes.subarray(span.start, span.end)));
}

class Parser {
  readonly #bytes: Uint8Array;
  /** One character per byte, so that positions in it are byte offsets. */
  readonly #text: string;
  readonly #dialect: SystemdCapabilities['dialect'];
  readonly #lines: ConfLine[] = [];
  readonly #sections: ConfSection[] = [];
  readonly #assignments: ConfAssignment[] = [];
  readonly #skipped: { line: number; reason: string }[] = [];
  #failure: { line: number; reason: string } | null = null;
  #section: string | null = null;

  constructor(bytes: Uint8Array, capabilities: SystemdCapabilities) {
    this.#bytes = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    this.#dialect = capabilities.dialect;
  }

  parse(): ConfFile {
    let offset = 0;
    let lineNumber = 1;
    let markSeen = !this.#dialect.since240;
    /** The logical line begun on an earlier line, and where it began. */
    let pending: { text: string; line: number; start: number } | null = null;
    while (offset < this.#text.length && this.#failure === null) {
      const start = offset;
      const line = lineNumber;
      const { textEnd, end } = this.#endOfLine(start);
      offset = end;
      for (let i = textEnd; i < end; i++) if (this.#text.charCodeAt(i) === 10) lineNumber++;
      const span = { line, start, end };
      if (this.#dialect.lineEnds === 'lf-cr-nul' && textEnd - start > this.#dialect.maxLineBytes) {
        this.#lines.push({ span, textEnd, kind: 'unread' });
        this.#failure = { line, reason: 'line too long' };
        break;
      }
      let text = this.#text.slice(start, textEnd);
      if (this.#dialect.lineEnds === 'lf') text = /^[^\n\r\0]*/.exec(text)?.[0] ?? '';
      if (this.#dialect.since240 && /^[ \t\n\r]*[#;]/.test(text)) {
        this.#lines.push({ span, textEnd, kind: 'comment' });
        continue;
      }
      if (!markSeen && text.startsWith(BYTE_ORDER_MARK)) {
        text = text.slice(BYTE_ORDER_MARK.length);
        markSeen = true;
      }
      if (pending !== null && this.#dialect.lineEnds === 'lf-cr-nul') {
        if (pending.text.length + text.length > this.#dialect.maxLineBytes + 1) {
          this.#lines.push({ span, textEnd, kind: 'unread' });
          this.#failure = { line, reason: 'continued line too long' };
          break;
        }
      }
      const logical: { text: string; line: number; start: number } =
        pending === null ? { text, line, start } : { ...pending, text: pending.text + text };
      const isFirst = pending === null;
      if (endsInBackslash(logical.text)) {
        pending = { ...logical, text: `${logical.text.slice(0, -1)} ` };
        // What the line is shows only once it is complete; a first line gets its kind then.
        this.#lines.push({ span, textEnd, kind: isFirst ? 'ignored' : 'continued' });
        continue;
      }
      pending = null;
      this.#lines.push({ span, textEnd, kind: isFirst ? 'ignored' : 'continued' });
      this.#logicalLine(logical.text, { line: logical.line, start: logical.start, end });
    }
    if (pending !== null && this.#failure === null && this.#dialect.since240) {
      this.#logicalLine(pending.text, { line: pending.line, start: pending.start, end: offset });
    }
    if (offset < this.#text.length) {
      const span = { line: lineNumber, start: offset, end: this.#text.length };
      this.#lines.push({ span, textEnd: span.end, kind: 'unread' });
    }
    return {
      bytes: this.#bytes,
      lines: this.#lines,
      sections: this.#sections,
      assignments: this.#assignments,
      failure: this.#failure,
      skipped: this.#skipped,
    };
  }

  /** Where the line that starts at `start` ends, without and with its end-of-line bytes (`read_line_full()`). */
  #endOfLine(start: number): { textEnd: number; end: number } {
    const text = this.#text;
    if (this.#dialect.lineEnds === 'lf') {
      const lf = text.indexOf('\n', start);
      const max = start + this.#dialect.maxLineBytes;
      if (lf < 0 || lf >= max)
        return { textEnd: Math.min(text.length, max), end: Math.min(text.length, max) };
      return { textEnd: lf, end: lf + 1 };
    }
    let textEnd = start;
    while (textEnd < text.length && !isLineEnd(text.charCodeAt(textEnd))) textEnd++;
    // One each of LF and CR in either order, and a NUL after them, are one end of line.
    let end = textEnd;
    const seen = new Set<number>();
    while (end < text.length) {
      const char = text.charCodeAt(end);
      if (!isLineEnd(char) || seen.has(char) || seen.has(0)) break;
      seen.add(char);
      end++;
    }
    return { textEnd, end };
  }

  /** A whole line, continuations joined (`parse_line()`). */
  #logicalLine(joined: string, span: Span): void {
    const text = strip(joined);
    if (text === '') {
      this.#setKind(span, 'blank');
      return;
    }
    if (!this.#dialect.since240 && /^[#;]/.test(text)) {
      this.#setKind(span, 'comment');
      return;
    }
    if (this.#dialect.since240 && !isValidUtf8(text)) {
      this.#failure = { line: span.line, reason: 'not valid UTF-8' };
      return;
    }
    if (text.startsWith('[')) {
      this.#sectionHeader(text, span);
      return;
    }
    if (text.startsWith('.include ') && !this.#dialect.since240) {
      this.#skip(span, '.include: the file it names is not looked at here');
      return;
    }
    const equals = text.indexOf('=');
    if (equals < 0) {
      if (!this.#dialect.since240 && this.#section !== null && KNOWN_SECTIONS.has(this.#section)) {
        this.#failure = { line: span.line, reason: 'line without =' };
        return;
      }
      this.#skip(span, 'line without =');
      return;
    }
    if (equals === 0 && this.#dialect.since240) {
      this.#skip(span, 'no key before =');
      return;
    }
    this.#setKind(span, 'assignment');
    this.#assignments.push({
      section: this.#section,
      key: decode(strip(text.slice(0, equals))),
      value: decode(strip(text.slice(equals + 1))),
      span,
    });
  }

  #sectionHeader(text: string, span: Span): void {
    if (text.length < 2 || !text.endsWith(']')) {
      this.#failure = { line: span.line, reason: 'invalid section header' };
      return;
    }
    const name = text.slice(1, -1);
    const { sectionNames } = this.#dialect;
    const odd =
      (sectionNames !== 'any' && /[\x01-\x1f\x7f"'\\]/.test(name)) ||
      (sectionNames === 'strict' && (name === '' || /[*?[]/.test(name)));
    if (odd) {
      this.#failure = { line: span.line, reason: 'invalid section header' };
      return;
    }
    this.#setKind(span, 'section');
    this.#section = decode(name);
    this.#sections.push({ name: this.#section, span });
  }

  #skip(span: Span, reason: string): void {
    this.#skipped.push({ line: span.line, reason });
  }

  /** Gives the first line of a logical line its kind, now that it is known. */
  #setKind(span: Span, kind: ConfLine['kind']): void {
    for (let i = this.#lines.length - 1; i >= 0; i--) {
      const line = this.#lines[i];
      if (line?.span.start === span.start) {
        this.#lines[i] = { ...line, kind };
        return;
      }
    }
  }
}

function isLineEnd(char: number): boolean {
  return char === 10 || char === 13 || char === 0;
}

/** An odd number of backslashes at the end: each pair stands for itself. */
function endsInBackslash(text: string): boolean {
  let n = text.length;
  while (n > 0 && text.charCodeAt(n - 1) === 92) n--;
  return (text.length - n) % 2 === 1;
}

/** Without white space at either end: space, tab, CR and LF, as systemd's `strstrip()`. */
function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isWhiteSpace(text.charCodeAt(start))) start++;
  while (end > start && isWhiteSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isWhiteSpace(char: number): boolean {
  return char === 32 || char === 9 || char === 10 || char === 13;
}

/** Valid UTF-8 in systemd's sense, which refuses Unicode's noncharacters too. `text` has one character per byte. */
function isValidUtf8(text: string): boolean {
  if (!/[\x80-\xff]/.test(text)) return true;
  const bytes = Buffer.from(text, 'latin1');
  return isUtf8(bytes) && !/\p{Noncharacter_Code_Point}/u.test(bytes.toString());
}

function decode(text: string): string {
  return /[\x80-\xff]/.test(text) ? Buffer.from(text, 'latin1').toString() : text;
}
