import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleLocal } from '../../src/measure/local-sampler.ts';
import { type HostProfile, profileSchema, type UnitProfile } from '../../src/measure/profile.ts';
import { Recorder } from '../../src/measure/recorder.ts';
import { planSchema } from '../../src/plan/plan.ts';
import { recommendSchema } from '../../src/report/recommend-json.ts';
import { containersUnavailable, type LabHost, startContainer } from '../lab/lab.ts';
import { Program, until } from './program.ts';

/** Measuring real hosts over a real sshd, where what there is to measure is known. */

let program: Program;

function unitOf({ units }: HostProfile, name: string): UnitProfile | undefined {
  return units.find(({ unit }) => unit === name);
}

/** Forks so many processes that sleep, and is one more itself; then tries for one more again and again. */
const CROWD = `#!/usr/bin/perl
for (1..$ARGV[0]) { my $pid = fork; if (defined $pid && $pid == 0) { sleep; exit } }
while ($ARGV[1]) { my $pid = fork; if (defined $pid && $pid == 0) { exit } select undef, undef, undef, 0.1; wait if $pid }
sleep;
`;

beforeAll(() => {
  if (containersUnavailable() === null) program = Program.build();
});
afterAll(() => program?.remove());

async function startHost(suite: 'bullseye' | 'bookworm' | 'trixie'): Promise<LabHost> {
  const host = await startContainer({ suite });
  const service = (exec: string, limit: string): string =>
    `[Service]\nTasksMax=${limit}\nExecStart=${exec}\n`;
  await host.writeFiles({
    '/usr/local/bin/crowd': CROWD,
    '/etc/systemd/system/crowd.service': service('/usr/local/bin/crowd 36', '500'),
    '/etc/systemd/system/late.service': service('/usr/local/bin/crowd 24', '500'),
    '/etc/systemd/system/tight.service': service('/usr/local/bin/crowd 19 again', '20'),
    '/etc/systemd/system/box@.service': service('/usr/local/bin/crowd %i', '500'),
  });
  await host.exec(
    'systemctl daemon-reload && systemctl start crowd.service tight.service box@3.service box@5.service',
  );
  await until('the crowd is there', async () => {
    const { stdout } = await host.exec(
      'systemctl show -p TasksCurrent --value crowd.service tight.service box@5.service',
    );
    return stdout.toString().replace(/\s+/g, ' ').trim() === '37 20 6';
  });
  return host;
}

describe.skipIf(containersUnavailable() !== null).each(['bullseye', 'bookworm', 'trixie'] as const)(
  '%s',
  (suite) => {
    let host: LabHost;
    let as: (user: string) => string[];
    beforeAll(async () => {
      host = await startHost(suite);
      const config = program.sshConfig({ lab: host });
      as = (user) => ['--ssh-config', config, '-t', `${user}@lab`];
    });
    afterAll(async () => {
      await host.stop();
    });

    const hostOf = (text: string): HostProfile => {
      const [measured] = profileSchema.parse(JSON.parse(text)).hosts;
      if (measured === undefined) throw new Error('no host was measured');
      return measured;
    };
    /** Shells and sleeps of bob, as whom the sampler runs. */
    const bobs = async (): Promise<number> =>
      Number((await host.exec('pgrep -u bob -x "sh|sleep" | wc -l')).stdout.toString());

    it('counts what there is, as a user without rights, what starts meanwhile, and what is refused', async () => {
      const file = join(program.dir, `${suite}.json`);
      const running = program.start('measure', ...as('carol'), '-d', '8s', '--interval', '500ms', '-o', file);
      await until(
        'it measures',
        async () => (await host.exec('pgrep -u carol -x sleep', { check: false })).code === 0,
      );
      await sleep(1500);
      await host.exec('systemctl start late.service');
      const { code, stdout, stderr } = await running.ended;
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^crowd\.service +37 +37 +37 +0 +1 +0$/m);
      const measured = hostOf(readFileSync(file, 'utf8'));
      expect(measured.hostname).toBe((await host.exec('hostname')).stdout.toString().trim());
      expect(measured.samples).toBeGreaterThan(5);
      const crowd = unitOf(measured, 'crowd.service');
      expect(crowd).toMatchObject({ peak: 37, rejections: 0, reached: null, burst: 0, instances: 1 });
      expect(crowd?.histogram).toEqual([[37, measured.measuredMs]]);
      const late = unitOf(measured, 'late.service');
      expect(late).toMatchObject({ peak: 25, instances: 1 });
      expect(late?.burst).toBeGreaterThan(0);
      const tight = unitOf(measured, 'tight.service');
      expect(tight).toMatchObject({ peak: 20, reached: 20 });
      // Ten tries a second, most of the measured time at least.
      expect(tight?.rejections).toBeGreaterThan(10);
      expect(unitOf(measured, 'box@.service')).toMatchObject({
        peak: 6,
        instances: 2,
        members: [
          ['box@5.service', 6],
          ['box@3.service', 4],
        ],
      });
      // The login that measured is a session of carol.
      const users = unitOf(measured, 'user-.slice');
      expect(users?.members?.length).toBeGreaterThan(0);

      const recommended = await program.run('recommend', file, '--json');
      const { units, capacity } = recommendSchema.parse(JSON.parse(recommended.stdout));
      expect(units.find(({ unit }) => unit === 'tight.service')).toMatchObject({
        truncated: true,
        confidence: 'low',
      });
      expect(units.find(({ unit }) => unit === 'crowd.service')).toMatchObject({
        truncated: false,
        limit: '64',
      });
      expect(capacity).toMatchObject([{ hostname: measured.hostname, verdict: 'enough' }]);
    });

    it('plans by what was measured of a unit that does not run now', async () => {
      await host.exec('systemctl stop tight.service crowd.service');
      const policy = join(program.dir, 'policy.yaml');
      writeFileSync(
        policy,
        'schema: tasksctl/policy/1\nname: p\nunits: { tight.service: {}, crowd.service: { value: 30 } }\n',
      );
      const run = await program.run(
        'plan',
        ...as('root'),
        '--policy',
        policy,
        '--profile',
        join(program.dir, `${suite}.json`),
        '--json',
      );
      expect(run.code).toBe(0);
      const plan = planSchema.parse(JSON.parse(run.stdout));
      const [change] = plan.changes.filter(({ title }) => title === 'tight.service');
      // 20 x 1.5 for growth, x 1.5 for headroom.
      expect(change?.to).toEqual({ text: '64', count: '64' });
      expect(change?.reason.join('\n')).toMatch(
        /peak 20 of tight\.service on .*\n.*it reached its limit of 20/,
      );
      // Never below the peak of the profile.
      expect(plan.refused.map(({ title, diagnostic }) => [title, diagnostic.code])).toEqual([
        ['crowd.service', 'below-use'],
      ]);
      await host.exec('systemctl start tight.service crowd.service');
    });

    it('keeps what was measured when it is interrupted, and leaves nothing running', async () => {
      const file = join(program.dir, `${suite}-interrupted.json`);
      const running = program.start('measure', ...as('bob'), '-d', '10m', '--interval', '300ms', '-o', file);
      await until('it measures', async () => (await bobs()) >= 2);
      await sleep(2000);
      running.child.kill('SIGINT');
      const { code, stdout } = await running.ended;
      expect(code).toBe(130);
      expect(stdout).toContain('crowd.service');
      const measured = hostOf(readFileSync(file, 'utf8'));
      expect(measured.samples).toBeGreaterThan(1);
      expect(unitOf(measured, 'crowd.service')?.peak).toBe(37);
      await until('the loop on the host is gone', async () => (await bobs()) === 0);
    });

    it('ends on the host when the connection is cut', async () => {
      const running = program.start('measure', ...as('bob'), '-d', '10m', '--interval', '300ms');
      await until('it measures', async () => (await bobs()) >= 2);
      running.child.kill('SIGKILL');
      await running.ended;
      await until('the loop on the host is gone', async () => (await bobs()) === 0);
    });

    it('keeps what it has when the host ends the connection', async () => {
      const file = join(program.dir, `${suite}-cut.json`);
      const running = program.start('measure', ...as('bob'), '-d', '10m', '--interval', '300ms', '-o', file);
      await until('it measures', async () => (await bobs()) >= 2);
      await sleep(2000);
      await host.exec('pkill -KILL -u bob -x "sshd|sshd-session"');
      const { code, stderr } = await running.ended;
      expect(code).toBe(3);
      expect(stderr).toMatch(/^error: bob@lab: the connection to .* was lost/);
      expect(unitOf(hostOf(readFileSync(file, 'utf8')), 'crowd.service')?.peak).toBe(37);
    });

    it('records by itself, which is fetched, and is removed without a trace, each by a plan', async () => {
      const by = (policy: string, ...more: string[]) =>
        program.run(...more, ...as('root'), '--policy', policy);
      const traces = async (): Promise<string> => {
        const { stdout } = await host.exec(
          `systemctl list-units --all "tasksctl*" --no-legend
          find / -xdev \\( -path /proc -o -path /var/lib/tasksctl/runs \\) -prune -o -name "tasksctl*" -print -o -name "*.samples*" -print |
            grep -v "^/run/\\|^/var/lib/tasksctl$\\|tasksctl-recover"`,
          { check: false },
        );
        return stdout.toString();
      };
      const before = await traces();
      // Faster than anybody would have it, and soon at an end, so that a second run follows.
      const operators = '/etc/systemd/system/tasksctl-recorder';
      await host.writeFiles({
        [`${operators}.service.d/test.conf`]:
          '[Service]\nEnvironment=TASKSCTL_SAMPLE_SECONDS=3 TASKSCTL_SAMPLE_CENTISECONDS=50\n',
        // The host has not been up for a minute.
        [`${operators}.timer.d/test.conf`]: '[Timer]\nOnActiveSec=0\n',
      });
      const installed = await by('recorder', 'apply', '--yes');
      expect(installed.stderr).toContain('recorder of task counts: off -> on');
      expect(installed).toMatchObject({ code: 0 });
      await until('there are two runs, the first of them compressed', async () => {
        const { stdout } = await host.exec('cd /var/lib/tasksctl-recorder && ls', { check: false });
        return /\.samples\.gz\n.*\.samples\n/.test(stdout.toString());
      });
      expect(await by('recorder', 'plan', '--detailed-exitcode')).toMatchObject({ code: 0 });
      expect(await program.run('verify', ...as('root'))).toMatchObject({ code: 0 });
      const run = await program.run('measure', ...as('carol'), '--collect', '--json');
      expect(run).toMatchObject({ code: 0, stderr: '' });
      const measured = hostOf(run.stdout);
      expect(measured.samples).toBeGreaterThan(4);
      expect(unitOf(measured, 'crowd.service')).toMatchObject({ peak: 37 });
      expect(unitOf(measured, 'tight.service')?.rejections).toBeGreaterThan(0);

      expect(await by('no-recorder', 'apply', '--yes')).toMatchObject({ code: 0 });
      await host.exec(`rm -r ${operators}.*.d; systemctl daemon-reload`);
      expect(await traces()).toBe(before);
      const none = await program.run('measure', ...as('carol'), '--collect');
      expect(none).toMatchObject({ code: 1 });
      expect(none.stderr).toContain('there are no samples');

      // The removal is undone, and so is the installation by itself.
      expect(await program.run('rollback', ...as('root'), '--yes')).toMatchObject({ code: 0 });
      expect((await host.exec('systemctl is-active tasksctl-recorder.timer')).stdout.toString()).toBe(
        'active\n',
      );
      expect(await by('no-recorder', 'apply', '--yes')).toMatchObject({ code: 0 });
      expect(await by('recorder', 'apply', '--yes')).toMatchObject({ code: 0 });
      expect(await program.run('rollback', ...as('root'), '--yes')).toMatchObject({ code: 0 });
      expect(await traces()).toBe(before);
    });

    it('counts the same without a process on this machine as on the host', async () => {
      const recorder = new Recorder();
      // The container's cgroups are this machine's.
      await sampleLocal({
        durationMs: 1500,
        intervalMs: 300,
        signal: new AbortController().signal,
        onEvent: (event) => recorder.take(event),
        pidsRoot: `/sys/fs/cgroup/pids${host.cgroupPrefix}`,
      });
      const measured = recorder.profile();
      if (measured === null) throw new Error('nothing was measured');
      expect(unitOf(measured, 'crowd.service')).toMatchObject({ peak: 37, instances: 1, rejections: 0 });
      expect(unitOf(measured, 'box@.service')).toMatchObject({ peak: 6, instances: 2 });
      expect(unitOf(measured, 'tight.service')?.rejections).toBeGreaterThan(0);
    });
  },
);

describe.skipIf(containersUnavailable() !== null)('two hosts', () => {
  it('are measured at once; one that cannot be reached does not keep the other from it', async () => {
    const [a, b] = await Promise.all([startHost('bookworm'), startHost('trixie')]);
    try {
      // Its cgroup may stay for a moment, with the peak it had.
      await b.exec(
        'systemctl stop crowd.service; while [ -d /sys/fs/cgroup/pids/system.slice/crowd.service ]; do sleep 0.1; done',
      );
      const config = program.sshConfig({ a, b });
      appendFileSync(config, 'Host c\nHostName 127.0.0.1\nPort 1\n');
      const targets = ['--ssh-config', config, '-t', 'root@a', '-t', 'root@b'];
      const started = Date.now();
      const both = await program.run('measure', ...targets, '-d', '6s', '--json');
      expect(both.code).toBe(0);
      expect(Date.now() - started).toBeLessThan(60_000);
      const { hosts } = profileSchema.parse(JSON.parse(both.stdout));
      const crowds = hosts.map((measured) => unitOf(measured, 'crowd.service')?.peak ?? 0);
      expect(crowds.sort((x, y) => x - y)).toEqual([0, 37]);
      const file = join(program.dir, 'some.json');
      const some = await program.run('measure', ...targets, '-t', 'root@c', '-d', '2s', '-o', file);
      expect(some.code).toBe(3);
      expect(some.stderr).toMatch(/^error: root@c: /m);
      expect(existsSync(file)).toBe(true);
      expect(profileSchema.parse(JSON.parse(readFileSync(file, 'utf8'))).hosts).toHaveLength(2);
    } finally {
      await Promise.all([a.stop(), b.stop()]);
    }
  });
});
