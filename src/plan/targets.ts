import { namedUserSlices, unnamedUserSlice } from '../snapshot/limits.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { type ResolveContext, type ResolvedLimit, resolveUnit } from '../systemd/resolve.ts';
import { resolveManagerConf } from '../systemd/resolve-manager-conf.ts';
import { formatTasksMax, type TasksMax } from '../systemd/tasks-max.ts';
import { type OwnFile, ownBaseNames } from './own-file.ts';
import type { Target } from './placement.ts';
import { SYSCTL_DIRECTORY, sysctlBaseNames, sysctlSuffix } from './plan-kernel.ts';
import { resolveSysctl, type SysctlAssignment, sysctlNumber, type TaskSysctl } from './sysctl-conf.ts';
import { directoryOf, keyOf, sectionOf, type Where } from './wish.ts';

const SUFFIX = 'tasksctl.conf';

/** The file for a limit of systemd's, and what proves that its value is in force. */
export function limitTarget(
  ctx: ResolveContext,
  where: Where,
  value: TasksMax,
  about: Pick<OwnFile, 'comments' | 'rejections'>,
): Target {
  const text = formatTasksMax(value);
  return {
    directory: directoryOf(where),
    baseNames: [...ownBaseNames(SUFFIX), ...(where.kind === 'user-slice' ? namesBeforeExceptions(ctx) : [])],
    suffix: SUFFIX,
    content: { section: sectionOf(where), key: keyOf(where), value: text, ...about },
    obstacle: (after) => limitObstacle(ctx, after, where, text),
  };
}

/**
 * Names that sort before the limits of single users, which are to stay: after the vendor's 10-defaults.conf, or right
 * after the file that holds for every user now.
 */
function namesBeforeExceptions(ctx: ResolveContext): string[] {
  const winner = resolveUnit(ctx, unnamedUserSlice(ctx)).tasksMax.winner?.file;
  const stem = winner?.slice(winner.lastIndexOf('/') + 1).replace(/\.conf$/, '');
  return [`20-${SUFFIX}`, ...(stem === undefined ? [] : [`${stem}.${SUFFIX}`])];
}

function limitObstacle(
  before: ResolveContext,
  after: ResolveContext,
  where: Where,
  text: string,
): Diagnostic | null {
  switch (where.kind) {
    case 'unit':
      return shadow(resolveUnit(after, where.unit).tasksMax, text, where.unit);
    case 'logind.conf':
      return shadow(
        resolveManagerConf(after, { file: 'logind.conf', section: 'Login', key: 'UserTasksMax' }),
        text,
        'UserTasksMax=',
      );
    case 'system.conf':
      return shadow(
        resolveManagerConf(after, { file: 'system.conf', section: 'Manager', key: 'DefaultTasksMax' }),
        text,
        'DefaultTasksMax=',
      );
    case 'user-slice': {
      const unnamed = shadow(resolveUnit(after, unnamedUserSlice(after)).tasksMax, text, 'user-.slice');
      if (unnamed !== null) return unnamed;
      for (const { slice, file, line, raw } of where.exceptions) {
        const winner = resolveUnit(after, slice).tasksMax.winner;
        if (winner?.file === file && winner.line === line) continue;
        return {
          code: 'exception-lost',
          severity: 'error',
          message: `A drop-in for every user that wins over what holds now would win over TasksMax=${raw} of ${slice} too`,
          file,
          line,
          unit: slice,
          help: 'Name the user in the policy, or give that file a later name.',
        };
      }
      const apart = new Set([...where.named, ...where.exceptions.map(({ slice }) => slice)]);
      for (const slice of namedUserSlices(before)) {
        if (apart.has(slice)) continue;
        const obstacle = shadow(resolveUnit(after, slice).tasksMax, text, slice);
        if (obstacle !== null) return obstacle;
      }
      return null;
    }
  }
}

/** What wins instead of the value wanted; null: the value wins. */
function shadow({ value, winner }: ResolvedLimit, text: string, what: string): Diagnostic | null {
  if (value !== null && formatTasksMax(value) === text) return null;
  if (winner === null) {
    return {
      code: 'not-read',
      severity: 'error',
      message: `systemd would not read a file of ours for ${what}: its directory is masked or cannot be read`,
    };
  }
  return {
    code: 'shadowed',
    severity: 'error',
    message: `${winner.key}=${winner.raw} wins over every file that could be written for ${what}`,
    file: winner.file,
    line: winner.line,
    help: 'Change or remove that line.',
  };
}

/** The file for a sysctl, and what proves that its value is in force at boot and after `sysctl --system`. */
export function sysctlTarget(name: TaskSysctl, to: number, comments: readonly string[]): Target {
  return {
    directory: SYSCTL_DIRECTORY,
    baseNames: sysctlBaseNames(name),
    suffix: sysctlSuffix(name),
    content: { section: null, key: name, value: String(to), comments, rejections: null },
    obstacle: ({ tree }) => {
      const { atBoot, byProcps } = resolveSysctl(tree, name);
      return (
        sysctlShadow(name, to, atBoot, 'at boot') ?? sysctlShadow(name, to, byProcps, 'by sysctl --system')
      );
    },
  };
}

function sysctlShadow(
  name: TaskSysctl,
  to: number,
  assignment: SysctlAssignment | null,
  when: string,
): Diagnostic | null {
  if (assignment !== null && sysctlNumber(assignment) === to) return null;
  const set = assignment === null ? 'nothing' : `${name} = ${assignment.raw}`;
  return {
    code: 'shadowed',
    severity: 'error',
    message: `${when} ${set} would be set after every file that could be written`,
    ...(assignment === null ? {} : { file: assignment.file, line: assignment.line }),
    help: 'Change or remove that line.',
  };
}
