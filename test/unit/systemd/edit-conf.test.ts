import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConf } from '../../../src/systemd/dialect.ts';
import { removeAssignment, setAssignment } from '../../../src/systemd/edit-conf.ts';
import { capabilities, confBytes } from './support.ts';

const key = { section: 'Slice', key: 'TasksMax' };

function set(text: string, value = '500', version = 252): string {
  const bytes = setAssignment(Buffer.from(text), { ...key, value }, capabilities(version));
  return Buffer.from(bytes).toString();
}

describe('setAssignment', () => {
  it.each([
    ['an empty file', '', '[Slice]\nTasksMax=500\n'],
    ['no such section', '[Unit]\nA=b\n', '[Unit]\nA=b\n\n[Slice]\nTasksMax=500\n'],
    ['no line end at the end', '[Unit]\nA=b', '[Unit]\nA=b\n\n[Slice]\nTasksMax=500'],
    ['CRLF', '[Unit]\r\nA=b\r\n', '[Unit]\r\nA=b\r\n\r\n[Slice]\r\nTasksMax=500\r\n'],
    [
      'a section without the key',
      '[Slice]\nA=b\n\n# next\n[Unit]\n',
      '[Slice]\nA=b\nTasksMax=500\n\n# next\n[Unit]\n',
    ],
    ['an empty section at the end', '[Slice]', '[Slice]\nTasksMax=500'],
    ['the last of two sections', '[Slice]\n[Unit]\n[Slice]\n', '[Slice]\n[Unit]\n[Slice]\nTasksMax=500\n'],
    ['the key', '[Slice]\n# why\n TasksMax = 4K \n', '[Slice]\n# why\n TasksMax = 500\n'],
    [
      'the last of several',
      '[Slice]\nTasksMax=1\nTasksMax=2\nB=\n',
      '[Slice]\nTasksMax=1\nTasksMax=500\nB=\n',
    ],
    ['an empty value', '[Slice]\nTasksMax=\n', '[Slice]\nTasksMax=500\n'],
    ['a continued value', '[Slice]\nTasksMax=\\\n# why\n7\nB=\n', '[Slice]\nTasksMax=500\n# why\nB=\n'],
    ['a comment in the way', '[Slice]\n#TasksMax=1\n', '[Slice]\nTasksMax=500\n#TasksMax=1\n'],
    ['a line left open', '[Slice]\nA=b\\\n', '[Slice]\nA=b\\\n\nTasksMax=500\n'],
    ['a line left open without an end', '[Slice]\nA=b\\', '[Slice]\nA=b\\\n\nTasksMax=500'],
    [
      'a key in another section',
      '[Service]\nTasksMax=1\n',
      '[Service]\nTasksMax=1\n\n[Slice]\nTasksMax=500\n',
    ],
  ])('%s', (_, before, after) => {
    expect(set(before)).toBe(after);
    expect(set(after)).toBe(after);
  });

  it('refuses a text that would not come back', () => {
    for (const value of ['1\n2', '1\\', ' 1', '1\0']) expect(() => set('', value)).toThrow(RangeError);
  });

  it('then holds the value, for any file that is read to its end, and changes nothing else', () => {
    fc.assert(
      fc.property(confBytes, fc.constantFrom(219, 237, 247, 262), (bytes, version) => {
        const caps = capabilities(version);
        const before = parseConf(bytes, caps);
        fc.pre(before.failure === null);
        // Old systemd never gets to see a line left open at the end; any line after it changes that.
        fc.pre(
          version >= 240 || !/\\(?:[\r\0][^\n]*)?[\n\r\0]*$/.test(Buffer.from(bytes).toString('latin1')),
        );
        const edited = setAssignment(bytes, { ...key, value: '500' }, caps);
        const after = parseConf(edited, caps);
        const last = after.assignments.findLast((a) => a.section === key.section && a.key === key.key);
        expect(last?.value).toBe('500');
        const others = (file: typeof after) =>
          file.assignments.filter((a) => a.section !== key.section || a.key !== key.key);
        expect(
          others(after)
            .map((a) => `${a.section} ${a.key} ${a.value}`)
            .slice(0, others(before).length),
        ).toEqual(others(before).map((a) => `${a.section} ${a.key} ${a.value}`));
        expect(setAssignment(edited, { ...key, value: '500' }, caps)).toBe(edited);
        const old = before.assignments.findLast((a) => a.section === key.section && a.key === key.key);
        const room = old === undefined ? 0 : old.span.end - old.span.start;
        expect(commonEnds(bytes, edited)).toBeGreaterThanOrEqual(bytes.length - room);
      }),
      { numRuns: 2000 },
    );
  });
});

/** How many bytes two files have in common at start and end, not counting any twice. */
function commonEnds(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let start = 0;
  while (start < length && a[start] === b[start]) start++;
  let end = 0;
  while (end < length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return start + end;
}

describe('removeAssignment', () => {
  const remove = (text: string) =>
    Buffer.from(removeAssignment(Buffer.from(text), key, capabilities(252))).toString();

  it.each([
    ['every one', '[Slice]\nTasksMax=1\nA=b\nTasksMax=2\n', '[Slice]\nA=b\n'],
    ['only in the section', '[Service]\nTasksMax=1\n[Slice]\nTasksMax=2', '[Service]\nTasksMax=1\n[Slice]\n'],
    ['but not the comments', '[Slice]\n# a\nTasksMax=\\\n# b\n1\n# c\n', '[Slice]\n# a\n# b\n# c\n'],
    ['nothing where there is none', '[Slice]\n\n#TasksMax=1', '[Slice]\n\n#TasksMax=1'],
  ])('%s', (_, before, after) => {
    expect(remove(before)).toBe(after);
  });

  it('leaves no such assignment in any file', () => {
    fc.assert(
      fc.property(confBytes, fc.constantFrom(219, 237, 247, 262), (bytes, version) => {
        const caps = capabilities(version);
        fc.pre(parseConf(bytes, caps).failure === null);
        const after = parseConf(removeAssignment(bytes, key, caps), caps);
        expect(after.assignments.filter((a) => a.section === key.section && a.key === key.key)).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });
});
