import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePolicy } from '../../../src/plan/policy.ts';
import { PLAIN } from '../../../src/report/style.ts';
import { type SafeText, safe } from '../../../src/report/terminal-escape.ts';
import { parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import type { Answer, Prompter, Question } from '../../../src/wizard/question.ts';
import { type End, runWizard } from '../../../src/wizard/run-wizard.ts';
import type { Done, Measured, SavedFile, Setting, Template, Work } from '../../../src/wizard/setting.ts';
import { aHostUse, aUse } from '../needs/a-use.ts';

const root = join(import.meta.dirname, '../../..');
export const example = join(root, 'examples/snapshots/debian-12-systemd-252.json');

export function exampleSnapshot(): Snapshot {
  const loaded = parseSnapshot(readFileSync(example, 'utf8'));
  if (!loaded.ok) throw new Error(loaded.message);
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
}

export interface Surroundings extends Partial<Setting> {
  readonly snapshot?: Snapshot;
  /** How work of this kind fails. */
  readonly failing?: Readonly<Partial<Record<keyof Work, 'failed' | 'interrupted'>>>;
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
      target: null,
      saved: false,
      templates,
      source: (target) => (target === 'local' ? [] : ['--target', target]),
      fileAt: (path) => (path === '.' ? 'directory' : path === 'web.json' ? 'file' : 'none'),
      diagnosis: () => safe`DIAGNOSIS\n`,
      ...setting,
    },
    prompter,
    {
      read: (target) => work('read', target, snapshot),
      measure: (target, ms) => work('measure', `${target} ${ms}`, measured(snapshot, null)),
      load: (file) => work('load', file, measured(snapshot, file)),
      apply: () => work('apply', '', 0),
      save: (files) => {
        saved.push(...files);
        return work('save', files.map(({ path }) => path).join(' '), null);
      },
    },
  );
  return { end, asked, shown, done, saved };
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
  const [first] = loaded.hosts;
  if (first === undefined) throw new Error('no host');
  return { profile: loaded, host: first, text, file };
}

function mutable<T>(value: T): T {
  return structuredClone(value);
}
