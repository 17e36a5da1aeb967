import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../host/package-root.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { fileDiff } from '../plan/file-diff.ts';
import { nearestName } from '../plan/nearest-name.ts';
import type { Plan } from '../plan/plan.ts';
import { planHost } from '../plan/plan-host.ts';
import { type Policy, parsePolicy } from '../plan/policy.ts';
import { planText } from '../report/plan-text.ts';
import { escapeJson } from '../report/terminal-escape.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import type { InventoryOptions, OutputOptions, SourceOptions } from './options.ts';
import { readText } from './read-file.ts';
import { readMeasured, useOfHost } from './read-profiles.ts';
import { notePartialData, readSource } from './read-source.ts';
import type { Io } from './terminal.ts';
import { writeResult } from './write-file.ts';

export interface PlanOptions extends SourceOptions, InventoryOptions, OutputOptions {
  readonly policy: string;
  /** Whether the operator named it. */
  readonly policyGiven?: boolean;
  /** Files with what was measured on the host. */
  readonly profile: readonly string[];
  readonly out?: string;
  readonly detailedExitcode?: true;
  readonly diff: boolean;
  readonly verbose?: true;
}

/** `tasksctl plan` */
export async function plan(console: Console, options: PlanOptions): Promise<Outcome> {
  if (options.inventory !== undefined) {
    const { fleetPlan } = await import('./fleet-plan.ts');
    return fleetPlan(console, { ...options, inventory: options.inventory });
  }
  // The policy first: a mistake in it should not cost a login on the host.
  const wish = await readPolicy(options, console.io);
  if (wish.kind === 'failed') return wish;
  const read = await readMeasured(options.profile, console.io);
  if (read.kind === 'failed') return read;
  const source = await readSource(console, options);
  if (source.kind === 'failed') return source;
  await notePartialData(console, source.snapshot);
  const use = useOfHost(read.measured, source.snapshot);
  if (use.kind === 'failed') return use;
  const made = planHost(source.snapshot, wish.policy, use.host, recorderFiles());

  if (options.out !== undefined) {
    const failure = await writeResult(options.out, escapeJson(`${JSON.stringify(made, null, 2)}\n`));
    if (failure !== null) return failed(failure);
  }
  const code = options.detailedExitcode === true ? detailedExitCode(made) : EXIT.done;
  if (console.json) return console.document(made, code);
  const diffs = options.diff ? made.files.map(fileDiff) : [];
  return console.result(planText(made, { diffs, verbose: options.verbose === true }, console.style), code);
}

/** Something that cannot be had outweighs something that can: who only looks for 2 must not miss it. */
function detailedExitCode(made: Plan): number {
  if (made.refused.length > 0) return EXIT.refused;
  return made.changes.length > 0 ? EXIT.changesPending : EXIT.done;
}

/** A name such as `default` is a template's; anything with a slash or a dot in it is a file. */
export const TEMPLATE_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** The policy that `--policy` names: a file, standard input, or a template. */
export async function readPolicy(
  options: Pick<PlanOptions, 'policy' | 'snapshot'>,
  io: Io,
): Promise<{ readonly kind: 'ok'; readonly policy: Policy } | Failed> {
  if (options.policy === '-' && options.snapshot === '-') {
    return failed({ kind: 'usage', message: 'Only one of --policy and --snapshot can be standard input.' });
  }
  let path = options.policy;
  if (TEMPLATE_NAME.test(path)) {
    const directory = join(packageRoot(), 'templates/policies');
    const names = (await readdir(directory)).flatMap((file) => /^(.+)\.yaml$/.exec(file)?.[1] ?? []);
    if (!names.includes(path)) {
      const near = nearestName(path, names);
      return failed({
        kind: 'usage',
        message: `There is no policy template ${path}; there are ${names.join(', ')}.`,
        help: near !== null ? `Did you mean ${near}?` : `A file of that name is ./${path}`,
      });
    }
    path = join(directory, `${path}.yaml`);
  }
  const file = await readText(path, io);
  if (!file.ok) return failed(file.failure);
  const parsed = parsePolicy(file.text, file.name);
  if (parsed.ok) return { kind: 'ok', policy: parsed.policy };
  return failed({
    kind: 'input-invalid',
    message: `${file.name} is no valid policy.`,
    problems: parsed.problems,
  });
}
