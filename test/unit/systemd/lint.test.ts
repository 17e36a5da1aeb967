import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FileEntry, FileTree } from '../../../src/systemd/file-tree.ts';
import { lint } from '../../../src/systemd/lint.ts';
import { confBytes, context, file } from './support.ts';

const etc = '/etc/systemd/system';
const userSlice = `${etc}/user-.slice.d/90-x.conf`;

/** Findings as `code file:line`. */
function codes(
  files: Record<string, string>,
  version = 252,
  units = ['user-1000.slice', 'a.service'],
): string[] {
  return lint(context(version, files), { units }).map(
    ({ code, file, line }) => `${code} ${file}:${line ?? ''}`,
  );
}

describe('lint', () => {
  it.each<[string, Record<string, string>, number, string[]]>([
    ['nothing wrong', { [userSlice]: '[Slice]\nTasksMax=500\n' }, 252, []],
    ['wrong section', { [userSlice]: '[Service]\nTasksMax=5\n' }, 252, [`wrong-section ${userSlice}:2`]],
    [
      'wrong case of the section',
      { [userSlice]: '[slice]\nTasksMax=5\n' },
      252,
      [`wrong-section ${userSlice}:2`],
    ],
    ['no section', { [userSlice]: 'TasksMax=5\n' }, 252, [`wrong-section ${userSlice}:1`]],
    [
      'near-miss keys',
      { [userSlice]: '[Slice]\nTaskMax=5\ntasksmax=6\n' },
      252,
      [`key-unknown ${userSlice}:2`, `key-unknown ${userSlice}:3`],
    ],
    ['size suffix', { [userSlice]: '[Slice]\nTasksMax=4K\n' }, 252, [`value-ignored ${userSlice}:2`]],
    ['trailing comment', { [userSlice]: '[Slice]\nTasksMax=4 # x\n' }, 252, [`value-ignored ${userSlice}:2`]],
    ['quotes', { [userSlice]: '[Slice]\nTasksMax="4"\n' }, 252, [`value-ignored ${userSlice}:2`]],
    ['zero', { [userSlice]: '[Slice]\nTasksMax=0\n' }, 252, [`value-ignored ${userSlice}:2`]],
    ['0%', { [userSlice]: '[Slice]\nTasksMax=0%\n' }, 252, [`zero-percent ${userSlice}:2`]],
    [
      '0% where it is rejected',
      { [userSlice]: '[Slice]\nTasksMax=0%\n' },
      239,
      [`value-ignored ${userSlice}:2`],
    ],
    ['octal', { [userSlice]: '[Slice]\nTasksMax=010\n' }, 252, [`number-base ${userSlice}:2`]],
    [
      'too much for the kernel',
      { [userSlice]: '[Slice]\nTasksMax=4194305\n' },
      252,
      [`above-kernel-limit ${userSlice}:2`],
    ],
    ['the most the kernel takes', { [userSlice]: '[Slice]\nTasksMax=4194304\n' }, 252, []],
    [
      'the root slice',
      { [`${etc}/-.slice.d/x.conf`]: '[Slice]\nTasksMax=500\n' },
      252,
      [`root-slice-limit ${etc}/-.slice.d/x.conf:2`],
    ],
    [
      'a limit of all slices, which the root slice is one of',
      { [`${etc}/slice.d/x.conf`]: '[Slice]\nTasksMax=90%\n' },
      252,
      [`root-slice-limit ${etc}/slice.d/x.conf:2`],
    ],
    [
      'the same with the root slice left out',
      {
        [`${etc}/slice.d/x.conf`]: '[Slice]\nTasksMax=90%\n',
        [`${etc}/-.slice.d/y.conf`]: '[Slice]\nTasksMax=infinity\n',
      },
      252,
      [],
    ],
    [
      'a timer',
      { [`${etc}/a.timer.d/x.conf`]: '[Timer]\nTasksMax=500\n' },
      252,
      [`no-task-limit ${etc}/a.timer.d/x.conf:2`],
    ],
    [
      'no .d',
      { [`${etc}/user-.slice/50.conf`]: '[Slice]\nTasksMax=5\n' },
      252,
      [`file-not-used ${etc}/user-.slice/50.conf:2`],
    ],
    [
      'no .conf',
      { [`${etc}/user-.slice.d/50`]: '[Slice]\nTasksMax=5\n' },
      252,
      [`file-not-used ${etc}/user-.slice.d/50:2`],
    ],
    ['a prefix before 239', { [userSlice]: '[Slice]\nTasksMax=5\n' }, 237, [`file-not-used ${userSlice}:2`]],
    [
      'a type before 244',
      { [`${etc}/slice.d/x.conf`]: '[Slice]\nTasksMax=5\n' },
      243,
      [`file-not-used ${etc}/slice.d/x.conf:2`],
    ],
    [
      'a directory of that name nobody reads',
      { '/etc/systemd/login.conf.d/s.conf': '[login]\nUserTasksMax=5\n' },
      237,
      ['file-not-used /etc/systemd/login.conf.d/s.conf:2'],
    ],
    [
      'UserTasksMax= after its removal',
      { '/etc/systemd/logind.conf': '[Login]\nUserTasksMax=5\n' },
      252,
      ['user-tasks-max-removed /etc/systemd/logind.conf:2'],
    ],
    ['UserTasksMax= while it worked', { '/etc/systemd/logind.conf': '[Login]\nUserTasksMax=5\n' }, 237, []],
    [
      'a main file in /usr',
      { '/usr/lib/systemd/logind.conf': '[Login]\nUserTasksMax=5\n' },
      237,
      ['file-not-used /usr/lib/systemd/logind.conf:2'],
    ],
    [
      'a key in the wrong file',
      { '/etc/systemd/logind.conf': '[Login]\nTasksMax=5\n' },
      237,
      ['key-in-wrong-file /etc/systemd/logind.conf:2'],
    ],
    [
      'a file that breaks',
      { [userSlice]: '[Slice]\nTasksMax=5\n[oops\nTasksMax=6\n' },
      252,
      [`file-not-read-to-end ${userSlice}:3`],
    ],
    [
      'a drop-in hidden by one of its name',
      {
        [userSlice]: '[Slice]\nTasksMax=5\n',
        '/usr/lib/systemd/system/user-1000.slice.d/90-x.conf': '[Slice]\nTasksMax=6\n',
      },
      252,
      ['drop-in-shadowed /usr/lib/systemd/system/user-1000.slice.d/90-x.conf:'],
    ],
    [
      'set-property that a later name overrides',
      {
        '/etc/systemd/system.control/user-1000.slice.d/50-TasksMax.conf': '[Slice]\nTasksMax=800\n',
        [userSlice]: '[Slice]\nTasksMax=500\n',
      },
      252,
      ['set-property-overridden /etc/systemd/system.control/user-1000.slice.d/50-TasksMax.conf:2'],
    ],
    [
      'a percentage that set-property miswrote',
      {
        '/etc/systemd/system.control/user-1000.slice.d/50-TasksMax.conf': '[Slice]\nTasksMax=4.0%\n',
      },
      252,
      ['set-property-percent /etc/systemd/system.control/user-1000.slice.d/50-TasksMax.conf:2'],
    ],
    [
      'a relative link to a drop-in directory',
      {
        '/opt/x/d/1.conf': '[Slice]\nTasksMax=5\n',
        [`${etc}/a.slice.d`]: '->b.slice.d',
        [`${etc}/b.slice.d/1.conf`]: '[Slice]\nTasksMax=5\n',
      },
      252,
      [`drop-in-link-ignored ${etc}/a.slice.d:`],
    ],
    [
      'the same in 247',
      {
        [`${etc}/a.slice.d`]: '->b.slice.d',
        [`${etc}/b.slice.d/1.conf`]: '[Slice]\nTasksMax=5\n',
      },
      247,
      [],
    ],
    [
      'a mask that stops the reading of system.conf',
      { '/etc/systemd/system.conf.d/x.conf': '->/dev/null' },
      262,
      ['configuration-not-read /etc/systemd/system.conf.d/x.conf:'],
    ],
    ['the same in 257', { '/etc/systemd/system.conf.d/x.conf': '->/dev/null' }, 257, []],
  ])('finds %s', (_, files, version, expected) => {
    expect(codes(files, version)).toEqual(expected);
  });

  it('names files that may set a limit and could not be read, and no others', () => {
    const unread = (path: string, problem: 'too-large' | 'unreadable'): FileEntry => ({
      ...{ path, type: 'file', mode: 0o600, uid: 0, gid: 0, size: 9 },
      problem,
    });
    const tree = new FileTree([
      unread(`${etc}/a.service.d/x.conf`, 'unreadable'),
      unread(`${etc}/a.timer.d/x.conf`, 'unreadable'),
      unread('/etc/systemd/logind.conf', 'too-large'),
      unread('/etc/systemd/journald.conf', 'too-large'),
    ]);
    const found = lint({ ...context(252, {}), tree }, { units: ['a.service'] });
    expect(found.map(({ code, file }) => `${code} ${file}`)).toEqual([
      'file-not-available /etc/systemd/logind.conf',
      `file-not-available ${etc}/a.service.d/x.conf`,
    ]);
    expect(found.map(({ help }) => help)).toEqual([
      'Look into it on the host; no file of settings is that large.',
      'Read the host as root.',
    ]);
  });

  it('says what to do, each time', () => {
    const files = { [userSlice]: '[Slice]\nTaskMax=5\nTasksMax=4K\nTasksMax=0%\n[Unit]\nTasksMax=5\n' };
    const found = lint(context(252, files), { units: [] });
    expect(found).toHaveLength(4);
    for (const { help } of found) expect(help).toMatch(/\.$/);
  });

  it('never throws, whatever the files hold', () => {
    fc.assert(
      fc.property(confBytes, confBytes, fc.constantFrom(219, 237, 252, 262), (a, b, version) => {
        const meant = Buffer.concat([a, Buffer.from('\nTasksMax=5\n')]);
        const ctx = {
          ...context(version, {}),
          tree: new FileTree([file(userSlice, meant), file('/etc/systemd/logind.conf', b)]),
        };
        lint(ctx, { units: ['user-1000.slice'] });
      }),
    );
  });
});
