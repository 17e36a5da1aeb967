import { randomInt } from 'node:crypto';
import { type ApplyResult, applyPlan } from '../apply/apply-plan.ts';
import { REBOOT_CONNECT_SECONDS, REBOOT_TIMEOUT_MS, rebootHost } from '../apply/reboot.ts';
import { makeRunId } from '../apply/run-id.ts';
import { DEAD_MAN_SECONDS, KEEP_DAYS } from '../apply/transaction.ts';
import type { Transport } from '../host/transport.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { fileDiff } from '../plan/file-diff.ts';
import { type Plan, planSchema } from '../plan/plan.ts';
import { planHost } from '../plan/plan-host.ts';
import { applyJson, verifyJson } from '../report/apply-json.ts';
import { applyText } from '../report/apply-text.ts';
import { planText } from '../report/plan-text.ts';
import { escapeText, type SafeText, safe } from '../report/terminal-escape.ts';
import { verifyText } from '../report/verify-text.ts';
import { askYes, canAsk } from './ask-yes.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import { operatorName } from './operator.ts';
import type { HostOptions, OutputOptions } from './options.ts';
import { readPolicy } from './plan.ts';
import { readText } from './read-file.ts';
import { readHost } from './read-host.ts';
import { readMeasured, useOfHost } from './read-profiles.ts';
import { write } from './terminal.ts';
import { standingOfRun } from './verify.ts';

export interface ApplyCommandOptions extends HostOptions, OutputOptions {
  /** A saved plan; `-` is standard input. */
  readonly planFile?: string;
  /** `-t` was given, so it and not the plan says which host it is. */
  readonly targetGiven: boolean;
  readonly policy: string;
  /** Files with what was measured on the host. */
  readonly profile: readonly string[];
  readonly yes?: true;
  readonly check?: true;
  /** Seconds, or false for `--no-dead-man`. */
  readonly deadMan?: number | boolean;
  readonly reboot?: true;
  readonly diff: boolean;
  readonly verbose?: true;
}

/** `tasksctl apply` */
export async function apply(console: Console, options: ApplyCommandOptions): Promise<Outcome> {
  if (options.planFile !== undefined) return applyMade(console, await loadPlan(console, options), options);
  const open: Transport[] = [];
  try {
    return await applyMade(console, await makePlan(console, options, open), options, open);
  } finally {
    for (const transport of open) await transport.close();
  }
}

async function applyMade(
  console: Console,
  made: Loaded,
  options: ApplyCommandOptions,
  open: Transport[] = [],
): Promise<Outcome> {
  if (made.kind === 'failed') return made;
  const { plan } = made;
  if (options.reboot === true && plan.target === 'local') {
    return failed({
      kind: 'usage',
      message: 'This machine cannot be rebooted by a program that waits for it to come back.',
      help: 'Apply without --reboot, reboot, and run tasksctl verify.',
    });
  }
  if (!console.json) await showPlan(console, plan, options);
  return applyShown(console, plan, options, open);
}

/** What of the options matters once there is a plan. */
export type CarryOutOptions = OutputOptions &
  Pick<
    ApplyCommandOptions,
    | 'transport'
    | 'sshConfig'
    | 'acceptNew'
    | 'askBecomePass'
    | 'timeout'
    | 'yes'
    | 'check'
    | 'deadMan'
    | 'reboot'
  >;

/**
 * Asks whether a plan that the operator has seen is to be carried out, and does it: over a connection to its host that
 * is open already where there is one, which is then taken out of `open`. The proof of a login is always a new one.
 */
export async function applyShown(
  console: Console,
  plan: Plan,
  options: CarryOutOptions,
  open: Transport[] = [],
): Promise<Outcome> {
  const agreed = await agree(console, plan, options);
  if (agreed !== 'yes') return agreed;

  const progress = console.progress(safe`Applying to ${escapeText(plan.target)}`);
  const connect = connector(console, { ...options, target: plan.target }, progress);
  let result: ApplyResult;
  try {
    result = await applyPlan(plan, {
      connect: () => {
        const transport = open.pop();
        return transport === undefined ? connect() : Promise.resolve({ ok: true, transport });
      },
      ...newRun(),
      check: options.check === true,
      deadMan: options.deadMan !== false,
      deadManSeconds: typeof options.deadMan === 'number' ? options.deadMan : DEAD_MAN_SECONDS,
      signal: console.io.signal,
    });
  } finally {
    progress.pause();
  }
  if (options.reboot === true && (result.kind === 'applied' || result.kind === 'unchanged')) {
    return rebootAndVerify(console, options, plan, result);
  }
  const code = exitCode(plan, result, console.io.signal.aborted);
  return console.json
    ? console.document(applyJson(plan, result, null), code)
    : console.result(applyText(plan, result, console.style), code);
}

/** Clock, randomness and the operator's name come in here and nowhere below. */
function newRun() {
  const startedAt = new Date();
  const keepSince = new Date(startedAt.getTime() - KEEP_DAYS * 86_400_000);
  return {
    run: {
      id: makeRunId(startedAt, randomInt(0x10000)),
      startedAt,
      operator: operatorName(),
    },
    keepSince: makeRunId(keepSince, 0),
  };
}

function exitCode(plan: Plan, result: ApplyResult, interrupted: boolean): number {
  switch (result.kind) {
    case 'nothing':
    case 'checked':
    case 'unchanged':
    case 'applied':
      // What could be done is done; not all of what the policy wants could.
      return plan.refused.length > 0 ? EXIT.refused : EXIT.done;
    case 'refused':
      return EXIT.refused;
    case 'restored':
      return interrupted ? EXIT.interrupted : EXIT.someHostsFailed;
    case 'restore-failed':
      return EXIT.someHostsFailed;
    case 'unreachable':
    case 'unknown':
      return interrupted ? EXIT.interrupted : EXIT.error;
  }
}

type Loaded = { readonly kind: 'ok'; readonly plan: Plan } | Failed;

async function makePlan(console: Console, options: ApplyCommandOptions, open: Transport[]): Promise<Loaded> {
  const wish = await readPolicy(options, console.io);
  if (wish.kind === 'failed') return wish;
  const read = await readMeasured(options.profile, console.io);
  if (read.kind === 'failed') return read;
  // Where nobody is asked first: a connection that waits for a person may be dead by then.
  const keep = (transport: Transport): void => void open.push(transport);
  const source = await readHost(console, options, options.yes === true ? { keep } : {});
  if (source.kind === 'failed') return source;
  const use = useOfHost(read.measured, source.snapshot);
  if (use.kind === 'failed') return use;
  return { kind: 'ok', plan: planHost(source.snapshot, wish.policy, use.host, recorderFiles()) };
}

async function loadPlan(console: Console, options: ApplyCommandOptions): Promise<Loaded> {
  const file = await readText(options.planFile ?? '-', console.io);
  if (!file.ok) return failed(file.failure);
  const invalid = (why: string): Failed =>
    failed({
      kind: 'input-invalid',
      message: `${file.name} is no plan of this version of tasksctl: ${why}`,
      help: 'Make it with tasksctl plan --out FILE.',
    });
  let json: unknown;
  try {
    json = JSON.parse(file.text);
  } catch (error) {
    return invalid(error instanceof Error ? error.message : String(error));
  }
  const parsed = planSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return invalid(`${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'unknown'}`);
  }
  const plan = options.targetGiven ? { ...parsed.data, target: options.target } : parsed.data;
  return { kind: 'ok', plan };
}

/** The plan goes where questions go: the result of this command is what became of it. */
async function showPlan(console: Console, plan: Plan, options: ApplyCommandOptions): Promise<void> {
  const diffs = options.diff ? plan.files.map(fileDiff) : [];
  const text = planText(plan, { diffs, verbose: options.verbose === true }, console.style);
  await write(console.io.stderr, safe`${text}\n`);
}

async function agree(console: Console, plan: Plan, options: CarryOutOptions): Promise<'yes' | Outcome> {
  if (options.yes === true || options.check === true || plan.changes.length === 0) return 'yes';
  if (console.json || !canAsk(console.io)) {
    return failed({
      kind: 'usage',
      message: 'There is no terminal to ask whether to apply this plan.',
      help: 'Look at it with tasksctl plan, then apply it with --yes.',
    });
  }
  const reboot: SafeText = options.reboot === true ? safe` and reboot it` : safe``;
  if (await askYes(console.io, safe`Apply this to ${escapeText(plan.target)}${reboot}?`)) return 'yes';
  if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
  return console.result(safe`Nothing was changed.\n`, EXIT.done);
}

async function rebootAndVerify(
  console: Console,
  options: CarryOutOptions,
  plan: Plan,
  result: ApplyResult & { kind: 'applied' | 'unchanged' },
): Promise<Outcome> {
  if (!console.json) await write(console.io.stderr, applyText(plan, result, console.style));
  const progress = console.progress(safe`Rebooting ${escapeText(plan.target)}`);
  const timeout = Math.min(options.timeout, REBOOT_CONNECT_SECONDS);
  const connect = connector(console, { ...options, target: plan.target, timeout }, progress);
  try {
    const back = await rebootHost({ connect, timeoutMs: REBOOT_TIMEOUT_MS, signal: console.io.signal });
    if (back.kind === 'failed') {
      const help = `The changes are in place. Once it is up: tasksctl verify -t ${plan.target}`;
      return failed({ ...back.error, help });
    }
  } finally {
    progress.pause();
  }
  const found = await standingOfRun(
    console,
    { ...options, target: plan.target },
    result.kind === 'applied' ? result.run : null,
  );
  if (found.kind === 'failed') return found;
  const code = found.standing.holds ? exitCode(plan, result, false) : EXIT.error;
  return console.json
    ? console.document(applyJson(plan, result, verifyJson(plan.target, found.run, found.standing)), code)
    : console.result(verifyText(plan.target, found.run, found.standing, console.style), code);
}
