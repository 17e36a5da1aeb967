import type { UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SystemdCapabilities } from '../systemd/capabilities.ts';
import { compareTaskCount, minTaskCount, type TaskCount } from '../systemd/tasks-max.ts';
import type { Activation, PlanStep } from './plan.ts';

/**
 * What it takes until the kernel enforces a change. The rules are data: what was measured on real systemd of a version,
 * and what was only read in its source. Correct the table when a version is measured, not the code.
 */

/** What daemon-reload does to pids.max of units that run already. */
export interface ReloadRule {
  /** First and last version it holds for. */
  readonly from: number;
  readonly to: number;
  /** `unknown`: not measured, so the plan brings the step that helps where the value stays, and does no harm where not. */
  readonly does: 'rewrites' | 'leaves' | 'unknown';
  readonly source: string;
}

const NEWEST = Number.POSITIVE_INFINITY;

export const RELOAD_RULES: readonly ReloadRule[] = [
  {
    from: 0,
    to: 234,
    does: 'unknown',
    source: 'read in the source of systemd: applied when the unit is next realised',
  },
  {
    from: 235,
    to: 254,
    does: 'rewrites',
    source:
      'measured on systemd 237, 247, 252 and 254: a daemon-reload applies all cgroup attributes again (58d83430e1, since 235)',
  },
  { from: 255, to: 256, does: 'unknown', source: 'not measured' },
  {
    from: 257,
    to: 257,
    does: 'leaves',
    source:
      'measured on systemd 257: systemctl show has the new value, pids.max the old one until the unit is realised again',
  },
  { from: 258, to: 261, does: 'unknown', source: 'not measured' },
  {
    from: 262,
    to: 262,
    does: 'rewrites',
    source: 'measured on systemd 262: a daemon-reload gives running units their new pids.max',
  },
  { from: 263, to: NEWEST, does: 'unknown', source: 'not measured' },
];

/** SUSE's 234 has the later behaviour. */
const SUSE_234: ReloadRule = {
  from: 234,
  to: 234,
  does: 'rewrites',
  source: "measured on SUSE's systemd 234: a reload changes all running user slices",
};

/** The rule for a host's systemd. */
export function reloadRule({ version, perUserLimit }: SystemdCapabilities): ReloadRule {
  if (perUserLimit === 'suse-generator' && version === 234) return SUSE_234;
  const rule = RELOAD_RULES.find(({ from, to }) => from <= version && version <= to);
  if (rule === undefined) throw new Error(`no rule for systemd ${version}`);
  return rule;
}

/** logind reads its configuration again on SIGHUP since 230; before, only a restart helps. */
const LOGIND_RELOADS_SINCE = 230;

export interface LimitActivation {
  readonly snapshot: Snapshot;
  readonly capabilities: SystemdCapabilities;
  /** Where the limit is written. */
  readonly where: 'unit' | 'system.conf' | 'logind.conf';
  /** False: the files are right already and only the running system is not. */
  readonly filesChange: boolean;
  /** What the kernel is to enforce at each of `rows`. */
  readonly count: TaskCount;
  /** Every unit the limit holds for, running or not. */
  readonly rows: readonly UnitLimit[];
  /** What the kernel enforces may also be lowered; else only what is lower is touched. */
  readonly exact: boolean;
  /** What is not running yet, in words, for the summary: `new logins`, `nginx.service`. */
  readonly later: string;
}

const NO_REBOOT = 'the steps do what a reboot would do, and the files keep the limit over the next one';

/** What to do once the files of a unit's, a user's or a manager's limit are in place. */
export function limitActivation(input: LimitActivation): Activation {
  const { snapshot, capabilities, where, filesChange, count, rows, later } = input;
  if (snapshot.systemd?.running !== true) {
    return {
      when: 'unit-restart',
      summary: 'systemd does not run here now: the limit is there when it starts.',
      steps: [],
      affected: [],
      reboot: { needed: false, note: 'nothing runs under systemd now' },
      source: 'systemd is not process 1 in the snapshot',
    };
  }
  if (where === 'logind.conf') return logindActivation(input);

  const rule = reloadRule(capabilities);
  const { running, lagging } = runningRows(input);
  const managerLags = rows.some(({ manager }) => manager !== null && manager !== count);
  const steps: PlanStep[] = [];
  const reexec = where === 'system.conf' && !capabilities.reloadRereadsManagerConf;
  if (filesChange || managerLags || (lagging.length > 0 && rule.does !== 'leaves')) {
    steps.push(reexec ? DAEMON_REEXEC : DAEMON_RELOAD);
  }
  const bridged = rule.does !== 'rewrites' && lagging.length > 0;
  if (bridged) steps.push(...lagging.flatMap((row) => writeStep(snapshot, row, count, rule)));
  const reload = reexec ? 'daemon-reexec' : 'daemon-reload';
  return {
    when: bridged ? 'live' : reload,
    summary: summaryOf(
      lagging.length,
      running.length,
      bridged ? 'with a direct write' : `by ${reload}`,
      later,
    ),
    steps,
    affected: affectedOf(snapshot, running, rule.does === 'rewrites' ? running : lagging, count),
    reboot: { needed: false, note: NO_REBOOT },
    source: rule.source,
  };
}

/**
 * What the kernel enforces at a user's slice that logind made. What goes beyond the slice's own limit, which the files
 * of logind do not change any more, is gone with the next daemon-reload.
 */
export function enforcedOfLogind({ live, configured }: UnitLimit): TaskCount | null {
  return live === null || configured === null ? live : minTaskCount(live, configured.count);
}

/** What runs under the limit, and of that what the kernel is to be told about. */
function runningRows({ rows, count, exact, where }: LimitActivation): {
  running: UnitLimit[];
  lagging: UnitLimit[];
} {
  const running = rows.filter(({ active, live }) => active && live !== null);
  const lagging = running.filter((row) => {
    const enforced = where === 'logind.conf' ? enforcedOfLogind(row) : row.live;
    if (exact) return row.live !== count || enforced !== count;
    return enforced !== null && compareTaskCount(enforced, count) < 0;
  });
  return { running, lagging };
}

const DAEMON_RELOAD: PlanStep = {
  why: 'systemd reads its unit files and configuration again',
  command: { kind: 'argv', argv: ['systemctl', 'daemon-reload'] },
};

const DAEMON_REEXEC: PlanStep = {
  why: 'before 223 systemd reads system.conf only when it executes itself anew; services keep running',
  command: { kind: 'argv', argv: ['systemctl', 'daemon-reexec'] },
};

/**
 * The value systemd itself will write when it next realises the unit, so nothing is left behind that has to be undone;
 * a `set-property` would leave a drop-in in system.control that beats later changes of the files.
 */
function writeStep(snapshot: Snapshot, row: UnitLimit, count: TaskCount, rule: ReloadRule): PlanStep[] {
  const { pidsRoot } = snapshot.cgroups;
  if (pidsRoot === null || row.cgroup === null) return [];
  const path = `${pidsRoot}${row.cgroup === '/' ? '' : row.cgroup}/pids.max`;
  const why =
    rule.does === 'leaves'
      ? `${row.name} runs, and this systemd leaves its pids.max alone until the unit is next realised`
      : `${row.name} runs, and it is not known whether this systemd's daemon-reload reaches its pids.max`;
  return [{ why, command: { kind: 'write', path, value: count === 'infinity' ? 'max' : String(count) } }];
}

function logindActivation(input: LimitActivation): Activation {
  const { snapshot, capabilities, filesChange, count, later } = input;
  const { running, lagging } = runningRows(input);
  const steps: PlanStep[] = [];
  if (filesChange) {
    const hup = capabilities.version >= LOGIND_RELOADS_SINCE;
    steps.push({
      why: hup
        ? 'logind reads its configuration again on SIGHUP; sessions are not touched'
        : 'logind before 230 reads its configuration only when it starts; sessions go on',
      command: {
        kind: 'argv',
        argv: hup
          ? ['systemctl', 'kill', '-s', 'HUP', 'systemd-logind.service']
          : ['systemctl', 'restart', 'systemd-logind.service'],
      },
    });
  }
  for (const { name } of lagging) {
    steps.push({
      why: `logind sets the limit only when it makes a slice, and ${name} is there already`,
      command: { kind: 'argv', argv: ['systemctl', 'set-property', '--runtime', name, `TasksMax=${count}`] },
    });
  }
  return {
    when: lagging.length > 0 ? 'live' : filesChange ? 'logind-restart' : 'live',
    summary: summaryOf(lagging.length, running.length, 'with set-property', later),
    steps,
    affected: affectedOf(snapshot, running, lagging, count),
    reboot: { needed: false, note: NO_REBOOT },
    source:
      'measured on systemd 237: logind reads UserTasksMax= on SIGHUP or restart and applies it to slices it makes',
  };
}

function summaryOf(lagging: number, running: number, how: string, later: string): string {
  if (running === 0) return `In force for ${later} from the start; nothing it holds for runs now.`;
  const units = `${lagging} running ${lagging === 1 ? 'unit' : 'units'}`;
  const now = lagging === 0 ? 'What runs has this limit already' : `Enforced at once for ${units}, ${how}`;
  return later === '' ? `${now}.` : `${now}; ${later} have it from the start.`;
}

/** Who works under the limit now: sessions of user slices by name, other units as they are. */
function affectedOf(
  snapshot: Snapshot,
  rows: readonly UnitLimit[],
  touched: readonly UnitLimit[],
  count: TaskCount,
): Activation['affected'] {
  const text = (limit: TaskCount | null): string => (limit === 'infinity' ? 'no limit' : String(limit));
  return rows.map((row) => {
    const keeps = row.live === count || !touched.includes(row);
    const note = keeps
      ? `has ${text(row.live)} already`
      : `${text(row.live)} -> ${text(count)}, nothing is restarted`;
    const uid = /^user-([0-9]+)\.slice$/.exec(row.name)?.[1];
    return { what: uid === undefined ? row.name : `${row.name} (${loginsOf(snapshot, Number(uid))})`, note };
  });
}

/** `alice: session 7 by sshd on pts/0 from 10.0.0.1`. */
function loginsOf(snapshot: Snapshot, uid: number): string {
  const name = snapshot.users.find((user) => user.uid === uid)?.name;
  const sessions = snapshot.sessions
    .filter((session) => session.uid === uid)
    .map(({ id, service, tty, remoteHost }) =>
      [
        `session ${id}`,
        ...(service === undefined ? [] : [`by ${service}`]),
        ...(tty === undefined ? [] : [`on ${tty}`]),
        ...(remoteHost === undefined ? [] : [`from ${remoteHost}`]),
      ].join(' '),
    );
  const who = name ?? snapshot.sessions.find((session) => session.uid === uid)?.user ?? `uid ${uid}`;
  return sessions.length === 0 ? who : `${who}: ${sessions.join(', ')}`;
}

/** What to do once the file of a sysctl is in place. `fractions` are limits that will move with it, in words. */
export function sysctlActivation(path: string, lags: boolean, fractions: string | null): Activation {
  return {
    when: 'live',
    summary: lags
      ? 'The kernel takes the new ceiling at once.'
      : 'In force already; the file keeps it over a reboot.',
    steps: lags
      ? [
          {
            why: 'the kernel takes the value of the file',
            command: { kind: 'argv', argv: ['sysctl', '-p', path] },
          },
        ]
      : [],
    affected:
      fractions === null
        ? []
        : [
            {
              what: 'limits in percent',
              note: `${fractions}: they move at the next daemon-reload (systemd 257: when the unit is next realised)`,
            },
          ],
    reboot: { needed: false, note: 'a sysctl holds from the moment it is set, and the file sets it at boot' },
    source: 'sysctl.d(5), kernel.pid_max and kernel.threads-max of sysctl/kernel.rst',
  };
}

/** The steps of all changes in the order to run them, each once. */
export function stepsInOrder(activations: readonly Activation[]): PlanStep[] {
  const rank = ({ command }: PlanStep): number => {
    if (command.kind === 'write') return 4;
    const [program, verb] = command.argv;
    // Percentages are of the kernel's ceilings, so those come first; a reload would undo what later steps set.
    // What is to stop has to be known until then.
    if (program === 'sysctl' || verb === 'stop') return 0;
    if (verb === 'daemon-reload' || verb === 'daemon-reexec') return 1;
    return verb === 'set-property' ? 3 : 2;
  };
  const byCommand = new Map<string, PlanStep>();
  for (const { steps } of activations) {
    for (const step of steps) {
      const key = JSON.stringify(step.command);
      if (!byCommand.has(key)) byCommand.set(key, step);
    }
  }
  return [...byCommand.values()].sort((a, b) => rank(a) - rank(b));
}
