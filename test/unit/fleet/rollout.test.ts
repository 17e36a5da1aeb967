import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JournalHead, JournalRecord, RolloutHost, RolloutSettings } from '../../../src/fleet/journal.ts';
import {
  type RolloutEffects,
  type RolloutResult,
  rollBackRollout,
  runRollout,
} from '../../../src/fleet/rollout.ts';

/** The controller is gone: nothing of it goes on. */
class Killed extends Error {}

/** A fleet that lives on while controllers come and go. */
class Fleet {
  /** The run in place on each host. */
  readonly inPlace = new Map<string, string>();
  /** How often something came into place on a host. */
  readonly applies = new Map<string, number>();
  readonly rebooted = new Map<string, number>();
  /** Hosts that were rebooted and that nobody has seen come back. */
  readonly down = new Set<string>();
  mostDown = 0;
  lostAtReboot: ReadonlySet<string> = new Set();
  readonly journal: JournalRecord[] = [];
  runs = 0;
  /** Calls of effects and of the journal until the controller is killed. */
  left = Number.POSITIVE_INFINITY;

  readonly broken: ReadonlySet<string>;
  readonly gateFails: ReadonlySet<string>;
  readonly unknown: Set<string>;
  /** Hosts with a change that only a reboot brings into force on everything. */
  waitForReboot = /5$/;

  constructor(
    broken: ReadonlySet<string> = new Set(),
    gateFails: ReadonlySet<string> = new Set(),
    unknown: Set<string> = new Set(),
  ) {
    this.broken = broken;
    this.gateFails = gateFails;
    this.unknown = unknown;
  }

  #tick(): void {
    if (this.left-- <= 0) throw new Killed();
  }

  append = async (record: JournalRecord): Promise<void> => {
    this.#tick();
    await Promise.resolve();
    this.journal.push(record);
    this.#tick();
  };

  #bootId(host: string): string {
    return `boot ${this.rebooted.get(host) ?? 0}`;
  }

  #put(host: string, run: string): void {
    this.inPlace.set(host, run);
    this.applies.set(host, (this.applies.get(host) ?? 0) + 1);
  }

  readonly effects: RolloutEffects = {
    apply: async ({ name }, run) => {
      this.#tick();
      await Promise.resolve();
      if (this.broken.has(name)) return { outcome: 'failed', detail: 'disk full' };
      this.#put(name, run);
      // Applied, and the controller does not hear of it.
      this.#tick();
      if (this.unknown.delete(name)) return { outcome: 'unknown', detail: 'cut' };
      return { outcome: 'applied', detail: '' };
    },
    settle: async ({ name }, run) => {
      this.#tick();
      return this.inPlace.get(name) === run
        ? { outcome: 'applied', detail: '' }
        : { outcome: 'not-applied', detail: '' };
    },
    rollBack: async ({ name }, run) => {
      this.#tick();
      if (this.inPlace.get(name) === run) this.inPlace.delete(name);
      this.#tick();
      return { ok: true, detail: '' };
    },
    inspect: async ({ name }) => {
      this.#tick();
      return this.gateFails.has(name) ? ['its unit failed'] : [];
    },
    judgeWave: async () => [],
    needsReboot: async ({ name }) => {
      this.#tick();
      return this.waitForReboot.test(name) ? { bootId: this.#bootId(name) } : null;
    },
    reboot: async ({ name }, bootId) => {
      this.#tick();
      // As the real one: a host that has another boot id has had it.
      if (this.#bootId(name) === bootId) {
        this.rebooted.set(name, (this.rebooted.get(name) ?? 0) + 1);
        this.down.add(name);
        this.mostDown = Math.max(this.mostDown, this.down.size);
      }
      this.#tick();
      await Promise.resolve();
      if (this.lostAtReboot.has(name)) return { ok: false, detail: 'it did not come back' };
      this.down.delete(name);
      this.#tick();
      return { ok: true, detail: '' };
    },
    bake: async () => {},
    // Nobody is there to be asked: who resumes it has said so.
    proceed: async (_, resumed) => resumed,
    newRun: () => `run-${++this.runs}`,
    now: () => '2026-01-01T00:00:00.000Z',
  };
}

function headOf(
  sizes: readonly number[],
  more: Partial<RolloutSettings> = {},
  groups: string[] = [],
): JournalHead {
  const hosts: RolloutHost[] = sizes.flatMap((size, wave) =>
    Array.from({ length: size }, (_, i) => ({
      name: `h${wave}-${i}`,
      target: `h${wave}-${i}`,
      groups,
      policy: 'test',
      wave,
      stage: null,
    })),
  );
  const settings: RolloutSettings = {
    forks: 3,
    maxFail: { kind: 'count', count: 0 },
    maxUnavailable: [],
    bakeSeconds: 0,
    pause: false,
    onFailure: 'stop',
    gateCommand: null,
    reboot: false,
    drain: null,
    undrain: null,
    deadManSeconds: null,
    ...more,
  };
  return {
    schema: 'tasksctl/rollout-journal/1',
    run: '20260101T000000Z-0000',
    startedAt: '2026-01-01T00:00:00.000Z',
    operator: 'test',
    settings,
    hosts,
  };
}

/** One controller, from what the journal has. */
async function go(head: JournalHead, fleet: Fleet, interrupted = () => false): Promise<RolloutResult> {
  if (fleet.journal.length > 0) await fleet.append({ what: 'resumed', at: '' });
  return runRollout({
    head,
    records: [...fleet.journal],
    append: fleet.append,
    effects: fleet.effects,
    interrupted,
  });
}

/** Controllers, each killed after so many steps; then one that is left alone. */
async function withKills(head: JournalHead, fleet: Fleet, kills: readonly number[]): Promise<RolloutResult> {
  for (const left of kills) {
    fleet.left = left;
    try {
      const result = await go(head, fleet);
      fleet.left = Number.POSITIVE_INFINITY;
      return result;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
  }
  fleet.left = Number.POSITIVE_INFINITY;
  return go(head, fleet);
}

const kills = fc.array(fc.nat(40), { maxLength: 6 });
const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 });

describe('a rollout', () => {
  it('comes to the same end however often its controller is killed, and applies to no host twice', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, kills, fc.boolean(), async (waves, at, reboot) => {
        const head = headOf(waves, { reboot });
        const fleet = new Fleet();
        const result = await withKills(head, fleet, at);
        expect(result.verdict).toBe('done');
        expect([...fleet.inPlace.keys()].sort()).toEqual(head.hosts.map(({ name }) => name).sort());
        for (const { name } of head.hosts) {
          expect(fleet.applies.get(name), name).toBe(1);
          expect(fleet.rebooted.get(name) ?? 0, name).toBe(reboot && name.endsWith('5') ? 1 : 0);
        }
      }),
    );
  });

  it('reboots no more hosts of a group at once than may be unavailable, however often its controller is killed', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, kills, fc.constantFrom('db', 'all'), async (waves, at, group) => {
        const head = headOf(waves, { reboot: true, maxUnavailable: [[group, 1]] }, ['db']);
        const fleet = new Fleet();
        fleet.waitForReboot = /[0-35]$/;
        expect((await withKills(head, fleet, at)).verdict).toBe('done');
        expect(fleet.mostDown).toBe(1);
        for (const { name } of head.hosts) {
          expect(fleet.rebooted.get(name) ?? 0, name).toBe(/[0-35]$/.test(name) ? 1 : 0);
        }
      }),
    );
  });

  it('counts hosts that do not come back as unavailable, and looks for them again when it is resumed', async () => {
    const fleet = new Fleet();
    fleet.waitForReboot = /./;
    fleet.lostAtReboot = new Set(['h0-0']);
    const head = headOf(
      [4],
      { maxFail: { kind: 'count', count: 3 }, maxUnavailable: [['db', 1]], reboot: true },
      ['db'],
    );
    const result = await go(head, fleet);
    expect([result.verdict, result.why]).toEqual([
      'stopped',
      '3 hosts were not begun (h0-1): of db no more may be unavailable',
    ]);
    expect([...fleet.applies.keys()]).toEqual(['h0-0']);
    fleet.lostAtReboot = new Set();
    expect((await go(head, fleet)).verdict).toBe('done');
    expect([...fleet.rebooted.values()]).toEqual([1, 1, 1, 1]);
    expect(fleet.mostDown).toBe(1);
  });

  it('takes back a wave, or all, that failed its gate, however often it is killed on the way', async () => {
    const what = fc.constantFrom('rollback-wave' as const, 'rollback-all' as const);
    await fc.assert(
      fc.asyncProperty(kills, what, async (at, onFailure) => {
        const head = headOf([1, 3, 4], { onFailure });
        const fleet = new Fleet(new Set(), new Set(['h1-2']));
        const result = await withKills(head, fleet, at);
        expect(result.verdict).toBe('rolled-back');
        expect([...fleet.inPlace.keys()]).toEqual(onFailure === 'rollback-wave' ? ['h0-0'] : []);
        expect([...fleet.applies.keys()].some((name) => name.startsWith('h2-'))).toBe(false);
      }),
    );
  });

  it('stops before the next wave where more hosts fail than may', async () => {
    const fleet = new Fleet(new Set(['h1-0']));
    const head = headOf([1, 3, 4]);
    const result = await go(head, fleet);
    expect([result.verdict, result.why]).toEqual(['stopped', '1 host failed']);
    expect([...fleet.inPlace.keys()].some((name) => name.startsWith('h2-'))).toBe(false);

    const tolerant = new Fleet(new Set(['h1-0']));
    const through = await go(headOf([1, 3, 4], { maxFail: { kind: 'count', count: 1 } }), tolerant);
    expect(through.verdict).toBe('done');
    expect(tolerant.inPlace.size).toBe(7);
  });

  it('starts no more hosts of a wave once too many have failed', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `h0-${i}`);
    const fleet = new Fleet(new Set(names));
    const result = await go(headOf([20], { forks: 2 }), fleet);
    expect(result.verdict).toBe('stopped');
    expect(fleet.journal.filter(({ what }) => what === 'apply').length).toBeLessThanOrEqual(3);
  });

  it('tries hosts again that failed when it is resumed', async () => {
    const broken = new Set(['h1-0']);
    const fleet = new Fleet(broken);
    const head = headOf([1, 2]);
    expect((await go(head, fleet)).verdict).toBe('stopped');
    broken.clear();
    expect((await go(head, fleet)).verdict).toBe('done');
    expect([...fleet.applies.values()]).toEqual([1, 1, 1]);
  });

  it('asks a host that fell silent before anything else is done to it', async () => {
    const fleet = new Fleet(new Set(), new Set(), new Set(['h0-1']));
    const head = headOf([3, 2]);
    const first = await go(head, fleet);
    expect([first.verdict, first.state.of('h0-1').kind]).toEqual(['stopped', 'unsettled']);
    expect((await go(head, fleet)).verdict).toBe('done');
    expect([...fleet.applies.values()]).toEqual([1, 1, 1, 1, 1]);
  });

  it('finishes what is begun and begins nothing more where it is interrupted', async () => {
    const fleet = new Fleet();
    const head = headOf([1, 6], { forks: 2 });
    const result = await go(head, fleet, () => fleet.inPlace.size >= 3);
    expect(result.verdict).toBe('interrupted');
    expect(
      [...result.state.hosts.values()].every(({ kind }) => kind === 'applied' || kind === 'waiting'),
    ).toBe(true);
    expect(fleet.inPlace.size).toBeLessThanOrEqual(4);
    expect((await go(head, fleet)).verdict).toBe('done');
  });

  it('pauses after each wave, and goes on where it was', async () => {
    const fleet = new Fleet();
    const head = headOf([1, 1, 1], { pause: true });
    const verdicts = [await go(head, fleet), await go(head, fleet), await go(head, fleet)].map(
      ({ verdict }) => verdict,
    );
    expect(verdicts).toEqual(['paused', 'paused', 'done']);
  });

  it('asks before each further wave, also when it is resumed, and does nothing before the answer', async () => {
    const fleet = new Fleet();
    const head = headOf([1, 1], { pause: true });
    const asked: [wave: number, resumed: boolean][] = [];
    const answer = (yes: boolean) => async (wave: number, resumed: boolean) => {
      asked.push([wave, resumed]);
      return yes;
    };
    Object.assign(fleet.effects, { proceed: answer(false) });
    expect([(await go(head, fleet)).verdict, (await go(head, fleet)).verdict]).toEqual(['paused', 'paused']);
    expect((await go(head, fleet, () => asked.length === 3)).verdict).toBe('interrupted');
    expect([...fleet.applies.keys()]).toEqual(['h0-0']);
    Object.assign(fleet.effects, { proceed: answer(true) });
    expect((await go(head, fleet)).verdict).toBe('done');
    expect(asked).toEqual([
      [0, false],
      [0, true],
      [0, true],
      [0, true],
    ]);
  });

  it('is taken back host by host, and is at its end with the last', async () => {
    const fleet = new Fleet();
    const head = headOf([1, 3]);
    await go(head, fleet);
    const undo = (hosts: readonly RolloutHost[]) =>
      rollBackRollout(
        {
          head,
          records: [...fleet.journal],
          append: fleet.append,
          effects: fleet.effects,
          interrupted: () => false,
        },
        hosts,
      );
    const some = await undo(head.hosts.slice(0, 2));
    expect([some.state.end, fleet.inPlace.size]).toEqual(['done', 2]);
    const all = await undo(head.hosts);
    expect([all.state.end, fleet.inPlace.size]).toEqual(['rolled-back', 0]);
  });
});
