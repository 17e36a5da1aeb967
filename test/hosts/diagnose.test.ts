import { execFile } from 'node:child_process';
import { release } from 'node:os';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { planSchema } from '../../src/plan/plan.ts';
import { type DiagnosisJson, diagnosisSchema } from '../../src/report/diagnose-json.ts';
import { planCommand } from '../../src/report/diagnose-text.ts';
import { containersUnavailable, type LabHost, type Suite, startContainer } from '../lab/lab.ts';
import { Program, type Run } from './program.ts';

/** Each cause of a rejected fork, provoked for real; the bundled program has to name it. */

let program: Program | undefined;

/** Tries to start `$1` tasks, keeps those it got, and says in a file of /run when it has tried. */
const crowd = `#!/usr/bin/perl
my ($count, $mark) = @ARGV;
$SIG{CHLD} = 'IGNORE';
for (1..$count) { my $pid = fork; if (defined $pid && $pid == 0) { sleep; exit } }
open(my $file, '>', "/run/crowd/$mark"); close $file;
sleep;
`;

const service = (name: string, count: number, more = ''): string =>
  `[Service]\nExecStart=/usr/local/bin/crowd ${count} ${name}\n${more}`;

/** The kernel counts tasks of a uid over all containers: these two are nobody else's. */
const uid = 200_000 + 2 * process.pid;

const files = {
  '/usr/local/bin/crowd': crowd,
  '/usr/local/bin/as-alice': '#!/bin/sh\nexec setpriv --reuid=1000 --regid=1000 --clear-groups "$@"\n',
  '/etc/systemd/system/full.service': service('full', 40, '[Service]\nTasksMax=20\n'),
  '/etc/systemd/system/calm.service': service('calm', 3),
  '/etc/systemd/system/batch.slice': '[Slice]\n# for nights\nTasksMax=30\n',
  // Neither is full itself: together they fill the slice.
  '/etc/systemd/system/batch-a.service': service('batch-a', 20, 'Slice=batch.slice\nTasksMax=100\n'),
  '/etc/systemd/system/batch-b.service': service('batch-b', 20, 'Slice=batch.slice\n'),
  '/etc/systemd/system/tight.service': service('tight', 60, 'User=dora\nLimitNPROC=25\n'),
};

beforeAll(() => {
  if (containersUnavailable() === null) program = Program.build();
});
afterAll(() => program?.remove());

/** Since Linux 6.14 each pid namespace has a kernel.pid_max of its own. */
function ownPidMax(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 14);
}

class Subject {
  readonly host: LabHost;
  readonly #program: Program;
  readonly #source: readonly string[];

  constructor(program: Program, host: LabHost) {
    this.host = host;
    this.#program = program;
    this.#source = ['-t', 'root@lab', '--ssh-config', program.sshConfig({ lab: host })];
  }

  async sh(script: string): Promise<string> {
    return (await this.host.exec(script, { timeoutMs: 240_000 })).stdout.toString();
  }

  /** Starts a crowd somewhere and waits until it has tried all it wants. */
  async crowd(mark: string, start: string): Promise<void> {
    await this.sh(`mkdir -p -m 1777 /run/crowd; rm -f /run/crowd/${mark}; ${start}
      i=0; until [ -e /run/crowd/${mark} ]; do sleep 0.1; i=$((i + 1)); [ $i -lt 1200 ] || exit 1; done`);
  }

  text(...focus: readonly string[]): Promise<Run> {
    return this.#program.run('diagnose', ...this.#source, ...focus);
  }

  async diagnose(...focus: readonly string[]): Promise<DiagnosisJson> {
    const { code, stdout, stderr } = await this.#program.run('diagnose', '--json', ...this.#source, ...focus);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return diagnosisSchema.parse(JSON.parse(stdout));
  }

  /** Runs the plan that a verdict proposes, as pasted; gives what it would set. */
  async planned(verdict: DiagnosisJson['verdicts'][number] | undefined): Promise<[string, string][]> {
    const policy = verdict?.remedy?.policy;
    if (policy == null) throw new Error('no policy');
    const command = planCommand(policy, this.#source).replace(
      / tasksctl plan /,
      ` ${this.#program.file} plan --json `,
    );
    const { stdout } = await promisify(execFile)('sh', ['-c', command]);
    const { changes, refused } = planSchema.parse(JSON.parse(stdout));
    expect(refused).toEqual([]);
    return changes.map(({ title, to }) => [title, to.count]);
  }
}

const names = ({ verdicts }: DiagnosisJson): string[] => verdicts.map(({ name }) => name);

describe.skipIf(containersUnavailable() !== null).each<Suite>(['bullseye', 'bookworm', 'trixie'])(
  '%s',
  (suite) => {
    let on: Subject;

    beforeAll(async () => {
      if (program === undefined) throw new Error('the program was not built');
      on = new Subject(program, await startContainer({ suite }));
      await on.host.writeFiles(files);
      await on.sh(`for user in dora:x:${uid} erin:x:${uid + 1}; do echo $user:100::/:/bin/sh; done >>/etc/passwd
        systemctl daemon-reload`);
      await on.crowd('calm', 'systemctl start calm.service');
    });
    afterAll(() => on.host.stop());

    it('names nothing where nothing is wrong', async () => {
      const diagnosis = await on.diagnose();
      expect(diagnosis.verdicts).toEqual([]);
      expect(diagnosis.checks.map(({ what, result }) => [what, result])).toEqual([
        ['pids-counters', 'clear'],
        ['kernel-log', 'clear'],
        ['rlimit-nproc', 'clear'],
        ['threads-max', 'clear'],
        ['pid-max', 'clear'],
        ['memory', 'clear'],
      ]);
      const { stdout, code } = await on.text();
      expect(code).toBe(0);
      expect(stdout).toContain('\nNo evidence of a rejected fork.\n');
    });

    it('names a full service, where its limit is set, and a plan that raises it', async () => {
      await on.crowd('full', 'systemctl start full.service');
      const diagnosis = await on.diagnose();
      expect(names(diagnosis)).toEqual(['full.service']);
      const [verdict] = diagnosis.verdicts;
      expect(verdict).toMatchObject({
        cause: 'pids-controller',
        confidence: 'certain',
        standing: 'full',
        limit: { kind: 'unit', unit: 'full.service' },
        value: '20',
        used: 20,
        rejected: 21,
        set: { file: '/etc/systemd/system/full.service', line: 4 },
        remedy: { count: 128 },
      });
      expect(await on.planned(verdict)).toEqual([['full.service', '128']]);
      expect(names(await on.diagnose('--unit', 'full'))).toEqual(['full.service']);
      expect(names(await on.diagnose('--unit', 'calm'))).toEqual([]);
      const pid = (await on.sh('systemctl show -p MainPID --value full.service')).trim();
      const ofProcess = await on.diagnose('--pid', pid);
      expect(ofProcess.asked).toMatch(/^pid [0-9]+ \(crowd\)$/);
      expect(names(ofProcess)).toEqual(['full.service']);
      // What it was is told after there is room again, and after the limit was raised.
      await on.sh('pkill -P "$(systemctl show -p MainPID --value full.service)"; sleep 0.2');
      expect((await on.diagnose()).verdicts).toMatchObject([{ name: 'full.service', standing: 'was-full' }]);
      await on.sh('systemctl set-property --runtime full.service TasksMax=500');
      expect((await on.diagnose()).verdicts).toMatchObject([
        { name: 'full.service', standing: 'raised-since', confidence: 'likely', remedy: null },
      ]);
      await on.sh('systemctl stop full.service; systemctl revert full.service');
    });

    it('names a full slice above services that are not full themselves, whichever is asked about', async () => {
      await on.crowd('batch-a', 'systemctl start batch-a.service');
      await on.crowd('batch-b', 'systemctl start batch-b.service');
      const diagnosis = await on.diagnose();
      expect(diagnosis.verdicts).toMatchObject([
        {
          name: 'batch.slice',
          confidence: 'certain',
          standing: 'full',
          value: '30',
          used: 30,
          rejected: 12,
          set: { file: '/etc/systemd/system/batch.slice', line: 3 },
        },
      ]);
      expect(diagnosis.verdicts[0]?.evidence.join('\n')).toContain('/batch.slice/batch-b.service (12)');
      // It had no fork rejected yet; its next one will be.
      expect(names(await on.diagnose('--unit', 'batch-a.service'))).toEqual(['batch.slice']);
      expect(names(await on.diagnose('--unit', 'calm.service'))).toEqual([]);
      expect(await on.planned(diagnosis.verdicts[0])).toEqual([['batch.slice', '128']]);
      await on.sh('systemctl stop batch-a.service batch-b.service batch.slice');
    });

    describe('of a user', () => {
      /** In a login's place: a scope in the user's slice, and a service of the user's own manager. */
      const places = {
        session: 'systemd-run -q --slice=user-1000.slice --uid=1000 --scope --unit=session-x.scope',
        manager: 'as-alice env XDG_RUNTIME_DIR=/run/user/1000 systemd-run -q --user --unit=mine',
      };
      beforeAll(async () => {
        await on.sh(
          'loginctl enable-linger alice; until systemctl is-active -q user@1000.service; do sleep 0.1; done',
        );
      });

      afterEach(async () => {
        await on.sh(`pkill -KILL -x crowd; systemctl stop session-x.scope
          i=0; while pgrep -x crowd; do sleep 0.1; i=$((i + 1)); [ $i -lt 100 ] || exit 1; done
          for unit in user.slice user-1000.slice user@1000.service; do
            systemctl set-property --runtime $unit TasksMax=infinity
          done`);
        await on.crowd('calm', 'systemctl restart calm.service');
      });

      it.each([
        // The successor of UserTasksMax=, and what it was for.
        ['user-1000.slice', 'session'],
        ['session-x.scope', 'session'],
        ['user.slice', 'session'],
        ['user@1000.service', 'manager'],
      ] as const)('names %s where it is full, though a %s was refused', async (unit, place) => {
        const scope = unit === 'session-x.scope' ? ' -p TasksMax=40' : '';
        if (scope === '') await on.sh(`systemctl set-property --runtime ${unit} TasksMax=40`);
        await on.crowd('user', `${places[place]}${scope} crowd 60 user >/dev/null 2>&1 &`);
        let now: object = { standing: 'full', used: 40 };
        if (unit === 'user.slice') {
          // Nobody could log in, root neither.
          await on.sh('for i in $(seq 25); do pkill -KILL -x -n crowd; sleep 0.02; done');
          now = { standing: 'was-full' };
        }
        const { asked, verdicts } = await on.diagnose('--user', 'alice');
        expect(asked).toBe('alice (uid 1000)');
        expect(verdicts).toMatchObject([{ name: unit, confidence: 'certain', value: '40', ...now }]);
        expect(verdicts[0]?.rejected).toBeGreaterThan(10);
        if (scope === '') {
          expect(await on.planned(verdicts[0])).toEqual([[unit, '128']]);
        } else {
          await on.sh((verdicts[0]?.remedy?.commands[0] ?? []).join(' '));
          const file = '/sys/fs/cgroup/pids/user.slice/user-1000.slice/session-x.scope/pids.max';
          expect(await on.sh(`cat ${file}`)).toBe('128\n');
        }
      });
    });

    // So many processes take a while: once is enough.
    if (suite === 'bookworm') {
      it('names the limit of 12,288 that 13,000 sleeps of a user run into', async () => {
        await on.host.writeFiles({
          '/etc/systemd/system/user-.slice.d/50-limits.conf': '[Slice]\nTasksMax=12288\n',
          '/usr/local/bin/sleeps':
            '#!/bin/sh\ntrap ": >/run/crowd/sleeps; exec sleep 600" EXIT\ni=0; while [ $i -lt 13000 ]; do sleep 600 & i=$((i + 1)); done\n',
        });
        await on.sh('systemctl daemon-reload; systemctl stop user@1001.service || :');
        await on.crowd(
          'sleeps',
          'systemd-run -q --slice=user-1001.slice --uid=1001 --scope --unit=session-y.scope sleeps >/dev/null 2>&1 &',
        );
        const began = performance.now();
        const { verdicts } = await on.diagnose('--user', 'bob');
        expect(performance.now() - began).toBeLessThan(60_000);
        expect(verdicts).toMatchObject([
          {
            name: 'user-1001.slice',
            confidence: 'certain',
            standing: 'full',
            value: '12288',
            used: 12_288,
            set: { file: '/etc/systemd/system/user-.slice.d/50-limits.conf', line: 2 },
            remedy: { count: 18_432 },
          },
        ]);
        await on.sh('systemctl kill -s KILL session-y.scope');
      });
    }

    it.skipIf(!ownPidMax())('names a pid namespace that has run out of ids', async () => {
      await on.crowd(
        'ids',
        `unshare --pid --fork --mount-proc --kill-child sh -c 'echo 330 >/proc/sys/kernel/pid_max && exec crowd 400 ids' >/dev/null 2>&1 &`,
      );
      const { verdicts } = await on.diagnose();
      expect(verdicts.filter(({ cause }) => cause === 'pid-namespace')).toMatchObject([
        {
          cause: 'pid-namespace',
          standing: 'full',
          name: expect.stringMatching(/^pid namespace of (?:crowd|sh) /),
        },
      ]);
      await on.sh('pkill -KILL crowd || :; systemctl start calm.service');
    });

    it('names RLIMIT_NPROC of a service, and of a login, and where each is set', async () => {
      await on.crowd('tight', 'systemctl start tight.service');
      const dora = (await on.diagnose()).verdicts.find(({ cause }) => cause === 'rlimit-nproc');
      expect(dora).toMatchObject({
        limit: { kind: 'rlimit-nproc', uid },
        standing: 'full',
        confidence: 'likely',
        value: '25',
        used: 25,
        set: { file: '/etc/systemd/system/tight.service', line: 4 },
      });
      expect(names(await on.diagnose('--unit', 'tight'))).toEqual([dora?.name]);
      expect((await on.diagnose('--unit', 'calm')).verdicts).toEqual([]);
      await on.sh('systemctl stop tight.service');

      await on.host.writeFiles({
        '/etc/security/limits.d/50-site.conf': '# logins\n* soft nproc 4000\nerin  soft  nproc  30\n',
      });
      await on.crowd(
        'erin',
        `setpriv --reuid=erin --regid=100 --clear-groups prlimit --nproc=30:200 crowd 60 erin >/dev/null 2>&1 &`,
      );
      const erin = await on.diagnose('--user', 'erin');
      expect(erin.verdicts).toMatchObject([
        {
          cause: 'rlimit-nproc',
          name: `erin (uid ${uid + 1})`,
          used: 30,
          value: '30',
          set: { file: '/etc/security/limits.d/50-site.conf', line: 3 },
        },
      ]);
      const [command = []] = erin.verdicts[0]?.remedy?.commands ?? [];
      // As erin: the root of a lab container may lack CAP_SYS_RESOURCE.
      await on.sh(`cd /; setpriv --reuid=erin --regid=100 --clear-groups ${command.join(' ')}`);
      await on.sh('pkill -u erin || :');
    });

    it('keeps what a host calls its units off the terminal', async () => {
      await on.sh(String.raw`mkdir -p "/sys/fs/cgroup/pids/system.slice/calm.service/$(printf 'evil\033]0;x\007')"
      cd "/sys/fs/cgroup/pids/system.slice/calm.service/$(printf 'evil\033]0;x\007')"
      echo 3 >pids.max
      sh -c 'echo 0 >cgroup.procs; for i in 1 2 3 4 5; do sleep 5 & done' 2>/dev/null || :`);
      const { stdout } = await on.text();
      expect(stdout).toContain('evil\\x1b]0;x\\x07');
      expect(stdout).not.toContain('\x1b');
    });
  },
);
