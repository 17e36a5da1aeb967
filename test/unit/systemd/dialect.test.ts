import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConf, printConf } from '../../../src/systemd/dialect.ts';
import { capabilities, confBytes } from './support.ts';

function parse(text: string | Uint8Array, version = 252) {
  return parseConf(Buffer.from(text), capabilities(version));
}

/** Assignments as `line [section] key=value`. */
function read(text: string | Uint8Array, version = 252): string[] {
  return parse(text, version).assignments.map(
    ({ section, key, value, span }) => `${span.line} [${section}] ${key}=${value}`,
  );
}

const versions = fc.constantFrom(219, 229, 237, 239, 240, 247, 252, 257, 262);

describe('parseConf', () => {
  it.each<[string, string | Uint8Array, number, string[]]>([
    ['assignments with white space', '[Slice]\n \tTasksMax\t = 5 \n', 252, ['2 [Slice] TasksMax=5']],
    ['repeated sections', '[A]\nK=1\n[B]\nK=2\n[A]\nK=3\n', 252, ['2 [A] K=1', '4 [B] K=2', '6 [A] K=3']],
    ['an assignment before any section', 'K=1\n[A]\nK=2\n', 252, ['1 [null] K=1', '3 [A] K=2']],
    ['further equals signs', '[A]\nK=a=b\n', 252, ['2 [A] K=a=b']],
    ['comments', '[A]\n#K=1\n ;K=2\nK=3 # no comment\n', 252, ['4 [A] K=3 # no comment']],
    ['a continued value', '[A]\nK=1 \\\n  2\nL=\n', 252, ['2 [A] K=1    2', '4 [A] L=']],
    ['a comment inside it', '[A]\nK=1\\\n# why\n2\n', 252, ['2 [A] K=1 2']],
    ['the same before 240', '[A]\nK=1\\\n# why\n2\n', 237, ['2 [A] K=1 # why']],
    ['a comment that ends in a backslash', '[A]\n# K=1 \\\nK=2\n', 252, ['3 [A] K=2']],
    ['the same before 240', '[A]\n# K=1 \\\nK=2\n', 237, []],
    ['an empty line ends a continued value', '[A]\nK=1\\\n\nL=2\n', 252, ['2 [A] K=1', '4 [A] L=2']],
    ['two backslashes continue nothing', '[A]\nK=1\\\\\nL=2\n', 252, ['2 [A] K=1\\\\', '3 [A] L=2']],
    ['a line left open at the end', '[A]\nK=1\\', 252, ['2 [A] K=1']],
    ['the same in 219', '[A]\nK=1\\', 219, []],
    ['CRLF', '[A]\r\nK=1\r\n', 252, ['2 [A] K=1']],
    ['CR alone', '[A]\rK=1\rL=2', 252, ['1 [A] K=1', '1 [A] L=2']],
    ['CR alone in 219 cuts the line', '[A]\nK=1\rL=2\n', 219, ['2 [A] K=1']],
    ['NUL', '[A]\0K=1\0\nL=2', 252, ['1 [A] K=1', '2 [A] L=2']],
    ['NUL in 219 cuts the line', '[A]\nK=1\0 2\nL=2\n', 219, ['2 [A] K=1', '3 [A] L=2']],
    ['a byte order mark', '\ufeff[A]\nK=1\n', 252, ['2 [A] K=1']],
    ['a line without an equals sign', '[A]\nnonsense\nK=1\n', 252, ['3 [A] K=1']],
    ['the same before 240', '[Slice]\nnonsense\nK=1\n', 237, []],
    ['a line without a key', '[A]\n=1\nK=1\n', 252, ['3 [A] K=1']],
    ['UTF-8', '[A]\nK=ü\u{1f600}\n', 252, ['2 [A] K=ü\u{1f600}']],
    ['what is no UTF-8', Buffer.from('5b415d0a4b3d310a4c3dff0a4d3d320a', 'hex'), 252, ['2 [A] K=1']],
    ['a noncharacter', '[A]\nK=1\nL=\uffff\nM=2\n', 252, ['2 [A] K=1']],
    ['a broken section header', '[A]\nK=1\n[B\nL=1\n', 252, ['2 [A] K=1']],
    ['a quote in a section header', '[A"]\nK=1\n', 252, []],
    ['the same in 247', '[A"]\nK=1\n', 247, ['2 [A"] K=1']],
    ['a glob in a section header', '[A*]\nK=1\n', 257, ['2 [A*] K=1']],
    ['the same in 262', '[A*]\nK=1\n', 262, []],
  ])('reads %s', (_, text, version, expected) => {
    expect(read(text, version)).toEqual(expected);
  });

  it('says where and why it stops', () => {
    expect(parse('[A]\nK=1\n[B\nL=1\n').failure).toEqual({ line: 3, reason: 'invalid section header' });
    expect(parse(Buffer.from('5b415d0aff0a', 'hex')).failure).toEqual({ line: 2, reason: 'not valid UTF-8' });
    expect(parse('[Slice]\nnonsense\n', 237).failure).toEqual({ line: 2, reason: 'line without =' });
    expect(parse('[Unknown]\nnonsense\n', 237).failure).toBeNull();
    expect(parse('[A]\nnonsense\n').failure).toBeNull();
    expect(parse('[A]\nnonsense\n').skipped).toEqual([{ line: 2, reason: 'line without =' }]);
  });

  it('takes lines of just under 1 MiB and no longer ones', () => {
    const line = (bytes: number) => `[A]\nK=${'x'.repeat(bytes - 2)}\nL=1\n`;
    expect(read(line(1024 * 1024 - 1))).toHaveLength(2);
    expect(read(line(1024 * 1024))).toEqual([]);
    expect(parse(line(1024 * 1024)).failure).toEqual({ line: 2, reason: 'line too long' });
  });

  it('reads a long line as several where the buffer was 2048 bytes', () => {
    expect(read(`[A]\nK=${'x'.repeat(2045)}L=1\n`, 219)).toEqual([
      `2 [A] K=${'x'.repeat(2045)}`,
      '2 [A] L=1',
    ]);
  });

  it('accounts for every byte, whatever the bytes', () => {
    fc.assert(
      fc.property(confBytes, versions, (bytes, version) => {
        const file = parse(bytes, version);
        expect(Buffer.from(printConf(file)).equals(bytes)).toBe(true);
        let offset = 0;
        for (const { span, textEnd } of file.lines) {
          expect(span.start).toBe(offset);
          expect(textEnd).toBeGreaterThanOrEqual(span.start);
          expect(textEnd).toBeLessThanOrEqual(span.end);
          expect(span.line).toBe(1 + count(bytes.subarray(0, span.start), 10));
          offset = span.end;
        }
        expect(offset).toBe(bytes.length);
        const starts = new Set(file.lines.map(({ span }) => span.start));
        for (const { span } of [...file.assignments, ...file.sections])
          expect(starts.has(span.start)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });
});

function count(bytes: Uint8Array, byte: number): number {
  return bytes.reduce((n, b) => (b === byte ? n + 1 : n), 0);
}
