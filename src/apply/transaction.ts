import { createHash } from 'node:crypto';
import type { RecorderFile } from '../measure/recorder-files.ts';
import { stepsInOrder } from '../plan/activation.ts';
import type { Change, Plan, PlannedFile } from '../plan/plan.ts';
import { RECORDER_TIMER } from '../plan/recorder.ts';
import { fileFault, isCgroupPath, isUnitName, propertyUnit, type StepClass, stepClass } from './allowed.ts';
import { changedFiles, printAfter, printBefore } from './changed-files.ts';
import type { RunRecord } from './run-record.ts';
import { shellBytes, shellWord } from './shell-data.ts';

/** Seconds a host restores itself after, where no login has to be proven: for runs that were cut off. */
const CRASH_SECONDS = 300;

/** Seconds an operator has to come back, where a change could have locked them out. */
export const DEAD_MAN_SECONDS = 60;

/** How many runs a host keeps for rollback, and for how long. */
export const KEEP_RUNS = 20;
export const KEEP_DAYS = 180;

/**
 * A user slice nobody has: user ids from 61184 to 65519 are systemd's dynamic users, which never log in. Since systemd
 * 239 asking for it loads `user-.slice.d`, so it shows what the next login gets.
 */
const NOBODYS_SLICE = 'user-65519.slice';

export interface TransactionOptions {
  readonly record: RunRecord;
  /** Where the host's clock is not asked: runs started before this are pruned. */
  readonly keepSince: string;
  /** False: `--no-dead-man`, nothing waits for a proven login. */
  readonly deadMan: boolean;
  readonly deadManSeconds: number;
  readonly mode: 'apply' | 'check';
  /** The recorder's files, should the plan be about it. */
  readonly recorder?: readonly RecorderFile[];
}

export type Transaction =
  | {
      readonly kind: 'script';
      readonly script: string;
      /** The run waits for `confirm` over a new connection. */
      readonly confirm: boolean;
      /** Seconds from the first write to the host restoring itself. */
      readonly guardSeconds: number;
    }
  /** The plan itself may not be applied: it asks for what no plan of ours does, or was damaged. */
  | { readonly kind: 'refused'; readonly reason: 'plan-unsafe' | 'plan-damaged'; readonly detail: string };

/**
 * The one script that applies a plan to its host. Pure: `template` is the text of templates/transaction.sh, and run id
 * and time come in with the record.
 */
export function transactionScript(plan: Plan, options: TransactionOptions, template: string): Transaction {
  const refused = reasonToRefuse(plan, options.recorder ?? []);
  if (refused !== null) return { kind: 'refused', ...refused };

  const confirm = options.deadMan && plan.changes.some(mayLockOut);
  const guardSeconds = confirm ? options.deadManSeconds : CRASH_SECONDS;
  const program = `${template}\n${planData(plan, options, confirm, guardSeconds)}`;
  const contents = contentFunction(plan, options.record);
  if (options.mode === 'check') {
    return { kind: 'script', script: `${program}${contents}\nmain check\n`, confirm, guardSeconds };
  }

  // The copy a timer, the next boot or a rollback runs; it needs no contents, for it only ever goes back.
  const saved = `${program}main "$@"\n`;
  const script = [
    program,
    `program_hash=${shellWord(sha256(Buffer.from(saved)))}`,
    `program_text() { cat <<'${END_OF_PROGRAM}'\n${saved}${END_OF_PROGRAM}\n}`,
    contents,
    'main apply\n',
  ].join('\n');
  return { kind: 'script', script, confirm, guardSeconds };
}

const END_OF_PROGRAM = 'end-of-the-saved-program';

/**
 * The change could keep people from logging in or working once they are in: limits of users, of what sshd and logins
 * run below, of the manager's default, of the kernel.
 */
export function mayLockOut(change: Change): boolean {
  const { limit } = change;
  switch (limit.kind) {
    case 'user-default':
    case 'sysctl':
      return true;
    case 'recorder':
      return false;
    case 'manager-default':
      return limit.manager === 'system';
    case 'cgroup':
      return limit.path.startsWith('/user.slice/') || limit.path === '/user.slice';
    case 'unit':
      return (
        /^(?:-|user|system|init)\.(?:slice|scope)$/.test(limit.unit) ||
        /^user-.*\.slice$|^user@.*\.service$|^session-.*\.scope$/.test(limit.unit) ||
        /^(?:sshd?|dropbear|systemd-logind|dbus|dbus-broker|polkit)(?:@.*)?\.(?:service|socket)$/.test(
          limit.unit,
        )
      );
  }
}

function reasonToRefuse(
  plan: Plan,
  recorder: readonly RecorderFile[],
): { reason: 'plan-unsafe' | 'plan-damaged'; detail: string } | null {
  const seen = new Set<string>();
  for (const file of plan.files) {
    if (seen.has(file.path)) return { reason: 'plan-damaged', detail: `it has ${file.path} twice` };
    seen.add(file.path);
    for (const side of [file.before, file.after]) {
      if (side !== null && sha256(bytesOf(side.content)) !== side.sha256) {
        return { reason: 'plan-damaged', detail: `the content of ${file.path} is not what its sha256 says` };
      }
    }
    const fault = fileFault(file, recorder);
    if (fault !== null) return { reason: 'plan-unsafe', detail: fault };
  }
  for (const change of plan.changes) {
    const { limit, to } = change;
    if (limit.kind === 'unit' && !isUnitName(limit.unit)) {
      return { reason: 'plan-unsafe', detail: `it names the unit ${limit.unit}` };
    }
    if (limit.kind === 'cgroup' && !isCgroupPath(limit.path)) {
      return { reason: 'plan-unsafe', detail: `it names the cgroup ${limit.path}` };
    }
    const count = limit.kind === 'recorder' ? /^o(?:n|ff)$/ : /^(?:[0-9]{1,20}|infinity)$/;
    if (!count.test(to.count)) {
      return { reason: 'plan-damaged', detail: `${to.count} is no number of tasks` };
    }
    for (const { command } of change.activation.steps) {
      if (stepClass(command) === null) {
        const words = command.kind === 'argv' ? command.argv.join(' ') : `a write to ${command.path}`;
        return { reason: 'plan-unsafe', detail: `it runs ${words}` };
      }
    }
  }
  return null;
}

/** What the template's functions take from outside: settings, and the lists of files, changes, steps and units. */
function planData(plan: Plan, options: TransactionOptions, confirm: boolean, guardSeconds: number): string {
  const steps = classedSteps(plan);
  const units = unitsToRead(plan);
  const verifyUnits = [...new Set(plan.files.flatMap((file) => unitToVerify(file) ?? []))];
  const bytes = plan.files.reduce(
    (sum, { before, after }) => sum + sizeOf(before) * 2 + sizeOf(after) * 2,
    0,
  );
  const setting = (name: string, value: string | number) => `${name}=${shellWord(String(value))}`;
  return [
    setting('run_id', options.record.id),
    setting('wanted_systemd', plan.preconditions.systemdVersion),
    setting('wanted_boot', plan.preconditions.bootId ?? ''),
    setting('need_kib', Math.ceil(bytes / 1024) + 512),
    setting('guard_seconds', guardSeconds),
    setting('confirm', confirm ? 'yes' : 'no'),
    setting('keep_runs', KEEP_RUNS),
    setting('keep_since', options.keepSince),
    each('each_file', changedFiles(plan).map(fileWords)),
    each('each_change', plan.changes.map(changeWords)),
    each(
      'each_step',
      steps.map(([kind, words], i) => [kind, String(i + 1), ...words]),
    ),
    each('each_unit', units.length === 0 ? [] : [units]),
    each(
      'each_property',
      allSteps(plan).flatMap(({ command }) => {
        const unit = stepClass(command) === 'set-property' ? propertyUnit(command) : null;
        return unit === null ? [] : [[unit]];
      }),
    ),
    each(
      'each_kernel_file',
      kernelFiles(plan).map((path) => [path]),
    ),
    each('each_verify_unit', verifyUnits.length === 0 ? [] : [verifyUnits]),
    '',
  ].join('\n');
}

/** A function that runs the command it is given once for each list of words. */
function each(name: string, calls: readonly (readonly string[])[]): string {
  if (calls.length === 0) return `${name}() { :; }`;
  const lines = calls.map((words) => `"$@" ${words.map(shellWord).join(' ')}`);
  return `${name}() {\n${lines.join('\n')}\n}`;
}

/** N, path, what must be there, what will be there, mode. */
function fileWords(file: PlannedFile, i: number): string[] {
  const mode = file.after === null ? '' : file.after.mode.toString(8);
  return [String(i + 1), file.path, printBefore(file), printAfter(file), mode];
}

/** N, kind, name, wanted, from, until, must: see `judge_change` of the template. */
function changeWords(change: Change, i: number): string[] {
  const { limit, activation, from, to } = change;
  const atOnce = ['live', 'daemon-reload', 'daemon-reexec', 'logind-restart'].includes(activation.when);
  const later = limit.kind === 'unit' || limit.kind === 'manager-default' ? 'unit-restart' : 'next-login';
  const until = atOnce ? later : activation.when;
  const words = (kind: string, name: string) => [
    String(i + 1),
    kind,
    name,
    to.count,
    from.count,
    until,
    atOnce ? 'yes' : 'no',
  ];
  switch (limit.kind) {
    case 'unit':
      return words('unit', limit.unit);
    case 'cgroup':
      return words('cgroup', limit.path);
    case 'sysctl':
      return words('sysctl', sysctlFile(limit.name));
    case 'recorder':
      return words('recorder', RECORDER_TIMER);
    case 'user-default':
      return usesUserSliceDropIn(change) ? words('user-preview', NOBODYS_SLICE) : words('user-logind', '');
    case 'manager-default':
      return limit.manager === 'system'
        ? words('manager', '')
        : words('unseen', 'user managers that run already');
  }
}

function usesUserSliceDropIn(change: Change): boolean {
  return change.files.some((path) => path.includes('/user-.slice.d/'));
}

function sysctlFile(name: string): string {
  return `/proc/sys/${name.replaceAll('.', '/')}`;
}

function allSteps(plan: Plan) {
  return plan.changes.flatMap((change) => change.activation.steps);
}

/** Class and words of each step, in the planner's order: what reads files first, single values of the kernel last. */
function classedSteps(plan: Plan): [StepClass, string[]][] {
  return stepsInOrder(plan.changes.map(({ activation }) => activation)).map(({ command }) => {
    const kind = stepClass(command);
    if (kind === null) throw new Error('a step that was not checked');
    return [kind, command.kind === 'argv' ? command.argv : [command.path, command.value]];
  });
}

/** Arguments of the one `systemctl show` that tells what systemd makes of the change. Patterns match loaded units. */
function unitsToRead(plan: Plan): string[] {
  const units = new Set<string>();
  for (const change of plan.changes) {
    const { limit } = change;
    if (limit.kind === 'unit') units.add(limit.unit);
    if (limit.kind === 'user-default') {
      units.add('user-*.slice');
      if (usesUserSliceDropIn(change)) units.add(NOBODYS_SLICE);
    }
    if (limit.kind === 'manager-default' && limit.manager === 'system') {
      for (const type of ['service', 'scope', 'socket', 'mount', 'swap']) units.add(`*.${type}`);
    }
  }
  return [...units];
}

/** A unit that `systemd-analyze verify` can load to see the file. */
function unitToVerify(file: PlannedFile): string | null {
  const name = /\/systemd\/system\/([^/]+?)(?:\.d\/[^/]+\.conf)?$/.exec(file.path)?.[1];
  if (file.after === null || name === undefined || !isUnitName(name)) return null;
  if (name === 'user-.slice') return NOBODYS_SLICE;
  return name.replace(/-\.([a-z]+)$/, '-tasksctl.$1').replace(/@\.([a-z]+)$/, '@tasksctl.$1');
}

function kernelFiles(plan: Plan): string[] {
  const paths = new Set<string>();
  for (const { limit } of plan.changes) if (limit.kind === 'sysctl') paths.add(sysctlFile(limit.name));
  for (const { command } of allSteps(plan)) if (command.kind === 'write') paths.add(command.path);
  return [...paths];
}

function contentFunction(plan: Plan, record: RunRecord): string {
  const cases = changedFiles(plan).flatMap((file, i) =>
    file.after === null ? [] : [contentCase(String(i + 1), bytesOf(file.after.content))],
  );
  cases.push(contentCase('plan', Buffer.from(JSON.stringify(plan))));
  cases.push(contentCase('record', Buffer.from(JSON.stringify(record))));
  return `content() {\ncase $1 in\n${cases.join('\n')}\n*) return 1 ;;\nesac\n}`;
}

function contentCase(name: string, bytes: Buffer): string {
  return `${name})\n${shellBytes(bytes)}\n;;`;
}

/** The bytes of a file's content in a plan. */
export function bytesOf(content: { readonly text: string } | { readonly base64: string }): Buffer {
  return 'text' in content ? Buffer.from(content.text) : Buffer.from(content.base64, 'base64');
}

function sizeOf(side: PlannedFile['before'] | PlannedFile['after']): number {
  return side === null ? 0 : bytesOf(side.content).length;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
