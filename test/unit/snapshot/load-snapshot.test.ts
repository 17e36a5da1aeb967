import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSnapshot, parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';

const root = new URL('../../../', import.meta.url);
const saved = [
  ...readdirSync(new URL('examples/snapshots/', root))
    .filter((name) => name.endsWith('.json'))
    .map((name) => `examples/snapshots/${name}`),
  ...readdirSync(new URL('test/fixtures/hosts/', root)).map(
    (name) => `test/fixtures/hosts/${name}/snapshot.json`,
  ),
];

function textOf(path: string): string {
  return readFileSync(new URL(path, root), 'utf8');
}

function example(): Snapshot {
  const result = parseSnapshot(textOf('examples/snapshots/debian-12-systemd-252.json'));
  if (!result.ok) throw new Error(result.message);
  return result.snapshot;
}

describe('the saved snapshots of the repository', () => {
  it.each(saved)('%s loads, and saved again it is the same text', (path) => {
    const text = textOf(path);
    const result = parseSnapshot(text);
    if (!result.ok) throw new Error(result.message);
    expect(formatSnapshot(result.snapshot)).toBe(text);
  });
});

describe('formatSnapshot', () => {
  it('is read back as it was, whatever is in the strings', { timeout: 60_000 }, () => {
    const snapshot = example();
    const text = fc.string({ unit: 'binary' });
    const files = fc.array(fc.record({ path: text, target: text, text }), { maxLength: 3 });
    fc.assert(
      // A JavaScript object cannot hold a field of that name; no os-release has one.
      fc.property(
        text,
        files,
        fc.dictionary(
          text.filter((key) => key !== '__proto__'),
          text,
        ),
        (name, entries, osRelease) => {
          const changed: Snapshot = {
            ...snapshot,
            target: name,
            host: { ...snapshot.host, osRelease },
            files: entries.map((entry) => ({ ...entry, type: 'file', mode: 0, uid: 0, gid: 0, size: 0 })),
          };
          expect(parseSnapshot(formatSnapshot(changed))).toEqual({ ok: true, snapshot: changed });
        },
      ),
    );
  });

  it('does not depend on the order of keys', () => {
    const snapshot = example();
    const turned = Object.fromEntries(Object.entries(snapshot).reverse()) as Snapshot;
    turned.units = snapshot.units.map(
      (unit) => Object.fromEntries(Object.entries(unit).reverse()) as typeof unit,
    );
    expect(formatSnapshot(turned)).toBe(formatSnapshot(snapshot));
  });

  it('gives each unit, file and cgroup a line of its own', () => {
    const snapshot = example();
    const lines = formatSnapshot(snapshot).split('\n');
    for (const key of ['"id":', '"path":']) {
      for (const line of lines) expect(line.split(key).length).toBeLessThanOrEqual(2);
    }
    expect(lines.filter((line) => line.startsWith('    {"id":"ssh.service"'))).toHaveLength(1);
  });
});

describe('parseSnapshot', () => {
  it('says where text is no JSON', () => {
    const result = parseSnapshot('{"schema": }');
    expect(result).toMatchObject({ ok: false, message: expect.stringMatching(/^not JSON: .*\}/) });
  });

  it.each<[string, (document: Record<string, never>) => unknown, RegExp]>([
    ['another schema', (document) => ({ ...document, schema: 'tasksctl/snapshot/9' }), /schema: /],
    ['an unknown key', (document) => ({ ...document, extra: 1 }), /the document: .*"extra"/],
    [
      'a number where a count is text',
      (document) => withUnit(document, { tasksMax: 512 }),
      /units\[0\]\.tasksMax: /,
    ],
    ['a count with a suffix', (document) => withUnit(document, { tasksMax: '4K' }), /units\[0\]\.tasksMax: /],
    ['a list', () => [], /the document: /],
    ['null', () => null, /the document: /],
  ])('names the place of %s', (_, change, message) => {
    const document = JSON.parse(formatSnapshot(example())) as Record<string, never>;
    const result = parseSnapshot(JSON.stringify(change(document)));
    if (result.ok) throw new Error('it was taken');
    expect(result.message).toMatch(/^not a snapshot: /);
    expect(result.message).toMatch(message);
  });

  it('takes no count below zero and no boot id that Linux does not give', () => {
    const { kernel, host, ...rest } = example();
    const bad = { ...rest, kernel: { ...kernel, pidMax: -1 }, host: { ...host, bootId: 'x\ny' } };
    const result = parseSnapshot(JSON.stringify(bad));
    expect(result).toMatchObject({ ok: false });
    expect(JSON.stringify(result)).toMatch(/host\.bootId: .*kernel\.pidMax: /);
  });

  it('names the first faults and counts the others', () => {
    const result = parseSnapshot('{}');
    expect(result).toMatchObject({ ok: false, message: expect.stringMatching(/; and [0-9]+ more$/) });
  });
});

function withUnit(document: Record<string, never>, change: object): unknown {
  const [first, ...others] = document['units'] as unknown as object[];
  return { ...document, units: [{ ...first, ...change }, ...others] };
}
