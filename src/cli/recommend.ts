import { recommend } from '../needs/recommend.ts';
import { limitRule } from '../plan/policy.ts';
import { matchesPattern } from '../plan/unit-pattern.ts';
import { recommendJson } from '../report/recommend-json.ts';
import { recommendText } from '../report/recommend-text.ts';
import type { Console } from './console.ts';
import type { Outcome } from './failure.ts';
import type { OutputOptions } from './options.ts';
import { readPolicy } from './plan.ts';
import { mergedProfile, readMeasured } from './read-profiles.ts';

export interface RecommendOptions extends OutputOptions {
  readonly profiles: readonly string[];
  readonly policy: string;
  readonly unit: readonly string[];
  readonly explain?: true;
}

/** `tasksctl recommend` */
export async function recommendLimits(console: Console, options: RecommendOptions): Promise<Outcome> {
  const wish = await readPolicy(options, console.io);
  if (wish.kind === 'failed') return wish;
  const read = await readMeasured(options.profiles, console.io);
  if (read.kind === 'failed') return read;
  const { policy } = wish;
  const { hosts } = mergedProfile(read.measured);
  const made = recommend(hosts, policy, (unit) => limitRule(policy, unit));
  const { unit: globs } = options;
  const units = made.units.filter(
    ({ unit }) => globs.length === 0 || globs.some((glob) => matchesPattern(glob, unit)),
  );
  if (console.json) return console.document(recommendJson({ ...made, units }, policy.name));
  const measuredMs = hosts.reduce((sum, host) => sum + host.measuredMs, 0);
  // Whoever asks for single units wants to know why.
  const explain = options.explain === true || globs.length > 0;
  return console.result(
    recommendText({ ...made, units }, { policy: policy.name, measuredMs, explain }, console.style),
  );
}
