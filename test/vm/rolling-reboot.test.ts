import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runsSchema } from '../../src/report/apply-json.ts';
import { rolloutSchema } from '../../src/report/rollout-json.ts';
import { Program, pidsMax, type Run, type Running } from '../hosts/program.ts';
import { cgroupV1, type LabHost, labUnavailable, startVm } from '../lab/lab.ts';

/** A rollout that reboots machines with kernels of their own one after the other, and whose controller dies meanwhile. */

const NAMES = ['db1', 'db2', 'db3'];

/** A reboot takes most of a minute; several times that where the processors are busy with other things. */
const PATIENT = { timeout: 1_800_000 };

describe.skipIf(labUnavailable() !== null)('a rolling reboot', PATIENT, () => {
  const hosts = new Map<string, LabHost>();
  let program: Program;
  beforeAll(async () => {
    program = Program.build();
    process.env['XDG_STATE_HOME'] = join(program.dir, 'state');
    await Promise.all(
      NAMES.map(async (name) => {
        // Where a daemon-reload leaves the limits of running units alone, so that one can be made to wait.
        hosts.set(name, await startVm({ suite: 'trixie', kernelArgs: cgroupV1 }));
      }),
    );
  });
  afterAll(async () => {
    delete process.env['XDG_STATE_HOME'];
    await Promise.all([...hosts.values()].map((host) => host.stop()));
    program?.remove();
  });
  const onAll = <T>(task: (host: LabHost) => Promise<T>): Promise<T[]> =>
    Promise.all([...hosts.values()].map(task));
  const text = async (host: LabHost, script: string): Promise<string> =>
    (await host.exec(script)).stdout.toString().trim();

  it('has one host down at a time, also over kill -9 of the controller, and each reboots once', async () => {
    const connection = ['--ssh-config', program.sshConfig(Object.fromEntries(hosts)), '--timeout', '300'];
    const inventory = program.write('hosts.ini', `[db]\n${NAMES.join('\n')}\n[db:vars]\nansible_user=root\n`);
    const policy = program.write(
      'policy.yaml',
      'schema: tasksctl/policy/1\nname: test\nservice-default:\n  value: 2000\n',
    );
    const saved = join(program.dir, 'fleet.ndjson');
    const hooks = program.write('hooks', '');
    const hook = (what: string) => `echo "${what} $TASKSCTL_HOST $(date +%s)" >>${hooks}`;
    const ended = async (running: Running): Promise<Run & { states: string[] }> => {
      const run = await running.ended;
      if (run.stdout === '') throw new Error(run.stderr);
      return { ...run, states: rolloutSchema.parse(JSON.parse(run.stdout)).hosts.map(({ state }) => state) };
    };

    await onAll((host) =>
      host.writeFiles({
        // It says when the machine goes down.
        '/etc/systemd/system/batch.service':
          '[Service]\nSlice=batch.slice\nExecStart=/bin/sleep infinity\nExecStop=/bin/sh -c "date +%%s >/stopped"\n[Install]\nWantedBy=multi-user.target\n',
      }),
    );
    await onAll((host) => host.exec('systemctl -q enable batch'));
    const before = await onAll((host) => text(host, 'cat /proc/sys/kernel/random/boot_id'));
    const plan = await program.run('plan', '-i', inventory, '-p', policy, '--out', saved, ...connection);
    expect(plan.code, plan.stderr).toBe(0);
    // Comes up after the plans were made, so no step of them writes its limit: it waits for a restart.
    await onAll((host) => host.exec('systemctl start batch'));

    const [first] = hosts.values();
    // Boots of a machine wait for each other: this one is in the queue for all three.
    await first?.reboot(async () => {
      const go = program.start(
        ...['rollout', saved, '--yes', '--json', '--reboot', '--serial', '100%'],
        ...['--max-unavailable', 'db=1', '--drain', hook('drain'), '--undrain', hook('undrain')],
        ...['--dead-man', '240', ...connection],
      );
      let over = false;
      void go.ended.then(() => {
        over = true;
      });
      while (!over && restarts(hosts.get('db2')) === 0) await new Promise((wake) => setTimeout(wake, 100));
      go.child.kill('SIGKILL');
      expect(await go.ended, (await go.ended).stderr).toMatchObject({ code: -1 });
      const [id = ''] = readdirSync(join(program.dir, 'state/tasksctl/rollouts'));
      const resumed = await ended(program.start('rollout', '--resume', id, '--json', ...connection));
      expect(resumed, resumed.stdout).toMatchObject({ code: 0, states: NAMES.map(() => 'applied') });
    });

    const told = readFileSync(hooks, 'utf8').trim().split('\n');
    const order = told.map((line) => line.replace(/ [0-9]+$/, ''));
    // The hook before a reboot may run again after a crash.
    expect(order.filter((line, i) => line !== order[i - 1])).toEqual(
      NAMES.flatMap((name) => [`drain ${name}`, `undrain ${name}`]),
    );
    const boots = new Set(before);
    for (const [name, host] of hosts) {
      // The door to it is still to the machine before its reboot.
      await host.linkDown();
      await host.linkUp();
      expect([restarts(host), await pidsMax(host, 'batch.service')], name).toEqual([1, '2000']);
      boots.add(await text(host, 'cat /proc/sys/kernel/random/boot_id'));
      // By its own clock it was down between the two hooks, and no two hosts' are at the same time.
      const at = (what: string): number =>
        Number(told.find((line) => line.startsWith(`${what} ${name} `))?.split(' ')[2]);
      const down = Number(await text(host, 'cat /stopped'));
      const up = Number(await text(host, 'sed -n "s/^btime //p" /proc/stat'));
      const times = [at('drain'), down, up, at('undrain')];
      for (const [i, time] of times.entries())
        expect(time, `${name}: ${times}`).toBeGreaterThan((times[i - 1] ?? 0) - 3);
      const { stdout } = await program.run('runs', '-t', `root@${name}`, '--json', ...connection);
      const { runs } = runsSchema.parse(JSON.parse(stdout));
      expect(
        runs.map(({ state }) => state),
        name,
      ).toEqual(['applied']);
    }
    expect(boots.size).toBe(new Set(before).size + NAMES.length);
  });
});

/** How often the machine's kernel has restarted it, by its own word. */
function restarts(host: LabHost | undefined): number {
  const log = readFileSync(host?.consoleLog ?? '', 'latin1');
  return log.split('reboot: Restarting system').length - 1;
}
