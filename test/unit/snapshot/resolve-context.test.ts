import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fileTreeOf } from '../../../src/snapshot/file-tree.ts';
import { parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import { resolveContextOf } from '../../../src/snapshot/resolve-context.ts';
import type { Snapshot, SnapshotFile } from '../../../src/snapshot/snapshot.ts';
import { resolveUnit } from '../../../src/systemd/resolve.ts';

function load(path: string): Snapshot {
  const result = parseSnapshot(readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8'));
  if (!result.ok) throw new Error(result.message);
  return result.snapshot;
}

const debian = load('examples/snapshots/debian-12-systemd-252.json');

describe('fileTreeOf', () => {
  it('holds every file with its bytes', () => {
    const binary = Buffer.from([0xff, 0, 0x0a]);
    const snapshot: Snapshot = {
      ...debian,
      files: [
        { path: '/a', type: 'file', mode: 0o600, uid: 1, gid: 2, size: 3, base64: binary.toString('base64') },
        { path: '/b', type: 'file', mode: 0o644, uid: 0, gid: 0, size: 4, text: '\ufeffä' },
        { path: '/c', type: 'symlink', mode: 0o777, uid: 0, gid: 0, size: 1, target: 'a' },
        { path: '/d', type: 'file', mode: 0o644, uid: 0, gid: 0, size: 9e6, problem: 'too-large' },
      ],
    };
    const tree = fileTreeOf(snapshot);
    expect([...tree.entries()].map(({ path }) => path)).toEqual(['/a', '/b', '/c', '/d']);
    expect(Buffer.from(tree.get('/a')?.content ?? [])).toEqual(binary);
    expect(tree.get('/a')).toMatchObject({ mode: 0o600, uid: 1, gid: 2, size: 3 });
    expect(Buffer.from(tree.get('/b')?.content ?? []).toString('hex')).toBe('efbbbfc3a4');
    expect(tree.resolve('/c')?.path).toBe('/a');
    expect(tree.get('/d')).toMatchObject({ problem: 'too-large' });
    expect(tree.get('/d')).not.toHaveProperty('content');
  });
});

describe('resolveContextOf', () => {
  it('gives hosts with the same files one context, and any other host one of its own', () => {
    const [first, ...others] = debian.files;
    if (first === undefined) throw new Error('no files');
    const withFirst = (file: SnapshotFile): Snapshot => ({ ...debian, files: [file, ...others] });
    const context = resolveContextOf(debian);
    expect(resolveContextOf(structuredClone(debian))).toBe(context);
    const odd: Partial<SnapshotFile>[] = [
      { mode: 0o600 },
      { uid: 5 },
      { gid: 5 },
      { size: 5 },
      { type: 'other' },
      { text: 'x' },
      { base64: 'eA==' },
      { target: '/x' },
      { problem: 'unreadable' },
      { path: '/x' },
    ];
    for (const difference of odd) {
      const file = { ...first, ...difference };
      const entry = resolveContextOf(withFirst(file))?.tree.get(file.path);
      const { text, base64, ...rest } = file;
      expect(entry).toMatchObject(rest);
      const bytes = text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text);
      expect(Buffer.from(entry?.content ?? [])).toEqual(bytes);
    }
    expect(resolveContextOf(structuredClone(debian))).toBe(context);
  });

  it('is right for more hosts than are kept in mind, and for a snapshot that was changed', () => {
    const path = '/etc/systemd/system/a.service';
    const file = { path, type: 'file', mode: 0o644, uid: 0, gid: 0, size: 1, text: '' } as SnapshotFile;
    const changing: Snapshot = { ...debian, files: [file] };
    for (const tasks of [...Array(40).keys(), ...Array(40).keys()]) {
      file.text = `[Service]\nTasksMax=${tasks + 1}\n`;
      const context = resolveContextOf(changing);
      if (context === null) throw new Error('no systemd');
      expect(resolveUnit(context, 'a.service').tasksMax.value).toEqual({
        kind: 'count',
        count: BigInt(tasks + 1),
      });
    }
  });

  it('takes the unit path of the manager', () => {
    expect(resolveContextOf(debian)?.unitPath).toEqual(debian.systemd?.unitPath);
  });

  it('takes that of the version where the manager was not asked', () => {
    const stopped: Snapshot = {
      ...debian,
      systemd: debian.systemd && { ...debian.systemd, running: false, unitPath: [] },
    };
    expect(resolveContextOf(stopped)?.unitPath).toContain('/etc/systemd/system');
  });

  it('is null without systemd', () => {
    expect(resolveContextOf({ ...debian, systemd: null })).toBeNull();
  });

  it.each([
    ['examples/snapshots/debian-12-systemd-252.json', 'user-slice-drop-in'],
    ['test/fixtures/hosts/rhel-7-systemd-219/snapshot.json', 'logind'],
    ['test/fixtures/hosts/sle-15-systemd-234/snapshot.json', 'suse-generator'],
    ['test/fixtures/hosts/ubuntu-18.04-systemd-237/snapshot.json', 'logind'],
    ['test/fixtures/hosts/rhel-8-systemd-239/snapshot.json', 'user-slice-drop-in'],
  ])('finds in %s where the per-user limit is set', (path, perUserLimit) => {
    expect(resolveContextOf(load(path))?.capabilities.perUserLimit).toBe(perUserLimit);
  });

  const real = readdirSync(new URL('../../../examples/snapshots/', import.meta.url));
  it.each(real)('lets the resolver find what systemd found on the real host %s', (name) => {
    const snapshot = load(`examples/snapshots/${name}`);
    const context = resolveContextOf(snapshot);
    if (context === null) throw new Error('no systemd');
    for (const unit of snapshot.units) {
      const resolved = resolveUnit(context, unit.id);
      expect([unit.id, resolved.fragmentPath ?? undefined, resolved.dropInPaths]).toEqual([
        unit.id,
        unit.fragment,
        unit.dropIns ?? [],
      ]);
      // Fractions and defaults are a matter of the kernel's limits and of another module.
      const { value } = resolved.tasksMax;
      if (value?.kind === 'count') expect([unit.id, String(value.count)]).toEqual([unit.id, unit.tasksMax]);
      if (value?.kind === 'infinity') expect([unit.id, value.kind]).toEqual([unit.id, unit.tasksMax]);
    }
  });
});
