import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesPattern, unitPatternProblem } from '../../../src/plan/unit-pattern.ts';

describe('matchesPattern', () => {
  it.each([
    ['postgresql*.service', 'postgresql@15-main.service', true],
    ['postgresql*.service', 'postgresql.service', true],
    ['postgresql*.service', 'my-postgresql.service', false],
    ['*.service', 'a.socket', false],
    ['a?.service', 'ab.service', true],
    ['a?.service', 'a.service', false],
    ['*a*b*.service', 'xaxxbx.service', true],
    ['*a*b*.service', 'xbxa.service', false],
    ['a.service', 'axservice', false],
    ['*', '', true],
  ])('%s for %s: %s', (pattern, name, expected) => {
    expect(matchesPattern(pattern, name)).toBe(expected);
  });

  it('is what a regular expression makes of it', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-', '*', '?'), maxLength: 12 });
    fc.assert(
      fc.property(text, text, (pattern, raw) => {
        const name = raw.replace(/[*?]/g, 'c');
        const source = pattern.replace(/[.]/g, '\\.').replaceAll('*', '.*').replaceAll('?', '.');
        expect(matchesPattern(pattern, name)).toBe(new RegExp(`^${source}$`).test(name));
      }),
    );
  });

  it('does not take for ever over many stars', () => {
    const started = performance.now();
    expect(matchesPattern(`${'*a'.repeat(100)}b`, 'a'.repeat(250))).toBe(false);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('unitPatternProblem', () => {
  it.each([
    'nginx.service',
    'a@b.service',
    'x\\x2dy.mount',
    'user-*.slice',
    '*.socket',
  ])('takes %s', (name) => {
    expect(unitPatternProblem(name)).toBeNull();
  });
  it.each([
    'nginx',
    'a.timer',
    'a@.service',
    'a b.service',
    '[ab].service',
    '.service',
    '../x.service',
    'a\n.service',
  ])('refuses %j', (name) => {
    expect(unitPatternProblem(name)).not.toBeNull();
  });
});
