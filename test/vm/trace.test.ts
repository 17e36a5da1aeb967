import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DiagnosisJson, diagnosisSchema } from '../../src/report/diagnose-json.ts';
import { traceSchema } from '../../src/report/trace-json.ts';
import { Program, type Run, type Running } from '../hosts/program.ts';
import { type LabHost, labUnavailable, startVm } from '../lab/lab.ts';

/**
 * What needs a kernel of its own: kprobes, the kernel's ceilings, cgroup v2. The bundled program over a real sshd, on
 * an emulated machine.
 */

/** Emulation is slow, and the machine under it may be busy. */
const PATIENCE = ['--timeout', '200'];

/**
 * Forks until it was refused `$1` times, then runs `$2` and stays with its children, or ends them at once. Whatever it
 * runs it runs without a fork: there may be none to be had.
 */
const fill = `#!/usr/bin/perl
my ($refusals, $stay, %set) = @ARGV;
sub set { my ($file, $value) = @_; open(my $to, '>', $file) or die "$file: $!"; print $to $value; close $to or die "$file: $!"; }
sub get { open(my $from, '<', $_[0]) or die; my $text = <$from>; chomp $text; return $text; }
my %was = map { $_ => get($_) } keys %set;
for my $file (keys %set) { set($file, $set{$file} =~ /^\\+(\\d+)$/ ? (split m{[ /]}, get('/proc/loadavg'))[4] + $1 : $set{$file}); }
my (@children, $refused);
while (($refused // 0) < $refusals && @children < 2000) {
  my $pid = fork;
  if (!defined $pid) { $refused++; next }
  if ($pid == 0) { sleep; exit }
  push @children, $pid;
}
if ($stay) { for my $file (keys %set) { set($file, get($file) + 40) } }
else { kill 'KILL', @children; waitpid $_, 0 for @children; set($_, $was{$_}) for keys %was; }
set('/run/filled', "$refused\\n");
sleep if $stay;
`;

const filled =
  'i=0; until [ -e /run/filled ]; do sleep 0.3; i=$((i + 1)); [ $i -lt 300 ] || exit 1; done; rm /run/filled';

const files = {
  '/usr/local/bin/fill': fill,
  '/etc/systemd/system/full.service': '[Service]\nTasksMax=10\nExecStart=/usr/local/bin/fill 3 1\n',
};

const shellOf =
  (host: () => LabHost) =>
  async (script: string): Promise<string> =>
    (await host().exec(script, { timeoutMs: 240_000 })).stdout.toString().trim();

/** Has forks refused by each check there is. */
async function refuse(sh: (script: string) => Promise<string>): Promise<void> {
  await sh(`systemctl start full.service; ${filled}`);
  await sh(`setpriv --reuid=1001 --clear-groups prlimit --nproc=5:5 perl -e '
    for (1..8) { my $pid = fork; if (defined $pid && $pid == 0) { sleep 20; exit } } sleep 4' 2>/dev/null || :`);
  await sh(`fill 3 0 /proc/sys/kernel/threads-max +40; ${filled}`);
  await sh(`fill 3 0 /proc/sys/kernel/pid_max 420; ${filled}`);
}

/** All of `refuse`, and nothing but that. */
function expectAllNamed({ code, stdout }: Run): void {
  const trace = traceSchema.parse(JSON.parse(stdout));
  expect({ code, complete: trace.complete, absent: trace.absent, lost: trace.lost }).toEqual({
    code: 0,
    complete: true,
    absent: [],
    lost: 0,
  });
  const seen = (refusedBy: string) => trace.forks.filter((fork) => fork.refusedBy === refusedBy);
  expect(seen('pids-controller')).toHaveLength(3);
  expect(seen('pids-controller')[0]).toMatchObject({
    comm: 'fill',
    uid: 0,
    cgroup: '/system.slice/full.service',
    errno: 'EAGAIN',
    at: expect.stringMatching(/^20[0-9]{2}-.*Z$/),
  });
  expect(seen('rlimit-nproc').map(({ uid, errno }) => [uid, errno])).toContainEqual([1001, 'EAGAIN']);
  expect(seen('threads-max').length).toBeGreaterThanOrEqual(3);
  expect(seen('pid-max').length).toBeGreaterThanOrEqual(3);
  expect(seen('unknown')).toEqual([]);
}

describe.skipIf(labUnavailable() !== null)('trace, and diagnose of a whole kernel', () => {
  let program: Program;
  let host: LabHost;
  let source: string[] = [];

  beforeAll(async () => {
    program = Program.build();
    host = await startVm({ suite: 'bookworm' });
    source = ['-t', 'root@lab', '--ssh-config', program.sshConfig({ lab: host }), ...PATIENCE];
    await host.writeFiles({
      ...files,
      '/etc/systemd/user/mine.service': '[Service]\nTasksMax=8\nExecStart=/usr/local/bin/mine\n',
      '/usr/local/bin/mine':
        '#!/usr/bin/perl\nfor (1..20) { my $pid = fork; if (defined $pid && $pid == 0) { sleep; exit } }\nsleep;\n',
    });
    // Somebody else's tracing.
    await sh(`cd /sys/kernel/tracing && mkdir instances/other && echo 'p:other/theirs do_exit' >>kprobe_events
      echo 1 >instances/other/events/other/theirs/enable; systemctl daemon-reload`);
  }, 400_000);
  afterAll(async () => {
    await host?.stop();
    program?.remove();
  });

  const sh = shellOf(() => host);

  /** What is set in the kernel for tracing, but for what was set by somebody else. */
  const left = (): Promise<string> =>
    sh(`cd /sys/kernel/tracing && { ls instances; cat kprobe_events; } | grep -v other || :`);
  const untilGone = async (): Promise<void> => {
    await expect.poll(left, { timeout: 60_000, interval: 1000 }).toBe('');
    expect(await sh('cd /sys/kernel/tracing && cat instances/other/events/other/theirs/enable')).toBe('1');
    await expect.poll(() => sh(`pgrep -f 'sh -[s]' || :`), { timeout: 30_000, interval: 1000 }).toBe('');
  };

  /** Starts to trace and waits until the probes are set. */
  async function start(...options: readonly string[]): Promise<Running> {
    const running = program.start('trace', ...source, ...options);
    await expect
      .poll(() => sh('cat /sys/kernel/tracing/instances/tasksctl_*/events/tasksctl_*/forkret/enable || :'), {
        timeout: 120_000,
        interval: 500,
      })
      .toBe('1');
    return running;
  }

  it('names the check that refused each fork, and removes everything', async () => {
    const { ended } = await start('--json', '--duration', '45s');
    await refuse(sh);
    expectAllNamed(await ended);
    await sh('systemctl stop full.service');
    await untilGone();
  });

  it('names none where none fails', async () => {
    const { ended } = await start('--duration', '3s');
    const { code, stdout } = await ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'No fork failed in 3 s.\n' });
    await untilGone();
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('removes everything after %s', async (signal) => {
    const { child, ended } = await start('--duration', '10m');
    child.kill(signal);
    const { code, stdout } = await ended;
    if (signal === 'SIGINT') {
      expect(code).toBe(130);
      expect(stdout).toMatch(/^No fork failed in [0-9]+ s\.\n$/);
    }
    await untilGone();
  });

  it('removes what was left where all of it was killed on the host', async () => {
    const { ended } = await start('--duration', '10m');
    await sh(`pkill -KILL -x sh; sleep 1`);
    await ended;
    expect(await left()).toMatch(/tasksctl_[0-9]+_[0-9]+/);
    const next = await start('--duration', '2s');
    expect((await next.ended).code).toBe(0);
    await untilGone();
  });

  const diagnose = async (...focus: readonly string[]): Promise<DiagnosisJson> => {
    const { code, stdout, stderr } = await program.run('diagnose', '--json', ...source, ...focus);
    if (code !== 0) throw new Error(stderr);
    return diagnosisSchema.parse(JSON.parse(stdout));
  };

  it('diagnoses threads-max and pid_max, as far as that is possible afterwards', async () => {
    const ceilings = async () => (await diagnose()).verdicts.filter(({ limit }) => limit.kind === 'sysctl');
    await sh(`systemd-run -q --unit=filler fill 3 1 /proc/sys/kernel/threads-max +800; ${filled}`);
    expect(await ceilings()).toMatchObject([
      {
        cause: 'threads-max',
        limit: { kind: 'sysctl', name: 'kernel.threads-max' },
        remedy: { policy: { kernel: { 'threads-max': { value: 2048 } } } },
      },
    ]);
    await sh('systemctl stop filler; sysctl -qw kernel.threads-max=8000');
    // Nothing is near either now.
    expect(await ceilings()).toEqual([]);
    await sh(`systemd-run -q --unit=filler fill 3 1 /proc/sys/kernel/pid_max 1200; ${filled}`);
    expect(await ceilings()).toMatchObject([{ cause: 'pid-max', name: 'kernel.pid_max' }]);
    await sh('sysctl -qw kernel.pid_max=4194304; systemctl stop filler');
  });

  it("diagnoses a unit of a user's own manager, and what it proposes raises the limit", async () => {
    await sh(`loginctl enable-linger alice
      i=0; until systemctl is-active -q user@1000.service; do sleep 0.5; i=$((i + 1)); [ $i -lt 200 ] || exit 1; done
      runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 systemctl --user start mine.service`);
    await expect
      .poll(async () => (await diagnose('--user', 'alice')).verdicts.length, { timeout: 60_000 })
      .toBe(1);
    const [verdict] = (await diagnose('--user', 'alice')).verdicts;
    expect(verdict).toMatchObject({
      name: '/user.slice/user-1000.slice/user@1000.service/app.slice/mine.service',
      standing: 'full',
      value: '8',
      remedy: { policy: null, count: 128 },
    });
    await sh((verdict?.remedy?.commands[0] ?? []).join(' '));
    expect(await sh(`cat /sys/fs/cgroup${verdict?.name}/pids.max`)).toBe('128');
  });
});

describe.skipIf(labUnavailable() !== null)('trace where tracefs has no kprobe events', () => {
  let program: Program;
  let host: LabHost;
  let source: string[] = [];

  beforeAll(async () => {
    program = Program.build();
    host = await startVm({ suite: 'bookworm', packages: ['bpftrace'] });
    source = ['-t', 'root@lab', '--ssh-config', program.sshConfig({ lab: host }), ...PATIENCE];
    await host.writeFiles(files);
    await sh('mount -t tmpfs none /sys/kernel/tracing; mount -t debugfs none /mnt; systemctl daemon-reload');
  }, 600_000);
  afterAll(async () => {
    await host?.stop();
    program?.remove();
  });

  const sh = shellOf(() => host);
  /** One for each check. */
  const PROBES = 6;

  async function start(...options: readonly string[]): Promise<Running> {
    const running = program.start('trace', ...source, ...options);
    await expect
      .poll(() => sh('grep -c . /mnt/kprobes/list || :'), { timeout: 200_000, interval: 500 })
      .toBe(String(PROBES));
    return running;
  }
  const untilGone = () =>
    expect
      .poll(() => sh(`pgrep -x bpftrace; pgrep -f 'sh -[s]'; cat /mnt/kprobes/list`), {
        timeout: 60_000,
        interval: 1000,
      })
      .toBe('');

  it('names the check that refused each fork, by bpftrace', async () => {
    const { ended } = await start('--json', '--duration', '60s');
    await refuse(sh);
    expectAllNamed(await ended);
    await untilGone();
  });

  it('leaves no bpftrace behind after SIGKILL', async () => {
    const { child, ended } = await start('--duration', '10m');
    child.kill('SIGKILL');
    await ended;
    await untilGone();
  });

  it('says what is missing without bpftrace', async () => {
    await sh('mount --bind /bin/false /usr/bin/bpftrace');
    const { code, stderr } = await program.run('trace', ...source, '--duration', '2s');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('bpftrace: it says nothing'),
    });
    await sh('umount /usr/bin/bpftrace; chmod -x /usr/bin/bpftrace');
    expect((await program.run('trace', ...source, '--duration', '2s')).stderr).toContain('no bpftrace');
  });
});
