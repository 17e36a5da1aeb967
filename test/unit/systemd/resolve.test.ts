import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileTree } from '../../../src/systemd/file-tree.ts';
import {
  editContext,
  type ResolveContext,
  type ResolvedUnit,
  resolveUnit,
  unitTasksMax,
} from '../../../src/systemd/resolve.ts';
import { resolveManagerConf } from '../../../src/systemd/resolve-manager-conf.ts';
import { formatTasksMax } from '../../../src/systemd/tasks-max.ts';
import { confBytes, context, file } from './support.ts';

const etc = '/etc/systemd/system';
const usr = '/usr/lib/systemd/system';
const slice = (value: string) => `[Slice]\nTasksMax=${value}\n`;
const service = (value: string) => `[Service]\nTasksMax=${value}\n`;

function resolve(files: Record<string, string>, name: string, version = 252): ResolvedUnit {
  return resolveUnit(context(version, files), name);
}

/** Value and the file it is from. */
function limit(files: Record<string, string>, name: string, version = 252): string {
  const { value, winner } = resolve(files, name, version).tasksMax;
  return value === null ? 'default' : `${formatTasksMax(value)} ${winner?.file}:${winner?.line}`;
}

describe('resolveUnit', () => {
  it('takes the first fragment found and sorts drop-ins by name, not by directory or by how specific they are', () => {
    const files = {
      [`${usr}/a-b.service`]: service('1'),
      [`${etc}/a-b.service`]: service('2'),
      [`${etc}/a-b.service.d/40-x.conf`]: service('3'),
      [`${usr}/a-.service.d/60-x.conf`]: service('4'),
      [`${etc}/service.d/50-x.conf`]: service('5'),
    };
    expect(limit(files, 'a-b.service')).toBe(`4 ${usr}/a-.service.d/60-x.conf:2`);
    expect(resolve(files, 'a-b.service')).toMatchObject({
      fragmentPath: `${etc}/a-b.service`,
      dropInPaths: [
        `${etc}/a-b.service.d/40-x.conf`,
        `${etc}/service.d/50-x.conf`,
        `${usr}/a-.service.d/60-x.conf`,
      ],
    });
    expect(limit(files, 'a-b.service', 243)).toBe(`4 ${usr}/a-.service.d/60-x.conf:2`);
    expect(limit(files, 'a-b.service', 238)).toBe(`3 ${etc}/a-b.service.d/40-x.conf:2`);
  });

  it('lets the directory decide between drop-ins of one name, before how specific they are', () => {
    const files = {
      [`${etc}/user-.slice.d/50-x.conf`]: slice('1'),
      [`${usr}/user-1000.slice.d/50-x.conf`]: slice('2'),
    };
    expect(limit(files, 'user-1000.slice')).toBe(`1 ${etc}/user-.slice.d/50-x.conf:2`);
  });

  it('lets 50-limits.conf win over the 50-TasksMax.conf of set-property', () => {
    const files = {
      '/etc/systemd/system.control/user-1000.slice.d/50-TasksMax.conf': slice('800'),
      [`${etc}/user-.slice.d/50-limits.conf`]: slice('500'),
    };
    expect(limit(files, 'user-1000.slice')).toBe(`500 ${etc}/user-.slice.d/50-limits.conf:2`);
  });

  it('masks drop-ins by an empty file or a link to /dev/null of the same name', () => {
    const vendor = { [`${usr}/user-.slice.d/10-defaults.conf`]: slice('33%') };
    const path = `${etc}/user-.slice.d/10-defaults.conf`;
    expect(limit(vendor, 'user-1000.slice')).toContain('33%');
    expect(limit({ ...vendor, [path]: '' }, 'user-1000.slice')).toBe('default');
    expect(limit({ ...vendor, [path]: '->/dev/null' }, 'user-1000.slice')).toBe('default');
    expect(resolve({ ...vendor, [path]: '->/dev/null' }, 'user-1000.slice').dropInPaths).toEqual([path]);
  });

  it('masks units by an empty file or a link to /dev/null, but no perpetual ones', () => {
    const drop = { [`${etc}/a.service.d/x.conf`]: service('5') };
    expect(resolve({ [`${etc}/a.service`]: '->/dev/null', ...drop }, 'a.service')).toMatchObject({
      load: 'masked',
      fragmentPath: `${etc}/a.service`,
    });
    expect(resolve({ [`${etc}/a.service`]: '->/dev/null', ...drop }, 'a.service', 247).fragmentPath).toBe(
      '/dev/null',
    );
    expect(limit({ [`${etc}/a.service`]: '', ...drop }, 'a.service', 252)).toContain('5 ');
    expect(limit({ [`${etc}/a.service`]: '', ...drop }, 'a.service', 257)).toBe('default');
    expect(resolve({ [`${etc}/-.slice`]: '' }, '-.slice').load).toBe('loaded');
  });

  it('knows a unit by the name of its file, and applies the drop-ins of all its names', () => {
    const files = {
      [`${usr}/b.service`]: service('1'),
      [`${etc}/a.service`]: `->${usr}/b.service`,
      [`${etc}/a.service.d/10.conf`]: service('2'),
      [`${etc}/b.service.d/20.conf`]: service('3'),
    };
    for (const name of ['a.service', 'b.service']) {
      expect(resolve(files, name)).toMatchObject({ id: 'b.service', fragmentPath: `${usr}/b.service` });
      expect(resolve(files, name).dropInPaths).toEqual([
        `${etc}/a.service.d/10.conf`,
        `${etc}/b.service.d/20.conf`,
      ]);
    }
  });

  it('takes no notice of aliases between types, to other instances, or of slices', () => {
    const files = { [`${usr}/b.slice`]: slice('1'), [`${etc}/a.slice`]: `->${usr}/b.slice` };
    expect(resolve(files, 'a.slice')).toMatchObject({ id: 'a.slice', fragmentPath: null, load: 'loaded' });
    const other = { [`${usr}/b@.service`]: service('1'), [`${etc}/a@x.service`]: `->${usr}/b@y.service` };
    expect(resolve(other, 'a@x.service').load).toBe('not-found');
    expect(resolve({ [`${etc}/a.service`]: '->a.service' }, 'a.service').load).toBe('not-found');
  });

  it('cannot load an instance that shares its linked file with another instance', () => {
    const files = {
      '/opt/shared.service': service('1'),
      [`${etc}/a@x.service`]: '->/opt/shared.service',
      [`${etc}/a@y.service`]: '->/opt/shared.service',
      [`${etc}/a@y.service.d/10.conf`]: service('2'),
    };
    // systemd 247 follows such a link, later ones keep it as it is.
    for (const [version, load] of [
      [247, 'error'],
      [252, 'loaded'],
    ] as const) {
      expect([version, resolve(files, 'a@y.service', version).load]).toEqual([version, load]);
    }
  });

  it('loads an instance of a template that shares its linked file with another instance', () => {
    const files = {
      '/opt/shared.service': service('1'),
      [`${etc}/a@.service`]: '->/opt/shared.service',
      [`${etc}/a@x.service`]: '->/opt/shared.service',
    };
    expect(resolve(files, 'a@y.service', 247)).toMatchObject({ id: 'a@y.service', load: 'loaded' });
  });

  it('finds instances by their template', () => {
    const files = {
      [`${usr}/user@.service`]: service('infinity'),
      [`${etc}/user@.service.d/10.conf`]: service('1'),
      [`${etc}/user@1000.service.d/20.conf`]: service('2'),
    };
    expect(limit(files, 'user@1000.service')).toContain('20.conf');
    expect(limit(files, 'user@0.service')).toContain('10.conf');
    expect(resolve(files, 'user@0.service').fragmentPath).toBe(`${usr}/user@.service`);
    expect(resolve(files, 'user@.service').load).toBe('not-found');
  });

  it('loads slices without any file, and no services', () => {
    expect(resolve({}, 'user-1000.slice')).toMatchObject({ load: 'loaded', fragmentPath: null });
    expect(resolve({}, 'a.service').load).toBe('not-found');
    expect(resolve({ [`${etc}/a.service.d/x.conf`]: service('1') }, 'a.service').dropInPaths).toEqual([]);
    expect(resolve({}, 'no unit').load).toBe('not-found');
    expect(resolve({}, 'a--b.slice').load).toBe('error');
  });

  it('keeps the earlier value where a later one is rejected or in the wrong section', () => {
    const files = {
      [`${etc}/a.service`]: '[Service]\nTasksMax=5\nTasksMax=4K\n[Slice]\nTasksMax=6\n',
    };
    const { tasksMax, diagnostics } = resolve(files, 'a.service');
    expect(tasksMax.assignments.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ['wins', undefined],
      ['ignored', 'size suffix: task limits take none in any version'],
      ['ignored', 'wrong section [Slice], not [Service]'],
    ]);
    expect(diagnostics.map(({ code, line }) => `${code} ${line}`)).toEqual([
      'assignment-ignored 3',
      'assignment-ignored 5',
    ]);
  });

  it('goes back to the default by an empty value, in a slice to that of services', () => {
    const ctx = context(252, { [`${etc}/a.slice`]: '[Slice]\nTasksMax=5\nTasksMax=\n' });
    const resolved = resolveUnit(ctx, 'a.slice');
    expect(resolved.tasksMax).toMatchObject({ value: null, winner: { value: 'unset', line: 3 } });
    const fallback = { kind: 'count', count: 77n } as const;
    expect(unitTasksMax(resolved, fallback)).toEqual(fallback);
    expect(unitTasksMax(resolveUnit(ctx, 'b.slice'), fallback)).toEqual({ kind: 'infinity' });
    expect(unitTasksMax(resolveUnit(ctx, 'b.timer'), fallback)).toBeNull();
  });

  it('reads a drop-in up to the line that breaks it, and nothing after a fragment that breaks', () => {
    const broken = '[Service]\nTasksMax=5\n[oops\nTasksMax=6\n';
    const files = { [`${etc}/a.service`]: '[Service]\n', [`${etc}/a.service.d/x.conf`]: broken };
    expect(limit(files, 'a.service')).toBe(`5 ${etc}/a.service.d/x.conf:2`);
    expect(resolve(files, 'a.service').diagnostics).toMatchObject([
      { code: 'file-not-read-to-end', line: 3 },
    ]);
    const other = { [`${etc}/a.service`]: broken, [`${etc}/a.service.d/x.conf`]: service('7') };
    expect(resolve(other, 'a.service')).toMatchObject({ load: 'error', dropInPaths: [] });
    expect(limit(other, 'a.service')).toBe(`5 ${etc}/a.service:2`);
  });

  it('follows links to drop-in directories as each version does', () => {
    const files = {
      '/opt/d/10.conf': slice('1'),
      [`${etc}/a.slice.d`]: '->/opt/d',
      [`${etc}/b.slice.d`]: '->../../../opt/d',
      [`${etc}/c.slice.d`]: '->a.slice.d',
    };
    expect(limit(files, 'a.slice')).toBe('1 /opt/d/10.conf:2');
    expect(limit(files, 'b.slice')).toBe('1 /opt/d/10.conf:2');
    // 252 looks for the target of a relative link below /.
    expect(limit(files, 'c.slice')).toBe('default');
    expect(limit(files, 'c.slice', 247)).toBe('1 /opt/d/10.conf:2');
  });

  it('follows /lib to /usr/lib', () => {
    const files = { '/lib': '->usr/lib', [`${usr}/a.slice`]: slice('1') };
    const ctx = context(252, files);
    const unitPath = ['/lib/systemd/system'];
    expect(resolveUnit({ ...ctx, unitPath }, 'a.slice').fragmentPath).toBe('/lib/systemd/system/a.slice');
  });

  it('never throws and is never undecided, whatever the files hold', () => {
    fc.assert(
      fc.property(confBytes, confBytes, fc.constantFrom(219, 237, 252, 262), (fragment, dropIn, version) => {
        const ctx: ResolveContext = {
          ...context(version, {}),
          tree: new FileTree([file(`${etc}/a.service`, fragment), file(`${etc}/a.service.d/x.conf`, dropIn)]),
        };
        const { tasksMax } = resolveUnit(ctx, 'a.service');
        const winners = tasksMax.assignments.filter(({ outcome }) => outcome === 'wins');
        expect(winners).toEqual(tasksMax.winner === null ? [] : [tasksMax.winner]);
      }),
    );
  });

  it('lets a drop-in with the last name win, whatever else is there', () => {
    const names = fc.constantFrom('10-a', '50-TasksMax', '50-limits', 'zz', 'Z');
    const places = fc.constantFrom(etc, usr, '/run/systemd/system', '/etc/systemd/system.control');
    const dirs = fc.constantFrom('user-.slice.d', 'user-1000.slice.d', 'slice.d');
    const dropIns = fc.array(fc.tuple(places, dirs, names), { maxLength: 8 });
    fc.assert(
      fc.property(dropIns, places, dirs, (others, place, dir) => {
        const files = Object.fromEntries(others.map(([p, d, n]) => [`${p}/${d}/${n}.conf`, slice('1')]));
        const path = `${place}/${dir}/zzz.conf`;
        expect(limit({ ...files, [path]: slice('2') }, 'user-1000.slice')).toBe(`2 ${path}:2`);
      }),
    );
  });
});

describe('editContext', () => {
  it('gives what a context made of the edited files gives, the second time and with other bytes too', () => {
    const paths = fc.constantFrom(
      `${etc}/a.service`,
      `${etc}/b.service`,
      `${usr}/a.service`,
      `${etc}/a.service.d/x.conf`,
      `${etc}/b.service.d/y.conf`,
      `${usr}/service.d/z.conf`,
      `${etc}/link.d/x.conf`,
    );
    const texts = fc.constantFrom(
      service('1'),
      service('2'),
      '',
      '->/etc/systemd/system/a.service',
      '->link.d',
    );
    const edits = fc.array(fc.tuple(paths, fc.constantFrom(service('3'), '', null)), { maxLength: 3 });
    const versions = fc.constantFrom(238, 247, 262);
    fc.assert(
      fc.property(fc.dictionary(paths, texts), edits, versions, (files, wanted, version) => {
        const before = context(version, { ...files, [`${etc}/b.service.d`]: '->/etc/systemd/system/link.d' });
        const attempt = (value: string) => {
          const made = wanted.map(([path, text]) => ({
            path,
            content: text === null ? null : Buffer.from(text.replace('3', value)),
          }));
          const after = editContext(before, made);
          const anew = { ...before, tree: new FileTree(before.tree.withEdits(made).entries()) };
          for (const name of ['a.service', 'b.service', 'c.service']) {
            expect(resolveUnit(after, name)).toEqual(resolveUnit(anew, name));
          }
        };
        attempt('3');
        attempt('4');
      }),
    );
  });
});

describe('resolveManagerConf', () => {
  const key = { file: 'system.conf', section: 'Manager', key: 'DefaultTasksMax' } as const;
  const manager = (value: string) => `[Manager]\nDefaultTasksMax=${value}\n`;
  const winner = (files: Record<string, string>, version = 252) => {
    const { value, winner, files: read } = resolveManagerConf(context(version, files), key);
    return [value === null ? 'default' : `${formatTasksMax(value)} ${winner?.file}`, ...read];
  };

  it('reads the main file, then drop-ins by name', () => {
    const files = {
      '/etc/systemd/system.conf': manager('1'),
      '/usr/lib/systemd/system.conf.d/20.conf': manager('2'),
      '/etc/systemd/system.conf.d/10.conf': manager('3'),
    };
    expect(winner(files)).toEqual([
      '2 /usr/lib/systemd/system.conf.d/20.conf',
      '/etc/systemd/system.conf',
      '/etc/systemd/system.conf.d/10.conf',
      '/usr/lib/systemd/system.conf.d/20.conf',
    ]);
  });

  it('finds the main file elsewhere from 256 on', () => {
    const files = { '/usr/lib/systemd/system.conf': manager('1') };
    expect(winner(files, 255)).toEqual(['default']);
    expect(winner(files, 256)).toEqual(['1 /usr/lib/systemd/system.conf', '/usr/lib/systemd/system.conf']);
  });

  it('reads nothing after a file that breaks', () => {
    const files = {
      '/etc/systemd/system.conf': manager('1'),
      '/etc/systemd/system.conf.d/10.conf': '[Manager\n',
      '/etc/systemd/system.conf.d/20.conf': manager('2'),
    };
    expect(winner(files)[0]).toBe('1 /etc/systemd/system.conf');
  });

  it('masks drop-ins, but from 262 on a link to /dev/null stops everything', () => {
    const files = {
      '/etc/systemd/system.conf': manager('1'),
      '/etc/systemd/system.conf.d/10.conf': '->/dev/null',
      '/usr/lib/systemd/system.conf.d/10.conf': manager('2'),
    };
    expect(winner(files)[0]).toBe('1 /etc/systemd/system.conf');
    expect(winner(files, 262)).toEqual(['default']);
  });

  it('reads nothing from 256 on where a drop-in is a link loop, and a main file once that is a drop-in too', () => {
    const loop = {
      '/etc/systemd/system.conf': manager('1'),
      '/etc/systemd/system.conf.d/10.conf': '->10.conf',
    };
    expect(winner(loop)[0]).toBe('1 /etc/systemd/system.conf');
    expect(winner(loop, 257)).toEqual(['default']);
    const twice = {
      '/etc/systemd/system.conf': manager('1'),
      '/etc/systemd/system.conf.d/10.conf': '->../system.conf',
    };
    expect(winner(twice)).toHaveLength(3);
    expect(winner(twice, 257)).toHaveLength(2);
  });

  it('reads UserTasksMax= of logind, where it still means something', () => {
    const files = { '/etc/systemd/logind.conf': '[Login]\nUserTasksMax=infinity\n[login]\nUserTasksMax=5\n' };
    const user = { file: 'logind.conf', section: 'Login', key: 'UserTasksMax' } as const;
    const at = (version: number) => resolveManagerConf(context(version, files), user);
    expect(at(237).value).toEqual({ kind: 'infinity' });
    expect(at(237).assignments.map(({ outcome }) => outcome)).toEqual(['wins', 'ignored']);
    expect(at(231).value).toBeNull();
    expect(at(239).assignments[0]).toMatchObject({ outcome: 'ignored', value: null });
  });
});
