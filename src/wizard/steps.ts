import { dirname } from 'node:path/posix';
import { parseTarget } from '../host/target.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { fileDiff } from '../plan/file-diff.ts';
import { nearestName } from '../plan/nearest-name.ts';
import type { Plan, PlanLimit } from '../plan/plan.ts';
import { planHost } from '../plan/plan-host.ts';
import { plural } from '../report/diagnostic-text.ts';
import { explainText } from '../report/explain-text.ts';
import { nameLimit, sameLimit } from '../report/limit-names.ts';
import { planText } from '../report/plan-text.ts';
import { statusText } from '../report/status-text.ts';
import { escapeJson, escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { type HostLimits, hostLimits } from '../snapshot/limits.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { type Adjustment, adjustPolicy } from './adjust-policy.ts';
import { limitEffect } from './effect.ts';
import type { Check, Choice, Question } from './question.ts';
import type { Done, Measured, SavedFile, Setting, Template, Work } from './setting.ts';
import { valuesText } from './values-text.ts';

/**
 * The steps of the wizard as a state machine without a terminal: a state is all that is known so far, its view what to show
 * and ask next, and an answer makes the next state.
 */

type Reason = 'fork' | 'workload' | 'look';

/** A host that was read. */
interface Host {
  readonly reason: Reason;
  readonly target: string;
  readonly snapshot: Snapshot;
  readonly limits: HostLimits;
}

/** What it is to have, and what that comes to. */
export interface Wanted extends Host {
  readonly template: Template;
  readonly measured: Measured | null;
  readonly adjustments: readonly Adjustment[];
  /** The policy, by the template and the adjustments. */
  readonly policyText: string;
  readonly plan: Plan;
}

type Goal = 'dry-run' | 'save' | 'apply';

export type State =
  | { readonly at: 'reason' }
  | { readonly at: 'where'; readonly reason: Reason }
  | { readonly at: 'ssh'; readonly reason: Reason }
  | { readonly at: 'reading'; readonly reason: Reason; readonly target: string }
  | ({ readonly at: 'status'; readonly shown: 'tightest' | 'all' } & Host)
  | ({ readonly at: 'explain' } & Host)
  | ({ readonly at: 'explained'; readonly unit: string } & Host)
  | ({ readonly at: 'needs' } & Host)
  | ({ readonly at: 'duration' } & Host)
  | ({ readonly at: 'measuring'; readonly ms: number } & Host)
  | ({ readonly at: 'profile' } & Host)
  | ({ readonly at: 'loading'; readonly file: string } & Host)
  | ({ readonly at: 'template'; readonly before: Wanted | null } & Host)
  | ({ readonly at: 'values'; readonly shown: PlanLimit | null } & Wanted)
  | ({ readonly at: 'unit' } & Wanted)
  | ({ readonly at: 'value'; readonly limit: PlanLimit } & Wanted)
  | ({ readonly at: 'review' } & Wanted)
  | ({ readonly at: 'name'; readonly goal: Goal } & Wanted)
  | ({ readonly at: 'finishing'; readonly goal: Goal; readonly stem: string | null } & Wanted)
  | { readonly at: 'end'; readonly command: readonly string[] | null; readonly code: number };

export type View =
  | {
      readonly kind: 'question';
      readonly show: SafeText | null;
      readonly question: Question;
      readonly next: (value: string) => State;
    }
  | { readonly kind: 'work'; readonly run: (work: Work) => Promise<Done<State>> }
  | { readonly kind: 'end'; readonly command: readonly string[] | null; readonly code: number };

export const START: State = { at: 'reason' };

/** What is next in a state. */
export function viewOf(state: State, setting: Setting): View {
  switch (state.at) {
    case 'reason':
      return reasonView(setting);
    case 'where':
      return whereView(state, setting);
    case 'ssh':
      return sshView(state);
    case 'reading':
      return readingView(state);
    case 'status':
      return statusView(state, setting);
    case 'explain':
      return unitView(state, safe`Which unit?`, (unit) => ({ ...state, at: 'explained', unit }));
    case 'explained':
      return explainedView(state, setting);
    case 'needs':
      return needsView(state, setting);
    case 'duration':
      return durationView(state);
    case 'measuring':
      return measuringView(state, setting);
    case 'profile':
      return profileView(state, setting);
    case 'loading':
      return {
        kind: 'work',
        run: async (work) => {
          const { file, ...host } = state;
          const done = await work.load(file, host.snapshot);
          return done.ok ? ok(want(host, defaultTemplate(setting), done.value, [])) : done;
        },
      };
    case 'template':
      return templateView(state, setting);
    case 'values':
      return valuesView(state, setting);
    case 'unit':
      return unitView(state, safe`Give which unit a limit of its own?`, (unit) => ({
        ...state,
        at: 'value',
        limit: { kind: 'unit', unit },
      }));
    case 'value':
      return valueView(state);
    case 'review':
      return reviewView(state, setting);
    case 'name':
      return nameView(state, setting);
    case 'finishing':
      return finishingView(state, setting);
    case 'end':
      return { kind: 'end', command: state.command, code: state.code };
  }
}

function ok<T>(value: T): Done<T> {
  return { ok: true, value };
}

function choice(
  message: SafeText,
  choices: readonly Choice[],
  options: { readonly initial?: string; readonly back?: false } = {},
): Question {
  return { kind: 'choice', message, choices, back: true, ...options };
}

const QUIT: Choice = { value: 'quit', name: safe`Leave`, about: safe`Nothing was changed.` };

function end(command: readonly string[] | null = null, code = 0): State {
  return { at: 'end', command, code };
}

function reasonView({ target }: Setting): View {
  return {
    kind: 'question',
    show: safe`Nothing is changed before you say so. Back is always there; Ctrl-C leaves.\n`,
    question: choice(
      safe`What brings you here?`,
      [
        {
          value: 'fork',
          name: safe`Fork fails`,
          about: safe`"Resource temporarily unavailable", "unable to create native thread": which limit is it?`,
        },
        {
          value: 'workload',
          name: safe`A new workload`,
          about: safe`More users, a database, a JVM, builds: are the limits enough for it?`,
        },
        { value: 'look', name: safe`Look at the limits`, about: safe`Who is near which limit, and why.` },
        QUIT,
      ],
      { back: false },
    ),
    next: (value) => {
      if (value === 'quit') return end();
      const reason = value as Reason;
      return target === null ? { at: 'where', reason } : { at: 'reading', reason, target };
    },
  };
}

function whereView({ reason }: State & { at: 'where' }, { here }: Setting): View {
  return {
    kind: 'question',
    show: null,
    question: choice(safe`Which host?`, [
      { value: 'local', name: safe`This one, ${escapeText(here)}` },
      {
        value: 'ssh',
        name: safe`Another one, over SSH`,
        about: safe`Your ~/.ssh/config, keys, agent and known_hosts are used; nothing is installed there.`,
      },
    ]),
    next: (value) => (value === 'ssh' ? { at: 'ssh', reason } : { at: 'reading', reason, target: 'local' }),
  };
}

function sshView({ reason }: State & { at: 'ssh' }): View {
  return {
    kind: 'question',
    show: null,
    question: {
      kind: 'text',
      message: safe`Host, as for ssh:`,
      initial: '',
      check: (text) => {
        if (text === '') return no('Such as web1, admin@web1 or admin@web1:2222.');
        const parsed = parseTarget(text);
        if (!parsed.ok) return no(parsed.message);
        if (parsed.target.kind === 'local') return yes(safe`This machine.`);
        const { user, host, port } = parsed.target;
        const as = user === undefined ? '' : `, as ${user}`;
        const at = port === undefined ? '' : `, port ${port}`;
        return yes(escapeText(`Logs in to ${host}${at}${as}, and reads it.`));
      },
    },
    next: (target) => ({ at: 'reading', reason, target }),
  };
}

function yes(note: SafeText): Check {
  return { ok: true, note };
}

function no(problem: string): Check {
  return { ok: false, problem: escapeText(problem) };
}

function readingView({ reason, target }: State & { at: 'reading' }): View {
  return {
    kind: 'work',
    run: async (work) => {
      const read = await work.read(target);
      if (!read.ok) return read;
      const snapshot = read.value;
      return ok({ at: 'status', shown: 'tightest', reason, target, snapshot, limits: hostLimits(snapshot) });
    },
  };
}

/** Rows of a screen that the lines around a table and the question after it take. */
const AROUND_STATUS = 19;

function statusView(state: State & { at: 'status' }, setting: Setting): View {
  const { snapshot, limits, target, reason, shown } = state;
  const style = setting.style();
  const most = shown === 'all' ? {} : { most: Math.max(5, setting.rows() - AROUND_STATUS) };
  const filter = { all: shown === 'all', globs: [], over: null };
  const status = statusText(snapshot, limits, { filter, tree: false, ...most }, style);
  const diagnosis =
    reason === 'fork' && shown === 'tightest'
      ? safe`\n${setting.diagnosis(snapshot, setting.source(target), style)}`
      : safe``;
  const systemd = snapshot.systemd !== null;
  return {
    kind: 'question',
    show: safe`${status}${diagnosis}`,
    question: choice(safe`What next?`, [
      ...(systemd
        ? [
            {
              value: 'needs',
              name: safe`What the limits should be`,
              about: safe`From what is used, or from what you are going to run.`,
            },
          ]
        : []),
      { value: 'explain', name: safe`Why one limit is what it is` },
      { value: 'all', name: safe`Show every unit and cgroup` },
      QUIT,
    ]),
    next: (value) => {
      if (value === 'all') return { ...state, shown: 'all' };
      if (value === 'quit') return end(['tasksctl', 'status', ...setting.source(target)]);
      return value === 'explain' ? { ...state, at: 'explain' } : { ...state, at: 'needs' };
    },
  };
}

/** Asks for a unit of the host. */
function unitView({ limits }: Host, message: SafeText, next: (unit: string) => State): View {
  const names = limits.units.flatMap(({ name, type }) => (type === 'cgroup' ? [] : [name]));
  const known = new Set(names);
  const find = (text: string) => [text, `${text}.service`].find((name) => known.has(name));
  return {
    kind: 'question',
    show: null,
    question: {
      kind: 'text',
      message,
      initial: '',
      check: (text) => {
        if (text === '') return no('Such as nginx.service or user-1000.slice.');
        const found = find(text);
        if (found !== undefined) return yes(escapeText(found));
        const near =
          names.find((name) => name.includes(text)) ??
          nearestName(text, names) ??
          nearestName(`${text}.service`, names);
        return no(`The host has no unit ${text}${near === null ? '' : `; did you mean ${near}?`}`);
      },
    },
    next: (text) => next(find(text) ?? text),
  };
}

function explainedView(state: State & { at: 'explained' }, setting: Setting): View {
  const { snapshot, limits, unit } = state;
  const row = limits.units.find(({ name, type }) => type !== 'cgroup' && name === unit);
  return {
    kind: 'question',
    show: row === undefined ? null : explainText(snapshot, limits, row, setting.style()),
    question: choice(safe`What next?`, [
      { value: 'status', name: safe`All limits again` },
      { value: 'explain', name: safe`Another unit` },
      QUIT,
    ]),
    next: (value) => {
      if (value === 'quit') {
        return end(['tasksctl', 'status', ...setting.source(state.target), '--explain', unit]);
      }
      return value === 'status' ? { ...state, at: 'status', shown: 'tightest' } : { ...state, at: 'explain' };
    },
  };
}

function needsView(state: State & { at: 'needs' }, { saved }: Setting): View {
  return {
    kind: 'question',
    show: null,
    question: choice(
      safe`What are the limits to go by?`,
      [
        ...(saved
          ? []
          : [
              {
                value: 'duration',
                name: safe`Measure now`,
                about: safe`Counts the tasks of every unit for a while, best under full load. Changes nothing.`,
              },
            ]),
        {
          value: 'profile',
          name: safe`A profile file`,
          about: safe`What tasksctl measure saved, the recorder's samples, or an answer of Prometheus.`,
        },
        {
          value: 'template',
          name: safe`A workload template`,
          about: safe`Rules for a kind of host, with what the host shows now.`,
        },
      ],
      // Who has a failing fork has no time to measure, and the limit that was hit tells enough.
      { initial: state.reason === 'look' && !saved ? 'duration' : 'template' },
    ),
    next: (value) =>
      value === 'template'
        ? { ...state, at: 'template', before: null }
        : { ...state, at: value === 'duration' ? 'duration' : 'profile' },
  };
}

function durationView(state: State & { at: 'duration' }): View {
  const times: readonly (readonly [number, SafeText])[] = [
    [30, safe`30 seconds`],
    [60, safe`1 minute`],
    [600, safe`10 minutes`],
    [3600, safe`1 hour`],
  ];
  return {
    kind: 'question',
    show: null,
    question: choice(
      safe`Measure for how long?`,
      times.map(([seconds, name]) => ({
        value: String(seconds),
        name,
        about: safe`For days: tasksctl measure --duration 7d --out FILE, then come back with the file.`,
      })),
      { initial: '60' },
    ),
    next: (value) => ({ ...state, at: 'measuring', ms: Number(value) * 1000 }),
  };
}

function measuringView(state: State & { at: 'measuring' }, setting: Setting): View {
  const { ms, ...host } = state;
  return {
    kind: 'work',
    run: async (work) => {
      const done = await work.measure(host.target, ms, host.snapshot);
      if (!done.ok) return done;
      // Peaks and rejected forks are those of now.
      const read = await work.read(host.target);
      if (!read.ok) return read;
      const now = { ...host, snapshot: read.value, limits: hostLimits(read.value) };
      return ok(want(now, defaultTemplate(setting), done.value, []));
    },
  };
}

function profileView(state: State & { at: 'profile' }, { fileAt }: Setting): View {
  return {
    kind: 'question',
    show: null,
    question: {
      kind: 'text',
      message: safe`Profile file:`,
      initial: '',
      check: (text) => {
        if (text === '') return no('Such as web1.json, saved by tasksctl measure --out.');
        const there = fileAt(text);
        if (there === 'file') return yes(safe`There is such a file.`);
        return no(there === 'none' ? `There is no file ${text}` : `${text} is a directory`);
      },
    },
    next: (file) => ({ ...state, at: 'loading', file }),
  };
}

function defaultTemplate({ templates }: Setting): Template {
  const found = templates.find(({ name }) => name === 'default');
  if (found === undefined) throw new Error('templates/policies/default.yaml is missing');
  return found;
}

function templateView(state: State & { at: 'template' }, setting: Setting): View {
  const { before, ...host } = state;
  const { templates } = setting;
  // The one for any host first.
  const fallback = defaultTemplate(setting);
  const sorted = [fallback, ...templates.filter((template) => template !== fallback)];
  return {
    kind: 'question',
    show: null,
    question: choice(
      safe`Which template?`,
      sorted.map(({ name, description }) => ({
        value: name,
        name: name === 'default' ? safe`default (any host)` : escapeText(name),
        about: escapeText(description),
      })),
      { initial: before?.template.name ?? 'default' },
    ),
    next: (value) => {
      const template = templates.find(({ name }) => name === value) ?? fallback;
      return want(host, template, before?.measured ?? null, before?.adjustments ?? []);
    },
  };
}

/** The state in which limits by this template, by what was measured and with these adjustments are looked at. */
function want(
  { reason, target, snapshot, limits }: Host,
  template: Template,
  measured: Measured | null,
  adjustments: readonly Adjustment[],
  shown: PlanLimit | null = null,
): State {
  const adjusted = adjustPolicy(template.text, adjustments);
  // A limit that can be fixed in one template can be in all.
  if (!adjusted.ok) throw new Error(adjusted.problem);
  const plan = planHost(snapshot, adjusted.policy, measured?.host ?? null, recorderFiles());
  const host = { reason, target, snapshot, limits };
  return { at: 'values', ...host, template, measured, adjustments, policyText: adjusted.text, plan, shown };
}

/** What a plan makes of a limit. */
function outcomeOf(plan: Plan, limit: PlanLimit) {
  const isIt = (one: { readonly limit: PlanLimit }): boolean => sameLimit(one.limit, limit);
  return {
    change: plan.changes.find(isIt),
    refused: plan.refused.find(isIt),
    unchanged: plan.unchanged.find(isIt),
  };
}

function valuesView(state: State & { at: 'values' }, setting: Setting): View {
  const { plan, template, adjustments, shown } = state;
  const adjustable = [
    ...plan.changes.map(({ limit, title, from, to }) => ({
      limit,
      name: safe`${escapeText(title)}: ${escapeText(from.text)} -> ${escapeText(to.text)}`,
    })),
    ...plan.refused.map(({ limit, title, wanted }) => ({
      limit,
      name: safe`${escapeText(title)}: ${escapeText(wanted)} refused`,
    })),
    ...plan.unchanged
      .filter(({ limit }) => limit.kind !== 'unit' || adjustments.some((one) => sameLimit(one.limit, limit)))
      .map(({ limit, title }) => ({ limit, name: safe`${escapeText(title)}: as it is` })),
  ];
  return {
    kind: 'question',
    show: valuesText(state, shown, setting.style()),
    question: choice(safe`What next?`, [
      { value: 'review', name: safe`Go on with these` },
      ...adjustable.map(({ name }, i) => ({ value: `adjust ${i}`, name: safe`Adjust ${name}` })),
      { value: 'unit', name: safe`Give a unit that is not listed a limit` },
      {
        value: 'template',
        name: safe`Take another template (now ${escapeText(template.name)})`,
      },
      ...(adjustments.length > 0
        ? [{ value: 'reset', name: safe`Undo ${plural(adjustments.length, 'adjustment')}` }]
        : []),
    ]),
    next: (value) => {
      const chosen = adjustable[Number(/^adjust (\d+)$/.exec(value)?.[1] ?? -1)];
      if (chosen !== undefined) return { ...state, at: 'value', limit: chosen.limit };
      switch (value) {
        case 'unit':
          return { ...state, at: 'unit' };
        case 'template':
          return { ...state, at: 'template', before: state };
        case 'reset':
          return want(state, template, state.measured, []);
        default:
          return { ...state, at: 'review' };
      }
    },
  };
}

function valueView(state: State & { at: 'value' }): View {
  const { plan, limit, limits, snapshot, template, measured } = state;
  const others = state.adjustments.filter((one) => !sameLimit(one.limit, limit));
  const now = outcomeOf(plan, limit).change?.to.text ?? '';
  return {
    kind: 'question',
    show: null,
    question: {
      kind: 'text',
      message: safe`Limit for ${nameLimit(limit)}:`,
      initial: now,
      check: (text) => {
        if (text === '') return no('A number of tasks, a percentage such as 33%, or infinity.');
        const adjusted = adjustPolicy(template.text, [...others, { limit, value: text }]);
        if (!adjusted.ok) return no(adjusted.problem);
        const made = planHost(snapshot, adjusted.policy, measured?.host ?? null, recorderFiles());
        const { change, refused, unchanged } = outcomeOf(made, limit);
        if (refused !== undefined) {
          const { message, help } = refused.diagnostic;
          return no(`${message}.${help === undefined ? '' : ` ${help}`}`);
        }
        if (change === undefined)
          return yes(escapeText(`No change: ${unchanged?.reason ?? 'nothing comes of it'}.`));
        const { from, to } = change;
        const value = to.text === to.count ? to.text : `${to.text} = ${to.count}`;
        return yes(
          join(
            [
              escapeText(`${from.text} -> ${value}.`),
              ...limitEffect(limits, measured?.host ?? null, limit, to.count),
            ],
            safe`\n`,
          ),
        );
      },
    },
    next: (value) => want(state, template, measured, [...others, { limit, value }], limit),
  };
}

function reviewView(state: State & { at: 'review' }, setting: Setting): View {
  const { plan, target, snapshot } = state;
  const text = planText(plan, { diffs: plan.files.map(fileDiff), verbose: false }, setting.style());
  const host = target === 'local' ? snapshot.host.hostname : target;
  const canApply = plan.changes.length > 0 && !setting.saved;
  return {
    kind: 'question',
    show: text,
    question: choice(safe`What is to be done with this plan?`, [
      { value: 'dry-run', name: safe`Leave it at that`, about: safe`A dry run: the host stays as it is.` },
      {
        value: 'save',
        name: safe`Save the plan and its policy`,
        about: safe`To review, and for tasksctl apply later. The host stays as it is.`,
      },
      ...(canApply
        ? [
            {
              value: 'apply',
              name: safe`Apply it to ${escapeText(host)}`,
              about: safe`You are asked once more. If anything is off, the old state comes back.`,
            },
          ]
        : []),
    ]),
    next: (value) => {
      const goal = value as Goal;
      return filesOf(state, goal, 'x').length > 0
        ? { ...state, at: 'name', goal }
        : { ...state, at: 'finishing', goal, stem: null };
    },
  };
}

/** The files that the command at the end needs, or that were asked for. */
function filesOf({ plan, policyText, template, adjustments, measured }: Wanted, goal: Goal, stem: string) {
  const files: (SavedFile & { readonly of: 'policy' | 'profile' | 'plan' })[] = [];
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
  if (goal === 'save') {
    files.push({
      of: 'plan',
      path: `${stem}.plan.json`,
      text: escapeJson(`${JSON.stringify(plan, null, 2)}\n`),
    });
  }
  return files;
}

function nameView(state: State & { at: 'name' }, { fileAt }: Setting): View {
  const { goal, snapshot } = state;
  const host = snapshot.host.hostname.replace(/[^A-Za-z0-9._-]/g, '_');
  return {
    kind: 'question',
    show: null,
    question: {
      kind: 'text',
      message: safe`Save under which name?`,
      initial: `tasksctl-${host}`,
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
    next: (text) => ({ ...state, at: 'finishing', stem: text.startsWith('-') ? `./${text}` : text }),
  };
}

function finishingView(state: State & { at: 'finishing' }, setting: Setting): View {
  const { goal, stem, plan } = state;
  return {
    kind: 'work',
    run: async (work) => {
      let code = 0;
      if (goal === 'apply') {
        const applied = await work.apply(plan);
        if (!applied.ok) return applied;
        code = applied.value;
      }
      // Last: whoever interrupts what is before has no file to remove.
      const files = stem === null ? [] : filesOf(state, goal, stem);
      const saved = await work.save(files);
      if (!saved.ok) return saved;
      return ok(end(commandOf(state, setting, goal, stem), code));
    },
  };
}

/** The command that does the same without a question. */
function commandOf(state: Wanted, setting: Setting, goal: Goal, stem: string | null): string[] {
  const { template, measured, target } = state;
  const files = stem === null ? [] : filesOf(state, goal, stem);
  const path = (of: 'policy' | 'profile' | 'plan') => files.find((file) => file.of === of)?.path;
  const profile = path('profile') ?? measured?.file;
  const plan = path('plan');
  return [
    'tasksctl',
    goal === 'apply' ? 'apply' : 'plan',
    ...setting.source(target),
    '--policy',
    path('policy') ?? template.name,
    ...(profile == null ? [] : ['--profile', profile]),
    ...(plan === undefined ? [] : ['--out', plan]),
    ...(goal === 'apply' ? ['--yes'] : []),
  ];
}
