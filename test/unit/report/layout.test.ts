import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bar, displayWidth, keepEnd, keepStart, table, wrap } from '../../../src/report/layout.ts';
import { createStyle, PLAIN } from '../../../src/report/style.ts';
import { escapeText, safe } from '../../../src/report/terminal-escape.ts';

const terminal = (width: number, unicode = true) => createStyle({ color: false, unicode, width });
const text = fc.string({ unit: 'grapheme' }).map(escapeText);

describe('keepEnd', () => {
  it.each([
    ['session-12.scope', 10, '…-12.scope'],
    ['short', 10, 'short'],
    ['漢字漢字.service', 11, '…字.service'],
    ['漢字漢字.service', 10, '….service'],
    ['e\u0301e\u0301e\u0301', 2, '…e\u0301'],
  ])('%s in %i columns is %s', (name, width, shown) => {
    expect(keepEnd(escapeText(name), width, terminal(80))).toBe(shown);
  });

  it('cuts with ASCII where it must', () => {
    expect(keepEnd(safe`session-12.scope`, 10, terminal(80, false))).toBe('..12.scope');
  });

  it('never is wider than allowed and always an end of the text', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 2, max: 40 }), fc.boolean(), (name, width, unicode) => {
        const shown = keepEnd(name, width, terminal(80, unicode));
        expect(displayWidth(shown)).toBeLessThanOrEqual(width);
        expect(shown === name || name.endsWith(shown.replace(/^(?:…|\.\.)/, ''))).toBe(true);
      }),
    );
  });
});

describe('keepStart', () => {
  it.each([
    ['12 tasks are enough', 10, '12 tasks …'],
    ['short', 10, 'short'],
    ['漢字漢字', 6, '漢字…'],
  ])('%s in %i columns is %s', (text, width, shown) => {
    expect(keepStart(escapeText(text), width, terminal(80))).toBe(shown);
  });
});

describe('wrap', () => {
  it('breaks at spaces, keeps words whole and leaves nothing out', () => {
    fc.assert(
      fc.property(fc.array(text), fc.integer({ min: 20, max: 100 }), (words, width) => {
        const whole = escapeText(words.join(' '));
        const lines = wrap(whole, 0, terminal(width));
        expect(lines.join(' ')).toBe(whole);
        for (const line of lines) expect(displayWidth(line) <= width || !line.includes(' ')).toBe(true);
      }),
    );
  });

  it('does not break what goes to a file', () => {
    const long = escapeText('word '.repeat(100).trim());
    expect(wrap(long, 10, PLAIN)).toEqual([long]);
  });
});

describe('bar', () => {
  it.each([
    [0, '[......]', '░░░░░░░░'],
    [0.001, '[#.....]', '▏░░░░░░░'],
    [0.5, '[###...]', '████░░░░'],
    [0.999, '[#####.]', '███████▉'],
    [1, '[######]', '████████'],
    [7, '[######]', '████████'],
  ])('%d is %s or %s', (share, ascii, unicode) => {
    expect(bar(share, 8, PLAIN)).toBe(ascii);
    expect(bar(share, 8, terminal(80))).toBe(unicode);
  });

  it('is as wide as it should be', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 2, noNaN: true }), fc.boolean(), (share, unicode) => {
        expect(displayWidth(bar(share, 10, terminal(80, unicode)))).toBe(10);
      }),
    );
  });
});

describe('table', () => {
  const columns = [
    { title: safe`UNIT`, align: 'left', min: 10 },
    { title: safe`N`, align: 'right' },
    { title: safe`WHERE`, align: 'left', min: 10 },
  ] as const;

  it('aligns by what is seen, colours and wide characters included', () => {
    const colored = createStyle({ color: true, unicode: true, width: null });
    const lines = table(
      columns,
      [
        [{ text: safe`漢字`, paint: colored.red }, { text: safe`5` }, { text: safe`a` }],
        [{ text: safe`e\u0301x` }, { text: safe`500` }, { text: safe`b` }],
      ],
      PLAIN,
    );
    expect(lines).toEqual(['UNIT    N  WHERE', '\x1b[31m漢字\x1b[39m    5  a', 'e\u0301x    500  b']);
  });

  it('fits where its columns can shrink, the last first, and keeps the ends of names', () => {
    const long = safe`a-very-long-name-of-a.service`;
    const lines = table(columns, [[{ text: long }, { text: safe`1` }, { text: long }]], terminal(40));
    expect(displayWidth(lines[1] ?? safe``)).toBe(40);
    expect(lines[1]).toBe('…y-long-name-of-a.service  1  …a.service');
  });

  it('never cuts what leads a cell', () => {
    const lines = table(
      columns,
      [
        [
          { lead: safe`    +-`, text: safe`a-very-long-name-of-a.service` },
          { text: safe`1` },
          { text: safe`x` },
        ],
      ],
      terminal(30),
    );
    expect(lines[1]).toBe('    +-…-of-a.service  1  x');
  });

  it('cuts nothing where there is no width', () => {
    const long = escapeText('x'.repeat(500));
    const lines = table(columns, [[{ text: long }, { text: safe`1` }, { text: long }]], PLAIN);
    expect(lines[1]).toBe(`${long}  1  ${long}`);
  });
});
