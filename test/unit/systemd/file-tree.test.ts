import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, FileTree } from '../../../src/systemd/file-tree.ts';
import { file, link } from './support.ts';

const tree = new FileTree([
  link('/lib', 'usr/lib'),
  file('/usr/lib/systemd/system/a.service', 'a'),
  link('/etc/systemd/system/b.service', '/lib/systemd/system/a.service'),
  link('/etc/systemd/system/c.service', '../../../lib/systemd/system/a.service'),
  link('/etc/systemd/system/d.service', 'nowhere'),
  link('/etc/systemd/system/e.service', 'e.service'),
  link('/etc/systemd/system/f.service', '/dev/null'),
  link('/etc/systemd/system/g.d', '/usr/lib/systemd'),
]);

describe('FileTree', () => {
  it('follows links on the way, and the last one only in resolve', () => {
    expect(tree.get('/lib/systemd/system/a.service')?.path).toBe('/usr/lib/systemd/system/a.service');
    expect(tree.get('/etc/systemd/system/b.service')?.type).toBe('symlink');
    for (const name of ['b', 'c']) {
      expect(tree.resolve(`/etc/systemd/system/${name}.service`)?.path).toBe(
        '/usr/lib/systemd/system/a.service',
      );
    }
    expect(tree.get('/etc/systemd/system/g.d/system/a.service')?.type).toBe('file');
    expect(tree.get('/lib')?.type).toBe('symlink');
    expect(tree.get('//lib/./systemd/../systemd//system/a.service')?.type).toBe('file');
  });

  it('has no entry for a dangling link or a loop, and one for /dev/null', () => {
    expect(tree.resolve('/etc/systemd/system/d.service')).toBeUndefined();
    expect(tree.resolve('/etc/systemd/system/e.service')).toBeUndefined();
    expect(tree.resolve('/etc/systemd/system/f.service')).toMatchObject({ path: '/dev/null', type: 'other' });
    expect(tree.realPath('/etc/systemd/system/d.service')).toBe('/etc/systemd/system/nowhere');
    expect(tree.realPath('/etc/systemd/system/e.service')).toBeUndefined();
  });

  it('lists directories, by links too, whether or not they have an entry', () => {
    expect(tree.list('/lib/systemd')).toEqual(['system']);
    expect(tree.list('/')).toEqual(['etc', 'lib', 'usr']);
    expect(tree.list('/none')).toEqual([]);
    expect(tree.isDirectory('/etc/systemd/system/g.d')).toBe(true);
    expect(tree.isDirectory('/lib/systemd/system/a.service')).toBe(false);
  });

  it('is edited without changing', () => {
    const edited = tree.withEdits([
      { path: '/lib/systemd/system/new.service', content: Buffer.from('xyz') },
      { path: '/etc/systemd/system/b.service', content: Buffer.from('own') },
      { path: '/etc/systemd/system/d.service', content: null },
    ]);
    expect(edited.get('/usr/lib/systemd/system/new.service')).toMatchObject({ size: 3, mode: 0o644 });
    expect(edited.get('/etc/systemd/system/b.service')?.type).toBe('file');
    expect(edited.get('/etc/systemd/system/d.service')).toBeUndefined();
    expect(edited.list('/etc/systemd/system')).not.toContain('d.service');
    expect(tree.get('/etc/systemd/system/d.service')?.type).toBe('symlink');
    expect(tree.get('/usr/lib/systemd/system/new.service')).toBeUndefined();
  });

  it('is after edits what a tree of the edited files is, and before them what it was', () => {
    const paths = fc
      .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 })
      .map((parts) => `/${parts.join('/')}`);
    const entries = fc.array(
      fc.oneof(
        paths.map((path) => file(path, 'x')),
        fc.tuple(paths, paths).map(([path, target]) => link(path, target)),
        paths.map((path) => ({ ...file(path, ''), type: 'directory' as const })),
      ),
      { maxLength: 8 },
    );
    const edits = fc.array(
      fc.record({ path: paths, content: fc.constantFrom(null, Buffer.from('xyz'), Buffer.alloc(0)) }),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(entries, edits, fc.array(paths, { minLength: 1 }), (some, made, asked) => {
        const look = (of: FileTree) =>
          ['/', ...asked].map((path) => [
            of.get(path),
            of.resolve(path),
            of.realPath(path),
            of.isDirectory(path),
            of.list(path).map((name) => [name, of.child(path, name)]),
          ]);
        const before = new FileTree(some);
        const untouched = look(before);
        const edited = before.withEdits(made);
        expect(look(edited)).toEqual(look(new FileTree(edited.entries())));
        expect(look(before)).toEqual(untouched);
        expect(look(before)).toEqual(look(new FileTree(before.entries())));
      }),
      { numRuns: 1000 },
    );
  });

  it('keeps mode and owner of a file that is written', () => {
    const old = new FileTree([{ ...file('/a', 'x'), mode: 0o600, uid: 5, gid: 6 }]);
    const edited = old.withEdits([{ path: '/a', content: Buffer.from('yy') }]);
    expect(edited.get('/a')).toMatchObject({ mode: 0o600, uid: 5, gid: 6, size: 2 });
  });

  it('never throws or hangs, whatever the links', () => {
    const name = fc.constantFrom('a', 'b', 'c', '..', '.', '');
    const path = fc.array(name, { maxLength: 6 }).map((parts) => `/${parts.join('/')}`);
    const target = fc.oneof(
      path,
      path.map((p) => p.slice(1)),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(path, target), { maxLength: 6 }), path, (links, asked) => {
        const odd = new FileTree(links.map(([at, to]) => link(at, to)));
        odd.get(asked);
        odd.resolve(asked);
        odd.list(asked);
        odd.isDirectory(asked);
      }),
    );
  });
});

describe('compareBytes', () => {
  it('orders as the UTF-8 bytes do', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
    expect(compareBytes('\uffee', '\u{1f600}')).toBeLessThan(0);
  });
});
