import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApplyResult } from '../../src/apply/apply-plan.ts';
import { type RollbackResult, rollbackRun } from '../../src/apply/rollback.ts';
import { containersUnavailable, type LabHost, password, startContainer, startVm } from '../lab/lab.ts';
import { Operator } from './apply-lab.ts';
import type { Task } from './fault-controller.ts';
import { atStep, changing, FaultRig, HOLD, once, WANTED } from './fault-rig.ts';

/**
 * Faults, injected for real into runs on real hosts. After each the host has its old or its new state, byte for byte
 * and limit for limit, and the next apply and rollback succeed. docs/faults.md is the table of what was seen: the test
 * fails where it differs, and writes it with `--update`.
 */

const why = containersUnavailable();

/** Every step of a script that waits for a proven login. */
const STEPS = [
  'lock',
  'unfinished',
  'preconditions',
  'space',
  'syntax',
  'backup',
  'arm',
  'stage',
  'recheck',
  'replace',
  'activate',
  'read-back',
  'commit',
];

/** One step for each state that a run can be in; what takes longer is tried at these. */
const SOME_STEPS = ['preconditions', 'backup', 'stage', 'replace', 'activate', 'commit'];

interface Trial {
  readonly fault: string;
  readonly how: string;
  /** Injects the fault, and says what the operator is told of it. */
  readonly inject: (rig: FaultRig) => Promise<string>;
  readonly on?: 'vm';
  /** It waits for long, so it is begun early. */
  readonly slow?: true;
}

/** What the operator is told, in a few words. */
function told(result: ApplyResult | RollbackResult): string {
  switch (result.kind) {
    case 'refused':
      return `refused (${result.reason})`;
    case 'restored':
      return `restored (${result.reason})`;
    case 'restore-failed':
      return 'reason' in result ? `not fully restored (${result.reason})` : 'not fully rolled back';
    case 'unreachable':
      return `not applied (${result.error.kind})`;
    case 'unknown':
      return `unknown (${result.error.kind})`;
    default:
      return result.kind;
  }
}

const TRIALS: readonly Trial[] = [
  ...STEPS.map(
    (step): Trial => ({
      fault: 'kill -9 of the script',
      how: `at step ${step}`,
      inject: async (rig) => told(await rig.disturbed((script) => atStep(script, step, 'kill -9 $$'))),
    }),
  ),
  ...['commit', 'tidy'].map(
    (step): Trial => ({
      fault: 'kill -9 of the confirmation',
      how: `at step ${step}, every time`,
      inject: async (rig) => {
        const result = await rig.disturbed((script) => brokenSaved(script, 'confirm', step), {
          deadManSeconds: 20,
        });
        return told(result);
      },
    }),
  ),
  ...['arm', 'restore'].map(
    (step): Trial => ({
      fault: 'kill -9 of a rollback',
      how: `at step ${step}, the first time`,
      inject: async (rig) => {
        const { run } = await rig.bob.applied(await rig.bob.plan(...WANTED));
        let first = true;
        const connect = changing(rig.bob.connect, (script) => {
          const broken = first ? brokenSaved(script, 'rollback', step) : script;
          first = false;
          return broken;
        });
        return told(await rollbackRun(run, { connect }));
      },
    }),
  ),
  ...SOME_STEPS.map(
    (step): Trial => ({
      fault: 'kill -9 of the controller',
      how: `at step ${step}`,
      slow: true,
      inject: async (rig) => {
        const controller = await startController(rig, step, 25);
        await rig.untilHeld();
        await controller.kill();
        await rig.release();
        await rig.untilState('restored');
        return 'nobody is there; the host goes on, waits for a login, and restores itself';
      },
    }),
  ),
  ...SOME_STEPS.map(
    (step): Trial => ({
      fault: 'link down',
      how: `from step ${step} until the controller has noticed`,
      inject: async (rig) => {
        const impatient = new Operator(rig.host, rig.dir, 'bob', undefined, [
          'ServerAliveInterval 1',
          'ServerAliveCountMax 3',
        ]);
        let noticed: () => void = () => {};
        const cut = new Promise<void>((resolve) => {
          noticed = resolve;
        });
        let connections = 0;
        const connect = async () => {
          // It asks again only once the first connection is lost.
          if (connections++ > 0) noticed();
          return impatient.connect();
        };
        const result = rig.disturbed((script) => atStep(script, step, HOLD), { connect });
        await rig.untilHeld();
        await rig.host.linkDown();
        await cut;
        await rig.release();
        await rig.host.linkUp();
        return told(await result);
      },
    }),
  ),
  {
    fault: 'link down',
    how: 'for a moment, at step activate',
    inject: async (rig) => {
      const result = rig.disturbed((script) => atStep(script, 'activate', HOLD));
      await rig.untilHeld();
      await rig.host.linkDown();
      await rig.release();
      await rig.untilState('awaiting');
      await rig.host.linkUp();
      return told(await result);
    },
  },
  {
    fault: 'link down',
    how: 'from step activate, for longer than the dead man waits',
    inject: async (rig) => {
      const result = rig.disturbed((script) => atStep(script, 'activate', HOLD), { deadManSeconds: 10 });
      await rig.untilHeld();
      await rig.host.linkDown();
      await rig.release();
      await rig.untilState('restored');
      await rig.host.linkUp();
      return told(await result);
    },
  },
  {
    fault: 'reboot',
    how: 'at step activate: files replaced, not read yet',
    inject: async (rig) => {
      const result = rig.disturbed((script) => atStep(script, 'activate', HOLD));
      await rig.untilHeld();
      await rig.host.reboot();
      return told(await result);
    },
  },
  {
    fault: 'reboot',
    how: 'at step commit: activated, not confirmed',
    inject: async (rig) => {
      const result = rig.disturbed((script) => atStep(script, 'commit', HOLD));
      await rig.untilHeld();
      await rig.host.reboot();
      return told(await result);
    },
  },
  {
    fault: 'disk full',
    how: '/etc/systemd/system, from the start',
    inject: (rig) => fullDisk(rig, '/etc/systemd/system'),
  },
  {
    fault: 'disk full',
    how: '/var/lib/tasksctl, from the start',
    inject: (rig) => fullDisk(rig, '/var/lib/tasksctl'),
  },
  ...['stage', 'replace', 'activate'].map(
    (step): Trial => ({
      fault: 'disk full',
      how: `/etc/systemd/system, from step ${step}`,
      inject: (rig) => diskFillsUp(rig, '/etc/systemd/system', step),
    }),
  ),
  ...['backup', 'stage', 'activate', 'commit'].map(
    (step): Trial => ({
      fault: 'disk full',
      how: `/var/lib/tasksctl, from step ${step}`,
      inject: (rig) => diskFillsUp(rig, '/var/lib/tasksctl', step),
    }),
  ),
  {
    fault: 'read-only file system',
    how: '/etc/systemd, from the start',
    inject: async (rig) => {
      await rig.host.exec('mount --bind /etc/systemd /etc/systemd; mount -o remount,bind,ro /etc/systemd');
      const result = await rig.disturbed();
      await rig.host.exec('umount /etc/systemd');
      return told(result);
    },
  },
  ...['stage', 'replace', 'activate'].map(
    (step): Trial => ({
      fault: 'read-only file system',
      how: `/etc/systemd, from step ${step}`,
      inject: async (rig) => {
        await rig.host.exec('mount --bind /etc/systemd /etc/systemd');
        const readOnly = 'mount -o remount,bind,ro /etc/systemd';
        const result = await rig.disturbed((script) => atStep(script, step, readOnly), {
          deadManSeconds: 15,
        });
        await rig.host.exec('mount -o remount,bind,rw /etc/systemd; umount -l /etc/systemd');
        return told(result);
      },
    }),
  ),
  {
    fault: 'immutable file',
    how: 'chattr +i, from the start',
    inject: async (rig) => {
      const file = '/etc/systemd/system/one.service.d/90-tasksctl.conf';
      await rig.host.exec(`chattr +i ${file}`);
      const checked = told(await rig.disturbed(undefined, { check: true }));
      const result = told(await rig.disturbed());
      await rig.host.exec(`chattr -i ${file}`);
      expect(checked).toBe(result);
      return `${result}, with \`--check\` too`;
    },
  },
  {
    fault: 'immutable directory',
    how: 'chattr +i of /etc/systemd/system, from step stage',
    inject: async (rig) => {
      const result = await rig.disturbed((script) =>
        atStep(script, 'stage', 'chattr +i /etc/systemd/system'),
      );
      await rig.host.exec('chattr -i /etc/systemd/system');
      return told(result);
    },
  },
  {
    fault: 'no sudo right',
    how: 'user carol',
    inject: async (rig) => {
      const plan = await rig.bob.plan(...WANTED);
      return told(await new Operator(rig.host, rig.dir, 'carol').apply(plan));
    },
  },
  {
    fault: 'wrong sudo password',
    how: 'user alice',
    inject: async (rig) => {
      const plan = await rig.bob.plan(...WANTED);
      return told(await new Operator(rig.host, rig.dir, 'alice', `not ${password}`).apply(plan));
    },
  },
  {
    fault: 'daemon-reload fails',
    how: 'once',
    inject: async (rig) => {
      const fail = once('echo "Failed to reload" >&2; exit 1');
      return told(await rig.withSystemctl('daemon-reload', fail, () => rig.disturbed()));
    },
  },
  {
    fault: 'daemon-reload fails',
    how: 'also on the way back; it works again before the dead man strikes',
    inject: async (rig) => {
      const act = () => rig.disturbed(undefined, { deadManSeconds: 15 });
      return told(await rig.withSystemctl('daemon-reload', 'echo "Failed to reload" >&2; exit 1', act));
    },
  },
  {
    fault: 'systemctl hangs',
    how: 'whatever is asked, from the start',
    slow: true,
    inject: async (rig) => told(await rig.withSystemctl('show', 'exec sleep 1000', () => rig.disturbed())),
  },
  {
    fault: 'systemctl hangs',
    how: 'at daemon-reload, once',
    slow: true,
    inject: async (rig) => {
      const act = () => rig.disturbed(undefined, { deadManSeconds: 120 });
      return told(await rig.withSystemctl('daemon-reload', once('exec sleep 1000'), act));
    },
  },
  {
    fault: 'systemctl hangs',
    how: 'at daemon-reload, for longer than the dead man waits',
    slow: true,
    inject: async (rig) => {
      const act = () => rig.disturbed(undefined, { deadManSeconds: 8 });
      return told(await rig.withSystemctl('daemon-reload', once('exec sleep 1000'), act));
    },
  },
  {
    fault: 'two applies at once',
    how: 'by bob and alice',
    inject: async (rig) => {
      const plan = await rig.bob.plan(...WANTED);
      const other = new Operator(rig.host, rig.dir, 'alice', password);
      const startedAt = new Date();
      const time = startedAt.toISOString().replaceAll(/[-:]|\.[0-9]+/g, '');
      const results = await Promise.all([
        rig.bob.apply(plan),
        other.apply(plan, { run: { id: `${time}-ff01`, startedAt, operator: 'other' } }),
      ]);
      const words = results.map(told).sort();
      expect(words[0]).toBe('applied');
      expect(['refused (busy)', 'refused (awaiting)', 'unchanged']).toContain(words[1]);
      return 'applied; the other refused (busy or awaiting), or unchanged';
    },
  },
  {
    fault: 'host key changed',
    how: 'before the apply',
    inject: async (rig) => {
      const plan = await rig.bob.plan(...WANTED);
      return told(await stranger(rig).apply(plan));
    },
  },
  {
    fault: 'host key changed',
    how: 'between the apply and its confirmation',
    inject: async (rig) => {
      const impostor = stranger(rig);
      let connections = 0;
      const connect = () => (connections++ === 0 ? rig.bob.connect() : impostor.connect());
      return told(await rig.disturbed(undefined, { deadManSeconds: 10, connect }));
    },
  },
  ...['activate', 'commit'].map(
    (step): Trial => ({
      fault: 'Ctrl-C',
      how: `at step ${step}`,
      inject: async (rig) => {
        const interrupt = new AbortController();
        const result = rig.disturbed((script) => atStep(script, step, HOLD), { signal: interrupt.signal });
        await rig.untilHeld();
        interrupt.abort();
        await rig.release();
        return told(await result);
      },
    }),
  ),
  {
    fault: 'clock jumps (VM)',
    how: '+2 days at step stage, -4 days at step activate',
    on: 'vm',
    slow: true,
    inject: async (rig) => {
      const set = (script: string, step: string, jump: string) =>
        atStep(script, step, `date -s '${jump}' >/dev/null`);
      return told(
        await rig.disturbed((script) => set(set(script, 'stage', '+2 days'), 'activate', '-4 days')),
      );
    },
  },
];

/** A script that runs the saved program has it killed at a step; others stay as they are. */
function brokenSaved(script: string, mode: string, step: string): string {
  const call = `sh "$program" ${mode} </dev/null`;
  const kill = `sed 's/^  step ${step}$/&; kill -9 $$/' "$program" >/run/broken; sh /run/broken ${mode} </dev/null`;
  return script.replace(call, () => kill);
}

async function fullDisk(rig: FaultRig, at: string): Promise<string> {
  return rig.withSmallDisk(at, '600k', async () => {
    await rig.host.exec(`cat /dev/zero >${at}/fill 2>/dev/null || :`);
    return told(await rig.disturbed());
  });
}

async function diskFillsUp(rig: FaultRig, at: string, step: string): Promise<string> {
  return rig.withSmallDisk(at, '16m', async () => {
    const fill = `cat /dev/zero >${at}/fill 2>/dev/null`;
    const result = await rig.disturbed((script) => atStep(script, step, fill), { deadManSeconds: 15 });
    await rig.host.exec(`rm -f ${at}/fill`);
    await rig.atRest();
    return told(result);
  });
}

/** Somebody whose known_hosts has another key for the host. */
function stranger(rig: FaultRig): Operator {
  const knownHostsFile = join(rig.dir, `forged-${rig.host.name}`);
  const key = 'AAAAC3NzaC1lZDI1NTE5AAAAIGPqTPvZ3wVJUPHPCIUn8iiGT5sNYu9m0Cq4sZ0xJ3Vn';
  writeFileSync(knownHostsFile, `${rig.host.ssh.host} ssh-ed25519 ${key}\n`);
  return new Operator({ ...rig.host, ssh: { ...rig.host.ssh, knownHostsFile } }, rig.dir, 'bob');
}

async function startController(rig: FaultRig, step: string, deadManSeconds: number) {
  const { name, ssh } = rig.host;
  const task: Task = {
    host: { name, ssh },
    dir: rig.dir,
    plan: await rig.bob.plan(...WANTED),
    step,
    deadManSeconds,
  };
  const program = join(import.meta.dirname, 'fault-controller.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  child.stdin.end(JSON.stringify(task));
  return {
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Hosts for the trials, each for one at a time; a host whose trial failed is not used again. */
class Pool {
  readonly #dir: string;
  readonly #size: number;
  readonly #hosts: LabHost[] = [];
  readonly #free: FaultRig[] = [];
  readonly #waiting: ((rig: FaultRig | null) => void)[] = [];
  #running = 0;

  constructor(dir: string, size: number) {
    this.#dir = dir;
    this.#size = size;
  }

  async take(start: () => Promise<LabHost>): Promise<FaultRig> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#running >= this.#size) {
      const next = await new Promise<FaultRig | null>((resolve) => this.#waiting.push(resolve));
      if (next !== null) return next;
    }
    this.#running++;
    const host = await start();
    this.#hosts.push(host);
    return FaultRig.start(host, this.#dir);
  }

  /** `rig` null: it is of no use any more. */
  give(rig: FaultRig | null): void {
    if (rig === null) this.#running--;
    const next = this.#waiting.shift();
    if (next !== undefined) next(rig);
    else if (rig !== null) this.#free.push(rig);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()));
  }
}

const rows: string[] = [];

describe.skipIf(why !== null)('a fault', () => {
  let dir = '';
  let containers: Pool;
  let vms: Pool;

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'tasksctl-faults-'));
    containers = new Pool(dir, 4);
    vms = new Pool(dir, 1);
  });
  afterAll(async () => {
    await Promise.all([containers.stop(), vms.stop()]);
    rmSync(dir, { recursive: true, force: true });
  });

  const inOrder = TRIALS.map((trial, n) => ({ ...trial, n })).sort(
    (a, b) =>
      Number(b.slow === true) - Number(a.slow === true) || Number(b.on === 'vm') - Number(a.on === 'vm'),
  );
  it.concurrent.each(inOrder)('$fault $how', {
    timeout: 900_000,
  }, async ({ n, fault, how, inject, on }) => {
    const pool = on === 'vm' ? vms : containers;
    const rig = await pool.take(() =>
      on === 'vm' ? startVm({ suite: 'bookworm' }) : startContainer({ suite: 'bookworm' }),
    );
    let whole: FaultRig | null = null;
    try {
      const seen = await inject(rig);
      const state = await rig.atRest();
      // The same plan again, on the host as the fault left it.
      const again = await rig.bob.apply(await rig.bob.plan(...WANTED));
      expect(again.kind).toBe(state === 'old' ? 'applied' : 'nothing');
      expect(await rig.atRest()).toBe('new');
      await rig.rollback(again.kind === 'applied' ? again.run : await rig.lastRun());
      expect(await rig.atRest()).toBe('old');
      rows[n] =
        `| ${fault} | ${how} | ${seen} | ${state} | ${again.kind === 'applied' ? 'applied' : 'nothing to do'}, rolled back |`;
      whole = rig;
    } finally {
      pool.give(whole);
    }
  });
});

describe.skipIf(why !== null)('docs/faults.md', () => {
  it('says what was seen', async () => {
    const missing = TRIALS.filter((_, n) => rows[n] === undefined).map(({ fault, how }) => `${fault} ${how}`);
    expect(missing).toEqual([]);
    const text = `# Faults, and what came of them

\`test/hosts/faults.test.ts\` injects each of these into a run of \`apply\` (or \`rollback\`) over SSH on a real host:
Debian bookworm with systemd 252 in a container, and a virtual machine for the clock. The plan changes two files, adds a
third in a new directory, and changes the limit of every user, so the run waits for a new login. The test fails if this
table differs from what it sees; \`npx vitest run --project hosts test/hosts/faults.test.ts --update\` writes it.

After each fault the host is left alone until it is at rest. Then the test compares, with the state before the run and with
the one the run wanted, every file below \`/etc/systemd\` and \`/etc/sysctl.d\` (bytes, mode, owner), the kernel's \`pids.max\`
of the services, and what a run could leave: temporary files, timers, generators, locks. It must be one of the two, with
nothing besides. Then the same plan is applied again and rolled back, and the old state must be there again.

The steps are those of [apply.md](apply.md). A kill after every single command, under dash, bash and busybox, is in
\`test/unit/apply/transaction-run.test.ts\`.

| fault | how | the operator is told | state then | next apply, rollback |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
    await expect(text).toMatchFileSnapshot('../../docs/faults.md');
  });
});
