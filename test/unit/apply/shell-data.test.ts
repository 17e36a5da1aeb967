import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shellBytes, shellWord } from '../../../src/apply/shell-data.ts';
import { SHELLS } from './shells.ts';

/** Standard output of a script in each of the shells. */
function outputs(script: string): Buffer[] {
  return SHELLS.map(({ shell: [program = '', ...args] }) => execFileSync(program, args, { input: script }));
}

describe('data in a script', () => {
  it('every byte comes out as it went in, in every shell', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const twice = Buffer.concat([all, all.toReversed()]);
    for (const output of outputs(shellBytes(twice))) expect(Buffer.from(output)).toEqual(twice);
  });

  it('any bytes do, of any length', () => {
    const bytes = fc.uint8Array({ maxLength: 3000, size: 'max' });
    fc.assert(
      fc.property(bytes, (data) => {
        for (const output of outputs(shellBytes(data)))
          expect(Buffer.from(output)).toEqual(Buffer.from(data));
      }),
      { numRuns: 15 },
    );
  });

  it('reads like the text it is', () => {
    expect(shellBytes(Buffer.from("[Slice]\n# it's 50%\\\n"))).toBe(
      "printf %b '[Slice]\\n# it\\0047s 50%\\0134\\n'",
    );
    expect(shellBytes(new Uint8Array())).toBe("printf ''");
  });

  it('a word is one word and nothing more', () => {
    const words = fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 8 });
    const printable = words.map((list) => list.map((word) => word.replaceAll(/[\0-\x1f\x7f]/g, '')));
    fc.assert(
      fc.property(printable, (list) => {
        const script = `for word in ${list.map(shellWord).join(' ')}; do printf '%s\\0' "$word"; done`;
        const expected = Buffer.from(list.map((word) => `${word}\0`).join(''));
        for (const output of outputs(script)) expect(Buffer.from(output)).toEqual(expected);
      }),
      { numRuns: 15 },
    );
    expect(shellWord("$(reboot)`x`'; rm -rf / #")).toBe("'$(reboot)`x`'\\''; rm -rf / #'");
  });

  it.each(['a\nb', 'a\0b', '\x1b[2J', '\x7f'])('refuses a word with a control character: %j', (word) => {
    expect(() => shellWord(word)).toThrow('control character');
  });
});
