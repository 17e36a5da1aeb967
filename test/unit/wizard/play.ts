import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sysctlOrigins } from '../../../src/cli/diagnose.ts';
import { planOf } from '../../../src/cli/plan-fleet.ts';
import { diagnose } from '../../../src/diagnose/diagnose.ts';
import { EVERYTHING } from '../../../src/diagnose/focus.ts';
import { plainFleet } from '../../../src/fleet/fleet-file.ts';
import { type HostPlan, PlanGroups } from '../../../src/fleet/host-plan.ts';
import type { InventoryHost } from '../../../src/fleet/inventory.ts';
import { parsePolicy } from '../../../src/plan/policy.ts';
import { PLAIN } from '../../../src/report/style.ts';
import { type SafeText, safe } from '../../../src/report/terminal-escape.ts';
import { hostLimits } from '../../../src/snapshot/limits.ts';
import { parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import { type FleetHost, fleetHost } from '../../../src/wizard/fleet-host.ts';
import type { Answer, Prompter, Question } from '../../../src/wizard/question.ts';
import { type End, runWizard } from '../../../src/wizard/run-wizard.ts';
import type {
  Done,
  LostHost,
  Measured,
  SavedFile,
  Setting,
  Template,
  Work,
} from '../../../src/wizard/setting.ts';
import { aHostUse, aUse } from '../needs/a-use.ts';

const root = join(import.meta.dirname, '../../..');
export const example = join(root, 'examples/snapshots/debian-12-systemd-252.json');

/** Hosts of the inventory, with the snapshots of what they are; null: it does not answer. */
export const FLEET: readonly { readonly host: InventoryHost; readonly file: string | null }[] = [
  { host: { name: 'web1', target: 'admin@web1', groups: ['web'] }, file: '' },
  { host: { name: 'web2', target: 'admin@web2', groups: ['web'] }, file: '' },
  { host: { name: 'db1', target: 'db1:2222', groups: ['db'] }, file: 'debian-13-systemd-257.json' },
  { host: { name: 'db2', target: 'db2', groups: ['db'] }, file: null },
];

const snapshots = new Map<string, Snapshot>();

export function exampleSnapshot(file = 'debian-12-systemd-252.json'): Snapshot {
  const known = snapshots.get(file);
  if (known !== undefined) return known;
  const loaded = parseSnapshot(readFileSync(join(dirname(example), file), 'utf8'));
  if (!loaded.ok) throw new Error(loaded.message);
  snapshots.set(file, loaded.snapshot);
  return loaded.snapshot;
}

const policies = join(root, 'templates/policies');
const templates: Template[] = readdirSync(policies).map((file) => {
  const text = readFileSync(join(policies, file), 'utf8');
  const parsed = parsePolicy(text, file);
  return { name: file.replace(/\.yaml$/, ''), text, description: parsed.ok ? parsed.policy.description : '' };
});

export const BACK: Answer = { kind: 'back' };
export const CTRL_C: Answer = { kind: 'cancelled' };

/** The value of a choice, or a text that is typed. */
export type Move = string | Answer;

export interface Played {
  readonly end: End;
  readonly asked: readonly Question[];
  readonly shown: readonly SafeText[];
  /** What was done to the world, in order. */
  readonly done: readonly string[];
  readonly saved: readonly SavedFile[];
  /** Plans of fleets, as they were made. */
  readonly planned: readonly HostPlan[];
}

export interface Surroundings extends Partial<Setting> {
  readonly snapshot?: Snapshot;
  /** How work of this kind fails. */
  readonly failing?: Readonly<Partial<Record<keyof Work, 'failed' | 'interrupted'>>>;
}

const fleets = new Map<Snapshot, readonly FleetHost[]>();

/** The hosts of the inventory that answer; the first two are like this snapshot. */
function fleetOf(snapshot: Snapshot): readonly FleetHost[] {
  const known = fleets.get(snapshot);
  if (known !== undefined) return known;
  const hosts = FLEET.flatMap(({ host, file }): FleetHost[] => {
    if (file === null) return [];
    const read = file === '' ? snapshot : exampleSnapshot(file);
    const diagnosis = diagnose(read, sysctlOrigins(read), EVERYTHING);
    return [fleetHost(host, read, hostLimits(read), diagnosis, () => read)];
  });
  fleets.set(snapshot, hosts);
  return hosts;
}

/** Runs the wizard with these answers. A function is asked for each answer in turn. */
export async function play(
  moves: readonly Move[] | ((question: Question) => Move),
  { snapshot = exampleSnapshot(), failing = {}, ...setting }: Surroundings = {},
): Promise<Played> {
  const asked: Question[] = [];
  const shown: SafeText[] = [];
  const done: string[] = [];
  const saved: SavedFile[] = [];
  const planned: HostPlan[] = [];
  const prompter: Prompter = {
    show: async (text) => {
      shown.push(text);
      return true;
    },
    ask: async (question) => {
      asked.push(question);
      const move = typeof moves === 'function' ? moves(question) : (moves[asked.length - 1] ?? CTRL_C);
      if (typeof move !== 'string') return move;
      if (question.kind === 'choice') {
        const values = question.choices.map(({ value }) => value);
        if (!values.includes(move))
          throw new Error(`${question.message} ${move}: there is ${values.join(', ')}`);
      } else {
        const checked = question.check(move);
        if (!checked.ok) throw new Error(`${question.message} ${move}: ${checked.problem}`);
      }
      return { kind: 'answer', value: move };
    },
  };
  const work = async <T>(what: keyof Work, about: string, value: T): Promise<Done<T>> => {
    done.push(`${what} ${about}`.trim());
    const failure = failing[what];
    return failure === undefined
      ? { ok: true, value }
      : { ok: false, interrupted: failure === 'interrupted' };
  };
  const end = await runWizard(
    {
      style: () => PLAIN,
      rows: () => 24,
      here: 'here',
      given: null,
      saved: false,
      templates,
      source: (of) =>
        typeof of === 'string'
          ? of === 'local'
            ? []
            : ['--target', of]
          : [
              ...of.inventory.flatMap((one) => ['-i', one]),
              ...(of.limit === null ? [] : ['--limit', of.limit]),
            ],
      likelyInventory: '',
      inventoryAt: (name) =>
        name === 'hosts.ini'
          ? { ok: true, note: safe`There.` }
          : { ok: false, problem: safe`No such inventory.` },
      fileAt: (path) => (path === '.' ? 'directory' : path === 'web.json' ? 'file' : 'none'),
      diagnosis: () => safe`DIAGNOSIS\n`,
      ...setting,
    },
    prompter,
    {
      read: (target) => work('read', target, snapshot),
      openInventory: (inventory) =>
        work(
          'openInventory',
          inventory.join(' '),
          plainFleet(
            FLEET.map(({ host }) => host),
            ['web', 'db'],
          ),
        ),
      readFleet: ({ hosts }) => {
        const read = fleetOf(snapshot).filter(({ host }) => hosts.some(({ name }) => name === host.name));
        const lost = hosts
          .filter(({ name }) => !read.some(({ host }) => host.name === name))
          .map((host) => ({ host, failure: { kind: 'unreachable', message: 'It does not answer.' } }));
        return work('readFleet', hosts.map(({ name }) => name).join(' '), { hosts: read, lost });
      },
      measure: (targets, ms) => work('measure', `${targets.join(' ')} ${ms}`, measured(snapshot, null)),
      load: (file) => work('load', file, measured(snapshot, file)),
      planFleet: ({ picked, hosts, lost }, by) => {
        const groups = new PlanGroups(picked.hosts.map(({ name }) => name));
        const plans: HostPlan[] = [];
        const without: LostHost[] = [];
        for (const { host, snapshot } of hosts) {
          const made = planOf(host, snapshot(), { policyOf: () => by.policy, profile: by.profile });
          if (made.kind === 'failed') {
            without.push({ host, failure: made.failure });
            continue;
          }
          groups.add(host.name, made.plan.plan);
          plans.push(made.plan);
        }
        planned.push(...plans);
        const value = { plans, groups: groups.all(), lost: [...lost, ...without] };
        return work('planFleet', String(hosts.length), value);
      },
      apply: () => work('apply', '', 0),
      rollOut: (_picked, { plans }) => work('rollOut', plans.map(({ name }) => name).join(' '), 0),
      save: (files) => {
        saved.push(...files);
        return work('save', files.map(({ path }) => path).join(' '), null);
      },
    },
  );
  return { end, asked, shown, done, saved, planned };
}

/** What was measured: ci-runner.service ran into its limit at 128. */
function measured({ host }: Snapshot, file: string | null): Measured {
  const { units, ...use } = aHostUse([aUse({ unit: 'ci-runner.service', peak: 128, reached: 128 })]);
  const window = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-08T00:00:00.000Z', boots: [], samples: 9 };
  const profile = {
    schema: 'tasksctl/profile/1' as const,
    hosts: [
      { ...use, ...window, hostname: host.hostname, machineId: host.machineId, units: units.map(mutable) },
    ],
  };
  const text = `${JSON.stringify(profile)}\n`;
  const loaded = JSON.parse(text) as Measured['profile'];
  return { profile: loaded, text, file };
}

function mutable<T>(value: T): T {
  return structuredClone(value);
}
