import { type Diagnosis, diagnose as diagnoseHost } from '../diagnose/diagnose.ts';
import { EVERYTHING, type Focus } from '../diagnose/focus.ts';
import type { SysctlOrigins } from '../diagnose/kernel-ceilings.ts';
import { resolveSysctl, type TaskSysctl } from '../plan/sysctl-conf.ts';
import { diagnoseJson } from '../report/diagnose-json.ts';
import { diagnoseText } from '../report/diagnose-text.ts';
import { chainOf, parentsOf } from '../report/unit-tree.ts';
import { fileTreeOf } from '../snapshot/file-tree.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Provenance } from '../snapshot/provenance.ts';
import type { Asked } from '../snapshot/read-snapshot.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { userSlice } from '../systemd/unit-name.ts';
import type { Console } from './console.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import { findUnit } from './find-unit.ts';
import type { InventoryOptions, OutputOptions, SourceOptions } from './options.ts';
import { readDirectory } from './read-directory.ts';
import { notePartialData, readSource } from './read-source.ts';

export interface DiagnoseOptions extends SourceOptions, InventoryOptions, OutputOptions {
  readonly unit?: string;
  /** A name or uid. */
  readonly user?: string;
  readonly pid?: number;
  /** A collected directory instead of a host. */
  readonly directory?: string;
}

/** `tasksctl diagnose` */
export async function diagnose(console: Console, options: DiagnoseOptions): Promise<Outcome> {
  const { user, pid, inventory } = options;
  if (inventory !== undefined) {
    const { fleetDiagnose } = await import('./fleet-read.ts');
    return fleetDiagnose(console, { ...options, inventory });
  }
  const asked: Asked | undefined = user !== undefined ? { user } : pid !== undefined ? { pid } : undefined;
  const source =
    options.directory === undefined
      ? await readSource(console, options, asked === undefined ? {} : { asked })
      : await readDirectory(options.directory, console.io.signal);
  if (source.kind === 'failed') return source;
  const { snapshot } = source;
  await notePartialData(console, snapshot);
  const found = focusOf(snapshot, options);
  if (found.kind === 'failed') return found;
  const { focus } = found;
  const diagnosis: Diagnosis = diagnoseHost(snapshot, sysctlOrigins(snapshot), focus);
  return console.json
    ? console.document(diagnoseJson(snapshot, focus.name, diagnosis))
    : console.result(diagnoseText(snapshot, focus.name, diagnosis, sourceOptions(options), console.style));
}

export function sysctlOrigins(snapshot: Snapshot): SysctlOrigins {
  const tree = fileTreeOf(snapshot);
  const origin = (name: TaskSysctl): Provenance | null => {
    const line = resolveSysctl(tree, name).byProcps;
    return line === null ? null : { kind: 'file', ...line, section: '', key: name };
  };
  return {
    'kernel.pid_max': origin('kernel.pid_max'),
    'kernel.threads-max': origin('kernel.threads-max'),
  };
}

/** The options that name the host, for commands to copy. */
function sourceOptions({ target, transport, sshConfig, snapshot, directory }: DiagnoseOptions): string[] {
  if (directory !== undefined) return ['--directory', directory];
  if (snapshot !== undefined && snapshot !== '-') return ['--snapshot', snapshot];
  if (target === 'local') return [];
  return [
    ...['--target', target],
    ...(transport === 'ssh2' ? [] : ['--transport', transport]),
    ...(sshConfig === undefined ? [] : ['--ssh-config', sshConfig]),
  ];
}

type FoundFocus = { readonly kind: 'focus'; readonly focus: Focus } | Failed;

function focusOf(snapshot: Snapshot, { unit, user, pid }: DiagnoseOptions): FoundFocus {
  if (unit !== undefined) return unitFocus(snapshot, unit);
  if (user !== undefined) return userFocus(snapshot, user);
  if (pid !== undefined) return processFocus(snapshot, pid);
  return { kind: 'focus', focus: EVERYTHING };
}

function unitFocus(snapshot: Snapshot, name: string): FoundFocus {
  const limits = hostLimits(snapshot);
  const found = findUnit(snapshot, limits, name);
  if (found.kind === 'failed') return found;
  const { unit } = found;
  let { cgroup } = unit;
  if (cgroup === null) {
    // Where its cgroup was, and is when it runs again.
    const above = chainOf(unit, parentsOf(limits.units)).find((row) => row.cgroup !== null)?.cgroup;
    cgroup = `${above === undefined || above === null || above === '/' ? '' : above}/${unit.name}`;
  }
  return { kind: 'focus', focus: { name: unit.name, cgroups: [cgroup], uid: null, proc: null } };
}

function userFocus(snapshot: Snapshot, user: string): FoundFocus {
  const uid = uidOf(snapshot, user);
  if (uid === null) {
    return failed({
      kind: 'user-not-found',
      message: `${snapshot.host.hostname} has no user ${user}.`,
      help: 'A saved snapshot knows the names of users who were logged in; a uid will always do.',
    });
  }
  const groups = snapshot.uids?.find((entry) => entry.uid === uid)?.limits ?? [];
  const cgroups = [`/user.slice/${userSlice(uid)}`, ...groups.flatMap((group) => group.cgroups ?? [])];
  const name = user === String(uid) ? `uid ${uid}` : `${user} (uid ${uid})`;
  return { kind: 'focus', focus: { name, cgroups: [...new Set(cgroups)], uid, proc: null } };
}

function uidOf({ asked, users, sessions }: Snapshot, user: string): number | null {
  if (/^[0-9]{1,10}$/.test(user)) return Number(user);
  if (user === 'root') return 0;
  if (asked?.user?.name === user) return asked.user.uid;
  const session = sessions.find((candidate) => candidate.user === user);
  return users.find(({ name }) => name === user)?.uid ?? session?.uid ?? null;
}

function processFocus(snapshot: Snapshot, pid: number): FoundFocus {
  const { asked } = snapshot;
  const found = asked?.process?.pid === pid ? asked.process.found : null;
  if (found === null) {
    const unit = snapshot.units.find(({ mainPid, cgroup }) => mainPid === pid && cgroup !== undefined);
    if (unit !== undefined && asked?.process?.pid !== pid) return unitFocus(snapshot, unit.id);
    return failed({
      kind: 'process-not-found',
      message: `${snapshot.host.hostname} has no process ${pid}, or it was not asked for when the snapshot was taken.`,
      help: 'tasksctl diagnose --pid needs the host itself, while the process runs; --unit and --user do not.',
    });
  }
  const { comm, uid, cgroup, soft, exempt, pidNamespace } = found;
  return {
    kind: 'focus',
    focus: {
      name: `pid ${pid} (${comm})`,
      cgroups: cgroup === null ? null : [cgroup],
      uid,
      proc: { pid, soft, exempt: exempt === true, pidNamespace: pidNamespace ?? null },
    },
  };
}
