import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shellCommand, shellWord } from '../../../src/report/shell-quote.ts';

describe('shellWord', () => {
  it.each([
    ['TasksMax=16384', 'TasksMax=16384'],
    ['user-1000.slice', 'user-1000.slice'],
    ['', "''"],
    ["it's", "'it'\\''s'"],
    ['dev-disk\\x2dby.swap', "'dev-disk\\x2dby.swap'"],
    ['$(reboot)', "'$(reboot)'"],
    ['a\nb\x1b', "$'a\\012b\\033'"],
    ["\n'\\", "$'\\012\\'\\\\'"],
    ['~', "'~'"],
    ['größe', "'größe'"],
    ['\u202e', "$'\\342\\200\\256'"],
  ])('%j is written %s', (word, quoted) => {
    expect(shellWord(word)).toBe(quoted);
  });

  it('is read by a real shell as the word it stands for', () => {
    const word = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'));
    const special = fc
      .array(
        fc.constantFrom(
          "'",
          '"',
          '\\',
          '$',
          '`',
          '\n',
          '\x1b',
          '!',
          '*',
          '~',
          '=',
          ' ',
          '#',
          ';',
          '-',
          'a',
          '0',
        ),
      )
      .map((parts) => parts.join(''));
    const words = fc.sample(fc.oneof(word, special), 500);
    // One shell for all: every word is an argument, printed with a separator no word contains.
    const script = `printf '%s\\0' ${words.map(shellWord).join(' ')}`;
    const { stdout, status } = spawnSync('bash', ['-s'], { input: script });
    expect(status).toBe(0);
    expect(stdout.toString().split('\0').slice(0, -1)).toEqual(words);
  });
});

describe('shellCommand', () => {
  it('quotes each argument', () => {
    expect(shellCommand({ kind: 'argv', argv: ['systemctl', 'restart', 'a b.service'] })).toBe(
      "systemctl restart 'a b.service'",
    );
  });

  it('writes to a cgroup file', () => {
    const path = '/sys/fs/cgroup/system.slice/x\\x2dy.service/pids.max';
    expect(shellCommand({ kind: 'write', path, value: '512' })).toBe(
      "echo 512 > '/sys/fs/cgroup/system.slice/x\\x2dy.service/pids.max'",
    );
  });
});
