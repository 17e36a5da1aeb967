import type { RecorderFile } from '../measure/recorder-files.ts';
import type { PlannedFile, PlanStep } from '../plan/plan.ts';
import { RECORDER_SERVICE, RECORDER_TIMER } from '../plan/recorder.ts';

/**
 * A plan may come from a file that somebody sent. What it may make root do on a host is no more than this room knows
 * how to undo: files that hold limits, systemd reading them again, and single values of the kernel. Nothing of it may
 * make the host run something it does not run already, but for the recorder, every byte of which is known.
 */

/** What a step is, as far as undoing it is concerned. */
export type StepClass = 'sysctl' | 'reload' | 'restart' | 'recorder' | 'set-property' | 'write';

const FILE_ROOTS = ['/etc/systemd/', '/etc/sysctl.d/', '/etc/security/limits.d/', '/run/systemd/'];
const FILES = new Set(['/etc/sysctl.conf', '/etc/security/limits.conf']);

/** Unit names as systemd takes them (unit-name.c, VALID_CHARS), so neither an option nor a pattern. */
const UNIT_NAME = /^(?!--)[A-Za-z0-9:_.\\@-]+\.(?:service|slice|scope|socket|mount|swap)$/;

const RECORDER_STEPS = new Set([`restart ${RECORDER_TIMER}`, `stop ${RECORDER_TIMER} ${RECORDER_SERVICE}`]);

const CGROUP_FILE = /^\/sys\/fs\/cgroup\/.+\/pids\.max$/;
const TASKS_MAX = /^(?:[0-9]{1,20}|infinity)$/;

/** Absolute, without `.`, `..`, empty parts or control characters. */
function isPlainPath(path: string): boolean {
  if (!path.startsWith('/') || /[\0-\x1f\x7f]/.test(path)) return false;
  return path
    .slice(1)
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..');
}

/** A file that a plan may write or remove. */
export function isAllowedFile(path: string): boolean {
  return isPlainPath(path) && (FILES.has(path) || FILE_ROOTS.some((root) => path.startsWith(root)));
}

/** A line of a file that sets a task limit, opens a section, or says nothing; none that goes on in the next. */
const HARMLESS_LINE =
  /^[ \t]*(?:|[#;].*(?<!\\)|\[[A-Za-z]+\]|(?:TasksMax|UserTasksMax|DefaultTasksMax|kernel\.pid_max|kernel\.threads-max)[ \t]*=[ \t]*[A-Za-z0-9.%]*)\r?$/;
/** Neither to be executed, nor for others to write. */
const HARMLESS_MODE = 0o644;

/**
 * Why a file of a plan may not be written or removed; null where it may. `recorder` are the files of the recorder as this
 * version has them.
 */
export function fileFault(file: PlannedFile, recorder: readonly RecorderFile[]): string | null {
  const { path, before, after } = file;
  const known = recorder.find((one) => one.path === path);
  if (known === undefined && !isAllowedFile(path)) return `it writes ${path}`;
  if (after === null) return null;
  if ((after.mode & ~HARMLESS_MODE) !== 0 && after.mode !== before?.mode) {
    return `it gives ${path} the mode ${after.mode.toString(8)}`;
  }
  const text = textOf(after.content);
  if (known !== undefined) {
    return text === textOf({ text: known.text }) ? null : `its ${path} is not of this version of tasksctl`;
  }
  const there = new Set(before === null ? [] : textOf(before.content).split('\n'));
  const odd = text.split('\n').find((line) => !there.has(line) && !HARMLESS_LINE.test(line));
  return odd === undefined ? null : `it writes "${odd}" into ${path}`;
}

/** Every byte as one character. */
function textOf(content: { readonly text: string } | { readonly base64: string }): string {
  return ('text' in content ? Buffer.from(content.text) : Buffer.from(content.base64, 'base64')).toString(
    'latin1',
  );
}

export function isUnitName(name: string): boolean {
  return name.length <= 255 && UNIT_NAME.test(name);
}

/** A cgroup's path below the hierarchy's root. */
export function isCgroupPath(path: string): boolean {
  return isPlainPath(path);
}

/** The class of a step that a plan may run; null for every other command. */
export function stepClass(command: PlanStep['command']): StepClass | null {
  if (command.kind === 'write') {
    const plain = isPlainPath(command.path) && CGROUP_FILE.test(command.path);
    return plain && /^(?:[0-9]{1,20}|max)$/.test(command.value) ? 'write' : null;
  }
  const [program, ...words] = command.argv;
  if (program === 'sysctl') {
    const [option, file, ...more] = words;
    return option === '-p' && file !== undefined && isAllowedFile(file) && more.length === 0
      ? 'sysctl'
      : null;
  }
  if (program !== 'systemctl') return null;
  if (RECORDER_STEPS.has(words.join(' '))) return 'recorder';
  const [verb, ...operands] = words.filter((word) => !word.startsWith('--'));
  const options = words.filter((word) => word.startsWith('--'));
  const only = (...allowed: string[]) => options.every((option) => allowed.includes(option));
  switch (verb) {
    case 'daemon-reload':
    case 'daemon-reexec':
      return operands.length === 0 && only() ? 'reload' : null;
    case 'restart':
    case 'try-restart':
    case 'reload':
    case 'try-reload-or-restart':
    case 'reload-or-restart':
      return operands.length > 0 && operands.every(isUnitName) && only() ? 'restart' : null;
    case 'kill': {
      // logind and other daemons read their configuration again on SIGHUP.
      const [unit] = operands.filter((word) => word !== '-s' && word !== 'HUP');
      const hup = only('--signal=HUP') && (options.length === 1 || operands.join(' ') === `-s HUP ${unit}`);
      return unit !== undefined && isUnitName(unit) && hup && operands.length <= 3 ? 'restart' : null;
    }
    case 'set-property': {
      const [unit, property, ...more] = operands;
      const [name, value = ''] = property?.split('=') ?? [];
      const plain = unit !== undefined && isUnitName(unit) && name === 'TasksMax' && TASKS_MAX.test(value);
      return plain && more.length === 0 && only('--runtime') ? 'set-property' : null;
    }
    default:
      return null;
  }
}

/** The unit of a step of class `set-property`. */
export function propertyUnit(command: PlanStep['command']): string | null {
  if (command.kind === 'write') return null;
  return command.argv.find((word, i) => i > 0 && isUnitName(word)) ?? null;
}
