import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  dropInNames,
  escapeUnitName,
  escapeUnitPath,
  parseUnitName,
  sliceParents,
  templateOf,
  unescapeUnitName,
  unitOfCgroup,
  userSlice,
} from '../../../src/systemd/unit-name.ts';
import { capabilities } from './support.ts';

describe('parseUnitName', () => {
  it('takes names apart', () => {
    expect(parseUnitName('ssh.service')).toMatchObject({ prefix: 'ssh', instance: null, type: 'service' });
    expect(parseUnitName('getty@.service')).toMatchObject({ prefix: 'getty', instance: '' });
    expect(parseUnitName('a-b@c@d.e.socket')).toMatchObject({
      prefix: 'a-b',
      instance: 'c@d.e',
      type: 'socket',
    });
    expect(parseUnitName('-.slice')).toMatchObject({ prefix: '-', type: 'slice' });
  });

  it.each([
    '',
    'ssh',
    '.service',
    'ssh.conf',
    'a b.service',
    'ü.service',
    '@a.service',
    'a/b.service',
    'a.service.d',
  ])('refuses %j', (name) => {
    expect(parseUnitName(name)).toBeNull();
  });

  it('refuses names of 256 bytes', () => {
    expect(parseUnitName(`${'a'.repeat(247)}.service`)).not.toBeNull();
    expect(parseUnitName(`${'a'.repeat(248)}.service`)).toBeNull();
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => void [parseUnitName(name), templateOf(name)]),
    );
  });
});

describe('escaping', () => {
  it.each([
    ['a/b', 'a-b'],
    ['a-b', 'a\\x2db'],
    ['.hidden', '\\x2ehidden'],
    ['ü x', '\\xc3\\xbc\\x20x'],
    ['a:b_c.d', 'a:b_c.d'],
  ])('%j becomes %j', (text, escaped) => {
    expect(escapeUnitName(text)).toBe(escaped);
    expect(unescapeUnitName(escaped)).toBe(text);
  });

  it('comes back as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(unescapeUnitName(escapeUnitName(text))).toBe(text);
      }),
    );
  });

  it('refuses malformed escapes', () => {
    expect(unescapeUnitName('a\\x2')).toBeNull();
    expect(unescapeUnitName('a\\n')).toBeNull();
  });

  it('escapes paths', () => {
    expect(escapeUnitPath('/')).toBe('-');
    expect(escapeUnitPath('//var/./lib//a-b/')).toBe('var-lib-a\\x2db');
    expect(escapeUnitPath('/a/../b')).toBeNull();
  });
});

describe('slices', () => {
  it('hang where their names say', () => {
    expect(sliceParents('a-b-c.slice')).toEqual(['a-b.slice', 'a.slice', '-.slice']);
    expect(sliceParents(userSlice(1000))).toEqual(['user.slice', '-.slice']);
    expect(sliceParents('-.slice')).toEqual([]);
  });

  it.each(['a--b.slice', '-a.slice', 'a-.slice', 'a.service', 'a@b.slice'])('%s is none', (name) => {
    expect(sliceParents(name)).toBeNull();
  });
});

describe('unitOfCgroup', () => {
  it.each([
    ['/', '-.slice'],
    ['/user.slice/user-1000.slice', 'user-1000.slice'],
    ['/user.slice/user-1000.slice/session-3.scope', 'session-3.scope'],
    ['/system.slice/ssh.service/inner/x', 'ssh.service'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/a.service', 'user@1000.service'],
    ['/system.slice/_cpu.service', 'cpu.service'],
    ['/docker/abc', null],
  ])('%s is %s', (path, unit) => {
    expect(unitOfCgroup(path)).toBe(unit);
  });
});

describe('dropInNames', () => {
  function names(name: string, version = 252): readonly string[] {
    const unit = parseUnitName(name);
    if (unit === null) throw new Error(name);
    return dropInNames(unit, capabilities(version));
  }

  it.each([
    ['user-1000.slice', ['user-1000.slice', 'user-.slice']],
    ['a-b-c.service', ['a-b-c.service', 'a-b-.service', 'a-.service']],
    ['a-b@x.service', ['a-b@x.service', 'a-b@.service', 'a-.service', 'a-@x.service', 'a-@.service']],
    ['a--b.service', ['a--b.service', 'a--.service', 'a-.service']],
    ['a-b-.service', ['a-b-.service', 'a-.service']],
    ['-a.service', ['-a.service']],
    ['-.slice', ['-.slice']],
  ])('of %s', (name, expected) => {
    expect(names(name)).toEqual(expected);
  });

  it('know no cut names before 239', () => {
    expect(names('a-b@x.service', 237)).toEqual(['a-b@x.service', 'a-b@.service']);
  });
});
