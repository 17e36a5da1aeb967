import type { ApplyOptions, ApplyResult } from '../../src/apply/apply-plan.ts';
import { rollbackRun } from '../../src/apply/rollback.ts';
import type { Connect } from '../../src/apply/saved-run.ts';
import type { Transport } from '../../src/host/transport.ts';
import type { LabHost } from '../lab/lab.ts';
import { Operator } from './apply-lab.ts';

const policy = (users: number, ...services: string[]): string[] => [
  'user-default:',
  `  value: ${users}`,
  'units:',
  ...services.flatMap((line) => {
    const [unit = '', value = ''] = line.split(' ');
    return [`  ${unit}:`, `    value: ${value}`];
  }),
];

/** What is there before a trial, by an earlier run. */
const EARLIER = policy(400, 'one.service 300');
/** What the disturbed run wants: two files changed, and a third in a new directory. */
export const WANTED = policy(500, 'one.service 350', 'two.service 200');

const SERVICE = '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n';
const SYSTEMCTL = '/opt/systemctl';

/** Runs a command as a step of the script begins; the copy that is saved on the host stays as it is. */
export function atStep(script: string, step: string, command: string): string {
  const line = `\n  step ${step}\n`;
  const at = script.indexOf(line, script.indexOf('\napply() {'));
  // Scripts that are not the transaction (those that ask what became of it) go as they are.
  if (!script.includes('\napply() {')) return script;
  if (at < 0) throw new Error(`no step ${step}`);
  return `${script.slice(0, at + line.length)}  ${command}\n${script.slice(at + line.length)}`;
}

/** Holds the script until `release`. */
export const HOLD = ': >/run/held; while [ -e /run/held ]; do sleep 0.05; done';

/** Opens connections over which every script is changed on its way to the host. */
export function changing(connect: Connect, change: (script: string) => string): Connect {
  return async () => {
    const connected = await connect();
    if (!connected.ok) return connected;
    const { transport } = connected;
    const changed: Transport = {
      target: transport.target,
      run: (request) => transport.run({ ...request, script: change(request.script) }),
      close: () => transport.close(),
    };
    return { ok: true, transport: changed };
  };
}

/** A host with two services and an earlier run, whose next run is to be disturbed. */
export class FaultRig {
  readonly host: LabHost;
  readonly dir: string;
  readonly bob: Operator;
  /** All that a run can change or leave, before each trial and as the disturbed run wants it. */
  old: readonly string[] = [];
  new: readonly string[] = [];

  private constructor(host: LabHost, dir: string) {
    this.host = host;
    this.dir = dir;
    this.bob = new Operator(host, dir);
  }

  /** `dir` is for files of the test. */
  static async start(host: LabHost, dir: string): Promise<FaultRig> {
    const rig = new FaultRig(host, dir);
    await host.writeFiles({
      '/etc/systemd/system/one.service': SERVICE,
      '/etc/systemd/system/two.service': SERVICE,
    });
    await host.exec(`cp -a $(readlink -f /usr/bin/systemctl) ${SYSTEMCTL}
systemctl daemon-reload; systemctl enable -q --now one two`);
    await rig.bob.applied(await rig.bob.plan(...EARLIER));
    rig.old = await rig.state();
    const run = await rig.bob.applied(await rig.bob.plan(...WANTED));
    rig.new = await rig.state();
    await rig.rollback(run.run);
    await rig.atRest();
    return rig;
  }

  /** Configuration files with bytes, mode and owner, what the kernel enforces, and leftovers of a run. */
  async state(): Promise<string[]> {
    const pids = this.host.kind === 'vm' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids';
    const { stdout } = await this.host.exec(`cd /
find etc/systemd etc/sysctl.d -printf '%p %y %m %U:%G %l\\n' | sort
find etc/systemd etc/sysctl.d -type f -exec sha256sum {} + | sort
for unit in one two; do echo "$unit $(cat ${pids}/system.slice/$unit.service/pids.max)"; done
${SYSTEMCTL} list-units --all --no-legend --plain 'tasksctl*'
find /run/tasksctl -mindepth 1 ! -path '/run/tasksctl/lock*' 2>/dev/null
for entry in /run/tasksctl/lock/*; do
  pid=\${entry##*/}
  [ ! -d "/proc/\${pid%%-*}" ] || [ ! -f "$entry" ] || echo "lock $entry"
done`);
    return stdout.toString().trim().split('\n');
  }

  /**
   * Waits until no run is open (a dead man may still have to strike) and the host is in one of the two states. Throws
   * with what is neither.
   */
  async atRest(): Promise<'old' | 'new'> {
    const until = Date.now() + 150_000;
    for (;;) {
      const open = await this.host.exec(
        'for d in /var/lib/tasksctl/runs/*; do tail -n 1 "$d/state" 2>/dev/null; done | grep -vE "^(closed|restored|rolled-back)$"',
        { check: false },
      );
      const state = await this.state();
      const words = open.stdout.toString().trim();
      if (words === '') {
        if (state.join('\n') === this.old.join('\n')) return 'old';
        if (state.join('\n') === this.new.join('\n')) return 'new';
      }
      if (Date.now() > until) {
        const strange = state.filter((line) => !this.old.includes(line));
        const missing = this.old.filter((line) => !state.includes(line));
        throw new Error(`open: ${words}; not old: ${strange.join('; ')}; missing: ${missing.join('; ')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }

  /** Applies the wanted plan with the script changed on its way to the host. */
  async disturbed(
    change: (script: string) => string = (script) => script,
    more: Partial<ApplyOptions> = {},
  ): Promise<ApplyResult> {
    const plan = await this.bob.plan(...WANTED);
    return this.bob.apply(plan, { ...more, connect: changing(more.connect ?? this.bob.connect, change) });
  }

  async rollback(run: string): Promise<void> {
    const result = await rollbackRun(run, this.bob);
    if (result.kind !== 'rolled-back') throw new Error(`rollback of ${run}: ${JSON.stringify(result)}`);
  }

  /** The run that was begun last. */
  async lastRun(): Promise<string> {
    const { stdout } = await this.host.exec('ls /var/lib/tasksctl/runs | tail -n 1');
    return stdout.toString().trim();
  }

  /** Waits for a script to succeed; in it, `$d` is the directory of the last run. */
  async until(what: string, script: string): Promise<void> {
    const deadline = Date.now() + 90_000;
    const text = `d=$(ls -d /var/lib/tasksctl/runs/* | tail -n 1); ${script}`;
    while ((await this.host.exec(text, { check: false })).code !== 0) {
      if (Date.now() > deadline) throw new Error(`waited for ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Waits until the last run has come to one of these states. */
  untilState(...words: string[]): Promise<void> {
    return this.until(words.join(), `tail -n 1 "$d/state" | grep -qxE '${words.join('|')}'`);
  }

  /** Waits until the script is held. */
  untilHeld(): Promise<void> {
    return this.until('the script to be held', '[ -e /run/held ]');
  }

  async release(): Promise<void> {
    await this.host.exec('rm -f /run/held');
  }

  /** Has systemctl do something else, for everybody on the host, where its arguments have this word; then undoes it. */
  async withSystemctl<T>(word: string, what: string, act: () => Promise<T>): Promise<T> {
    const text = `#!/bin/sh\ncase " $* " in *" ${word} "*) ${what} ;; esac\nexec ${SYSTEMCTL} "$@"\n`;
    await this.host.writeFiles({ '/opt/fake-systemctl': text });
    await this.host.exec('mount --bind /opt/fake-systemctl $(readlink -f /usr/bin/systemctl)');
    try {
      return await act();
    } finally {
      await this.host.exec('umount $(readlink -f /usr/bin/systemctl); rm -f /opt/once');
    }
  }

  /** Puts a small file system over a directory, with what is in it; what is in it then stays. */
  async withSmallDisk<T>(at: string, size: string, act: () => Promise<T>): Promise<T> {
    await this.host.exec(`mkdir -p ${at}; mount -t tmpfs -o size=${size},mode=0755 small /mnt
cp -a ${at}/. /mnt; mount --bind /mnt ${at}; umount /mnt`);
    try {
      return await act();
    } finally {
      await this.host.exec(`rm -f ${at}/fill; mkdir /opt/kept; cp -a ${at}/. /opt/kept; umount ${at}
rm -rf ${at}; cp -a /opt/kept ${at}; rm -r /opt/kept`);
    }
  }
}

/** Shell: does something the first time only. */
export function once(what: string): string {
  return `[ -e /opt/once ] || { : >/opt/once; ${what}; }`;
}
