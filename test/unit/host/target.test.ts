import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTarget } from '../../../src/host/target.ts';

const ssh = (fields: object) => ({ ok: true, target: { kind: 'ssh', ...fields } });

describe('parseTarget', () => {
  it.each([
    ['local', { ok: true, target: { kind: 'local' } }],
    ['web1', ssh({ host: 'web1' })],
    ['alice@web1', ssh({ user: 'alice', host: 'web1' })],
    ['alice@web1.example.org:2222', ssh({ user: 'alice', host: 'web1.example.org', port: 2222 })],
    ['web_1', ssh({ host: 'web_1' })],
    ['192.0.2.7:22', ssh({ host: '192.0.2.7', port: 22 })],
    ['2001:db8::7', ssh({ host: '2001:db8::7' })],
    ['[2001:db8::7]', ssh({ host: '2001:db8::7' })],
    ['root@[2001:db8::7]:2222', ssh({ user: 'root', host: '2001:db8::7', port: 2222 })],
    ['[fe80::1%eth0]:22', ssh({ host: 'fe80::1%eth0', port: 22 })],
    ['fe80::1%eth0', ssh({ host: 'fe80::1%eth0' })],
    ['ssh://alice@web1:2222/', ssh({ user: 'alice', host: 'web1', port: 2222 })],
    ['ssh://[::1]:22', ssh({ host: '::1', port: 22 })],
    ['root@[192.0.2.7]:22', ssh({ user: 'root', host: '192.0.2.7', port: 22 })],
    ['ssh://local', ssh({ host: 'local' })],
    ['alice@corp.example@web1', ssh({ user: 'alice@corp.example', host: 'web1' })],
    ['build$@web1', ssh({ user: 'build$', host: 'web1' })],
  ])('reads %s', (text, expected) => {
    expect(parseTarget(text)).toEqual(expected);
  });

  it.each([
    '',
    ' web1',
    'web1 ',
    'web1\n',
    '-oProxyCommand=id',
    '-l@web1',
    'alice@-web1',
    'ssh://-oProxyCommand=id',
    '@web1',
    'alice@',
    'web1:',
    'web1:0',
    'web1:65536',
    'web1:22x',
    'web1:+22',
    'a:b:c',
    '[::1]x',
    '[a]b]:22',
    '[::1',
    '[::1]22',
    '[]',
    'web1;id',
    'web1$(id)',
    'web1`id`',
    'al|ice@web1',
    "al'ice@web1",
    'al ice@web1',
    'we\u0000b',
    'we\u001bb',
    'wéb',
    '[fe80::1%$(id)]',
    `${'a'.repeat(256)}`,
  ])('refuses %j and says what is wanted', (text) => {
    const parsed = parseTarget(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.message).toMatch(/^Target ".*": .*; write local, /);
  });

  it('never throws, and lets nothing through that a shell or an option parser could take for its own', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (text) => {
        const parsed = parseTarget(text);
        if (!parsed.ok) {
          // The message goes to a terminal.
          expect(parsed.message).not.toMatch(/[\u0000-\u001f\u007f]/);
        } else if (parsed.target.kind === 'ssh') {
          expect(parsed.target.host).toMatch(/^[A-Za-z0-9_:][A-Za-z0-9._:%-]*$/);
          expect(parsed.target.user ?? 'x').toMatch(/^[A-Za-z0-9._][A-Za-z0-9._@+-]*\$?$/);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('gives back every part it is given', () => {
    const word = fc.stringMatching(/^[a-z][a-z0-9.-]{0,10}$/);
    const port = fc.integer({ min: 1, max: 65535 });
    fc.assert(
      fc.property(fc.option(word), word, fc.option(port), fc.boolean(), (user, host, port, uri) => {
        fc.pre(uri || user !== null || port !== null || host !== 'local');
        const text = `${uri ? 'ssh://' : ''}${user === null ? '' : `${user}@`}${host}${port === null ? '' : `:${port}`}`;
        expect(parseTarget(text)).toEqual(
          ssh({ host, ...(user === null ? {} : { user }), ...(port === null ? {} : { port }) }),
        );
      }),
    );
  });
});
