import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TasksMaxKey } from '../../../src/systemd/capabilities.ts';
import {
  compareTaskCount,
  formatTasksMax,
  minTaskCount,
  parseTasksMax,
  resolveTasksMax,
  systemTasksMax,
  type TaskCount,
  type TasksMax,
} from '../../../src/systemd/tasks-max.ts';
import { capabilities } from './support.ts';

/** A value as text: a count, a fraction, `infinity`, `unset`, or `-` where it is rejected. */
function parse(raw: string, version = 252, key: TasksMaxKey = 'TasksMax', osRelease = {}): string {
  const parsed = parseTasksMax(raw, key, capabilities(version, osRelease));
  if (!parsed.ok) return '-';
  const { value } = parsed;
  if (value === 'unset' || value.kind === 'infinity') return value === 'unset' ? value : value.kind;
  return value.kind === 'count' ? String(value.count) : `${value.numerator}/${value.denominator}`;
}

function reason(raw: string, version = 252): string {
  const parsed = parseTasksMax(raw, 'TasksMax', capabilities(version));
  return parsed.ok ? 'accepted' : parsed.reason;
}

describe('parseTasksMax', () => {
  // Seen in the source of the versions named, and on real hosts of 247 to 262 by the differential test.
  it.each([
    ['12288', 252, '12288'],
    ['+5', 252, '5'],
    ['0x1000', 252, '4096'],
    ['010', 252, '8'],
    ['0b101', 252, '5'],
    ['0o17', 252, '15'],
    ['0b101', 237, '-'],
    ['08', 252, '-'],
    ['0x', 252, '-'],
    ['\v7', 252, '7'],
    ['\v-7', 252, '18446744073709551609'],
    ['7\v', 252, '-'],
    ['18446744073709551614', 252, '18446744073709551614'],
    ['18446744073709551615', 252, '-'],
    ['18446744073709551616', 252, '-'],
    ['0', 252, '-'],
    ['-0', 252, '-'],
    ['-1', 252, '-'],
    ['33%', 252, '33/100'],
    ['33.0%', 252, '33/100'],
    ['33.3%', 252, '333/1000'],
    ['33.33%', 252, '3333/10000'],
    ['33.333%', 252, '-'],
    ['33.3%', 239, '-'],
    ['33.3%', 240, '333/1000'],
    ['33.33%', 247, '-'],
    ['33.33%', 248, '3333/10000'],
    ['12‰', 247, '12/1000'],
    ['12‰', 239, '-'],
    ['120‰', 247, '12/100'],
    ['12.5‰', 247, '-'],
    ['12.5‰', 248, '125/10000'],
    ['12.55‰', 252, '-'],
    ['12‱', 248, '12/10000'],
    ['12‱', 247, '-'],
    ['1000‰', 252, '100/100'],
    ['1001‰', 252, '-'],
    ['010%', 252, '8/100'],
    ['-0.5%', 252, '5/1000'],
    ['.5%', 252, '-'],
    ['5.%', 252, '-'],
    ['33 %', 252, '-'],
    ['100%', 252, '100/100'],
    ['100.1%', 252, '-'],
    ['100%', 231, '-'],
    ['100%', 232, '100/100'],
    ['0%', 243, '-'],
    ['0%', 244, '0/100'],
    ['33%', 230, '-'],
    ['33%', 231, '33/100'],
    ['infinity', 228, 'infinity'],
    ['Infinity', 252, '-'],
    ['max', 252, '-'],
    ['', 231, 'infinity'],
    ['', 232, 'unset'],
    ['4K', 252, '-'],
    ['1.5', 252, '-'],
    ['"100"', 252, '-'],
    ['8 # comment', 252, '-'],
    ['12288', 227, '-'],
    ['12288', 228, '12288'],
  ])('TasksMax=%s in %i is %s', (raw, version, expected) => {
    expect(parse(raw, version)).toBe(expected);
  });

  it.each([
    ['4096', 227, '-'],
    ['4096', 228, '4096'],
    ['infinity', 230, '-'],
    ['infinity', 231, '-'],
    ['infinity', 232, 'infinity'],
    ['33%', 230, '-'],
    ['33%', 231, '33/100'],
    ['333‰', 238, '-'],
    ['10.5%', 238, '-'],
    ['0%', 238, '-'],
    ['', 231, '-'],
    ['', 232, 'unset'],
    ['4096', 239, '-'],
    ['4096', 262, '-'],
  ])('UserTasksMax=%s in %i is %s', (raw, version, expected) => {
    expect(parse(raw, version, 'UserTasksMax')).toBe(expected);
  });

  it('knows the 219 of Red Hat 7 by its backport', () => {
    const rhel = { ID: 'centos', VERSION_ID: '7' };
    expect(parse('33%', 219, 'TasksMax', rhel)).toBe('33/100');
    expect(parse('', 219, 'TasksMax', rhel)).toBe('infinity');
    expect(parse('4096', 219, 'UserTasksMax', rhel)).toBe('4096');
    expect(parse('infinity', 219, 'UserTasksMax', rhel)).toBe('-');
    expect(parse('33%', 219, 'UserTasksMax', rhel)).toBe('-');
    expect(parse('4096', 219)).toBe('-');
  });

  it('resets DefaultTasksMax= to no limit by an empty value', () => {
    expect(parse('', 252, 'DefaultTasksMax')).toBe('infinity');
  });

  it('says why a value is ignored', () => {
    expect(reason('4K')).toContain('size suffix');
    expect(reason('"100"')).toContain('quotes');
    expect(reason('8 # why')).toContain('trailing comment');
    expect(reason('MAX')).toContain('infinity');
    expect(reason('0')).toContain('zero');
    expect(reason('0%', 239)).toContain('zero');
    expect(reason('33%', 230)).toContain('no fractions');
  });

  it('never throws', () => {
    const versions = fc.constantFrom(219, 228, 231, 239, 247, 262);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), versions, (raw, version) => {
        for (const key of ['TasksMax', 'DefaultTasksMax', 'UserTasksMax'] as const) parse(raw, version, key);
      }),
    );
  });
});

const values: fc.Arbitrary<TasksMax> = fc.oneof(
  fc.bigInt({ min: 1n, max: 2n ** 64n - 2n }).map((count) => ({ kind: 'count', count }) as const),
  fc.constant({ kind: 'infinity' } as const),
  fc
    .bigInt({ min: 0n, max: 10_000n })
    .map((numerator) => ({ kind: 'fraction', numerator, denominator: 10_000n }) as const),
);

describe('formatTasksMax', () => {
  it('writes what reads back as the same limit', () => {
    fc.assert(
      fc.property(values, fc.bigInt({ min: 1n, max: 4_194_303n }), (value, base) => {
        const parsed = parseTasksMax(formatTasksMax(value), 'TasksMax', capabilities(252));
        if (!parsed.ok || parsed.value === 'unset') throw new Error('rejected');
        expect(resolveTasksMax(parsed.value, base)).toBe(resolveTasksMax(value, base));
      }),
    );
  });

  it('uses no more decimals than needed', () => {
    const format = (numerator: bigint) =>
      formatTasksMax({ kind: 'fraction', numerator, denominator: 10_000n });
    expect([format(3300n), format(3330n), format(3333n), format(5n), format(0n)]).toEqual([
      '33%',
      '33.3%',
      '33.33%',
      '0.05%',
      '0%',
    ]);
    expect(() => formatTasksMax({ kind: 'fraction', numerator: 1n, denominator: 3n })).toThrow(RangeError);
  });
});

describe('fractions', () => {
  it('are of the number systemd takes them of, rounded down', () => {
    const limits = { pidMax: 32_768n, threadsMax: 60_000n };
    const third: TasksMax = { kind: 'fraction', numerator: 33n, denominator: 100n };
    const limit = (version: number, more = {}) =>
      resolveTasksMax(third, systemTasksMax({ ...limits, ...more }, capabilities(version)));
    expect(limit(236)).toBe(10_813n);
    expect(limit(237)).toBe(10_813n);
    expect(limit(236, { threadsMax: 1000n })).toBe(10_813n);
    expect(limit(237, { threadsMax: 1000n })).toBe(330n);
    expect(limit(252, { rootPidsMax: 100n })).toBe(33n);
    expect(limit(252, { rootPidsMax: 'infinity' })).toBe(10_813n);
    expect(limit(252, { pidMax: 4_194_304n, threadsMax: 2n ** 40n })).toBe(1_384_119n);
  });
});

describe('compareTaskCount', () => {
  it('puts no limit above every number', () => {
    const counts: TaskCount[] = ['infinity', 5n, 3n];
    expect(counts.sort(compareTaskCount)).toEqual([3n, 5n, 'infinity']);
    expect(minTaskCount('infinity', 7n)).toBe(7n);
    expect(minTaskCount('infinity', 'infinity')).toBe('infinity');
  });
});
