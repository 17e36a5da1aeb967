import { basename, dirname } from 'node:path/posix';
import { planLine } from '../fleet/host-plan-file.ts';
import { DEFAULT_WAVES } from '../fleet/waves.ts';
import { escapeJson, escapeText, safe } from '../report/terminal-escape.ts';
import type { Done, RolloutChoices, SavedFile, Setting, Work } from './setting.ts';
import type { At, Goal, State, View, Wanted } from './state.ts';
import { ask, end, no, ok, yes } from './views.ts';

/** Steps to the end: files, the change itself, and the command that does the same. */

/** As `tasksctl rollout` has it where nothing is said. */
export const DEFAULT_CHOICES: RolloutChoices = {
  waves: DEFAULT_WAVES,
  maxFail: '0',
  pause: false,
  bake: null,
  onFailure: 'stop',
};

/** What comes after the last question about the plan: the name of the files, where there are any. */
export function toEnd(wanted: Wanted, goal: Goal, choices: RolloutChoices | null = null): State {
  return filesOf(wanted, goal, 'x').length > 0
    ? { ...wanted, at: 'name', goal, choices }
    : { ...wanted, at: 'finishing', goal, choices, stem: null };
}

type Kind = 'policy' | 'profile' | 'plan';

/** The files that the command at the end needs, or that were asked for. */
function filesOf(wanted: Wanted, goal: Goal, stem: string) {
  const { policyText, template, adjustments, measured } = wanted;
  const files: (SavedFile & { readonly of: Kind })[] = [];
  if (adjustments.length > 0 || goal === 'save') {
    files.push({
      of: 'policy',
      path: `${stem}.policy.yaml`,
      text: adjustments.length > 0 ? policyText : template.text,
    });
  }
  if (measured !== null && measured.file === null) {
    files.push({ of: 'profile', path: `${stem}.profile.json`, text: measured.text });
  }
  if (goal === 'save') files.push({ of: 'plan', ...planFile(wanted, stem) });
  return files;
}

/** Byte for byte what `tasksctl plan --out` writes. */
function planFile(wanted: Wanted, stem: string): SavedFile {
  return wanted.kind === 'host'
    ? { path: `${stem}.plan.json`, text: escapeJson(`${JSON.stringify(wanted.plan, null, 2)}\n`) }
    : {
        path: `${stem}.plan.ndjson`,
        text: [wanted.picked.order, ...wanted.plans.plans].map(planLine).join(''),
      };
}

export function nameView(state: At<'name'>, { fileAt }: Setting): View {
  const { goal } = state;
  return ask(
    {
      message: safe`Save under which name?`,
      initial: `tasksctl-${nameOf(state).replace(/[^A-Za-z0-9._-]+/g, '_')}`,
      check: (text) => {
        if (text === '' || text.endsWith('/')) return no('The beginning of the names of the files.');
        const directory = dirname(text);
        if (fileAt(directory) !== 'directory') return no(`There is no directory ${directory}`);
        const paths = filesOf(state, goal, text).map(({ path }) => path);
        const there = paths.find((path) => fileAt(path) !== 'none');
        if (there !== undefined) return no(`${there} is there already`);
        return yes(escapeText(`Writes ${paths.join(', ')}.`));
      },
    },
    // Else it would look like an option.
    (text) => ({ ...state, at: 'finishing', stem: text.startsWith('-') ? `./${text}` : text }),
  );
}

/** What a file about it is called. */
function nameOf(wanted: Wanted): string {
  if (wanted.kind === 'host') return wanted.snapshot.host.hostname;
  const { limit, inventory } = wanted.picked;
  const [first = ''] = inventory;
  return limit ?? (first.includes(',') ? 'hosts' : basename(first).replace(/\.[^.]*$/, ''));
}

export function finishingView(state: At<'finishing'>, setting: Setting): View {
  const { goal, stem } = state;
  return {
    kind: 'work',
    run: async (work) => {
      const changed = await carryOut(state, work);
      if (!changed.ok) return changed;
      // Last: whoever interrupts what is before has no file to remove.
      const saved = await work.save(stem === null ? [] : filesOf(state, goal, stem));
      if (!saved.ok) return saved;
      return ok(end(commandOf(state, setting), changed.value));
    },
  };
}

/** Changes what is to be changed, if anything is; gives the exit code. */
async function carryOut(state: At<'finishing'>, work: Work): Promise<Done<number>> {
  const { goal, choices } = state;
  if (state.kind === 'host') return goal === 'apply' ? work.apply(state.plan) : ok(0);
  if (goal !== 'rollout' || choices === null) return ok(0);
  return work.rollOut(state.picked, state.plans, choices);
}

/** The command that does the same without a question. */
function commandOf(state: At<'finishing'>, setting: Setting): string[] {
  const { template, measured, goal, stem, choices } = state;
  const files = stem === null ? [] : filesOf(state, goal, stem);
  const path = (of: Kind) => files.find((file) => file.of === of)?.path;
  const profile = path('profile') ?? measured?.file;
  const plan = path('plan');
  const changes = goal === 'apply' || goal === 'rollout';
  return [
    'tasksctl',
    changes ? goal : 'plan',
    ...setting.source(state.kind === 'host' ? state.target : state.picked),
    '--policy',
    path('policy') ?? template.name,
    ...(profile == null ? [] : ['--profile', profile]),
    ...(plan === undefined ? [] : ['--out', plan]),
    ...(choices === null ? [] : rolloutWords(choices)),
    ...(changes ? ['--yes'] : []),
  ];
}

/** Waves wherever they are chosen: how far a change goes at once is what a ticket is read for. */
function rolloutWords({ waves, maxFail, pause, bake, onFailure }: RolloutChoices): string[] {
  return [
    ...(waves === null ? [] : ['--waves', waves]),
    ...(maxFail === DEFAULT_CHOICES.maxFail ? [] : ['--max-fail', maxFail]),
    ...(bake === null ? [] : ['--bake', bake]),
    ...(pause ? ['--pause'] : []),
    ...(onFailure === DEFAULT_CHOICES.onFailure ? [] : ['--on-failure', onFailure]),
  ];
}
