import { randomInt } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { applyPlan } from '../apply/apply-plan.ts';
import { makeRunId } from '../apply/run-id.ts';
import { DEAD_MAN_SECONDS } from '../apply/transaction.ts';
import { orderOf } from '../fleet/fleet-order.ts';
import { selectHosts } from '../fleet/host-pattern.ts';
import { type HostPlan, PlanGroups } from '../fleet/host-plan.ts';
import { type FleetOrder, HostPlanFile } from '../fleet/host-plan-file.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import {
  type JournalHead,
  type JournalRecord,
  type RolloutHost,
  type RolloutSettings,
  RolloutState,
} from '../fleet/journal.ts';
import { JournalFile } from '../fleet/journal-file.ts';
import { type RolloutResult, runRollout } from '../fleet/rollout.ts';
import { type Amount, amountOf, type Split, stagesInWaves } from '../fleet/waves.ts';
import { nearestName } from '../plan/nearest-name.ts';
import type { Plan } from '../plan/plan.ts';
import { fleetPlanText, rolloutText, wavesText } from '../report/fleet-text.ts';
import { fleetPlanJson, rolloutJson } from '../report/rollout-json.ts';
import { rolloutJunit } from '../report/rollout-junit.ts';
import { shellWord } from '../report/shell-quote.ts';
import { escapeText, join as joinText, type SafeText, safe } from '../report/terminal-escape.ts';
import { askYes, canAsk } from './ask-yes.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import { fleetPlanCode } from './fleet-plan.ts';
import { hostsOf } from './inventory.ts';
import { openRollout, PLANS, rolloutDirectory } from './open-rollout.ts';
import { operatorName } from './operator.ts';
import type { ConnectionOptions, InventoryOptions, OutputOptions } from './options.ts';
import { type FleetPlanned, lostJson, planFleet, plannedBy } from './plan-fleet.ts';
import { type HeldRollout, hasEnded, withRollout } from './run-rollout.ts';
import { write } from './terminal.ts';
import { writeResult } from './write-file.ts';

export interface RolloutOptions extends ConnectionOptions, InventoryOptions, OutputOptions {
  /** A saved fleet plan. */
  readonly planFile?: string;
  readonly policy: string;
  readonly policyGiven?: boolean;
  readonly profile: readonly string[];
  readonly waves?: readonly Amount[];
  readonly serial?: Amount;
  readonly maxFail: Amount;
  readonly maxUnavailable?: readonly (readonly [string, number])[];
  /** Milliseconds. */
  readonly bake?: number;
  readonly pause?: true;
  readonly gateCommand?: string;
  readonly onFailure: RolloutSettings['onFailure'];
  readonly reboot?: true;
  readonly drain?: string;
  readonly undrain?: string;
  /** Seconds. */
  readonly deadMan?: number;
  readonly yes?: true;
  readonly check?: true;
  readonly resume?: string;
  readonly junit?: string;
  readonly diff: boolean;
  readonly verbose?: true;
}

/** `tasksctl rollout` */
export async function rollout(console: Console, options: RolloutOptions): Promise<Outcome> {
  if (options.resume !== undefined) return resume(console, options, options.resume);
  // Not only after a thousand hosts were read.
  if (options.yes !== true && options.check !== true && (console.json || !canAsk(console.io))) {
    return failed({
      kind: 'usage',
      message: 'There is no terminal to ask whether to begin this rollout.',
      help: 'Look at it with --check, then begin it with --yes.',
    });
  }
  const wanted = await wantedOf(console, options);
  if (wanted.kind === 'failed') return wanted;
  if (options.check === true) return check(console, options, wanted.plan);
  return begin(console, options, wanted, 'show');
}

/** Rolls out plans that the operator has seen, as `tasksctl rollout` does: it says what the waves are, and asks. */
export function rolloutShown(
  console: Console,
  options: RolloutOptions,
  order: FleetOrder,
  plan: PlanHosts,
): Promise<Outcome> {
  return begin(console, options, { order, plan }, 'shown');
}

async function begin(
  console: Console,
  options: RolloutOptions,
  wanted: { readonly order: FleetOrder; readonly plan: PlanHosts },
  plansAre: 'show' | 'shown',
): Promise<Outcome> {
  const id = makeRunId(new Date(), randomInt(0x10000));
  const dir = rolloutDirectory(console, id);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const plans = await HostPlanFile.create(joinPath(dir, PLANS), wanted.order);
  let begun = false;
  try {
    const policies = new Map<string, string>();
    const { hosts, groups, lost } = await wanted.plan(async (plan) => {
      if (plan.plan.changes.length === 0) return;
      policies.set(plan.name, plan.plan.policy.name);
      await plans.add(plan);
    });
    if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
    await plans.sync();
    if (!console.json && plansAre === 'show') {
      const shown = { diff: options.diff, verbose: options.verbose === true };
      await write(console.io.stderr, fleetPlanText(groups.all(), lost.length, shown, console.errorStyle));
    }
    const head: JournalHead = {
      schema: 'tasksctl/rollout-journal/1',
      run: id,
      startedAt: new Date().toISOString(),
      operator: operatorName(),
      settings: settingsOf(options, wanted.order),
      hosts: stagesInWaves(
        hosts.filter(({ name }) => policies.has(name)),
        wanted.order.stages,
        splitOf(options),
      ).map(({ host: { name, target, groups }, wave, stage }) => {
        return { name, target, groups: [...groups], policy: policies.get(name) ?? '', wave, stage };
      }),
    };
    const rest: Rest = {
      lost,
      nothingToDo: hosts.flatMap(({ name }) =>
        policies.has(name) || lost.some(({ host }) => host.name === name) ? [] : [name],
      ),
      refused: groups.all().some(({ plan }) => plan.refused.length > 0),
    };
    if (lost.length > amountOf(options.maxFail, hosts.length)) {
      return failed({
        kind: 'input-invalid',
        message: `${lost.length} of ${hosts.length} hosts could not be planned (${lost[0]?.host.name}: ${lost[0]?.failure.message}). Nothing was changed.`,
        help: 'Mend them, leave them out with --limit, or allow for them with --max-fail.',
      });
    }
    if (head.hosts.length === 0) {
      return finish(
        console,
        options,
        head,
        { verdict: 'done', why: null, state: new RolloutState(head) },
        [],
        rest,
      );
    }
    const twice = sameTarget(head.hosts);
    if (twice !== null) {
      return failed({
        kind: 'input-invalid',
        message: `${twice[0].name} and ${twice[1].name} are both ${twice[0].target}: a host can be in a rollout once.`,
        help: 'Leave one of them out with --limit.',
      });
    }
    if (options.reboot === true && head.hosts.some(({ target }) => target === 'local')) {
      return failed({
        kind: 'usage',
        message: 'This machine cannot be rebooted by a program that waits for it to come back.',
        help: 'Leave it out with --limit, or leave out --reboot.',
      });
    }
    const agreed = await agree(console, options, head);
    if (agreed !== 'yes') return agreed;
    const journal = await JournalFile.create(dir, head);
    begun = true;
    return await carryOn(console, options, { head, records: [], journal, plans, rest });
  } finally {
    await plans.close();
    // Nothing was done to any host, so there is nothing to remember.
    if (!begun) await rm(dir, { recursive: true, force: true });
  }
}

/** Hands each plan on as it is made or read. */
export type PlanHosts = (
  take: (plan: HostPlan) => Promise<void>,
) => Promise<FleetPlanned & { readonly hosts: readonly InventoryHost[] }>;

type Wanted = { readonly kind: 'ok'; readonly order: FleetOrder; readonly plan: PlanHosts } | Failed;

/** What the command line asks for: a saved fleet plan, or hosts and their policies. */
async function wantedOf(console: Console, options: RolloutOptions): Promise<Wanted> {
  const { inventory, planFile } = options;
  if (planFile !== undefined) return savedPlan(options, planFile);
  if (inventory === undefined) {
    return failed({
      kind: 'usage',
      message: 'No inventory and no saved plan is given.',
      help: 'Name the hosts with -i FILE or -i host1,host2.',
    });
  }
  const fleet = { ...options, inventory };
  const found = await hostsOf(console, fleet);
  if (found.kind === 'failed') return found;
  const unknown = unknownGroup(options, found.groups);
  if (unknown !== null) return unknown;
  // Before any login: a mistake in a policy should not cost one.
  const by = await plannedBy(console, options, found);
  if (by.kind === 'failed') return by;
  const { hosts } = found;
  return {
    kind: 'ok',
    order: orderOf(found),
    plan: async (take) => ({ hosts, ...(await planFleet(console, hosts, fleet, by, take)) }),
  };
}

/** A bound on a group that does not exist bounds nothing. */
function unknownGroup({ maxUnavailable = [] }: RolloutOptions, groups: readonly string[]): Failed | null {
  const [unknown] = maxUnavailable.flatMap(([group]) =>
    groups.includes(group) || group === 'all' ? [] : [group],
  );
  if (unknown === undefined) return null;
  const near = nearestName(unknown, groups);
  return failed({
    kind: 'usage',
    message: `--max-unavailable: there is no group ${unknown}.`,
    ...(near === null ? {} : { help: `Did you mean ${near}?` }),
  });
}

async function savedPlan(options: RolloutOptions, path: string): Promise<Wanted> {
  if (options.inventory !== undefined || options.policyGiven === true || options.profile.length > 0) {
    return failed({
      kind: 'usage',
      message:
        'A saved plan has its hosts and policies: --inventory, --policy and --profile are of no use beside it.',
      help: 'Some of its hosts are named with --limit.',
    });
  }
  let plans: HostPlanFile;
  try {
    plans = await HostPlanFile.open(path);
    if (plans.hosts().length === 0) throw new Error(`${path}: there is no plan in it`);
  } catch (error) {
    return failed({
      kind: 'input-invalid',
      message: error instanceof Error ? error.message : String(error),
      help: 'Make it with tasksctl plan -i INVENTORY --out FILE.',
    });
  }
  const all = plans.hosts();
  const unknown = unknownGroup(options, [...new Set(all.flatMap(({ groups }) => groups))]);
  if (unknown !== null) return unknown;
  const selected = options.limit === undefined ? all : selectHosts(all, options.limit);
  if ('error' in selected) return failed({ kind: 'usage', message: `--limit: ${selected.error}.` });
  if (selected.length === 0) {
    return failed({ kind: 'usage', message: `No host of the plan is left by --limit ${options.limit}.` });
  }
  const plan: PlanHosts = async (take) => {
    const groups = new PlanGroups(selected.map(({ name }) => name));
    const hosts: InventoryHost[] = [];
    for (const { name } of selected) {
      const one = await plans.get(name);
      hosts.push({ name, target: one.plan.target, groups: one.groups });
      groups.add(name, one.plan);
      await take(one);
    }
    await plans.close();
    return { groups, lost: [], hosts };
  };
  return { kind: 'ok', order: plans.order, plan };
}

/** What is told at the end of hosts that are in no wave. */
interface Rest {
  readonly lost: FleetPlanned['lost'];
  readonly nothingToDo: readonly string[];
  readonly refused: boolean;
}

const NO_REST: Rest = { lost: [], nothingToDo: [], refused: false };

function settingsOf(options: RolloutOptions, order: FleetOrder): RolloutSettings {
  // What the command line says of a group counts.
  const maxUnavailable = new Map([...order.maxUnavailable, ...(options.maxUnavailable ?? [])]);
  return {
    forks: options.forks,
    maxFail: options.maxFail,
    maxUnavailable: [...maxUnavailable],
    bakeSeconds: (options.bake ?? 0) / 1000,
    pause: options.pause === true,
    onFailure: options.onFailure,
    gateCommand: options.gateCommand ?? null,
    reboot: options.reboot === true,
    drain: options.drain ?? null,
    undrain: options.undrain ?? null,
    deadManSeconds: options.deadMan ?? null,
  };
}

function splitOf({ waves, serial }: RolloutOptions): Split | null {
  if (serial !== undefined) return { kind: 'serial', size: serial };
  return waves === undefined ? null : { kind: 'until', amounts: [...waves] };
}

function sameTarget(hosts: readonly RolloutHost[]): readonly [RolloutHost, RolloutHost] | null {
  const known = new Map<string, RolloutHost>();
  for (const host of hosts) {
    const other = known.get(host.target);
    if (other !== undefined) return [other, host];
    known.set(host.target, host);
  }
  return null;
}

async function agree(
  console: Console,
  options: RolloutOptions,
  { hosts, settings }: JournalHead,
): Promise<'yes' | Outcome> {
  const waves = wavesText(hosts);
  if (!console.json) await write(console.io.stderr, safe`${waves}\n`);
  if (options.yes === true) return 'yes';
  const reboot = settings.reboot ? safe` and reboot them where it takes that` : safe``;
  const count = hosts.length === 1 ? safe`1 host` : safe`${hosts.length} hosts`;
  if (await askYes(console.io, safe`Apply this to ${count}${reboot}?`)) return 'yes';
  if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
  return console.result(safe`Nothing was changed.\n`, EXIT.done);
}

/** Looks for what a rollout would change, and has each host check whether it would go through. */
async function check(console: Console, options: RolloutOptions, planHosts: PlanHosts): Promise<Outcome> {
  const bad: { readonly name: string; readonly detail: string }[] = [];
  const { groups, lost } = await planHosts(async ({ name, plan }) => {
    if (plan.changes.length === 0) return;
    const detail = await checkHost(console, options, plan);
    if (detail !== null) bad.push({ name, detail });
  });
  if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
  const all = groups.all();
  const code = fleetPlanCode(all, lost.length + bad.length, true);
  if (console.json) return console.document(fleetPlanJson(all, lostJson(lost), bad), code);
  const shown = { diff: options.diff, verbose: options.verbose === true };
  const text = fleetPlanText(all, lost.length, shown, console.style);
  const found = bad.map(
    ({ name, detail }) => safe`${escapeText(name)}: it would refuse: ${escapeText(detail)}\n`,
  );
  return console.result(safe`${text}${joinText(found, safe``)}`, code);
}

/** Text: why it would not go through. */
async function checkHost(console: Console, options: RolloutOptions, plan: Plan): Promise<string | null> {
  const progress = console.progress(safe`Checking`);
  progress.pause();
  const startedAt = new Date();
  const result = await applyPlan(plan, {
    connect: connector(console, { ...options, target: plan.target }, progress, console.io.signal),
    run: { id: makeRunId(startedAt, randomInt(0x10000)), startedAt, operator: operatorName() },
    keepSince: makeRunId(startedAt, 0),
    check: true,
    deadMan: true,
    deadManSeconds: DEAD_MAN_SECONDS,
    signal: console.io.signal,
  });
  switch (result.kind) {
    case 'nothing':
    case 'checked':
    case 'unchanged':
    case 'applied':
      return null;
    case 'refused':
      return `${result.reason}: ${result.detail}`;
    case 'restored':
    case 'restore-failed':
      return `${result.step}: ${result.reason}`;
    case 'unreachable':
    case 'unknown':
      return result.error.message;
  }
}

async function resume(console: Console, options: RolloutOptions, id: string): Promise<Outcome> {
  const opened = await openRollout(console, id);
  if (opened.kind === 'failed') return opened;
  const { head, records, journal, plans } = opened;
  try {
    const resumed = { what: 'resumed', at: new Date().toISOString() } as const;
    if (new RolloutState(head, records).end === null) {
      await journal.append(resumed);
      records.push(resumed);
    }
    return await carryOn(console, options, { head, records, journal, plans, rest: NO_REST });
  } finally {
    await plans.close();
  }
}

interface Going extends HeldRollout {
  readonly rest: Rest;
}

async function carryOn(console: Console, options: RolloutOptions, going: Going): Promise<Outcome> {
  const { head, records, journal, plans, rest } = going;
  const { hosts } = new RolloutState(head, records);
  const work = {
    label: safe`Rolling out`,
    ended: [...hosts].flatMap(([name, state]) => (hasEnded(state) ? [name] : [])),
    hosts: hosts.size,
    again: resumeCommand(head, options),
  };
  const result = await withRollout(console, options, { head, journal, plans, records }, work, runRollout);
  return finish(console, options, head, result, records, rest);
}

async function finish(
  console: Console,
  options: SameConnection & Pick<RolloutOptions, 'junit'>,
  head: JournalHead,
  result: RolloutResult,
  records: readonly JournalRecord[],
  { lost, nothingToDo, refused }: Rest,
): Promise<Outcome> {
  const document = rolloutJson(head, result, records, { nothingToDo, lost: lostJson(lost) });
  if (options.junit !== undefined) {
    const failure = await writeResult(options.junit, rolloutJunit(document));
    if (failure !== null) return failed(failure);
  }
  const code = exitCode(result, lost.length, refused);
  if (console.json) return console.document(document, code);
  if (head.hosts.length === 0) return console.result(safe`Nothing to do.\n`, code);
  const commands = { again: resumeCommand(head, options), undo: rollbackCommand(head, options) };
  return console.result(rolloutText(head, result, commands, console.style), code);
}

type SameConnection = Pick<ConnectionOptions, 'transport' | 'sshConfig' | 'askBecomePass'>;

/** The options to give again. */
function sameConnection({ transport, sshConfig, askBecomePass }: SameConnection): SafeText {
  const client = transport === 'ssh2' ? safe`` : safe` --transport ${shellWord(transport)}`;
  const config = sshConfig === undefined ? safe`` : safe` --ssh-config ${shellWord(sshConfig)}`;
  return safe`${client}${config}${askBecomePass === true ? safe` --ask-become-pass` : safe``}`;
}

/** The command that goes on with a rollout, to copy. */
function resumeCommand({ run }: JournalHead, options: SameConnection): SafeText {
  return safe`tasksctl rollout --resume ${escapeText(run)}${sameConnection(options)}`;
}

/** The command that takes a rollout back, or these hosts of it, to copy. */
export function rollbackCommand({ run }: JournalHead, options: SameConnection, limit?: string): SafeText {
  const some = limit === undefined ? safe`` : safe` --limit ${shellWord(limit)}`;
  return safe`tasksctl rollback ${escapeText(run)}${some}${sameConnection(options)}`;
}

export function exitCode({ verdict, state }: RolloutResult, lost: number, refused: boolean): number {
  switch (verdict) {
    case 'done': {
      const bad = [...state.hosts.values()].some(({ kind }) => kind === 'failed' || kind === 'unsettled');
      return bad || lost > 0 ? EXIT.someHostsFailed : refused ? EXIT.refused : EXIT.done;
    }
    case 'stopped':
    case 'rolled-back':
    case 'rollback-incomplete':
      return EXIT.someHostsFailed;
    case 'interrupted':
      return EXIT.interrupted;
    case 'paused':
      return EXIT.changesPending;
  }
}
