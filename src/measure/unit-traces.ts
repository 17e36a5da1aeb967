import { patternOf } from './pattern-of.ts';
import { unitAt } from './recorder.ts';
import type { SamplerEvent } from './sampler-stream.ts';

/** How many tasks one unit had, in order. */
export interface UnitTrace {
  readonly unit: string;
  readonly points: (readonly [at: number, tasks: number])[];
}

/** What was sampled on one host as a series for each unit, under the name a profile has it by. */
export function unitTraces(events: readonly SamplerEvent[]): UnitTrace[] {
  const traces: UnitTrace[] = [];
  const current = new Map<string, UnitTrace>();
  for (const event of events) {
    if (event.kind !== 'sample') continue;
    for (const [path, tasks] of event.changes) {
      if (tasks === null) {
        current.delete(path);
        continue;
      }
      let trace = current.get(path);
      if (trace === undefined) {
        const unit = unitAt(path);
        if (unit === null) continue;
        trace = { unit: patternOf(unit) ?? unit, points: [] };
        current.set(path, trace);
        traces.push(trace);
      }
      if (trace.points.at(-1)?.[1] !== tasks) trace.points.push([event.at, tasks]);
    }
  }
  return traces;
}
