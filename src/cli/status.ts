import { countSeverities } from '../report/diagnostic-text.ts';
import { explainText } from '../report/explain-text.ts';
import { byLeastHeadroom, selectUnits } from '../report/select-units.ts';
import { statusJson } from '../report/status-json.ts';
import { statusText } from '../report/status-text.ts';
import { safe } from '../report/terminal-escape.ts';
import { chainOf, parentsOf } from '../report/unit-tree.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Console } from './console.ts';
import type { Outcome } from './failure.ts';
import { findUnit } from './find-unit.ts';
import type { InventoryOptions, OutputOptions, SourceOptions } from './options.ts';
import { notePartialData, readSource } from './read-source.ts';

export interface StatusOptions extends SourceOptions, InventoryOptions, OutputOptions {
  readonly unit?: readonly string[];
  /** A share, 0 to 1. */
  readonly over?: number;
  readonly all?: true;
  readonly tree?: true;
  readonly explain?: string;
}

/** `tasksctl status` */
export async function status(console: Console, options: StatusOptions): Promise<Outcome> {
  const filter = { all: options.all === true, globs: options.unit ?? [], over: options.over ?? null };
  const { inventory } = options;
  if (inventory !== undefined) {
    const { fleetStatus } = await import('./fleet-read.ts');
    return fleetStatus(console, { ...options, inventory }, filter);
  }
  const source = await readSource(console, options);
  if (source.kind === 'failed') return source;
  const { snapshot } = source;
  const limits = hostLimits(snapshot);
  await notePartialData(console, snapshot);
  const findings = limits.diagnostics.filter(({ severity }) => severity !== 'note');
  if (findings.length > 0) {
    await console.notice(
      'note',
      safe`${countSeverities(findings)} about this host's settings: tasksctl lint`,
    );
  }

  if (options.explain !== undefined) {
    const found = findUnit(snapshot, limits, options.explain);
    if (found.kind === 'failed') return found;
    return console.json
      ? console.document(statusJson(snapshot, limits, chainOf(found.unit, parentsOf(limits.units))))
      : console.result(explainText(snapshot, limits, found.unit, console.style));
  }

  const tree = options.tree === true;
  if (!console.json) return console.result(statusText(snapshot, limits, { filter, tree }, console.style));
  const units = selectUnits(limits.units, filter);
  return console.document(statusJson(snapshot, limits, tree ? units : byLeastHeadroom(units)));
}
