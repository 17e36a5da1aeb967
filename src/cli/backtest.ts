import { patternOf } from '../measure/pattern-of.ts';
import { unitTraces } from '../measure/unit-traces.ts';
import { backtest } from '../needs/backtest.ts';
import { recommend } from '../needs/recommend.ts';
import { limitRule } from '../plan/policy.ts';
import { matchesPattern } from '../plan/unit-pattern.ts';
import { backtestJson } from '../report/backtest-json.ts';
import { backtestText } from '../report/backtest-text.ts';
import { hostLimits } from '../snapshot/limits.ts';
import { parseSnapshot } from '../snapshot/load-snapshot.ts';
import type { TaskCount } from '../systemd/tasks-max.ts';
import type { Console } from './console.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import type { OutputOptions } from './options.ts';
import { readPolicy } from './plan.ts';
import { readText } from './read-file.ts';
import { mergedProfile, readMeasured } from './read-profiles.ts';

export interface BacktestOptions extends OutputOptions {
  readonly files: readonly string[];
  readonly policy: readonly string[];
  /** What the policies' limits come from; the files themselves if there is none. */
  readonly from: readonly string[];
  readonly snapshot?: string;
  readonly limit: readonly (readonly [pattern: string, limit: bigint])[];
  readonly unit: readonly string[];
}

/** Limits under a name, by unit. */
interface Candidate {
  readonly name: string;
  readonly limitOf: (unit: string) => bigint | null;
}

/** `tasksctl backtest` */
export async function backtestLimits(console: Console, options: BacktestOptions): Promise<Outcome> {
  const read = await readMeasured(options.files, console.io);
  if (read.kind === 'failed') return read;
  const { hosts } = mergedProfile(read.measured);
  const traces = read.measured.every((one) => one.traces !== null)
    ? read.measured.flatMap((one) => (one.traces ?? []).flatMap(unitTraces))
    : [];
  const candidates = await candidatesOf(console, options, hosts);
  if (candidates.kind === 'failed') return candidates;
  const { unit: globs } = options;
  const isWanted = (unit: string): boolean =>
    globs.length === 0 || globs.some((glob) => matchesPattern(glob, unit));
  const results = candidates.list.map(({ name, limitOf }) =>
    backtest(name, hosts, traces, (unit) => (isWanted(unit) ? limitOf(unit) : null)),
  );
  if (console.json) return console.document(backtestJson(results));
  const measuredMs = hosts.reduce((sum, host) => sum + host.measuredMs, 0);
  return console.result(backtestText(results, { units: globs.length > 0, measuredMs }, console.style));
}

async function candidatesOf(
  console: Console,
  options: BacktestOptions,
  measured: ReturnType<typeof mergedProfile>['hosts'],
): Promise<{ readonly kind: 'ok'; readonly list: readonly Candidate[] } | Failed> {
  const list: Candidate[] = [];
  if (options.limit.length > 0) {
    list.push({
      name: 'as given',
      limitOf: (unit) => options.limit.find(([glob]) => matchesPattern(glob, unit))?.[1] ?? null,
    });
  }
  if (options.snapshot !== undefined) {
    const now = await limitsOf(options.snapshot, console);
    if (now.kind === 'failed') return now;
    list.push({ name: 'as they are', limitOf: (unit) => now.limits.get(unit) ?? null });
  }
  let hosts = measured;
  if (options.from.length > 0) {
    const from = await readMeasured(options.from, console.io);
    if (from.kind === 'failed') return from;
    hosts = mergedProfile(from.measured).hosts;
  }
  const names = options.policy.length === 0 && list.length === 0 ? ['default'] : options.policy;
  for (const name of names) {
    const wish = await readPolicy({ policy: name }, console.io);
    if (wish.kind === 'failed') return wish;
    const { policy } = wish;
    const { units } = recommend(hosts, policy, (unit) => limitRule(policy, unit));
    const limits = new Map(units.map(({ unit, limit }) => [unit, limit]));
    list.push({ name: `policy ${policy.name}`, limitOf: (unit) => limits.get(unit) ?? null });
  }
  return { kind: 'ok', list };
}

/** The limits of a saved snapshot by the names profiles have; of a pattern's units the lowest. */
async function limitsOf(
  path: string,
  console: Console,
): Promise<{ readonly kind: 'ok'; readonly limits: ReadonlyMap<string, bigint> } | Failed> {
  const file = await readText(path, console.io);
  if (!file.ok) return failed(file.failure);
  const loaded = parseSnapshot(file.text);
  if (!loaded.ok) return failed({ kind: 'input-invalid', message: `${file.name}: ${loaded.message}` });
  const { units, userDefault } = hostLimits(loaded.snapshot);
  const limits = new Map<string, bigint>();
  const add = (name: string, count: TaskCount | null): void => {
    if (count === null || count === 'infinity') return;
    const known = limits.get(name);
    if (known === undefined || count < known) limits.set(name, count);
  };
  add('user-.slice', userDefault.count);
  for (const { name, type, live, configured } of units) {
    if (type !== 'cgroup') add(patternOf(name) ?? name, live ?? configured?.count ?? null);
  }
  return { kind: 'ok', limits };
}
