import { type ApplyResult, applyPlan } from '../apply/apply-plan.ts';
import { REBOOT_CONNECT_SECONDS, REBOOT_TIMEOUT_MS, rebootHost } from '../apply/reboot.ts';
import { rollbackRun } from '../apply/rollback.ts';
import { makeRunId } from '../apply/run-id.ts';
import { type Connect, pause } from '../apply/saved-run.ts';
import { settleRun } from '../apply/settle-run.ts';
import { DEAD_MAN_SECONDS, KEEP_DAYS } from '../apply/transaction.ts';
import { type RunStanding, verifyRun } from '../apply/verify.ts';
import { limitKey } from '../plan/need.ts';
import type { Plan } from '../plan/plan.ts';
import { hostLimits } from '../snapshot/limits.ts';
import { readSnapshot } from '../snapshot/read-snapshot.ts';
import { eachHost } from './each-host.ts';
import { type Baseline, baselineOf, type HostPlan } from './host-plan.ts';
import type { ApplyOutcome, RolloutHost, RolloutSettings } from './journal.ts';
import type { RolloutEffects } from './rollout.ts';

export interface HostEffectsOptions {
  readonly settings: RolloutSettings;
  /** A way to open new connections to a target, which give up after so long if that is less than usual. */
  readonly connect: (target: string, mostSeconds?: number) => Connect;
  readonly planOf: (host: string) => Promise<HostPlan>;
  readonly operator: string;
  /** For reading a host, milliseconds. */
  readonly timeoutMs: number;
  /** Runs a command of the operator's with these variables; text: what is wrong. */
  readonly command: (
    command: string,
    env: Readonly<Record<string, string>>,
    atInterrupt: 'finish' | 'end',
  ) => Promise<string | null>;
  readonly proceed: RolloutEffects['proceed'];
  /** 0 to 65535, to tell runs of one second apart. */
  readonly random: () => number;
  readonly run: string;
  /** Ends waiting; what is at work on a host is left to come to its end. */
  readonly signal: AbortSignal;
}

/** How long to ask what became of a run, on top of what the host may take to restore itself. */
const SETTLE_GRACE_MS = 60_000;
/** A gate must not fail for one lost packet. */
const READ_TRIES = 3;
const READ_PAUSE_MS = 2_000;

/** The effects of a rollout on real hosts. */
export function hostEffects(options: HostEffectsOptions): RolloutEffects {
  return new HostEffects(options);
}

class HostEffects implements RolloutEffects {
  readonly #options: HostEffectsOptions;
  /** Taken when hosts began to work under their new limits. */
  readonly #baked = new Map<string, Baseline>();
  readonly proceed: RolloutEffects['proceed'];

  constructor(options: HostEffectsOptions) {
    this.#options = options;
    this.proceed = options.proceed;
  }

  now(): string {
    return new Date().toISOString();
  }

  newRun(): string {
    return makeRunId(new Date(), this.#options.random());
  }

  async apply(host: RolloutHost, run: string) {
    const { plan } = await this.#options.planOf(host.name);
    const startedAt = new Date();
    const result = await applyPlan(plan, {
      connect: this.#options.connect(host.target),
      run: { id: run, startedAt, operator: this.#options.operator },
      keepSince: makeRunId(new Date(startedAt.getTime() - KEEP_DAYS * 86_400_000), 0),
      check: false,
      deadMan: true,
      deadManSeconds: this.#deadManSeconds(),
    });
    return outcomeOf(plan, result);
  }

  async settle(host: RolloutHost, run: string) {
    const settled = await settleRun(run, {
      connect: this.#options.connect(host.target),
      timeoutMs: this.#deadManSeconds() * 1000 + SETTLE_GRACE_MS,
      signal: this.#options.signal,
    });
    const outcome = (kind: ApplyOutcome, detail: string) => ({ outcome: kind, detail });
    switch (settled.kind) {
      case 'applied':
        return outcome('applied', 'it had come through');
      case 'not-applied':
        return outcome('not-applied', 'nothing of it was in place');
      case 'restore-failed':
        return outcome('unknown', 'its old state could not be brought back in full');
      case 'unknown':
        return outcome('unknown', settled.error.message);
    }
  }

  async rollBack(host: RolloutHost, run: string) {
    const result = await rollbackRun(run, { connect: this.#options.connect(host.target) });
    switch (result.kind) {
      case 'rolled-back':
      case 'unchanged':
        return { ok: true, detail: '' };
      case 'no-such-run':
        return { ok: true, detail: 'it has no such run' };
      case 'refused':
        return { ok: false, detail: `it refused: ${result.reason}: ${result.detail}` };
      case 'restore-failed':
        return { ok: false, detail: result.report.problems.join('; ') };
      case 'unreachable':
      case 'unknown':
        return { ok: false, detail: result.error.message };
    }
  }

  async inspect(host: RolloutHost): Promise<readonly string[]> {
    const { plan, before } = await this.#options.planOf(host.name);
    const found = await this.#look(host, plan);
    if (typeof found === 'string') return [found];
    const { standing, now } = found;
    return [
      ...standing.changes.flatMap(({ title, standing }) =>
        standing.kind === 'lost' ? [`${title}: ${standing.found.join('; ')}`] : [],
      ),
      ...now.failedUnits
        .filter((unit) => !before.failedUnits.includes(unit))
        .map((unit) => `${unit} has failed`),
      ...newRejections(plan, standing, { before, baked: this.#baked.get(host.name) ?? null, now }),
    ];
  }

  async needsReboot(host: RolloutHost) {
    const { plan } = await this.#options.planOf(host.name);
    const found = await this.#look(host, plan);
    if (typeof found === 'string') return null;
    const { standing, now } = found;
    // Whatever a change waits for, after a boot it waits no more.
    const waits = standing.changes.some(({ standing }) => standing.kind === 'pending');
    return waits ? { bootId: now.bootId } : null;
  }

  async reboot(host: RolloutHost, bootId: string | null) {
    const { drain, undrain } = this.#options.settings;
    const env = { TASKSCTL_RUN: this.#options.run, TASKSCTL_HOST: host.name, TASKSCTL_TARGET: host.target };
    const bad = (detail: string) => ({ ok: false, detail });
    if (drain !== null) {
      const fault = await this.#options.command(drain, env, 'finish');
      if (fault !== null) return bad(`it was not rebooted: the drain command: ${fault}`);
    }
    const drained = drain === null ? '' : '; it stays drained';
    const back = await rebootHost({
      connect: this.#options.connect(host.target, REBOOT_CONNECT_SECONDS),
      timeoutMs: REBOOT_TIMEOUT_MS,
      before: bootId ?? undefined,
    });
    if (back.kind === 'failed') return bad(`the reboot failed: ${back.error.message}${drained}`);
    const [wrong] = await this.inspect(host);
    if (wrong !== undefined) return bad(`after its reboot: ${wrong}${drained}`);
    if (undrain !== null) {
      const fault = await this.#options.command(undrain, env, 'finish');
      if (fault !== null) return bad(`it has rebooted: the undrain command: ${fault}`);
    }
    return { ok: true, detail: '' };
  }

  async judgeWave(wave: number, hosts: readonly RolloutHost[]): Promise<readonly string[]> {
    const { gateCommand } = this.#options.settings;
    if (gateCommand === null) return [];
    const env = {
      TASKSCTL_RUN: this.#options.run,
      TASKSCTL_WAVE: String(wave + 1),
      TASKSCTL_HOSTS: hosts.map(({ name }) => name).join(' '),
    };
    const fault = await this.#options.command(gateCommand, env, 'end');
    return fault === null ? [] : [`the gate command: ${fault}`];
  }

  async bake(hosts: readonly RolloutHost[], seconds: number): Promise<void> {
    const { settings, signal } = this.#options;
    await eachHost(hosts, { forks: settings.forks, stop: () => signal.aborted }, async (host) => {
      const { plan } = await this.#options.planOf(host.name);
      const found = await this.#look(host, plan);
      // Who cannot be read now is found out by the gate.
      if (typeof found !== 'string') this.#baked.set(host.name, found.now);
    });
    await pause(seconds * 1000, signal);
  }

  #deadManSeconds(): number {
    return this.#options.settings.deadManSeconds ?? DEAD_MAN_SECONDS;
  }

  /** Reads a host over a login of its own; text: why it could not be. */
  async #look(host: RolloutHost, plan: Plan): Promise<{ standing: RunStanding; now: Baseline } | string> {
    let fault = '';
    for (let tried = 0; tried < READ_TRIES; tried++) {
      if (tried > 0) await pause(READ_PAUSE_MS, this.#options.signal);
      const connected = await this.#options.connect(host.target)();
      if (!connected.ok) {
        fault = `cannot log in: ${connected.error.message}`;
        continue;
      }
      try {
        const read = await readSnapshot(connected.transport, { timeoutMs: this.#options.timeoutMs });
        if (read.kind === 'ok') {
          const limits = hostLimits(read.snapshot);
          const run = { bootId: plan.preconditions.bootId ?? '' };
          return {
            standing: verifyRun(plan, run, read.snapshot, limits),
            now: baselineOf(read.snapshot, limits),
          };
        }
        fault = `cannot be read: ${read.error.message}`;
      } finally {
        await connected.transport.close();
      }
    }
    return fault;
  }
}

/**
 * Forks that a limit of the plan rejected where it should not have. A limit that rejected before and is not in force yet
 * goes on doing so, which says nothing of the change.
 */
function newRejections(
  plan: Plan,
  standing: RunStanding,
  {
    before,
    baked,
    now,
  }: { readonly before: Baseline; readonly baked: Baseline | null; readonly now: Baseline },
): string[] {
  const inForce = new Set(
    plan.changes.flatMap(({ limit }, i) =>
      standing.changes[i]?.standing.kind === 'holds' ? [limitKey(limit)] : [],
    ),
  );
  const since = [before, baked].filter((one) => one !== null && one.bootId === now.bootId) as Baseline[];
  return Object.entries(now.rejections).flatMap(([limit, count]) => {
    const last = since.at(-1)?.rejections[limit] ?? 0;
    const first = since.at(0)?.rejections[limit] ?? 0;
    if (count <= last) return [];
    // Before its new value was in force a limit may have rejected more; from the bake on that is known.
    if (first > 0 && (baked === null || !inForce.has(limit))) return [];
    return [`${limit} rejected ${count - last} more ${count - last === 1 ? 'fork' : 'forks'}`];
  });
}

function outcomeOf(
  plan: Plan,
  result: ApplyResult,
): { readonly outcome: ApplyOutcome; readonly detail: string } {
  switch (result.kind) {
    case 'nothing':
    case 'unchanged':
    case 'checked':
      return { outcome: 'unchanged', detail: '' };
    case 'applied':
      return {
        outcome: 'applied',
        detail: plan.changes
          .map(({ title, to, activation }) => `${title} ${to.text} (${activation.when})`)
          .join(', '),
      };
    case 'refused':
      return { outcome: 'failed', detail: `it refused: ${result.reason}: ${result.detail}` };
    case 'restored':
      return {
        outcome: 'failed',
        detail: `it restored its old state: ${result.step}: ${result.reason}: ${result.detail}`,
      };
    case 'restore-failed':
      return {
        outcome: 'unknown',
        detail: `its old state could not be brought back in full: ${result.report.problems.join('; ')}`,
      };
    case 'unreachable':
      return { outcome: 'failed', detail: result.error.message };
    case 'unknown':
      return {
        outcome: 'unknown',
        detail: `the connection was lost at step ${result.step}: ${result.error.message}`,
      };
  }
}
