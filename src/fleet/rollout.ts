import { type EachHostOptions, eachHost } from './each-host.ts';
import {
  type ApplyOutcome,
  type HostState,
  type JournalHead,
  type JournalRecord,
  type RolloutHost,
  RolloutState,
} from './journal.ts';
import { amountOf } from './waves.ts';

/** What a rollout does to the world, each a value whatever goes wrong. `run` is the run's name on the host. */
export interface RolloutEffects {
  apply(host: RolloutHost, run: string): Promise<{ readonly outcome: ApplyOutcome; readonly detail: string }>;
  /** What became of an apply that nobody heard the end of. */
  settle(
    host: RolloutHost,
    run: string,
  ): Promise<{ readonly outcome: ApplyOutcome; readonly detail: string }>;
  rollBack(host: RolloutHost, run: string): Promise<{ readonly ok: boolean; readonly detail: string }>;
  /** What is wrong with a host after its changes; nothing: it passes. */
  inspect(host: RolloutHost, run: string): Promise<readonly string[]>;
  /** What the operator's own command has against a wave; nothing: it passes. */
  judgeWave(wave: number, hosts: readonly RolloutHost[]): Promise<readonly string[]>;
  /**
   * The present boot of a host where a change is not in force on everything that runs, which a reboot would end; null: none
   * is, or nobody can say, which the gate finds out.
   */
  needsReboot(host: RolloutHost): Promise<{ readonly bootId: string | null } | null>;
  /** Ends that boot of the host. Also takes up a reboot that was begun before: a host that has another boot id has had it. */
  reboot(
    host: RolloutHost,
    bootId: string | null,
  ): Promise<{ readonly ok: boolean; readonly detail: string }>;
  /** Lets changed hosts work for so long under their new limits; less where the rollout is interrupted. */
  bake(hosts: readonly RolloutHost[], seconds: number): Promise<void>;
  /** Whether to go on after this wave. `resumed`: whoever resumed the rollout was not asked anything yet. */
  proceed(wave: number, resumed: boolean): Promise<boolean>;
  newRun(): string;
  now(): string;
}

/** Told as it happens. */
export type RolloutEvent =
  | {
      readonly kind: 'wave';
      readonly wave: number;
      readonly waves: number;
      readonly hosts: number;
      readonly stage: string | null;
    }
  | { readonly kind: 'host'; readonly host: RolloutHost; readonly state: HostState }
  | {
      readonly kind: 'reboot';
      readonly host: RolloutHost;
      readonly ok: boolean;
      readonly detail: string;
    }
  | { readonly kind: 'gate'; readonly wave: number; readonly found: readonly GateFinding[] };

export interface GateFinding {
  readonly host: string | null;
  readonly detail: string;
}

export interface RolloutResult {
  /**
   * `done`: every wave is through; `stopped`: by a failure; `rolled-back`: by a failure, and what was to be taken back
   * is; `interrupted`, `paused`: by the operator. All but the first and `rolled-back` can be resumed.
   */
  readonly verdict: 'done' | 'stopped' | 'rolled-back' | 'rollback-incomplete' | 'interrupted' | 'paused';
  readonly why: string | null;
  readonly state: RolloutState;
}

export interface RolloutRun {
  readonly head: JournalHead;
  /** What was recorded before, of a rollout that is resumed. */
  readonly records: readonly JournalRecord[];
  /** Returns when the record is safe. */
  readonly append: (record: JournalRecord) => Promise<void>;
  readonly effects: RolloutEffects;
  /** The operator wants it to stop: hosts at work are finished, none is begun. */
  readonly interrupted: () => boolean;
  readonly onEvent?: (event: RolloutEvent) => void;
}

/**
 * Carries a rollout on from wherever its journal says it is. Whatever is done is announced in the journal first, so that
 * after a crash at any instant the same call brings it to the same end; a host is never applied to twice.
 */
export async function runRollout(run: RolloutRun): Promise<RolloutResult> {
  return new Rollout(run).run();
}

/** Takes back what a rollout did to these hosts, whatever became of it; may be repeated. */
export async function rollBackRollout(
  run: RolloutRun,
  hosts: readonly RolloutHost[],
): Promise<RolloutResult> {
  return new Rollout(run).undo(hosts);
}

class Rollout {
  readonly #run: RolloutRun;
  readonly #state: RolloutState;

  constructor(run: RolloutRun) {
    this.#run = run;
    this.#state = new RolloutState(run.head, run.records);
  }

  async run(): Promise<RolloutResult> {
    const { head, effects } = this.#run;
    if (this.#state.end !== null) return this.#result(this.#state.end, null);
    await this.#settle();
    // It had stopped to take things back: that comes first, and is the end.
    const { stopped } = this.#state;
    if (stopped !== null && head.settings.onFailure !== 'stop') return this.#takeBack(stopped);
    const waves = 1 + Math.max(-1, ...head.hosts.map(({ wave }) => wave));
    let resumed = true;
    for (let wave = 0; wave < waves; wave++) {
      if (this.#state.hasPassed(wave)) continue;
      const hosts = head.hosts.filter((host) => host.wave === wave);
      const begun = hosts.some(({ name }) => this.#state.of(name).kind !== 'waiting');
      if (head.settings.pause && wave > 0 && !begun && !(await effects.proceed(wave - 1, resumed))) {
        return this.#result(this.#run.interrupted() ? 'interrupted' : 'paused', null);
      }
      resumed = false;
      const stage = hosts[0]?.stage ?? null;
      this.#run.onEvent?.({ kind: 'wave', wave, waves, hosts: hosts.length, stage });
      const left = await this.#apply(hosts);
      if (this.#run.interrupted()) return this.#result('interrupted', null);
      const failed = this.#failures();
      if (failed > this.#allowed())
        return this.#stop(wave, `${failed} ${failed === 1 ? 'host' : 'hosts'} failed`);
      const [held] = left;
      if (held !== undefined) {
        const group = [...held.groups, 'all'].find((group) => this.#down(group) > 0);
        const count = left.length === 1 ? '1 host was' : `${left.length} hosts were`;
        return this.#stop(wave, `${count} not begun (${held.name}): of ${group} no more may be unavailable`);
      }
      const changed = hosts.filter(({ name }) => this.#state.of(name).kind === 'applied');
      const { bakeSeconds } = head.settings;
      if (bakeSeconds > 0 && changed.length > 0) await effects.bake(changed, bakeSeconds);
      if (this.#run.interrupted()) return this.#result('interrupted', null);
      const found = await this.#gate(wave, changed);
      if (this.#run.interrupted()) return this.#result('interrupted', null);
      await this.#record({ what: 'gate', at: effects.now(), wave, found: [...found] });
      this.#run.onEvent?.({ kind: 'gate', wave, found });
      const [first] = found;
      if (first !== undefined) {
        const where = first.host === null ? '' : `${first.host}: `;
        const more = found.length === 1 ? '' : ` (and ${found.length - 1} more)`;
        return this.#stop(wave, `the gate after wave ${wave + 1} failed: ${where}${first.detail}${more}`);
      }
    }
    await this.#record({ what: 'end', at: effects.now(), verdict: 'done' });
    return this.#result('done', null);
  }

  async undo(hosts: readonly RolloutHost[]): Promise<RolloutResult> {
    const { head, effects } = this.#run;
    const left = await this.#rollBack(hosts);
    if (this.#run.interrupted() && left > 0) return this.#result('interrupted', null);
    if (left > 0) return this.#result('rollback-incomplete', null);
    // With hosts left that keep their changes the rollout is not at its end.
    const all = head.hosts.every(({ name }) => !IN_PLACE.has(this.#state.of(name).kind));
    if (all) await this.#record({ what: 'end', at: effects.now(), verdict: 'rolled-back' });
    return this.#result('rolled-back', null);
  }

  /** Finds out how applies ended that nobody heard the end of. */
  async #settle(): Promise<void> {
    const { head, effects } = this.#run;
    const open = head.hosts.filter(({ name }) => OPEN.has(this.#state.of(name).kind));
    await this.#each(open, async (host) => {
      const state = this.#state.of(host.name);
      if (!('run' in state)) return;
      const { outcome, detail } = await effects.settle(host, state.run);
      await this.#applied(host, state.run, outcome, detail);
    });
  }

  /** Gives the hosts that were not begun. */
  async #apply(hosts: readonly RolloutHost[]): Promise<readonly RolloutHost[]> {
    const { effects, head } = this.#run;
    const bounds = {
      stop: () => this.#failures() > this.#allowed(),
      down: (group: string) => this.#down(group),
    };
    // What a rollout that was cut off has left. Hosts that may be down because of it come first, and alone.
    const left: RolloutHost[] = [];
    if (head.settings.reboot) {
      const isBegun = ({ name }: RolloutHost) => this.#state.rebootOf(name)?.kind === 'begun';
      const begun = hosts.filter(isBegun);
      const others = hosts.filter((host) => !isBegun(host));
      for (const some of [begun, others]) {
        left.push(...(await this.#each(some, (host) => this.#reboot(host), bounds)));
      }
    }
    // One that cannot say what became of it is left alone: another run on top could only make it worse.
    const begin = hosts.filter(({ name }) => this.#state.of(name).kind === 'waiting');
    const waiting = await this.#each(
      begin,
      async (host) => {
        const run = effects.newRun();
        await this.#record({ what: 'apply', at: effects.now(), host: host.name, run });
        const { outcome, detail } = await effects.apply(host, run);
        await this.#applied(host, run, outcome, detail);
        await this.#reboot(host);
      },
      bounds,
    );
    return [...new Set([...left, ...waiting])];
  }

  async #reboot(host: RolloutHost): Promise<void> {
    const { effects, head } = this.#run;
    if (!head.settings.reboot || this.#state.of(host.name).kind !== 'applied') return;
    const before = this.#state.rebootOf(host.name);
    if (before?.kind === 'done' || before?.kind === 'failed') return;
    const boot = before ?? (await effects.needsReboot(host));
    if (boot === null) return;
    const { bootId } = boot;
    await this.#record({ what: 'reboot', at: effects.now(), host: host.name, bootId });
    const { ok, detail } = await effects.reboot(host, bootId);
    await this.#record({ what: 'rebooted', at: effects.now(), host: host.name, ok, detail });
    this.#run.onEvent?.({ kind: 'reboot', host, ok, detail });
  }

  async #applied(host: RolloutHost, run: string, outcome: ApplyOutcome, detail: string): Promise<void> {
    const at = this.#run.effects.now();
    await this.#record({ what: 'applied', at, host: host.name, run, outcome, detail });
    this.#run.onEvent?.({ kind: 'host', host, state: this.#state.of(host.name) });
  }

  async #gate(wave: number, changed: readonly RolloutHost[]): Promise<readonly GateFinding[]> {
    const { effects, head } = this.#run;
    const found: GateFinding[] = [];
    await this.#each(changed, async (host) => {
      const state = this.#state.of(host.name);
      if (state.kind !== 'applied') return;
      const reboot = this.#state.rebootOf(host.name);
      if (reboot?.kind === 'failed') found.push({ host: host.name, detail: reboot.detail });
      for (const detail of await effects.inspect(host, state.run)) found.push({ host: host.name, detail });
    });
    if (this.#run.interrupted()) return found;
    if (head.settings.gateCommand !== null && changed.length > 0) {
      for (const detail of await effects.judgeWave(wave, changed)) found.push({ host: null, detail });
    }
    return found;
  }

  async #stop(wave: number, why: string): Promise<RolloutResult> {
    const { effects, head } = this.#run;
    await this.#record({ what: 'stopped', at: effects.now(), wave, why });
    return head.settings.onFailure === 'stop' ? this.#result('stopped', why) : this.#takeBack({ wave, why });
  }

  /** Takes back the wave, or all of them. */
  async #takeBack({ wave, why }: { readonly wave: number; readonly why: string }): Promise<RolloutResult> {
    const { head, effects } = this.#run;
    const all = head.settings.onFailure === 'rollback-all';
    const left = await this.#rollBack(head.hosts.filter((host) => all || host.wave === wave));
    if (this.#run.interrupted() && left > 0) return this.#result('interrupted', why);
    if (left > 0) return this.#result('rollback-incomplete', why);
    await this.#record({ what: 'end', at: effects.now(), verdict: 'rolled-back' });
    return this.#result('rolled-back', why);
  }

  /** Gives the number of hosts that still have changes of this rollout, or may have. */
  async #rollBack(hosts: readonly RolloutHost[]): Promise<number> {
    const { effects } = this.#run;
    const applied = hosts.filter(({ name }) => IN_PLACE.has(this.#state.of(name).kind));
    await this.#each(applied, async (host) => {
      const state = this.#state.of(host.name);
      if (!('run' in state)) return;
      await this.#record({ what: 'rollback', at: effects.now(), host: host.name, run: state.run });
      const { ok, detail } = await effects.rollBack(host, state.run);
      await this.#record({
        what: 'rolled-back',
        at: effects.now(),
        host: host.name,
        run: state.run,
        ok,
        detail,
      });
      this.#run.onEvent?.({ kind: 'host', host, state: this.#state.of(host.name) });
    });
    return hosts.filter(({ name }) => IN_PLACE.has(this.#state.of(name).kind)).length;
  }

  /** Hosts that are not as they should be. */
  #failures(): number {
    let failures = 0;
    for (const [name, { kind }] of this.#state.hosts) {
      if (BAD.has(kind) || this.#state.rebootOf(name)?.kind === 'failed') failures++;
    }
    return failures;
  }

  /** Hosts of a group that did not come back, or not well, from their reboots. */
  #down(group: string): number {
    return this.#run.head.hosts.filter(
      ({ name, groups }) =>
        (group === 'all' || groups.includes(group)) && this.#state.rebootOf(name)?.kind === 'failed',
    ).length;
  }

  #allowed(): number {
    const { hosts, settings } = this.#run.head;
    return amountOf(settings.maxFail, hosts.length);
  }

  #each(
    hosts: readonly RolloutHost[],
    task: (host: RolloutHost) => Promise<void>,
    { stop = () => false, ...bounds }: Pick<EachHostOptions, 'stop' | 'down'> = {},
  ): Promise<readonly RolloutHost[]> {
    const { forks, maxUnavailable } = this.#run.head.settings;
    return eachHost(
      hosts,
      {
        ...bounds,
        forks,
        maxUnavailable: new Map(maxUnavailable),
        stop: () => this.#run.interrupted() || stop(),
      },
      task,
    );
  }

  async #record(record: JournalRecord): Promise<void> {
    await this.#run.append(record);
    this.#state.add(record);
  }

  #result(verdict: RolloutResult['verdict'], why: string | null): RolloutResult {
    return { verdict, why, state: this.#state };
  }
}

/** States in which nobody knows what became of an apply. */
const OPEN: ReadonlySet<HostState['kind']> = new Set(['applying', 'unsettled']);
const BAD: ReadonlySet<HostState['kind']> = new Set(['failed', 'unsettled', 'rollback-failed']);
/** States in which changes of the rollout are in place, or may be. */
const IN_PLACE: ReadonlySet<HostState['kind']> = new Set([
  'applying',
  'applied',
  'unsettled',
  'rollback-failed',
]);
