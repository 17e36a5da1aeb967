import { countSeverities } from '../report/diagnostic-text.ts';
import { explainText } from '../report/explain-text.ts';
import { byLeastHeadroom, selectUnits, type UnitFilter } from '../report/select-units.ts';
import { statusText } from '../report/status-text.ts';
import { safe } from '../report/terminal-escape.ts';
import { chainOf, parentsOf } from '../report/unit-tree.ts';
import { hostLimits, type UnitLimit } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Console } from './console.ts';
import type { Outcome } from './failure.ts';
import { findUnit } from './find-unit.ts';
import { notePartialData } from './read-source.ts';
import type { StatusOptions } from './status.ts';

/** Shows the limits of a host that was read. */
export async function showStatus(
  console: Console,
  snapshot: Snapshot,
  options: StatusOptions,
  filter: UnitFilter,
): Promise<Outcome> {
  const limits = hostLimits(snapshot);
  await notePartialData(console, snapshot);
  const findings = limits.diagnostics.filter(({ severity }) => severity !== 'note');
  if (findings.length > 0) {
    await console.notice(
      'note',
      safe`${countSeverities(findings)} about this host's settings: tasksctl lint`,
    );
  }

  // With its schema it is half of what there is to load.
  const json = async (units: readonly UnitLimit[]) =>
    (await import('../report/status-json.ts')).statusJson(snapshot, limits, units);
  if (options.explain !== undefined) {
    const found = findUnit(snapshot, limits, options.explain);
    if (found.kind === 'failed') return found;
    return console.json
      ? console.document(await json(chainOf(found.unit, parentsOf(limits.units))))
      : console.result(explainText(snapshot, limits, found.unit, console.style));
  }

  const tree = options.tree === true;
  if (!console.json) return console.result(statusText(snapshot, limits, { filter, tree }, console.style));
  const units = selectUnits(limits.units, filter);
  return console.document(await json(tree ? units : byLeastHeadroom(units)));
}
