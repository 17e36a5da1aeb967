import { describe, expect, it } from 'vitest';
import { typeSecret } from '../../../src/cli/ask-secret.ts';

const START = { text: '', end: null };

describe('typeSecret', () => {
  it.each([
    ['correct horse\r', { text: 'correct horse', end: 'entered' }],
    ['abc\n', { text: 'abc', end: 'entered' }],
    ['\r', { text: '', end: 'entered' }],
    ['pässwörd\u{1f600}\r', { text: 'pässwörd\u{1f600}', end: 'entered' }],
    ['abc\x7f\bd\r', { text: 'ad', end: 'entered' }],
    ['\u{1f600}\x7fa\r', { text: 'a', end: 'entered' }],
    ['wrong\x15right\r', { text: 'right', end: 'entered' }],
    ['abc\x03', { text: '', end: 'interrupted' }],
    ['\x04', { text: '', end: 'declined' }],
    ['abc\x04', { text: 'abc', end: 'entered' }],
    ['abc', { text: 'abc', end: null }],
  ])('%j', (keys, line) => {
    expect(typeSecret(START, keys)).toEqual(line);
    // Keys come in whatever pieces the terminal sends them in.
    let piecewise: ReturnType<typeof typeSecret> = START;
    for (const key of keys) if (piecewise.end === null) piecewise = typeSecret(piecewise, key);
    expect(piecewise).toEqual(line);
  });
});
