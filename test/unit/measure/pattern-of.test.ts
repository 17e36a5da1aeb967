import { describe, expect, it } from 'vitest';
import { patternOf } from '../../../src/measure/pattern-of.ts';

describe('patternOf', () => {
  it.each([
    ['user-1000.slice', 'user-.slice'],
    ['user-0.slice', 'user-.slice'],
    ['session-3.scope', 'session-.scope'],
    ['session-c12.scope', 'session-.scope'],
    ['user@1000.service', 'user@.service'],
    ['postgresql@15-main.service', 'postgresql@.service'],
    ['run-r0123456789abcdef0123456789abcdef.scope', 'run-.scope'],
    ['run-u4711.service', 'run-.service'],
    ['run-p123-i456.service', 'run-.service'],
    [`docker-${'0a'.repeat(32)}.scope`, 'docker-.scope'],
    [`libpod-conmon-${'0a'.repeat(32)}.scope`, 'libpod-conmon-.scope'],
    ['kubepods-burstable-pod0a1b2c3d_0a1b_2c3d_4e5f_0a1b2c3d4e5f.slice', 'kubepods-burstable-.slice'],
  ])('%s is one of %s', (unit, pattern) => {
    expect(patternOf(unit)).toBe(pattern);
  });

  it.each([
    'nginx.service',
    'user.slice',
    'system-getty.slice',
    'user-1000-extra.slice',
    'user-root.slice',
    'session-.scope',
    'postgresql@.service',
    'run-parts.service',
    'init.scope',
    'no unit',
    'kubepods-burstable.slice',
  ])('%s stays as it is', (unit) => {
    expect(patternOf(unit)).toBeNull();
  });
});
