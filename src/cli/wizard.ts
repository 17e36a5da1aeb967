import { statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { diagnose } from '../diagnose/diagnose.ts';
import { EVERYTHING } from '../diagnose/focus.ts';
import type { Fleet } from '../fleet/fleet-file.ts';
import { type HostPlan, PlanGroups } from '../fleet/host-plan.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import { packageRoot } from '../host/package-root.ts';
import { parseProfile } from '../measure/load-profile.ts';
import type { Plan } from '../plan/plan.ts';
import { parsePolicy } from '../plan/policy.ts';
import { diagnoseText } from '../report/diagnose-text.ts';
import { plural } from '../report/diagnostic-text.ts';
import { shellWord } from '../report/shell-quote.ts';
import { escapeText, join as joinText, safe } from '../report/terminal-escape.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { type FleetHost, fleetHost } from '../wizard/fleet-host.ts';
import type { Prompter } from '../wizard/question.ts';
import { runWizard } from '../wizard/run-wizard.ts';
import type {
  Done,
  FleetPlans,
  LostHost,
  Measured,
  Picked,
  RolloutChoices,
  SavedFile,
  Setting,
  Template,
  Work,
} from '../wizard/setting.ts';
import { applyShown } from './apply.ts';
import { canAsk } from './ask-yes.ts';
import { Console } from './console.ts';
import { sysctlOrigins } from './diagnose.ts';
import { type Failed, type Failure, failed, type Outcome } from './failure.ts';
import { hostsOf, inventoryAt } from './inventory.ts';
import { measureHosts } from './measure.ts';
import {
  amount,
  amounts,
  DEFAULT_FORKS,
  DEFAULT_TIMEOUT_SECONDS,
  duration,
  type InventoryOptions,
  type OutputOptions,
  type SourceOptions,
} from './options.ts';
import { PlainPrompter } from './plain-prompter.ts';
import { planOf } from './plan-fleet.ts';
import { readFleet } from './read-fleet.ts';
import { mergedProfile, readMeasured, useOfHost } from './read-profiles.ts';
import { notePartialData, readSource } from './read-source.ts';
import { type RolloutOptions, rolloutShown } from './rollout.ts';
import { write } from './terminal.ts';
import { writeResult } from './write-file.ts';

export interface WizardOptions extends SourceOptions, InventoryOptions, OutputOptions {
  /** `-t` was given, so there is nothing to ask. */
  readonly targetGiven: boolean;
  readonly plain?: true;
}

/** `tasksctl wizard` */
export async function wizard(given: Console, options: WizardOptions): Promise<Outcome> {
  if (!canAsk(given.io) || given.json) {
    const source = sourceWords(options, namedBy(options))
      .map((word) => ` ${shellWord(word)}`)
      .join('');
    return failed({
      kind: 'usage',
      message: 'The wizard asks questions, and there is no terminal to ask them on.',
      help: `tasksctl status${source} shows the limits, tasksctl plan${source} what to change.`,
    });
  }
  if (options.snapshot === '-' || options.inventory?.includes('-') === true) {
    return failed({ kind: 'usage', message: 'The wizard needs standard input for its questions.' });
  }
  if (options.limit !== undefined && options.inventory === undefined) {
    return failed({ kind: 'usage', message: '--limit chooses hosts of an inventory, and none is given.' });
  }
  const plain = options.plain === true || given.io.env['TERM'] === 'dumb';
  // What a dumb terminal gets has neither colour nor cursor movement in it, from all that writes to it.
  const io = plain ? { ...given.io, env: { ...given.io.env, TERM: 'dumb' } } : given.io;
  const console = new Console(io, plain ? { color: 'never' } : options);
  const style = () => new Console(io, options).errorStyle;
  const rows = () => (io.stderr as { readonly rows?: number }).rows || 24;
  const named = await givenOf(console, options);
  if (named?.kind === 'failed') return named;
  const setting: Setting = {
    style,
    rows,
    here: hostname(),
    given: named,
    saved: options.snapshot !== undefined,
    templates: await readTemplates(),
    source: (of) => sourceWords(options, of),
    fileAt,
    likelyInventory: likelyInventory(io.env),
    inventoryAt,
    diagnosis: (snapshot, words, style) =>
      diagnoseText(snapshot, null, diagnose(snapshot, sysctlOrigins(snapshot), EVERYTHING), words, style),
  };
  let prompter: Prompter = new PlainPrompter(io);
  if (!plain) {
    const { InquirerPrompter } = await import('./inquirer-prompter.ts');
    prompter = new InquirerPrompter(io, style, rows);
  }
  const end = await runWizard(setting, prompter, new HostWork(console, options));
  if (end.kind === 'cancelled' || io.signal.aborted)
    return failed({ kind: 'aborted', message: 'Interrupted.' });
  if (end.command === null) return { kind: 'exit', code: end.code };
  await write(io.stderr, safe`\nThe same without questions:\n`);
  return console.result(safe`${joinText(end.command.map(shellWord), safe` `)}\n`, end.code);
}

async function readTemplates(): Promise<Template[]> {
  const directory = join(packageRoot(), 'templates/policies');
  const files = (await readdir(directory)).filter((file) => file.endsWith('.yaml')).sort();
  const templates = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(directory, file), 'utf8');
      const name = file.replace(/\.yaml$/, '');
      const parsed = parsePolicy(text, file);
      // Those about the recorder set no limits.
      if (parsed.ok && parsed.policy.recorder !== null) return [];
      return [{ name, text, description: parsed.ok ? parsed.policy.description : '' }];
    }),
  );
  return templates.flat();
}

function fileAt(path: string): 'file' | 'directory' | 'none' {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'none';
  return found.isDirectory() ? 'directory' : 'file';
}

/** What the command line names; null: nothing. */
async function givenOf(console: Console, options: WizardOptions): Promise<Setting['given'] | Failed> {
  const { inventory, limit = null, snapshot, targetGiven, target } = options;
  if (inventory === undefined) {
    return snapshot === undefined && !targetGiven ? null : { kind: 'host', target: snapshot ?? target };
  }
  const found = await hostsOf(console, { ...options, inventory });
  if (found.kind === 'failed') return found;
  return onePolicy(found) ?? { kind: 'inventory', inventory, limit, fleet: found };
}

/** It asks for one policy for all hosts. */
function onePolicy({ file, policies }: Fleet): Failed | null {
  if (policies === null) return null;
  return failed({
    kind: 'usage',
    message: `${file} says by which policy each host is planned, and the wizard asks for one.`,
    help: `tasksctl rollout -i ${shellWord(file ?? '')} does what it says; or name the inventories it names.`,
  });
}

function namedBy({ inventory, limit, target }: WizardOptions): Parameters<Setting['source']>[0] {
  return inventory === undefined ? target : { inventory, limit: limit ?? null };
}

/** Where Ansible looks for one, and what it is called where it is kept beside other things. */
function likelyInventory(env: Console['io']['env']): string {
  const places = [
    env['ANSIBLE_INVENTORY'] ?? '',
    'hosts.ini',
    'inventory.ini',
    'hosts.yml',
    '/etc/ansible/hosts',
  ];
  return places.find((place) => place !== '' && inventoryAt(place).ok) ?? '';
}

/** The options that name the host or hosts, for a command to copy. */
function sourceWords(options: WizardOptions, of: Parameters<Setting['source']>[0]): string[] {
  const { snapshot, transport, sshConfig, acceptNew, askBecomePass, timeout, forks } = options;
  if (snapshot !== undefined) return ['--snapshot', snapshot];
  const hosts =
    typeof of === 'string'
      ? of === 'local'
        ? []
        : ['--target', of]
      : [
          ...of.inventory.flatMap((one) => ['--inventory', one]),
          ...(of.limit === null ? [] : ['--limit', of.limit]),
          ...(forks === DEFAULT_FORKS ? [] : ['--forks', String(forks)]),
        ];
  return [
    ...hosts,
    ...(transport === 'ssh2' ? [] : ['--transport', transport]),
    ...(sshConfig === undefined ? [] : ['--ssh-config', sshConfig]),
    ...(acceptNew === true ? ['--accept-new'] : []),
    ...(askBecomePass === true ? ['--ask-become-pass'] : []),
    ...(timeout === DEFAULT_TIMEOUT_SECONDS ? [] : ['--timeout', String(timeout)]),
  ];
}

/** Of a thousand hosts it is kept as a tenth of its size. */
function packed(snapshot: Snapshot): () => Snapshot {
  const bytes = gzipSync(JSON.stringify(snapshot));
  return () => JSON.parse(gunzipSync(bytes).toString()) as Snapshot;
}

/** What the wizard has done, by the same functions as the commands. */
class HostWork implements Work {
  readonly #console: Console;
  readonly #options: WizardOptions;

  constructor(console: Console, options: WizardOptions) {
    this.#console = console;
    this.#options = options;
  }

  async read(target: string): Promise<Done<Snapshot>> {
    const source = await readSource(this.#console, { ...this.#options, ...this.#host(target) });
    if (source.kind === 'failed') return this.#failed(source.failure);
    await notePartialData(this.#console, source.snapshot);
    return { ok: true, value: source.snapshot };
  }

  async openInventory(inventory: readonly string[]): Promise<Done<Fleet>> {
    const found = await hostsOf(this.#console, { ...this.#connection(), inventory });
    if (found.kind === 'failed') return this.#failed(found.failure);
    const refused = onePolicy(found);
    return refused === null ? { ok: true, value: found } : this.#failed(refused.failure);
  }

  async readFleet({ hosts }: Picked) {
    const read = new Map<InventoryHost, FleetHost>();
    const options = { ...this.#connection(), inventory: [] };
    const lost = await readFleet(this.#console, hosts, options, async (host, snapshot) => {
      const diagnosis = diagnose(snapshot, sysctlOrigins(snapshot), EVERYTHING);
      read.set(host, fleetHost(host, snapshot, hostLimits(snapshot), diagnosis, packed(snapshot)));
      return null;
    });
    if (this.#console.io.signal.aborted) return { ok: false, interrupted: true } as const;
    // Why, was told for each of them.
    if (read.size === 0) return { ok: false, interrupted: false } as const;
    return { ok: true, value: { hosts: hosts.flatMap((host) => read.get(host) ?? []), lost } } as const;
  }

  async measure(targets: readonly string[], ms: number): Promise<Done<Measured>> {
    const options = { ...this.#options, target: targets, duration: ms, interval: 1000 };
    const where = targets.length === 1 ? safe`` : safe` on ${plural(targets.length, 'host')}`;
    await write(this.#console.io.stderr, safe`Measuring${where} for ${ms / 1000} s.\n`);
    const { measurements, profile } = await measureHosts(this.#console, options, 'drops');
    if (this.#console.io.signal.aborted) return { ok: false, interrupted: true };
    const failures = measurements.flatMap(({ target, error }) => (error === null ? [] : [{ target, error }]));
    const [first] = failures;
    if (first !== undefined && failures.length === targets.length) return this.#failed(first.error);
    for (const { target, error } of failures) {
      await this.#console.notice('warning', escapeText(`${target}: ${error.message}`));
    }
    const text = `${JSON.stringify(profile)}\n`;
    // Read back, so that the plan is the one the saved profile gives.
    const loaded = parseProfile(text);
    if (!loaded.ok) throw new Error(`a profile that was just made ${loaded.message}`);
    return { ok: true, value: { profile: mergedProfile([{ ...loaded, file: '' }]), text, file: null } };
  }

  async load(file: string, snapshot: Snapshot | null): Promise<Done<Measured>> {
    const read = await readMeasured([file], this.#console.io);
    if (read.kind === 'failed') return this.#failed(read.failure);
    const use = snapshot === null ? null : useOfHost(read.measured, snapshot);
    if (use?.kind === 'failed') return this.#failed(use.failure);
    return { ok: true, value: { profile: mergedProfile(read.measured), text: '', file } };
  }

  async planFleet(
    ...[{ picked, hosts, lost }, by]: Parameters<Work['planFleet']>
  ): Promise<Done<FleetPlans>> {
    const { io } = this.#console;
    let done = 0;
    const progress = this.#console.progress(() => safe`Planning: ${done} of ${hosts.length} hosts`);
    const plans: HostPlan[] = [];
    const unplanned: LostHost[] = [];
    const groups = new PlanGroups(picked.hosts.map(({ name }) => name));
    try {
      for (const { host, snapshot } of hosts) {
        const planned = planOf(host, snapshot(), { policyOf: () => by.policy, profile: by.profile });
        if (planned.kind === 'ok') {
          plans.push(planned.plan);
          groups.add(host.name, planned.plan.plan);
        } else {
          unplanned.push({ host, failure: planned.failure });
        }
        done++;
        // Ctrl-C and the line of progress have their turn.
        await setImmediate();
        if (io.signal.aborted) return { ok: false, interrupted: true };
      }
    } finally {
      progress.pause();
    }
    for (const { host, failure } of unplanned) {
      await this.#console.notice('warning', escapeText(`${host.name}: ${failure.message}`));
    }
    return { ok: true, value: { plans, groups: groups.all(), lost: [...lost, ...unplanned] } };
  }

  async rollOut(
    { hosts, order }: Picked,
    { plans, lost }: FleetPlans,
    { waves, maxFail, pause, bake, onFailure }: RolloutChoices,
  ): Promise<Done<number>> {
    const options: RolloutOptions = {
      ...this.#connection(),
      policy: '',
      profile: [],
      ...(waves === null ? {} : { waves: amounts(waves) }),
      maxFail: amount(maxFail),
      ...(bake === null ? {} : { bake: duration(bake) }),
      ...(pause ? { pause } : {}),
      onFailure,
      diff: false,
    };
    const outcome = await rolloutShown(this.#console, options, order, async (take) => {
      const groups = new PlanGroups(hosts.map(({ name }) => name));
      for (const plan of plans) {
        groups.add(plan.name, plan.plan);
        await take(plan);
      }
      return { hosts, groups, lost };
    });
    return outcome.kind === 'failed' ? this.#failed(outcome.failure) : { ok: true, value: outcome.code };
  }

  async apply(plan: Plan): Promise<Done<number>> {
    const outcome = await applyShown(this.#console, plan, this.#options);
    if (outcome.kind === 'failed') return this.#failed(outcome.failure);
    return { ok: true, value: outcome.code };
  }

  async save(files: readonly SavedFile[]): Promise<Done<null>> {
    for (const { path, text } of files) {
      const failure = await writeResult(path, text);
      if (failure !== null) return this.#failed(failure);
      await this.#console.notice('note', safe`saved ${shellWord(path)}`);
    }
    return { ok: true, value: null };
  }

  #host(target: string): { target: string } | undefined {
    return this.#options.snapshot === undefined ? { target } : undefined;
  }

  /** How hosts are reached, and how many at once. */
  #connection() {
    const { transport, sshConfig, acceptNew, askBecomePass, timeout, forks, color } = this.#options;
    return {
      transport,
      timeout,
      forks,
      color,
      ...(sshConfig === undefined ? {} : { sshConfig }),
      ...(acceptNew === undefined ? {} : { acceptNew }),
      ...(askBecomePass === undefined ? {} : { askBecomePass }),
    };
  }

  async #failed(failure: Failure): Promise<{ readonly ok: false; readonly interrupted: boolean }> {
    if (this.#console.io.signal.aborted) return { ok: false, interrupted: true };
    await this.#console.failure(failure);
    return { ok: false, interrupted: false };
  }
}
