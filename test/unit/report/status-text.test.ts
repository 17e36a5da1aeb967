import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explainText } from '../../../src/report/explain-text.ts';
import { displayWidth } from '../../../src/report/layout.ts';
import { statusText } from '../../../src/report/status-text.ts';
import { createStyle, PLAIN } from '../../../src/report/style.ts';
import type { SafeText } from '../../../src/report/terminal-escape.ts';
import type { HostLimits, UnitLimit } from '../../../src/snapshot/limits.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import {
  assignment,
  exampleLimits,
  exampleSnapshot,
  exampleUnits,
  fromFile,
  resolved,
  unitRow,
  userSlice,
} from './example-host.ts';

const ANY = { all: false, globs: [], over: null };
const terminal = (width: number, color = false) => createStyle({ color, unicode: true, width });
const widest = (text: string) => Math.max(...text.split('\n').map((line) => displayWidth(line as SafeText)));

describe('statusText', () => {
  it('goes to a file with all columns, nothing cut, nothing drawn beyond ASCII', () => {
    const text = statusText(exampleSnapshot, exampleLimits, { filter: ANY, tree: false }, PLAIN);
    expect(text).toMatchInlineSnapshot(`
      "web1
      Debian GNU/Linux 12 (bookworm), systemd 252, Linux 6.1.0-18-amd64, cgroup v2
      Read          2025-06-01T03:00:00Z as root
      Kernel        812 tasks exist; threads-max 31000, pid_max 4194304
      Each user     500, /etc/systemd/system/user-.slice.d/50-limits.conf:2
      Each service  15% = 4650, built-in default of systemd 252

      UNIT             USED             TASKS  PEAK     LIMIT  REJ  BOUND BY                 OWN  OWN SET BY
      user-1000.slice  [#######.]  98%    490   500       500   17  itself                   500  /etc/systemd/system/user-.slice.d/50-limits.conf:2
      session-7.scope  [#######.]  98%    480   490       500   17  user-1000.slice     infinity  -
      -.slice          [#.......]   3%    812     -     31000    -  kernel.threads-max  infinity  no limit: slices have none by default
      system.slice     [#.......]   3%    300     -  infinity    -  -                   infinity  -
      user.slice       [#.......]   3%    500     -  infinity    -  -                   infinity  -
      nginx.service    [#.......]  <1%      9    12      4650    0  itself                  4650  built-in default of systemd 252

      6 of 8 units and cgroups; --all shows the inactive and the unlimited ones
      "
    `);
    expect(text).toMatch(/^[\n\x20-\x7e]*$/);
  });

  it('draws the tree', () => {
    const filter = { ...ANY, all: true };
    expect(statusText(exampleSnapshot, exampleLimits, { filter, tree: true }, PLAIN)).toMatchInlineSnapshot(`
      "web1
      Debian GNU/Linux 12 (bookworm), systemd 252, Linux 6.1.0-18-amd64, cgroup v2
      Read          2025-06-01T03:00:00Z as root
      Kernel        812 tasks exist; threads-max 31000, pid_max 4194304
      Each user     500, /etc/systemd/system/user-.slice.d/50-limits.conf:2
      Each service  15% = 4650, built-in default of systemd 252

      UNIT                   USED             TASKS  PEAK     LIMIT  REJ  BOUND BY                 OWN  OWN SET BY
      -.slice                [#.......]   3%    812     -     31000    -  kernel.threads-max  infinity  no limit: slices have none by default
      |-system.slice         [#.......]   3%    300     -  infinity    -  -                   infinity  -
      | |-nginx.service      [#.......]  <1%      9    12      4650    0  itself                  4650  built-in default of systemd 252
      | |-box                -                    3     -  infinity    -  -                   infinity  -
      | \`-backup.service     -                    -     -  infinity    -  -                          -  -
      \`-user.slice           [#.......]   3%    500     -  infinity    -  -                   infinity  -
        \`-user-1000.slice    [#######.]  98%    490   500       500   17  itself                   500  /etc/systemd/system/user-.slice.d/50-limits.conf:2
          \`-session-7.scope  [#######.]  98%    480   490       500   17  user-1000.slice     infinity  -
      "
    `);
  });

  it('fits 80 columns, keeping the names whole and the ends of paths', () => {
    const text = statusText(exampleSnapshot, exampleLimits, { filter: ANY, tree: false }, terminal(80));
    expect(text).toMatchInlineSnapshot(`
      "web1
      Debian GNU/Linux 12 (bookworm), systemd 252, Linux 6.1.0-18-amd64, cgroup v2
      Read          2025-06-01T03:00:00Z as root
      Kernel        812 tasks exist; threads-max 31000, pid_max 4194304
      Each user     500, /etc/systemd/system/user-.slice.d/50-limits.conf:2
      Each service  15% = 4650, built-in default of systemd 252

      UNIT             USED         TASKS  PEAK     LIMIT  REJ  BOUND BY
      user-1000.slice  █████▉  98%    490   500       500   17  …ce.d/50-limits.conf:2
      session-7.scope  █████▉  98%    480   490       500   17  user-1000.slice
      -.slice          ▏░░░░░   3%    812     -     31000    -  kernel.threads-max
      system.slice     ▏░░░░░   3%    300     -  infinity    -  -
      user.slice       ▏░░░░░   3%    500     -  infinity    -  -
      nginx.service    ▏░░░░░  <1%      9    12      4650    0  default

      6 of 8 units and cgroups; --all shows the inactive and the unlimited ones
      "
    `);
  });

  it('shows a tree with what is above the selected units', () => {
    const filter = { ...ANY, globs: ['session-*'] };
    const text = statusText(exampleSnapshot, exampleLimits, { filter, tree: true }, PLAIN);
    const names = text
      .split('\n')
      .flatMap((line) => /^[ `|]*-?-?(-\.slice|[a-z]\S*\.(?:slice|scope)) /.exec(line)?.[1] ?? []);
    expect(names).toEqual(['-.slice', 'user.slice', 'user-1000.slice', 'session-7.scope']);
  });

  it('says so when no unit passes the filters', () => {
    const filter = { ...ANY, globs: ['nothing*'] };
    const text = statusText(exampleSnapshot, exampleLimits, { filter, tree: false }, PLAIN);
    expect(text).toContain('No unit to show: none of 8 passes the filters.\n');
  });

  it('says where the room is least if that is not where the limit is lowest', () => {
    const unit = unitRow('import.service', {
      effective: { count: 80n, by: { kind: 'unit', unit: 'import.service' } },
      headroom: { tasks: 28n, at: { kind: 'unit', unit: 'batch.slice' } },
      utilization: 0.72,
    });
    const limits = { ...exampleLimits, units: [unit] };
    const text = statusText(exampleSnapshot, limits, { filter: ANY, tree: false }, PLAIN);
    expect(text).toContain('itself; 28 left in batch.slice');
  });

  it('names a bare cgroup in a list by its path', () => {
    const text = statusText(
      exampleSnapshot,
      exampleLimits,
      { filter: { ...ANY, all: true }, tree: false },
      PLAIN,
    );
    expect(text).toContain('\n/system.slice/docker.service/box ');
  });

  it('says whose eyes read the host', () => {
    const probe = { uid: 1000, user: 'alice', sudoUser: null };
    const text = statusText(
      { ...exampleSnapshot, probe },
      exampleLimits,
      { filter: ANY, tree: false },
      PLAIN,
    );
    expect(text).toContain('as alice, who may not see everything\n');
  });

  it('paints the nearly full red and the near yellow', () => {
    const row = (name: string, utilization: number) => unitRow(name, { utilization });
    const limits = {
      ...exampleLimits,
      units: [row('a.service', 0.95), row('b.service', 0.8), row('c.service', 0.79)],
    };
    const [, a, b, c] = statusText(exampleSnapshot, limits, { filter: ANY, tree: false }, terminal(80, true))
      .split('\n')
      .slice(-5);
    expect(a).toContain('\x1b[31m');
    expect(b).toContain('\x1b[33m');
    expect(c).toContain('\x1b[32m');
  });
});

describe('explainText', () => {
  it('does not say that no file sets a limit where one could not be read', () => {
    const unread = [
      {
        code: 'file-not-available',
        severity: 'warning',
        message: 'it was too large',
        file: '/etc/\x1b.conf',
      },
    ] as const;
    const unit = exampleLimits.units.find(({ configured }) => configured?.limit.assignments.length === 0);
    if (unit?.configured == null) throw new Error('no such unit');
    const limits = { ...unit, configured: { ...unit.configured, unread } };
    const text = explainText(exampleSnapshot, exampleLimits, limits, PLAIN);
    expect(text).toContain('  no file that could be read sets it\n');
    expect(text).toContain('  unread   /etc/\\x1b.conf\n           it was too large\n');
    expect(explainText(exampleSnapshot, exampleLimits, unit, PLAIN)).toContain('  no file sets it\n');
  });

  it('lists every assignment with its fate, the three values, the levels, and the kernel log', () => {
    expect(explainText(exampleSnapshot, exampleLimits, userSlice, PLAIN)).toMatchInlineSnapshot(`
      "user-1000.slice on web1
      Debian GNU/Linux 12 (bookworm), systemd 252, Linux 6.1.0-18-amd64, cgroup v2
      Effective  500 tasks, its own
      In use     490 tasks, 10 more can be created, 98% used, peak 500
      Rejected   17 forks (of processes in this very cgroup, whichever limit was hit)

      Set in files, in the order systemd applies them
        loses    /usr/lib/systemd/system/user-.slice.d/10-defaults.conf:15  [Slice] TasksMax=33%
        wins     /etc/systemd/system/user-.slice.d/50-limits.conf:2  [Slice] TasksMax=500
        ignored  /etc/systemd/system/user-1000.slice.d/60-more.conf:2  [Slice] TasksMax=4K (size suffix)
        so       500: /etc/systemd/system/user-.slice.d/50-limits.conf:2

      What each says
        files    500       what they come to on this host
        systemd  500       systemctl show; not evidence of what is enforced
        kernel   500       pids.max, which is what is enforced

      On the way up, the lowest limit binds
        LEVEL               TASKS     LIMIT     LEFT
        user-1000.slice       490       500       10  <- binds
        user.slice            500  infinity        -
        -.slice               812         -        -
        kernel.threads-max    812     31000    30188
        kernel.pid_max        812   4194304  4193492

      RLIMIT_NPROC, counted per user id over all cgroups
        alice, session 7 (sshd, pid 640): soft 3934, hard 3934

      Kernel log (one line per cgroup, at its first rejected fork)
        [ 9.1] cgroup: fork rejected by pids controller in /user.slice/user-1000.slice/session-7.scope
      "
    `);
  });

  it('fits 80 columns but for the lines of the kernel log', () => {
    const snapshot = { ...exampleSnapshot, kernel: { ...exampleSnapshot.kernel, log: [] } };
    for (const unit of exampleUnits) {
      expect(widest(explainText(snapshot, exampleLimits, unit, terminal(80)))).toBeLessThanOrEqual(80);
    }
  });

  it('says when files, manager and kernel disagree, and whether a reload is due', () => {
    const unit: UnitLimit = { ...userSlice, live: 400n };
    const limits = { ...exampleLimits, units: exampleUnits.map((row) => (row === userSlice ? unit : row)) };
    const text = explainText(exampleSnapshot, limits, unit, PLAIN);
    expect(text).toContain(
      '  They differ: a change was not applied to the running unit, or was made by hand.',
    );
    const units = [{ id: 'user-1000.slice', load: 'loaded', active: 'active', needDaemonReload: true }];
    expect(explainText({ ...exampleSnapshot, units }, limits, unit, PLAIN)).toContain(
      'a daemon-reload is due',
    );
  });

  it('shows what the default a service falls back to is made of', () => {
    const own = assignment({
      file: '/etc/systemd/system.conf',
      line: 40,
      section: 'Manager',
      key: 'DefaultTasksMax',
      raw: '80%',
    });
    const managerDefault = {
      ...exampleLimits.managerDefault,
      limit: resolved([own]),
      provenance: fromFile(own),
    };
    const nginx = exampleUnits.find(({ name }) => name === 'nginx.service') ?? userSlice;
    const text = explainText(exampleSnapshot, { ...exampleLimits, managerDefault }, nginx, PLAIN);
    expect(text).toContain('  wins     /etc/systemd/system.conf:40  [Manager] DefaultTasksMax=80%');
  });

  it('finds the kernel lines of a cgroup and of those below it, not of one whose name only begins alike', () => {
    const log = [
      'in /user.slice/user-1000.slice',
      'in /user.slice/user-1000.slice/x.scope',
      'in /user.slice/user-1000.slicex',
    ];
    const snapshot = { ...exampleSnapshot, kernel: { ...exampleSnapshot.kernel, log } };
    const text = explainText(snapshot, exampleLimits, userSlice, PLAIN);
    expect(text).toContain(`  ${log[0]}\n  ${log[1]}\n`);
    expect(text).not.toContain('slicex');
  });

  it('says what the counter of rejected forks counts', () => {
    const cgroups = { ...exampleSnapshot.cgroups, eventsScope: 'limiting' as const };
    const text = explainText({ ...exampleSnapshot, cgroups }, exampleLimits, userSlice, PLAIN);
    expect(text).toContain('17 forks (at this limit, by anything below it)');
  });
});

describe('a host that wants to harm the terminal', () => {
  const hostile = fc.string({ unit: 'binary' }).map((text) => `${text}\x1b[2J\n\u202e`);

  it('reaches it with no byte but text, line breaks and our own colours', () => {
    fc.assert(
      fc.property(hostile, fc.boolean(), fc.boolean(), (text, color, tree) => {
        const { snapshot, limits, unit } = hostileHost(text);
        const style = terminal(80, color);
        const filter = { ...ANY, all: true };
        const shown = [
          statusText(snapshot, limits, { filter, tree }, style),
          statusText(snapshot, limits, { filter, tree }, PLAIN),
          explainText(snapshot, limits, unit, style),
        ].join('');
        const own = color ? /\x1b\[(?:1|2|22|3[1236]|39)m/g : /(?!)/g;
        expect(shown.replace(own, '')).toMatch(/^(?:[^\p{Cc}\p{Cf}\p{Cs}]|\n)*$/u);
      }),
      { numRuns: 40 },
    );
  });
});

/** A host every text of which is the same. */
function hostileHost(text: string): { snapshot: Snapshot; limits: HostLimits; unit: UnitLimit } {
  const bad = assignment({
    file: text,
    section: text,
    key: text,
    raw: text,
    outcome: 'ignored',
    reason: text,
  });
  const provenance = { kind: 'default', text } as const;
  const limit = {
    limit: resolved([bad]),
    value: { kind: 'infinity' },
    count: 'infinity',
    provenance,
  } as const;
  const unit = unitRow(text, {
    cgroup: `/${text}`,
    configured: limit,
    effective: { count: 1n, by: { kind: 'cgroup', path: text } },
    headroom: { tasks: 1n, at: { kind: 'unit', unit: text } },
  });
  const bare = unitRow(text, {
    type: 'cgroup',
    ref: { kind: 'cgroup', path: text },
    cgroup: `/${text}/${text}`,
  });
  return {
    unit,
    limits: {
      ...exampleLimits,
      units: [unit, bare],
      userDefault: { ...limit, where: 'none' },
      managerDefault: { ...limit, manager: null },
    },
    snapshot: {
      ...exampleSnapshot,
      takenAt: text,
      host: { ...exampleSnapshot.host, hostname: text, kernel: text, osRelease: { PRETTY_NAME: text } },
      probe: { uid: 1, user: text, sudoUser: text },
      kernel: { ...exampleSnapshot.kernel, log: [`in /${text}`] },
      units: [{ id: text, load: text, active: text, limitNproc: '1' }],
    },
  };
}
