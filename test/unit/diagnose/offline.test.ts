import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diagnose } from '../../../src/diagnose/diagnose.ts';
import { EVERYTHING } from '../../../src/diagnose/focus.ts';
import { isWanted, snapshotOfCollection } from '../../../src/diagnose/offline.ts';
import { type Snapshot, snapshotSchema } from '../../../src/snapshot/snapshot.ts';

function collected(files: Readonly<Record<string, string>>): Snapshot | null {
  // What is not asked for is not there.
  for (const path of Object.keys(files)) expect([path, isWanted(path)]).toEqual([path, true]);
  const snapshot = snapshotOfCollection({
    name: 'sosreport-web1',
    takenAt: '2026-01-02T03:04:05Z',
    files: new Map(Object.entries(files)),
  });
  if (snapshot !== null) expect(snapshotSchema.safeParse(snapshot).error).toBeUndefined();
  return snapshot;
}

const verdicts = (snapshot: Snapshot | null) => {
  if (snapshot === null) throw new Error('nothing was found');
  return diagnose(snapshot, { 'kernel.pid_max': null, 'kernel.threads-max': null }, EVERYTHING).verdicts;
};
const missing = (snapshot: Snapshot | null) => snapshot?.problems.map(({ part }) => part);

/** As sosreport lays it out: the host's tree, and outputs of commands. */
const sos = {
  'proc/loadavg': '0.00 0.01 0.05 1/4 4711\n',
  'proc/uptime': '200.50 90.00\n',
  'proc/meminfo': 'MemTotal: 1000 kB\nMemAvailable: 500 kB\nCommitLimit: 900 kB\nCommitted_AS: 10 kB\n',
  'proc/1/status': 'Name:\tsystemd\nUid:\t0\t0\t0\t0\nThreads:\t1\nCapEff:\t000001ffffffffff\n',
  'proc/1/limits': 'Max processes             100                  100                  processes \n',
  'proc/70/status': 'Name:\tjava\nUid:\t1000\t1000\t1000\t1000\nThreads:\t3\nCapEff:\t0000000000000000\n',
  'proc/70/limits': 'Max processes             3                    9                    processes \n',
  'sos_commands/kernel/uname_-a': 'Linux web1 4.18.0-553.el8.x86_64 #1 SMP x86_64 GNU/Linux\n',
  'sos_commands/kernel/sysctl_-a':
    'kernel.pid_max = 32768\nkernel.threads-max = 60000\nvm.overcommit_memory = 0\n',
  'sos_commands/kernel/dmesg':
    '[    1.000000] Linux version\n[  100.500000] cgroup: fork rejected by pids controller in /system.slice/app.service\n',
  'sos_commands/kernel/dmesg_-T':
    '[Fri Jan  2 03:02:25 2026] cgroup: fork rejected by pids controller in /system.slice/app.service\n',
  'sos_commands/systemd/systemctl_show_--all':
    'Version=239 (239-82.el8)\nDefaultTasksMax=100\nControlGroup=\n',
  'sos_commands/systemd/systemctl_show_service_--all':
    'Id=app.service\nNames=app.service\nLoadState=loaded\nActiveState=active\nControlGroup=/system.slice/app.service\nTasksMax=7\nTasksCurrent=7\nFragmentPath=/etc/systemd/system/app.service\n',
  'sys/fs/cgroup/pids/system.slice/pids.current': '9\n',
  'sys/fs/cgroup/pids/system.slice/pids.max': 'max\n',
  'sys/fs/cgroup/pids/system.slice/app.service/pids.current': '7\n',
  'sys/fs/cgroup/pids/system.slice/app.service/pids.max': '7\n',
  'sys/fs/cgroup/pids/system.slice/app.service/pids.events': 'max 4\n',
  'etc/systemd/system/app.service': '[Service]\nExecStart=/app\nTasksMax=7\n',
  'etc/security/limits.d/20-nproc.conf': '*  soft  nproc  3\n',
  'etc/os-release': 'ID="rhel"\nPRETTY_NAME="Red Hat Enterprise Linux 8.10"\n',
};

describe('a sosreport', () => {
  it('tells the same as the host would', () => {
    const snapshot = collected(sos);
    expect(missing(snapshot)).toEqual([]);
    expect(snapshot).toMatchObject({
      host: { hostname: 'web1', kernel: '4.18.0-553.el8.x86_64' },
      systemd: { version: 239 },
      kernel: { pidMax: 32_768, threadsMax: 60_000, tasks: 4, log: [expect.stringContaining('100.500000')] },
      cgroups: { mode: 'v1' },
    });
    expect(verdicts(snapshot)).toMatchObject([
      {
        name: 'app.service',
        confidence: 'certain',
        standing: 'full',
        rejected: 4,
        set: { file: '/etc/systemd/system/app.service', line: 3 },
      },
      {
        name: 'uid 1000',
        cause: 'rlimit-nproc',
        set: { file: '/etc/security/limits.d/20-nproc.conf', line: 1 },
      },
    ]);
    expect(verdicts(snapshot)[0]?.evidence.join('\n')).toContain('2026-01-02T03:02:25Z');
  });

  it('does not judge users by some of their processes', () => {
    const snapshot = collected({ ...sos, 'proc/loadavg': '0.00 0.01 0.05 1/900 4711\n' });
    expect(snapshot?.uids).toBeUndefined();
    expect(missing(snapshot)).toEqual(['processes']);
    expect(verdicts(snapshot).map(({ cause }) => cause)).toEqual(['pids-controller']);
  });
});

describe('a supportconfig', () => {
  const section = (kind: string, subject: string, text: string): string =>
    `#==[ ${kind} ]${'='.repeat(30)}#\n# ${subject}\n${text}\n`;
  const files = {
    'basic-environment.txt':
      section('Command', '/bin/uname -a', 'Linux node 4.4.121-92.85-default #1 SMP x86_64 GNU/Linux\n') +
      section('Configuration File', '/etc/os-release', 'ID="sles"\nVERSION_ID="12.2"\n'),
    'env.txt': section('Command', '/sbin/sysctl -a', 'kernel.pid_max = 32768\nkernel.threads-max = 60000\n'),
    'rpm.txt': section('Command', '/bin/rpm -qa --last', 'systemd-228-150.40 Fri\n'),
    'boot.txt': section(
      'Command',
      '/bin/dmesg',
      '[  100.500000] cgroup: fork rejected by pids controller in /user.slice/user-1000.slice/session-3.scope',
    ),
    'messages.txt': section(
      'Log File',
      '/var/log/messages - Last 500 Lines',
      '2026-01-02T03:02:25 node kernel: cgroup: fork rejected by pids controller in /user.slice/user-1000.slice/session-3.scope',
    ),
    'systemd.txt':
      section(
        'Command',
        "/usr/bin/systemctl show 'user-1000.slice'",
        'Id=user-1000.slice\nNames=user-1000.slice\nLoadState=loaded\nActiveState=active\nControlGroup=/user.slice/user-1000.slice\nTasksMax=12288\nTasksCurrent=12288\nTransient=yes',
      ) +
      section(
        'Command',
        "/usr/bin/systemctl show 'user.slice'",
        'Id=user.slice\nNames=user.slice\nLoadState=loaded\nActiveState=active\nControlGroup=/user.slice\nTasksMax=18446744073709551615\nTasksCurrent=12300',
      ) +
      section('Configuration File', '/etc/systemd/logind.conf', '[Login]\nUserTasksMax=12288\n') +
      section('Configuration File', '/etc/systemd/none.conf - File not found', ''),
  };

  it('is taken apart, and what systemd says stands for the counters it has not', () => {
    const snapshot = collected(files);
    expect(missing(snapshot)).toEqual(['cgroups', 'processes']);
    expect(snapshot).toMatchObject({
      host: { hostname: 'node', kernel: '4.4.121-92.85-default' },
      systemd: { version: 228 },
      kernel: { log: [expect.stringMatching(/^\[ {2}100/)] },
    });
    expect(verdicts(snapshot)).toMatchObject([
      { name: 'user-1000.slice', standing: 'full', confidence: 'likely', value: 12_288n, used: 12_288 },
    ]);
  });
});

describe('any directory', () => {
  it('of logs alone says what they say, and what is missing', () => {
    const line =
      'Jan  2 03:02:25 web1 kernel: cgroup: fork rejected by pids controller in /system.slice/x.service';
    const snapshot = collected({ 'var/log/messages': `${line}\nother\n` });
    expect(missing(snapshot)).toEqual(['cgroups', 'units', 'systemd', 'kernel', 'files', 'processes']);
    expect(verdicts(snapshot)).toMatchObject([
      { name: '/system.slice/x.service', confidence: 'likely', standing: 'was-full', remedy: null },
    ]);
  });

  it('with nothing of use is none', () => {
    expect(collected({})).toBeNull();
    expect(collected({ 'etc/hostname': 'web1\n' })).toBeNull();
    expect(isWanted('etc/shadow')).toBe(false);
    expect(isWanted('home/alice/.ssh/id_ed25519')).toBe(false);
  });

  it('of nonsense does no harm', () => {
    const paths = fc.constantFrom(...Object.keys(sos), 'boot.txt', 'systemd.txt');
    const text = fc
      .array(
        fc.constantFrom(
          '#==[ ',
          'Command ]==#\n',
          '# /bin/dmesg\n',
          'Id=a\n',
          'max',
          '\n',
          '-1',
          '9',
          '\0',
          'ü',
          ' ',
        ),
      )
      .map((words) => words.join(''));
    fc.assert(
      fc.property(fc.dictionary(paths, text), (files) => {
        const snapshot = collected(files);
        if (snapshot !== null) verdicts(snapshot);
      }),
      { numRuns: 200 },
    );
  });
});
