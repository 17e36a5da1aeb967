import { describe, expect, it } from 'vitest';
import { diagnose } from '../../../src/diagnose/diagnose.ts';
import { EVERYTHING, type Focus } from '../../../src/diagnose/focus.ts';
import type { Verdict } from '../../../src/diagnose/verdict.ts';
import type { Snapshot, SnapshotUid } from '../../../src/snapshot/snapshot.ts';
import { type AHost, aHost } from '../snapshot/a-host.ts';

const NO_ORIGINS = { 'kernel.pid_max': null, 'kernel.threads-max': null } as const;

function verdictsOf(snapshot: Snapshot, focus: Partial<Focus> = {}): readonly Verdict[] {
  return diagnose(snapshot, NO_ORIGINS, { ...EVERYTHING, ...focus }).verdicts;
}

/** A service of 20 under a slice of 30. */
const chain = (service: object, slice: object, more: AHost = {}): Snapshot => {
  const host = aHost({ kernel: { pidMax: 32_768, threadsMax: 60_000, tasks: 300, log: [] }, ...more });
  host.cgroups.tree.push({ path: '/web.slice', max: 30, events: 0, ...slice });
  host.cgroups.tree.push({ path: '/web.slice/a.service', max: 20, events: 0, ...service });
  return host;
};
const A = '/web.slice/a.service';

describe('pids controller, counted where the task was that forked', () => {
  it('has nothing to say of a healthy host', () => {
    expect(verdictsOf(chain({ current: 5, peak: 9 }, { current: 8, peak: 12 }))).toEqual([]);
  });

  it('takes the first full limit on the way up', () => {
    expect(verdictsOf(chain({ current: 20, peak: 20, events: 3 }, { current: 25, peak: 25 }))).toMatchObject([
      { name: 'a.service', confidence: 'certain', standing: 'full', rejected: 3, value: 20n },
    ]);
    expect(verdictsOf(chain({ current: 4, peak: 9, events: 3 }, { current: 30, peak: 30 }))).toMatchObject([
      { name: 'web.slice', confidence: 'certain', standing: 'full', rejected: 3, value: 30n },
    ]);
  });

  it('goes by the peak where there is room again', () => {
    expect(verdictsOf(chain({ current: 2, peak: 9, events: 1 }, { current: 3, peak: 30 }))).toMatchObject([
      { name: 'web.slice', confidence: 'certain', standing: 'was-full' },
    ]);
    // Both were reached: the lower one stands in the way first.
    expect(verdictsOf(chain({ current: 2, peak: 20, events: 1 }, { current: 3, peak: 30 }))).toMatchObject([
      { name: 'a.service', confidence: 'likely', standing: 'was-full' },
    ]);
  });

  it('goes by the lowest where old kernels keep no peak', () => {
    expect(verdictsOf(chain({ current: 2, events: 1 }, { current: 3 }))).toMatchObject([
      { name: 'a.service', confidence: 'likely', standing: 'was-full' },
    ]);
  });

  it('sees that it was raised since, and proposes nothing then', () => {
    const raised = verdictsOf(chain({ current: 2, peak: 9, events: 1 }, { current: 3, peak: 12 }));
    expect(raised).toMatchObject([{ standing: 'raised-since', confidence: 'likely', remedy: null }]);
    const removed = verdictsOf(
      chain({ current: 2, peak: 9, events: 4, max: 'max' }, { current: 3, max: 'max' }),
    );
    expect(removed).toMatchObject([{ name: 'a.service', standing: 'raised-since', rejected: 4 }]);
  });

  it('warns of a full cgroup nothing was rejected in yet', () => {
    expect(verdictsOf(chain({ current: 20, peak: 20 }, { current: 25, peak: 25 }))).toMatchObject([
      { name: 'a.service', confidence: 'possible', standing: 'full', rejected: null },
    ]);
  });

  it('adds up who was rejected by one limit, and says what is next', () => {
    const host = chain({ current: 4, peak: 9, events: 3 }, { current: 30, peak: 30 });
    host.cgroups.tree.push({ path: '/web.slice/b.service', max: 'max', current: 20, peak: 21, events: 4 });
    host.cgroups.tree.push({ path: '/web.slice', max: 30, current: 30, peak: 30, events: 0 });
    const [verdict] = verdictsOf(host);
    expect(verdict).toMatchObject({ name: 'web.slice', rejected: 7, remedy: { count: 128 } });
    expect(verdict?.evidence.join('\n')).toContain('/web.slice/b.service (4), /web.slice/a.service (3)');
    const tight = chain({ current: 20, peak: 20, events: 3 }, { current: 28, peak: 28 });
    expect(verdictsOf(tight)[0]?.remedy?.notes.join('\n')).toContain('then web.slice is next: 28 of 30');
  });
});

describe('pids controller, counted where the limit is', () => {
  it('believes the counter', () => {
    const host = chain(
      { current: 4, peak: 9, events: 0, eventsLocal: 0 },
      { current: 29, peak: 30, events: 5, eventsLocal: 5 },
      { eventsScope: 'limiting' },
    );
    expect(verdictsOf(host)).toMatchObject([
      { name: 'web.slice', confidence: 'certain', standing: 'was-full', rejected: 5 },
    ]);
  });
});

describe('the kernel log', () => {
  const line = (path: string) => `[  100.500000] cgroup: fork rejected by pids controller in ${path}`;
  const withLog = (path: string, host: Partial<Snapshot['host']> = {}) =>
    chain(
      { current: 4, peak: 9 },
      { current: 5, peak: 30 },
      { host, kernel: { log: [line(path)], uptimeSeconds: 200.5, tasks: 300 } },
    );

  it('speaks for cgroups that are gone, with the time', () => {
    const [verdict] = verdictsOf(withLog('/web.slice/gone.scope'));
    expect(verdict).toMatchObject({ name: 'web.slice', confidence: 'likely', rejected: null });
    // 100 s before the snapshot was taken.
    expect(verdict?.evidence.join('\n')).toContain('2026-01-02T03:02:25Z');
  });

  it('is not believed in a container, where it is of the whole machine', () => {
    expect(verdictsOf(withLog('/lxc/other/web.slice/gone.scope', { container: true }))).toEqual([]);
  });

  it('knows the limit of a unit that was ended', () => {
    const host = aHost({
      files: { '/etc/systemd/system/job.service': '[Service]\nTasksMax=7\n' },
      units: [{ id: 'job.service', use: null }],
      kernel: { log: [line('/system.slice/job.service')] },
    });
    expect(verdictsOf(host)).toMatchObject([
      {
        name: 'job.service',
        value: 7n,
        confidence: 'likely',
        set: { file: '/etc/systemd/system/job.service', line: 2 },
      },
    ]);
  });
});

describe('focus', () => {
  const host = () => chain({ current: 20, peak: 20, events: 3 }, { current: 30, peak: 30 });
  const names = (focus: Partial<Focus>) => verdictsOf(host(), focus).map(({ name }) => name);

  it('is the unit, what is above and what is below it', () => {
    expect(names({ cgroups: [A] })).toEqual(['a.service', 'web.slice']);
    expect(names({ cgroups: ['/web.slice/b.service'] })).toEqual(['web.slice']);
    expect(names({ cgroups: ['/web.slice'] })).toEqual(['a.service', 'web.slice']);
    expect(names({ cgroups: ['/web.slicer/x.service'] })).toEqual([]);
    expect(names({ cgroups: ['/'] })).toEqual([]);
  });
});

describe('RLIMIT_NPROC', () => {
  const alice = (tasks: number, limit: Partial<SnapshotUid['limits'][number]> = {}): SnapshotUid => ({
    uid: 1000,
    tasks,
    limits: [{ soft: '100', hard: '200', tasks, pid: 7, comm: 'sh', cgroups: ['/user.slice/x'], ...limit }],
  });
  const host = (...uids: SnapshotUid[]): Snapshot => ({
    ...aHost({
      files: {
        '/etc/security/limits.conf': '* soft nproc 100\n',
        '/etc/security/limits.d/20-a.conf':
          '@dev - nproc 100\nalice soft nproc 100 # hers\nbob soft nproc 100\n',
      },
      users: [{ uid: 1000, name: 'alice', linger: false }],
    }),
    uids,
  });

  it('is full when the user has as many tasks, and says whose line it is', () => {
    expect(verdictsOf(host(alice(100)))).toMatchObject([
      {
        cause: 'rlimit-nproc',
        name: 'alice (uid 1000)',
        confidence: 'likely',
        standing: 'full',
        set: { file: '/etc/security/limits.d/20-a.conf', line: 2 },
        remedy: { count: 192, commands: [['prlimit', '--pid=7', '--nproc=192:']] },
      },
    ]);
    expect(verdictsOf(host(alice(94)))).toEqual([]);
    expect(verdictsOf(host(alice(96)))).toMatchObject([{ standing: 'nearly-full', confidence: 'possible' }]);
  });

  it('does not hold for those who are exempt, nor without a limit', () => {
    expect(verdictsOf(host(alice(500, { exempt: true })))).toEqual([]);
    expect(verdictsOf(host(alice(500, { soft: 'infinity' })))).toEqual([]);
  });

  it('counts for a unit only if it runs as that user', () => {
    expect(verdictsOf(host(alice(100)), { cgroups: ['/user.slice'] })).toHaveLength(1);
    expect(verdictsOf(host(alice(100)), { cgroups: ['/system.slice'] })).toEqual([]);
  });

  it('is unknown where not all processes were seen', () => {
    const { checks } = diagnose(aHost(), NO_ORIGINS, EVERYTHING);
    expect(checks.find(({ what }) => what === 'rlimit-nproc')?.result).toBe('unknown');
  });
});

describe('ceilings of the kernel', () => {
  const kernel = (more: Partial<Snapshot['kernel']>) => verdictsOf(aHost({ kernel: more }));

  it('are full where there is no more room than reading takes', () => {
    expect(kernel({ threadsMax: 1000, tasks: 990 })).toMatchObject([
      {
        cause: 'threads-max',
        standing: 'full',
        remedy: { policy: { kernel: { 'threads-max': { value: 2048 } } } },
      },
    ]);
    expect(kernel({ threadsMax: 1000, tasks: 960 })).toMatchObject([{ standing: 'nearly-full' }]);
    expect(kernel({ threadsMax: 1000, tasks: 900 })).toEqual([]);
  });

  it('know that the lowest ids are not used twice', () => {
    expect(kernel({ pidMax: 32_768, tasks: 32_460 })).toMatchObject([{ cause: 'pid-max', standing: 'full' }]);
    expect(kernel({ pidMax: 4_194_304, tasks: 4_194_000, threadsMax: 5_000_000 })).toMatchObject([
      { cause: 'pid-max', remedy: { count: null, policy: null } },
    ]);
  });

  it('of a container are its own pid namespace', () => {
    const inside = aHost({
      host: { container: true },
      kernel: { pidMax: 700, tasks: 9000, threadsMax: 60_000 },
    });
    expect(verdictsOf(inside)).toEqual([]);
    const tasks = { uid: 0, tasks: 390, limits: [] };
    expect(verdictsOf({ ...inside, uids: [tasks] })).toMatchObject([{ cause: 'pid-max', used: 390 }]);
  });

  it('of a pid namespace below are named with a process in it', () => {
    const host = (pidMax: number | 'full'): Snapshot => ({
      ...aHost(),
      pidNamespaces: [{ inode: 9, tasks: 200, pidMax, pid: 77, comm: 'init' }],
    });
    expect(verdictsOf(host(1000))).toEqual([]);
    expect(verdictsOf(host(500))).toMatchObject([
      { cause: 'pid-namespace', name: 'pid namespace of init (pid 77)', standing: 'full' },
    ]);
    expect(verdictsOf(host('full'))).toMatchObject([{ cause: 'pid-namespace', value: null, used: 200 }]);
  });

  it('of memory count only where the kernel keeps to what it promised', () => {
    const memory = { availableKiB: 9000, committedKiB: 99, commitLimitKiB: 100, overcommit: 2 };
    expect(kernel({ memory })).toMatchObject([{ cause: 'memory', confidence: 'possible' }]);
    expect(kernel({ memory: { ...memory, overcommit: 0 } })).toEqual([]);
  });
});

describe('the order', () => {
  it('puts what stops forks now before what did', () => {
    const host = chain({ current: 2, peak: 20, events: 900 }, { current: 3, peak: 29 });
    host.cgroups.tree.push({ path: '/full.slice', max: 5, current: 5, peak: 5, events: 1 });
    expect(verdictsOf(host).map(({ name }) => name)).toEqual(['full.slice', 'a.service']);
  });
});
