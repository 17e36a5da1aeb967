import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseProbe } from '../../../src/snapshot/parse-probe.ts';
import { type Snapshot, snapshotSchema } from '../../../src/snapshot/snapshot.ts';

type FrameTexts = readonly (readonly [name: string, payload: string])[];

function outputOf(frames: FrameTexts): Buffer {
  const encoded = frames.map(([name, payload]) => `@${name} ${Buffer.byteLength(payload)}\n${payload}\n`);
  return Buffer.from(`tasksctl-probe 1\n${encoded.join('')}@end 0\n\n`);
}

function parse(frames: FrameTexts): Snapshot {
  const result = parseProbe(outputOf(frames), 'local');
  if (result.kind !== 'ok') throw new Error(result.kind);
  expect(snapshotSchema.safeParse(result.snapshot).error).toBeUndefined();
  return result.snapshot;
}

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex').replace(/../g, ' $&');

/** A host on cgroup v2 with one thing of each kind. */
const host: FrameTexts = [
  [
    'facts',
    [
      '/proc/sys/kernel/hostname:db1',
      '/proc/sys/kernel/osrelease:6.1.0-41-amd64',
      '/proc/sys/kernel/random/boot_id:5d1c1f2c-9a51-4a3c-8a7b-3a1be4bb8d7e',
      '/proc/sys/kernel/pid_max:4194304',
      '/proc/sys/kernel/threads-max:7868',
      '/proc/loadavg:0.00 0.01 0.05 1/137 4711',
      '/proc/meminfo:MemTotal:        1010240 kB',
      '/proc/meminfo:MemFree:          10240 kB',
      '/proc/1/comm:systemd',
      '/proc/self/status:Name:\tgrep',
      '/proc/self/status:Uid:\t1000\t0\t0\t0',
      '/sys/devices/system/cpu/online:0-3,8',
      '/sys/fs/selinux/enforce:1',
      '/etc/machine-id:0f5c3b1a6f8e4f0d9a6f3e0a1d2c4b5e',
      '/etc/os-release:ID=debian',
      '/etc/os-release:VERSION_ID="12"',
      "/etc/os-release:NAME='A:B'",
    ].join('\n'),
  ],
  ['clock', '2026-01-02T03:04:05Z'],
  ['machine', 'x86_64'],
  ['user', 'root\nalice'],
  ['flags', ' etc-writable systemd'],
  [
    'mounts',
    '25 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n' +
      '30 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate',
  ],
  [
    'manager',
    'Version=252.39-1~deb12u1\nFeatures=+PAM\nVirtualization=kvm\nSystemState=degraded\n' +
      'UnitPath=/etc/systemd/system /lib/systemd/system\nDefaultTasksMax=1180\nControlGroup=',
  ],
  ['pids-root', '/sys/fs/cgroup'],
  [
    'pids',
    [
      './system.slice/a:b c.service/pids.max:512',
      './system.slice/a:b c.service/pids.current:7',
      './system.slice/a:b c.service/pids.peak:9',
      './system.slice/a:b c.service/pids.events:max 3',
      './system.slice/pids.max:max',
      './pids.max:7/pids.max:4',
      './pids.current:3',
    ].join('\n'),
  ],
  [
    'files',
    [
      '41ed 0 0 4096 /etc/systemd/system///etc/systemd/system',
      '81a4 0 0 9 /etc/systemd/system/a.slice///etc/systemd/system/a.slice',
      '8180 7 8 2 /etc/systemd/system/bin.slice///etc/systemd/system/bin.slice',
      'a1ff 0 0 9 /etc/systemd/system/b.service///etc/systemd/system/b.service -> /dev/null',
      '81a4 0 0 5000000 /etc/systemd/system/c.service.d/big.conf///etc/systemd/system/c.service.d/big.conf',
      '41ed 0 0 40 /etc/systemd/system/multi-user.target.wants///etc/systemd/system/multi-user.target.wants',
      '81a4 0 0 40 /etc/systemd/system/x.timer///etc/systemd/system/x.timer',
      '11a4 0 0 0 /etc/systemd/system/fifo.conf///etc/systemd/system/fifo.conf',
    ].join('\n'),
  ],
  [
    'contents',
    `3 /etc/systemd/system/a.slice\n2 /etc/systemd/system/bin.slice\n\n${hex('a\r\n')}\n${hex('\xff\0')}`,
  ],
  [
    'units',
    'Id=ssh.service\nNames=ssh.service sshd.service\nLoadState=loaded\nActiveState=active\nSubState=running\n' +
      'FragmentPath=/lib/systemd/system/ssh.service\nDropInPaths=/a.conf "/b \\"c\\".conf" "/t\\tab.conf"\n' +
      'ControlGroup=/system.slice/ssh.service\nSlice=system.slice\nNeedDaemonReload=yes\nTransient=no\n' +
      'TasksMax=18446744073709551615\nTasksCurrent=[not set]\nMainPID=0\nLimitNPROC=7868\n\n' +
      'Id=gone.service\nNames=gone.service\nLoadState=not-found\nActiveState=inactive\n\n' +
      'Id=-.slice\nNames=-.slice\nLoadState=loaded\nActiveState=active\nControlGroup=/\nTasksMax=infinity\nTasksCurrent=12',
  ],
  ['generators', 'b-generator\na-generator\nb-generator'],
  [
    'sessions',
    [
      '/run/systemd/sessions/7:# This is private data. Do not parse.',
      '/run/systemd/sessions/7:UID=1000',
      '/run/systemd/sessions/7:USER=alice',
      '/run/systemd/sessions/7:SCOPE=session-7.scope',
      '/run/systemd/sessions/7:LEADER=640',
      '/run/systemd/sessions/7:REMOTE_HOST=a=b',
      '/run/systemd/users/1000:NAME=alice',
      '/run/systemd/users/1000:STATE=active',
    ].join('\n'),
  ],
  ['linger', '1001 bob\n'],
  [
    'processes',
    '/proc/1/status:Name:\tsystemd\n/proc/1/status:Uid:\t0\t0\t0\t0\n' +
      '/proc/1/limits:Max processes             3934                 unlimited            processes ',
  ],
  ['kernel-log', '[ 1.0] cgroup: fork rejected by pids controller in /a'],
  ['problem', 'kernel-log no-permission why not'],
];

describe('parseProbe', () => {
  it('makes a snapshot of what the probe prints', () => {
    const snapshot = parse(host);
    expect(snapshot).toEqual({
      schema: 'tasksctl/snapshot/1',
      target: 'local',
      takenAt: '2026-01-02T03:04:05Z',
      host: {
        hostname: 'db1',
        kernel: '6.1.0-41-amd64',
        machine: 'x86_64',
        osRelease: { ID: 'debian', VERSION_ID: '12', NAME: 'A:B' },
        bootId: '5d1c1f2c-9a51-4a3c-8a7b-3a1be4bb8d7e',
        machineId: '0f5c3b1a6f8e4f0d9a6f3e0a1d2c4b5e',
        virtualization: 'kvm',
        container: false,
        pid1: 'systemd',
        etc: 'rw',
        selinux: 'enforcing',
      },
      probe: { uid: 0, user: 'root', sudoUser: 'alice' },
      systemd: {
        version: 252,
        banner: 'systemd 252 (252.39-1~deb12u1)\n+PAM',
        running: true,
        unitPath: ['/etc/systemd/system', '/lib/systemd/system'],
        defaultTasksMax: '1180',
        controlGroup: '',
        generators: ['a-generator', 'b-generator'],
        state: 'degraded',
      },
      cgroups: {
        mode: 'v2',
        pidsRoot: '/sys/fs/cgroup',
        eventsScope: 'forking',
        tree: [
          { path: '/', current: 3 },
          { path: '/pids.max:7', max: 4 },
          { path: '/system.slice', max: 'max' },
          { path: '/system.slice/a:b c.service', max: 512, current: 7, peak: 9, events: 3 },
        ],
      },
      kernel: {
        pidMax: 4194304,
        threadsMax: 7868,
        tasks: 137,
        memTotalKiB: 1010240,
        cpus: 5,
        log: ['[ 1.0] cgroup: fork rejected by pids controller in /a'],
      },
      files: [
        { path: '/etc/systemd/system', type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 4096 },
        {
          path: '/etc/systemd/system/a.slice',
          type: 'file',
          mode: 0o644,
          uid: 0,
          gid: 0,
          size: 3,
          text: 'a\r\n',
        },
        {
          path: '/etc/systemd/system/b.service',
          type: 'symlink',
          mode: 0o777,
          uid: 0,
          gid: 0,
          size: 9,
          target: '/dev/null',
        },
        {
          path: '/etc/systemd/system/bin.slice',
          type: 'file',
          mode: 0o600,
          uid: 7,
          gid: 8,
          size: 2,
          base64: '/wA=',
        },
        {
          path: '/etc/systemd/system/c.service.d/big.conf',
          type: 'file',
          mode: 0o644,
          uid: 0,
          gid: 0,
          size: 5000000,
          problem: 'too-large',
        },
        { path: '/etc/systemd/system/fifo.conf', type: 'other', mode: 0o644, uid: 0, gid: 0, size: 0 },
      ],
      units: [
        {
          id: '-.slice',
          load: 'loaded',
          active: 'active',
          cgroup: '/',
          tasksMax: 'infinity',
          tasksCurrent: '12',
        },
        {
          id: 'ssh.service',
          names: ['sshd.service'],
          load: 'loaded',
          active: 'active',
          sub: 'running',
          fragment: '/lib/systemd/system/ssh.service',
          dropIns: ['/a.conf', '/b "c".conf', '/t\tab.conf'],
          cgroup: '/system.slice/ssh.service',
          slice: 'system.slice',
          needDaemonReload: true,
          tasksMax: 'infinity',
          limitNproc: '7868',
        },
      ],
      sessions: [
        { id: '7', uid: 1000, user: 'alice', scope: 'session-7.scope', leader: 640, remoteHost: 'a=b' },
      ],
      users: [
        { uid: 1000, name: 'alice', linger: false, state: 'active' },
        { uid: 1001, name: 'bob', linger: true },
      ],
      rlimits: [{ pid: 1, comm: 'systemd', uid: 0, soft: '3934', hard: 'infinity' }],
      problems: [
        { part: 'kernel-log', reason: 'no-permission', detail: 'why not' },
        {
          part: 'files',
          reason: 'too-large',
          detail: '/etc/systemd/system/c.service.d/big.conf has 5000000 bytes and was not read',
        },
      ],
    } satisfies Snapshot);
  });

  it('is not mistaken for a probe where there is none', () => {
    for (const text of ['', 'Last login\n', 'tasksctl-probe 1\n@end 0\n\n']) {
      expect(parseProbe(Buffer.from(text), 'x')).toEqual({ kind: 'not-a-probe' });
    }
  });

  describe('never fails and always gives a snapshot that can be saved,', { timeout: 60_000 }, () => {
    const whole = outputOf(host);
    const check = (output: Buffer): Snapshot | null => {
      const result = parseProbe(output, 'x');
      if (result.kind !== 'ok') return null;
      expect(snapshotSchema.safeParse(result.snapshot)).toEqual({ success: true, data: result.snapshot });
      return result.snapshot;
    };

    it('cut off at any byte', () => {
      for (let length = 0; length < whole.length - 1; length++) {
        const snapshot = check(whole.subarray(0, length));
        if (snapshot !== null) {
          expect(snapshot.problems[0]).toMatchObject({ part: 'probe', reason: 'malformed' });
        }
      }
    });

    it('with bytes changed', () => {
      const change = fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }));
      fc.assert(
        fc.property(fc.array(change, { minLength: 1, maxLength: 20 }), (changes) => {
          const output = Buffer.from(whole);
          for (const [at, byte] of changes) output[at] = byte;
          check(output);
        }),
        { numRuns: 200 },
      );
    });

    it('with any payload in any frame', () => {
      const names = [...new Set(host.map(([name]) => name))];
      const scraps = host.flatMap(([, payload]) => payload.split(/(?<=[\n:=|/ ])/));
      const payload = fc.array(
        fc.oneof(
          fc.constantFrom(
            ...scraps,
            '\n',
            '\n\n',
            ' -> ',
            "'",
            '9'.repeat(30),
            '-1',
            '__proto__',
            'constructor',
          ),
          fc.string({ unit: 'binary', maxLength: 5 }),
        ),
        { maxLength: 30 },
      );
      const frame = fc.tuple(
        fc.constantFrom(...names),
        payload.map((parts) => parts.join('')),
      );
      fc.assert(
        fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
          check(outputOf([...host, ...frames]));
          check(outputOf(frames));
        }),
        { numRuns: 200 },
      );
    });

    it('with a flood of problems', () => {
      const snapshot = check(
        outputOf([
          ...host,
          ...Array.from({ length: 5000 }, () => ['problem', `files failed ${'x'.repeat(5000)}`] as const),
        ]),
      );
      expect(snapshot?.problems).toHaveLength(200);
      expect(snapshot?.problems.every(({ detail }) => detail.length <= 500)).toBe(true);
    });
  });

  it('takes no prototype from os-release', () => {
    const snapshot = parse([
      ['facts', '/etc/os-release:__proto__=x\n/etc/os-release:[constructor]\n/etc/os-release:ID=a'],
    ]);
    expect(Object.keys(snapshot.host.osRelease)).toEqual([]);
    expect(Object.getPrototypeOf(snapshot.host.osRelease)).toBe(Object.prototype);
  });

  it('prefers /etc/os-release to the vendor copy', () => {
    const lines = ['/usr/lib/os-release:ID=old', '/etc/os-release:ID=new'];
    expect(parse([['facts', lines.join('\n')]]).host.osRelease).toEqual({ ID: 'new' });
    expect(parse([['facts', lines[0] ?? '']]).host.osRelease).toEqual({ ID: 'old' });
  });

  it('has no systemd where none is installed', () => {
    expect(parse([['flags', '']]).systemd).toBeNull();
  });

  it.each<[string, number, string]>([
    ['systemd 219\n+PAM', 219, 'systemd 219\n+PAM'],
    ['systemd 257 (257.13-1~deb13u1)\n+PAM', 257, 'systemd 257 (257.13-1~deb13u1)\n+PAM'],
  ])('knows the version of a systemd that is not running: %j', (text, version, banner) => {
    expect(parse([['systemd-version', text]]).systemd).toMatchObject({ version, banner, running: false });
  });

  it.each([
    ['219', 219],
    ['systemd 219', 219],
    ['239 (239-78.el8)', 239],
    ['v257.13', null],
  ])('reads the manager version %j', (text, version) => {
    expect(parse([['manager', `Version=${text}`]]).systemd?.version ?? null).toBe(version);
  });

  it('takes the place of systemd in its container off the paths of units', () => {
    const unit = (id: string, cgroup: string): string =>
      `Id=${id}\nLoadState=loaded\nActiveState=active\nControlGroup=${cgroup}`;
    const snapshot = parse([
      ['manager', 'Version=252\nControlGroup=/docker/abc'],
      [
        'units',
        [
          unit('-.slice', '/docker/abc'),
          unit('a.service', '/docker/abc/a'),
          unit('b.service', '/docker/abcd'),
        ].join('\n\n'),
      ],
    ]);
    expect(snapshot.units.map(({ id, cgroup }) => [id, cgroup])).toEqual([
      ['-.slice', '/'],
      ['a.service', '/a'],
      ['b.service', '/docker/abcd'],
    ]);
  });

  describe('tells how pids.events counts:', () => {
    const v2 = (options: string): string => `30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 ${options}`;
    const v1 = '39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids';
    it.each([
      ['Linux 6.1', v2('rw,nsdelegate'), './a/pids.events:max 1', 'v2', 'forking'],
      ['Linux 6.12', v2('rw,nsdelegate'), './a/pids.events.local:max 1', 'v2', 'limiting'],
      ['pids_localevents', v2('rw,pids_localevents'), './a/pids.events.local:max 1', 'v2', 'forking'],
      ['cgroup v1', v1, './a/pids.events:max 1', 'v1', 'forking'],
      [
        'hybrid',
        `${v1}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`,
        '',
        'hybrid',
        'forking',
      ],
    ])('%s', (_, mounts, pids, mode, scope) => {
      const { cgroups } = parse([
        ['mounts', mounts],
        ['pids-root', '/x'],
        ['pids', pids],
      ]);
      expect([cgroups.mode, cgroups.eventsScope]).toEqual([mode, scope]);
    });

    it('not at all without the controller', () => {
      expect(parse([['mounts', '']]).cgroups).toEqual({
        mode: 'none',
        pidsRoot: null,
        eventsScope: null,
        tree: [],
      });
    });
  });

  describe('tells how /etc can be written:', () => {
    const root = '/proc/self/status:Uid:\t0\t0\t0\t0';
    const user = '/proc/self/status:Uid:\t1000\t1000\t1000\t1000';
    const mount = (place: string, options: string): string =>
      `25 1 254:1 / ${place} ${options} - ext4 /dev/vda1 rw`;
    it.each<[string, string, string, string, string]>([
      ['root', root, 'etc-writable', mount('/', 'rw'), 'rw'],
      ['root', root, '', mount('/', 'rw'), 'read-only'],
      ['user', user, '', mount('/', 'rw,relatime'), 'rw'],
      ['user', user, '', mount('/', 'ro,relatime'), 'read-only'],
      ['user', user, '', `${mount('/', 'ro')}\n${mount('/etc', 'rw')}`, 'rw'],
      ['ostree', root, 'etc-writable ostree', '', 'ostree'],
      ['nixos', root, 'etc-writable nixos', '', 'nixos'],
      ['flatcar', `${root}\n/etc/os-release:ID=flatcar`, 'etc-writable', '', 'flatcar'],
    ])('%s %#', (_, facts, flags, mounts, etc) => {
      const snapshot = parse([
        ['facts', facts],
        ['flags', flags],
        ['mounts', mounts],
      ]);
      expect(snapshot.host.etc).toBe(etc);
    });
  });
});

describe('files of the probe', () => {
  const files = (...rows: string[]): Snapshot['files'] => parse([['files', rows.join('\n')]]).files;

  it.each([
    ['GNU stat, names as they are', '/d/a|b -> c\\x2d', '/d/a|b -> c\\x2d -> ../x\\y -> z'],
    ['busybox stat, links in quotes', '/d/a|b -> c\\x2d', "'/d/a|b -> c\\x2d' -> '../x\\y -> z'"],
  ])('understands the links of %s', (_, name, shown) => {
    expect(files(`a1ff 0 0 5 ${name}//${shown}`)).toMatchObject([{ path: name, target: '../x\\y -> z' }]);
  });

  it('understands the links of old GNU stat, all quoted and escaped', () => {
    const rows = ["81a4 0 0 5 /d/a//'/d/a'", "a1ff 0 0 5 /d/b\\x//'/d/b\\\\x' -> 'it\\'s\\\\y'"];
    expect(files(...rows)).toMatchObject([{ path: '/d/a' }, { path: '/d/b\\x', target: "it's\\y" }]);
  });

  it('drops names that go through a link, which are those of other files', () => {
    const rows = [
      'a1ff 0 0 4 /d/x.service.d///d/x.service.d -> /opt',
      '81a4 0 0 5 /d/x.service.d/a.conf///d/x.service.d/a.conf',
      '81a4 0 0 5 /opt/a.conf///opt/a.conf',
    ];
    expect(files(...rows).map(({ path }) => path)).toEqual(['/d/x.service.d', '/opt/a.conf']);
  });

  it('says so where files changed while they were read', () => {
    const snapshot = parse([
      ['files', '81a4 0 0 5 /d/a///d/a\n81a4 0 0 5 /d/b///d/b'],
      ['contents', `5 /d/a\n5 /d/b\n\n${hex('123456789')}`],
    ]);
    expect(snapshot.files).toMatchObject([{ problem: 'unreadable' }, { problem: 'unreadable' }]);
    expect(snapshot.files[0]).not.toHaveProperty('text');
    expect(snapshot.problems).toMatchObject([{ part: 'files', reason: 'malformed' }]);
  });

  it('says which files could not be read', () => {
    const snapshot = parse([
      ['files', '8180 0 0 5 /d/a.conf///d/a.conf'],
      ['unreadable', '\n/d/a.conf\n/d/other'],
    ]);
    expect(snapshot.files).toMatchObject([{ path: '/d/a.conf', problem: 'unreadable' }]);
    expect(snapshot.problems).toEqual([
      { part: 'files', reason: 'no-permission', detail: '/d/a.conf cannot be read' },
    ]);
  });

  it('keeps a byte order mark and any UTF-8 as text', () => {
    const bytes = '\xef\xbb\xbf[Slice]\n# \xe2\x82\xac\0';
    const snapshot = parse([
      ['files', '81a4 0 0 1 /d/a///d/a'],
      ['contents', `${bytes.length} /d/a\n\n${hex(bytes)}`],
    ]);
    expect(Buffer.from(snapshot.files[0]?.text ?? '')).toEqual(Buffer.from(bytes, 'latin1'));
  });
});
