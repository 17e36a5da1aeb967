import type { HostLimits } from '../snapshot/limits.ts';
import type { Provenance } from '../snapshot/provenance.ts';
import type { Snapshot, SnapshotUid, SnapshotUnit } from '../snapshot/snapshot.ts';
import type { FileTree } from '../systemd/file-tree.ts';
import { type Focus, isAtOrBelow } from './focus.ts';
import { nprocLine } from './limits-conf.ts';
import { raised, type Verdict } from './verdict.ts';

type NprocGroup = SnapshotUid['limits'][number];

/** From this share of a limit on it is worth a word. */
export const NEARLY = 0.95;

/**
 * Users whose tasks reach their RLIMIT_NPROC. The kernel counts all tasks of the real uid, whatever their cgroups and
 * sessions, and compares with the limit of the process that forks; it neither counts nor logs what it refuses.
 */
export function nprocVerdicts(
  snapshot: Snapshot,
  limits: HostLimits,
  tree: FileTree,
  focus: Focus,
): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const entry of snapshot.uids ?? []) {
    const group = tightest(entry, focus);
    if (group === null) continue;
    const soft = Number(group.soft);
    const full = entry.tasks >= soft;
    if (!full && entry.tasks < soft * NEARLY) continue;
    const name = userName(snapshot, entry.uid);
    const who = name === null ? `uid ${entry.uid}` : `${name} (uid ${entry.uid})`;
    const unit = unitOf(snapshot, group);
    const set = unit === null ? originOf(snapshot, limits, tree, { uid: entry.uid, name }, group) : unit.set;
    verdicts.push({
      cause: 'rlimit-nproc',
      confidence: full ? 'likely' : 'possible',
      standing: full ? 'full' : 'nearly-full',
      limit: { kind: 'rlimit-nproc', uid: entry.uid },
      name: who,
      value: BigInt(group.soft),
      used: entry.tasks,
      rejected: null,
      set,
      evidence: [
        `${entry.tasks} tasks have the real uid ${entry.uid}, in all cgroups together`,
        `RLIMIT_NPROC is ${group.soft} (soft), ${group.hard} (hard) for ${group.tasks} of them, such as pid ${group.pid} (${group.comm})`,
        'the kernel keeps no count of forks that RLIMIT_NPROC refuses',
        ...(snapshot.host.container
          ? ['tasks of the same uid outside of this container count as well, unless it has a user namespace']
          : []),
      ],
      remedy: remedyOf(entry, group, name, unit?.unit ?? null),
    });
  }
  return verdicts;
}

/** The lowest limit that holds for tasks in focus. */
function tightest({ uid, limits }: SnapshotUid, { cgroups, uid: ofUser, proc }: Focus): NprocGroup | null {
  if (ofUser !== null && ofUser !== uid) return null;
  let least: NprocGroup | null = null;
  for (const group of limits) {
    if (group.exempt === true || group.soft === 'infinity') continue;
    if (proc !== null && (proc.exempt || proc.soft !== group.soft)) continue;
    const inFocus = cgroups === null || ofUser !== null || proc !== null;
    const paths = group.cgroups ?? [];
    if (!inFocus && !paths.some((path) => cgroups.some((above) => isAtOrBelow(path, above)))) continue;
    if (least === null || BigInt(group.soft) < BigInt(least.soft)) least = group;
  }
  return least;
}

export function userName({ users, sessions, asked }: Snapshot, uid: number): string | null {
  if (uid === 0) return 'root';
  const session = sessions.find((candidate) => candidate.uid === uid)?.user;
  const known = users.find((candidate) => candidate.uid === uid)?.name ?? session;
  const name = known ?? (asked?.user?.uid === uid ? asked.user.name : undefined);
  return name === undefined || name === String(uid) ? null : name;
}

/** The service whose LimitNPROC= it is, and where that is set. */
function unitOf(
  snapshot: Snapshot,
  { soft, cgroups = [] }: NprocGroup,
): { readonly unit: SnapshotUnit; readonly set: Provenance | null } | null {
  const unit = snapshot.units.find(
    ({ id, cgroup, limitNproc }) =>
      limitNproc === soft &&
      cgroup !== undefined &&
      // All services have the manager's default; logins do not get it from the unit of their user manager.
      !/^user@[0-9]+\.service$/.test(id) &&
      cgroups.some((path) => isAtOrBelow(path, cgroup)),
  );
  const pid1 = snapshot.rlimits.find(({ pid }) => pid === 1);
  if (unit === undefined || pid1?.soft === soft) return null;
  const files = [...(unit.dropIns ?? [])].reverse();
  if (unit.fragment !== undefined) files.push(unit.fragment);
  for (const file of files) {
    const text = snapshot.files.find(({ path }) => path === file)?.text;
    const lines = text?.split('\n') ?? [];
    const index = lines.findLastIndex((line) => /^\s*LimitNPROC\s*=/.test(line));
    if (index < 0) continue;
    const raw = (lines[index] ?? '').replace(/^[^=]*=\s*/, '').trim();
    const set = { kind: 'file', file, line: index + 1, section: 'Service', key: 'LimitNPROC', raw } as const;
    return { unit, set };
  }
  return { unit, set: null };
}

function originOf(
  snapshot: Snapshot,
  { kernel }: HostLimits,
  tree: FileTree,
  user: { readonly uid: number; readonly name: string | null },
  { soft }: NprocGroup,
): Provenance | null {
  const line = nprocLine(tree, user, soft);
  if (line !== null) return line;
  const pid1 = snapshot.rlimits.find(({ pid }) => pid === 1);
  if (pid1?.soft !== soft) return null;
  const half = kernel.threadsMax === null ? '' : `, half of threads-max at boot (${kernel.threadsMax} now)`;
  return { kind: 'default', text: `inherited from process 1${half}` };
}

function remedyOf(
  { tasks }: SnapshotUid,
  { soft, hard, pid }: NprocGroup,
  name: string | null,
  unit: SnapshotUnit | null,
): Verdict['remedy'] {
  const count = raised(Math.max(tasks, Number(soft)));
  const above = hard !== 'infinity' && count > Number(hard);
  const notes = [
    'half as much again as the user has now, at least 64 more',
    ...(above ? [`the hard limit is ${hard}: only root can raise it`] : []),
    unit === null
      ? `for later logins: a line "${name ?? '*'} - nproc ${count}" in a file of /etc/security/limits.d`
      : `for good: LimitNPROC=${count} by systemctl edit ${unit.id}, then restart it`,
    'tasksctl plan has no hand in RLIMIT_NPROC; the command changes one running process and what it starts from now on',
  ];
  // `N:` leaves the hard limit alone.
  const limit = `--nproc=${count}${above ? '' : ':'}`;
  return { count, notes, policy: null, commands: [['prlimit', `--pid=${pid}`, limit]] };
}
