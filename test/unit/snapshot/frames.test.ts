import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFrames } from '../../../src/snapshot/frames.ts';

const magic = 'tasksctl-probe 1\n';

function encode(frames: readonly { name: string; payload: Uint8Array }[]): Buffer {
  return Buffer.concat([
    Buffer.from(magic),
    ...frames.flatMap(({ name, payload }) => [
      Buffer.from(`@${name} ${payload.length}\n`),
      payload,
      Buffer.from('\n'),
    ]),
    Buffer.from('@end 0\n\n'),
  ]);
}

const frames = fc.array(
  fc.record({
    name: fc.stringMatching(/^[a-z-]{1,10}$/).filter((name) => name !== 'end'),
    payload: fc.uint8Array(),
  }),
);

describe('parseFrames', () => {
  it('gives back what was framed, whatever the bytes', () => {
    fc.assert(
      fc.property(frames, (wanted) => {
        const result = parseFrames(encode(wanted));
        expect(result.end).toBe('complete');
        expect(result.frames.map(({ name, payload }) => [name, [...payload]])).toEqual(
          wanted.map(({ name, payload }) => [name, [...payload]]),
        );
      }),
    );
  });

  it('gives the whole frames of an output cut off at any byte', () => {
    const whole = encode([
      { name: 'facts', payload: Buffer.from('a\n@end 0\n\n') },
      { name: 'empty', payload: Buffer.alloc(0) },
      { name: 'units', payload: Buffer.from('Id=x') },
    ]);
    const all = parseFrames(whole).frames;
    for (let length = magic.length; length < whole.length - 1; length++) {
      const result = parseFrames(whole.subarray(0, length));
      expect(result.end, `cut at ${length}`).toBe('truncated');
      expect(result.frames).toEqual(all.slice(0, result.frames.length));
    }
    for (let length = 0; length < magic.length; length++) {
      expect(parseFrames(whole.subarray(0, length)).end).toBe('missing');
    }
  });

  it.each([
    ['a login banner', 'Welcome to tasksctl-probe 1\nLast login: never\n'],
    ['a line without an end', 'no newline tasksctl-probe 1\n'],
    ['bytes', '\x1b[2J\0\xff\n'],
  ])('passes over %s in front', (_, noise) => {
    const output = Buffer.concat([
      Buffer.from(noise, 'latin1'),
      encode([{ name: 'a', payload: Buffer.from('b') }]),
    ]);
    expect(parseFrames(output)).toMatchObject({ end: 'complete', frames: [{ name: 'a' }] });
  });

  it.each([
    ['a length above the output', '@a 9999999999\nx\n', 'truncated'],
    ['a length of more digits', '@a 99999999999999999999\nx\n', 'malformed'],
    ['a length too short', '@a 1\nxyz\n@end 0\n\n', 'malformed'],
    ['a negative length', '@a -1\nx\n', 'malformed'],
    ['no length', '@a\nx\n', 'malformed'],
    ['a name of other characters', '@A! 1\nx\n', 'malformed'],
    ['no line end', 'x'.repeat(1000), 'malformed'],
    ['nothing', '', 'truncated'],
  ])('stops at %s and keeps what came before', (_, bad, end) => {
    const output = Buffer.from(`${magic}@ok 2\nhi\n${bad}`);
    const result = parseFrames(output);
    expect(result.end).toBe(end);
    expect(result.frames.map(({ name }) => name)).toEqual(['ok']);
  });

  it('takes any bytes without an exception, in time that does not explode', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.boolean(), (bytes, framed) => {
        parseFrames(Buffer.concat([Buffer.from(framed ? magic : ''), bytes]));
      }),
    );
    const began = performance.now();
    parseFrames(Buffer.alloc(32 * 1024 * 1024, magic.slice(0, -1)));
    parseFrames(Buffer.from(magic + '@a 0\n\n'.repeat(1_000_000)));
    expect(performance.now() - began).toBeLessThan(30_000);
  });
});
