import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { suggest } from '../../../src/cli/suggest.ts';

const NAMES = [
  'ssh.service',
  'nginx.service',
  'user-1000.slice',
  'user-1001.slice',
  'systemd-logind.service',
];

describe('suggest', () => {
  it.each([
    ['ngnix.service', ['nginx.service']],
    ['logind', ['systemd-logind.service']],
    ['user-100', ['user-1000.slice', 'user-1001.slice']],
    ['completely-else', []],
    ['', []],
  ])('%s: %j', (wrong, names) => {
    expect(suggest(wrong, NAMES)).toEqual(names);
  });

  it('finds a name with one letter wrong, and never more than asked for', () => {
    const name = fc.stringMatching(/^[a-z]{4,12}$/);
    fc.assert(
      fc.property(
        name,
        fc.nat(),
        fc.stringMatching(/^[0-9]$/),
        fc.array(name),
        (right, at, letter, others) => {
          const i = at % right.length;
          const wrong = right.slice(0, i) + letter + right.slice(i + 1);
          expect(suggest(wrong, [right])).toEqual([right]);
          expect(suggest(wrong, [right, ...others]).length).toBeLessThanOrEqual(3);
        },
      ),
    );
  });
});
