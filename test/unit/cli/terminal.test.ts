import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type Output, outputWidth, wantsColor, wantsUnicode, write } from '../../../src/cli/terminal.ts';

function output(isTTY: boolean, columns?: number): Output {
  return Object.assign(new Writable(), { isTTY, ...(columns === undefined ? {} : { columns }) });
}

const tty = output(true, 100);
const pipe = output(false);

describe('wantsColor', () => {
  it.each([
    ['a terminal', tty, {}, 'auto', true],
    ['a pipe', pipe, {}, 'auto', false],
    ['a dumb terminal', tty, { TERM: 'dumb' }, 'auto', false],
    ['NO_COLOR', tty, { NO_COLOR: '1' }, 'auto', false],
    ['an empty NO_COLOR, which counts for nothing', tty, { NO_COLOR: '' }, 'auto', true],
    ['CLICOLOR_FORCE in a pipe', pipe, { CLICOLOR_FORCE: '1' }, 'auto', true],
    ['CLICOLOR_FORCE=0 in a pipe', pipe, { CLICOLOR_FORCE: '0' }, 'auto', false],
    ['NO_COLOR and CLICOLOR_FORCE', pipe, { NO_COLOR: '1', CLICOLOR_FORCE: '1' }, 'auto', false],
    ['--color=always against NO_COLOR in a pipe', pipe, { NO_COLOR: '1' }, 'always', true],
    ['--color=never against CLICOLOR_FORCE', tty, { CLICOLOR_FORCE: '1' }, 'never', false],
  ] as const)('%s', (_what, to, env, wish, wanted) => {
    expect(wantsColor(to, env, wish)).toBe(wanted);
  });
});

describe('wantsUnicode', () => {
  it.each([
    [tty, { LANG: 'en_US.UTF-8' }, true],
    [tty, { LANG: 'C.utf8' }, true],
    [tty, { LANG: 'C' }, false],
    [tty, {}, false],
    [tty, { LANG: 'en_US.UTF-8', LC_ALL: 'C' }, false],
    [tty, { LANG: 'en_US.UTF-8', LC_ALL: '' }, true],
    [tty, { LC_CTYPE: 'de_DE.UTF-8', LANG: 'C' }, true],
    [tty, { LANG: 'en_US.UTF-8', TERM: 'linux' }, false],
    [pipe, { LANG: 'en_US.UTF-8' }, false],
  ])('%#: %j', (to, env, wanted) => {
    expect(wantsUnicode(to, env)).toBe(wanted);
  });
});

describe('outputWidth', () => {
  it('is that of the terminal, 80 where it does not tell, none for a pipe', () => {
    expect(outputWidth(tty)).toBe(100);
    expect(outputWidth(output(true))).toBe(80);
    expect(outputWidth(output(true, 0))).toBe(80);
    expect(outputWidth(pipe)).toBe(null);
  });
});

describe('write', () => {
  const failing = (code: string) =>
    new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error(`write ${code}`), { code }));
      },
    }).on('error', () => {});

  it('takes a reader that went away for no failure, a full disk for one', async () => {
    expect(await write(failing('EPIPE'), 'x')).toBe(null);
    expect(await write(failing('ENOSPC'), 'x')).toBe('write ENOSPC');
  });

  it('comes back for a second write after the first failed', async () => {
    const gone = failing('EPIPE');
    await write(gone, 'x');
    expect(await write(gone, 'y')).toBe(null);
  });
});
