import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeJson, escapeText, type SafeText, safe } from '../../../src/report/terminal-escape.ts';

/** Anything a terminal or a reader could be fooled with. */
const HARMFUL =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\u{e0000}-\u{e007f}]/u;

/** Text with what attackers use overrepresented. */
const hostile = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '\x1b[2J',
        '\x1b]0;x\x07',
        '\n',
        '\r',
        '\t',
        '\x9b31m',
        '\u202e',
        '\u200b',
        '\ud800',
        '\udc00',
      ),
      fc.constantFrom('\u{e0001}', '\u{1f600}', 'e\u0301', '漢字', '\\x1b', 'plain'),
    ),
  )
  .map((parts) => parts.join(''));

describe('escapeText', () => {
  it.each([
    ['\x1b[31mred', '\\x1b[31mred'],
    ['a\nb\r\tc', 'a\\nb\\r\\tc'],
    ['\x00\x7f\x9b', '\\x00\\x7f\\x9b'],
    ['a\u202egpj.exe', 'a\\u202egpj.exe'],
    ['\ud83d', '\\ud83d'],
    ['\u{e0041}', '\\u{e0041}'],
    ['dev-disk-by\\x2duuid.swap', 'dev-disk-by\\x2duuid.swap'],
    ['größe 漢字 \u{1f600} e\u0301', 'größe 漢字 \u{1f600} e\u0301'],
  ])('%j becomes %j', (raw, shown) => {
    expect(escapeText(raw)).toBe(shown);
  });

  it('lets nothing harmful through, and changes nothing twice', () => {
    fc.assert(
      fc.property(hostile, (raw) => {
        const shown = escapeText(raw);
        expect(shown).not.toMatch(HARMFUL);
        expect(escapeText(shown)).toBe(shown);
      }),
    );
  });

  it('lets raw text neither into a template nor pass for safe text', () => {
    const raw: string = 'x';
    // @ts-expect-error raw text is no part of safe text
    expect(safe`${raw}`).toBe('x');
    // @ts-expect-error raw text is no safe text
    const text: SafeText = raw;
    expect(text).toBe('x');
  });
});

describe('escapeJson', () => {
  it('is the same value, and harmless but for the line breaks between values', () => {
    fc.assert(
      fc.property(fc.dictionary(hostile, fc.oneof(hostile, fc.integer(), fc.constant(null))), (value) => {
        const json = escapeJson(JSON.stringify(value, null, 2));
        expect(json.replaceAll('\n', '')).not.toMatch(HARMFUL);
        expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});
