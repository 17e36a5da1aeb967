import type { FailedFork, Refusal } from '../diagnose/parse-trace.ts';
import { plural } from './diagnostic-text.ts';
import { table } from './layout.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';
import type { TraceSummary } from './trace-json.ts';

const REFUSALS: Readonly<Record<Refusal, string>> = {
  'pids-controller': 'pids controller',
  'rlimit-nproc': 'RLIMIT_NPROC',
  'threads-max': 'threads-max',
  'pid-max': 'pid_max',
  memory: 'memory',
  'security-module': 'security module',
  'sched-deadline': 'SCHED_DEADLINE',
  unknown: 'cannot be told',
};

/** Checks by the names of their probes. */
const PROBES: Readonly<Record<string, string>> = {
  pids: 'the pids controller',
  nproc: 'RLIMIT_NPROC',
  ids: 'pid_max',
  security: 'security modules',
  sched: 'SCHED_DEADLINE',
};

/** One failed fork on a line: `23:10:01.532  EAGAIN  pids controller  pid 812 (bash)  uid 1000  /user.slice/…`. */
export function failedForkLine(fork: FailedFork, style: Style): SafeText {
  const { at, pid, comm, uid, cgroup, errno, refusedBy } = fork;
  const time = at === null ? safe`-` : escapeText(at.slice(11, 23));
  const who = escapeText(`pid ${pid}${comm === '' ? '' : ` (${comm})`}`);
  const user = uid === null ? safe`uid -` : safe`uid ${uid}`;
  const where = escapeText(cgroup ?? '-');
  return safe`${time}  ${escapeText(errno)}  ${style.red(escapeText(REFUSALS[refusedBy]))}  ${who}  ${user}  ${where}\n`;
}

/** What cannot be told apart on a kernel without these functions; null: everything can. */
export function absentText(absent: readonly string[]): SafeText | null {
  if (absent.length === 0) return null;
  const names = absent.map((event) => escapeText(PROBES[event] ?? event));
  return safe`This kernel has no function to watch for ${join(names, safe`, `)}: what it refuses shows as another check, or as one that cannot be told.`;
}

/** How many forks failed, by who was refused by what. */
export function traceSummaryText(summary: TraceSummary, seconds: number, style: Style): SafeText {
  const { counts, total, lost } = summary;
  const lines: SafeText[] = [];
  if (total === 0) {
    lines.push(safe`No fork failed in ${seconds} s.`);
  } else {
    const rows = counts.map(({ count, refusedBy, uid, cgroup }) => [
      { text: safe`${count}` },
      { text: escapeText(REFUSALS[refusedBy]) },
      { text: uid === null ? safe`-` : safe`${uid}` },
      { text: escapeText(cgroup ?? '-') },
    ]);
    const columns = [
      { title: safe`FORKS`, align: 'right' },
      { title: safe`REFUSED BY`, align: 'left' },
      { title: safe`UID`, align: 'right' },
      { title: safe`CGROUP`, align: 'left', min: 20 },
    ] as const;
    lines.push(
      safe`${plural(total, 'fork')} failed in ${seconds} s.`,
      safe``,
      ...table(columns, rows, style),
    );
    if (counts.some(({ refusedBy }) => refusedBy === 'pids-controller' || refusedBy === 'rlimit-nproc')) {
      lines.push(safe``, safe`Which limit, where it is set and what raises it: tasksctl diagnose`);
    }
  }
  if (lost > 0) lines.push(safe`${plural(lost, 'event')} came too fast for the kernel to keep.`);
  return join([...lines, safe``], safe`\n`);
}
