import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { TaskCount } from '../systemd/tasks-max.ts';
import type { UnitLimit } from './limits.ts';
import { describeProvenance, provenancePlace } from './provenance.ts';
import type { Snapshot } from './snapshot.ts';

/** Units named in one diagnostic that stands for many. */
const NAMED_UNITS = 5;

/** pids.max takes no number above PID_MAX_LIMIT (kernel/cgroup/pids.c; 64-bit kernels). */
const PIDS_MAX_LIMIT = 4_194_304n;

/** Running units of which files, manager and kernel do not say the same, and files systemd has yet to read. */
export function limitDisagreements(snapshot: Snapshot, units: readonly UnitLimit[]): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const fromDefault: Record<Disagreement, Differing[]> = { 'manager-differs': [], 'live-differs': [] };
  for (const unit of units) {
    const { configured, manager, live } = unit;
    // The root slice has no pids.max: systemd writes its limit into sysctls.
    if (configured === null || configured.provenance.kind === 'live' || unit.cgroup === '/') continue;
    const stale = manager !== null && manager !== configured.count;
    const drifted = unit.active && live !== null && live !== configured.count;
    if (!stale && !drifted) continue;
    const code = stale ? 'manager-differs' : 'live-differs';
    // What one default is behind is one finding, however many units have it.
    if (configured.limit.winner === null && unit.type !== 'slice')
      fromDefault[code].push({ unit, configured });
    else diagnostics.push(ofUnit({ unit, configured }, code));
  }
  for (const code of ['manager-differs', 'live-differs'] as const) {
    const [first, ...more] = fromDefault[code];
    if (first === undefined) continue;
    diagnostics.push(more.length === 0 ? ofUnit(first, code) : ofDefault([first, ...more], code));
  }
  for (const { id, needDaemonReload } of snapshot.units) {
    if (needDaemonReload !== true) continue;
    diagnostics.push({
      code: 'needs-daemon-reload',
      severity: 'note',
      message: `Files of ${id} changed since systemd read them; the next daemon-reload brings them in`,
      unit: id,
    });
  }
  return diagnostics;
}

type Disagreement = 'manager-differs' | 'live-differs';

interface Differing {
  readonly unit: UnitLimit;
  readonly configured: NonNullable<UnitLimit['configured']>;
}

const HELP: Readonly<Record<Disagreement, string>> = {
  'manager-differs': 'Run systemctl daemon-reload, or tasksctl plan for the exact steps.',
  'live-differs': 'tasksctl plan names the step that makes the kernel enforce it.',
};

function ofUnit({ unit, configured }: Differing, code: Disagreement): Diagnostic {
  const { count, provenance } = configured;
  const says = [`files say ${count} (${describeProvenance(provenance)})`];
  if (unit.manager !== null) says.push(`systemctl show says ${unit.manager}`);
  if (unit.live !== null)
    says.push(`the kernel enforces ${unit.live === 'infinity' ? 'no limit' : unit.live}`);
  return {
    code,
    severity: 'warning',
    message: `${unit.name}: ${says.join(', ')}${kernelRefuses(count)}`,
    ...provenancePlace(provenance),
    unit: unit.name,
    help: HELP[code],
  };
}

function ofDefault(differing: readonly [Differing, ...Differing[]], code: Disagreement): Diagnostic {
  const { count, provenance } = differing[0].configured;
  const named = differing
    .slice(0, NAMED_UNITS)
    .map(({ unit }) => `${unit.name} ${code === 'manager-differs' ? unit.manager : unit.live}`);
  const more = differing.length > NAMED_UNITS ? ` and ${differing.length - NAMED_UNITS} more` : '';
  const who = code === 'manager-differs' ? 'systemctl show says' : 'the kernel enforces';
  return {
    code,
    severity: 'warning',
    message: `${differing.length} units should have ${count} (${describeProvenance(provenance)}), but ${who}: ${named.join(', ')}${more}`,
    help: HELP[code],
  };
}

function kernelRefuses(count: TaskCount): string {
  return count !== 'infinity' && count > PIDS_MAX_LIMIT
    ? `; pids.max takes nothing above ${PIDS_MAX_LIMIT}`
    : '';
}
