import { diagnose as diagnoseHost } from '../diagnose/diagnose.ts';
import { EVERYTHING } from '../diagnose/focus.ts';
import { diagnoseJson } from '../report/diagnose-json.ts';
import { fleetDiagnosisLine, fleetStatusLine } from '../report/fleet-line.ts';
import { byLeastHeadroom, selectUnits, type UnitFilter } from '../report/select-units.ts';
import { statusJson } from '../report/status-json.ts';
import { escapeJson, type SafeText } from '../report/terminal-escape.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Console } from './console.ts';
import { sysctlOrigins } from './diagnose.ts';
import { EXIT } from './exit-code.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import { hostsOf } from './inventory.ts';
import type { FleetOptions } from './options.ts';
import { readFleet } from './read-fleet.ts';

/** `tasksctl status --inventory`: a line for each host as it is read, or with --json a document each. */
export function fleetStatus(console: Console, options: FleetOptions, filter: UnitFilter): Promise<Outcome> {
  return eachLine(console, options, (snapshot, name) => {
    const limits = hostLimits(snapshot);
    const units = byLeastHeadroom(selectUnits(limits.units, filter));
    return console.json
      ? jsonLine(name, statusJson(snapshot, limits, units))
      : fleetStatusLine(name, units, console.style);
  });
}

/** `tasksctl diagnose --inventory`, likewise. */
export function fleetDiagnose(console: Console, options: FleetOptions): Promise<Outcome> {
  return eachLine(console, options, (snapshot, name) => {
    const diagnosis = diagnoseHost(snapshot, sysctlOrigins(snapshot), EVERYTHING);
    return console.json
      ? jsonLine(name, diagnoseJson(snapshot, EVERYTHING.name, diagnosis))
      : fleetDiagnosisLine(name, diagnosis, console.style);
  });
}

/** The name in the inventory comes first: two hosts may call themselves the same. */
function jsonLine(name: string, document: object): SafeText {
  return escapeJson(JSON.stringify({ inventoryName: name, ...document }));
}

async function eachLine(
  console: Console,
  options: FleetOptions,
  line: (snapshot: Snapshot, name: string) => SafeText,
): Promise<Outcome> {
  const found = await hostsOf(console, options);
  if (found.kind === 'failed') return found;
  let output: Failed | null = null;
  const lost = await readFleet(console, found.hosts, options, async ({ name }, snapshot) => {
    output ??= await console.resultLine(line(snapshot, name));
    return null;
  });
  if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
  if (output !== null) return output;
  if (console.json) {
    for (const { host, failure } of lost) {
      const document = { schema: 'tasksctl/error/1', ...failure };
      await console.resultLine(jsonLine(host.name, document));
    }
  }
  return { kind: 'exit', code: lost.length > 0 ? EXIT.someHostsFailed : EXIT.done };
}
