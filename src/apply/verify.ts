import { createHash } from 'node:crypto';
import type { Change, Plan } from '../plan/plan.ts';
import { RECORDER_SERVICE } from '../plan/recorder.ts';
import type { HostLimits, UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { TaskCount } from '../systemd/tasks-max.ts';

/** What a later look at the host says of one change of a run. */
export type Standing =
  /** The kernel enforces it on everything that runs; `enforced` counts the units. */
  | { readonly kind: 'holds'; readonly enforced: number }
  /** The files are right; what is named here still runs under another limit. */
  | { readonly kind: 'pending'; readonly until: string; readonly waiting: readonly string[] }
  /** It is not what the run left: each line says what was found. */
  | { readonly kind: 'lost'; readonly found: readonly string[] };

export interface ChangeStanding {
  readonly title: string;
  readonly wanted: string;
  readonly standing: Standing;
}

export interface RunStanding {
  readonly changes: readonly ChangeStanding[];
  /** The host has booted since the run, so the limits were set by its files alone. */
  readonly rebooted: boolean;
  /** Everything holds: what was pending is closed. */
  readonly holds: boolean;
}

/**
 * Compares a host as it is now with what a run wanted. The evidence is the kernel's pids.max and the files' bytes;
 * what systemd says has to agree.
 */
export function verifyRun(
  plan: Plan,
  run: { readonly bootId: string },
  snapshot: Snapshot,
  limits: HostLimits,
): RunStanding {
  const changed = new Map(plan.files.flatMap((file) => fileFault(file, snapshot)));
  const rebooted = snapshot.host.bootId !== null && snapshot.host.bootId !== run.bootId;
  const changes = plan.changes.map((change): ChangeStanding => {
    const faults = change.files.flatMap((path) => changed.get(path) ?? []);
    const standing = faults.length > 0 ? lost(...faults) : standingOf(change, limits, rebooted);
    return { title: change.title, wanted: change.to.text, standing };
  });
  return { changes, rebooted, holds: changes.every(({ standing }) => standing.kind === 'holds') };
}

function lost(...found: string[]): Standing {
  return { kind: 'lost', found };
}

/** Path and fault of a file that is not as the plan left it. */
function fileFault(file: Plan['files'][number], snapshot: Snapshot): [string, string][] {
  const found = snapshot.files.find(({ path }) => path === file.path);
  if (file.after === null) return found === undefined ? [] : [[file.path, `${file.path} is there again`]];
  if (found === undefined) return [[file.path, `${file.path} is gone`]];
  if (found.type !== 'file') return [[file.path, `${file.path} is not a regular file any more`]];
  const bytes =
    found.text !== undefined
      ? Buffer.from(found.text)
      : found.base64 !== undefined
        ? Buffer.from(found.base64, 'base64')
        : null;
  // The snapshot leaves out what cannot concern task limits; a file of ours does, so then it is another.
  const same = bytes !== null && createHash('sha256').update(bytes).digest('hex') === file.after.sha256;
  return same ? [] : [[file.path, `${file.path} was changed since`]];
}

function standingOf(change: Change, limits: HostLimits, rebooted: boolean): Standing {
  const { limit } = change;
  switch (limit.kind) {
    case 'sysctl': {
      const { pidMax, threadsMax } = limits.kernel;
      const found = limit.name === 'kernel.pid_max' ? pidMax : threadsMax;
      return String(found) === change.to.count
        ? { kind: 'holds', enforced: 1 }
        : lost(`${limit.name} is ${found ?? 'unknown'}`);
    }
    case 'recorder': {
      const service = limits.units.find(({ name }) => name === RECORDER_SERVICE);
      const records = service?.active === true;
      return change.to.count === 'off' && records
        ? lost(`${RECORDER_SERVICE} still runs`)
        : { kind: 'holds', enforced: records ? 1 : 0 };
    }
    case 'cgroup': {
      const row = limits.units.find(({ cgroup }) => cgroup === limit.path);
      // A bare cgroup has no file to come back by.
      if (row === undefined) return lost(`the cgroup ${limit.path} is gone, or has no limit`);
      return judge(change, [row], wantedCount(change, row.live), rebooted);
    }
    case 'unit': {
      const row = limits.units.find(({ name }) => name === limit.unit);
      // A unit that is not loaded has its limit from the files, which are as they should be.
      if (row === undefined) return { kind: 'holds', enforced: 0 };
      const wanted = wantedCount(change, row.configured?.count ?? null);
      if (row.configured !== null && row.configured.count !== wanted) {
        return lost(`the files of ${row.name} come to ${row.configured.count}`);
      }
      return judge(change, [row], wanted, rebooted);
    }
    case 'user-default': {
      const wanted = wantedCount(change, limits.userDefault.count);
      if (limits.userDefault.count !== wanted) return lost(`the files come to ${limits.userDefault.count}`);
      const rows = limits.units.filter(({ name }) => /^user-[0-9]+\.slice$/.test(name));
      const concerned = limits.userDefault.where === 'logind' ? rows : rows.filter(isConfiguredAs(wanted));
      return judge(change, concerned, wanted, rebooted);
    }
    case 'manager-default': {
      if (limit.manager === 'user') return { kind: 'holds', enforced: 0 };
      const wanted = wantedCount(change, limits.managerDefault.count);
      const { count, manager } = limits.managerDefault;
      if (count !== wanted) return lost(`the files come to ${count}`);
      if (manager !== null && manager !== wanted) return lost(`systemd has DefaultTasksMax=${manager}`);
      const rows = limits.units.filter(({ type }) => type !== 'slice' && type !== 'cgroup');
      return judge(change, rows.filter(isConfiguredAs(wanted)), wanted, rebooted);
    }
  }
}

/** A fraction is of a ceiling that may be another after a boot, so what it comes to now is what it should be. */
function wantedCount({ to }: Change, now: TaskCount | null): TaskCount {
  if (/[%‰‱]/.test(to.text) && now !== null) return now;
  return to.count === 'infinity' ? 'infinity' : BigInt(to.count);
}

function isConfiguredAs(count: TaskCount): (row: UnitLimit) => boolean {
  return ({ configured }) => configured !== null && configured.count === count;
}

/** Whether the kernel enforces `wanted` on all of the rows that run. */
function judge(change: Change, rows: readonly UnitLimit[], wanted: TaskCount, rebooted: boolean): Standing {
  // No pids.max where the controller is not enabled, or the unit does not run.
  const running = rows.filter(({ active, cgroup }) => active && cgroup !== null);
  const lagging = running.filter(({ live }) => (live ?? 'infinity') !== wanted);
  if (lagging.length === 0) return { kind: 'holds', enforced: running.length };
  const waiting = lagging.map(({ name, live }) => `${name} (${live ?? 'no limit'})`);
  // After a boot nothing is left that could be waiting for one.
  if (rebooted) return lost(...waiting.map((what) => `${what} runs under another limit after a boot`));
  const { when } = change.activation;
  const later = change.limit.kind === 'user-default' ? 'next-login' : 'unit-restart';
  const until = when === 'next-login' || when === 'unit-restart' || when === 'reboot' ? when : later;
  return { kind: 'pending', until, waiting };
}
