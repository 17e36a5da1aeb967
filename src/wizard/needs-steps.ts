import { profileOf } from '../measure/host-of.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { nearestName } from '../plan/nearest-name.ts';
import type { PlanLimit } from '../plan/plan.ts';
import { planHost } from '../plan/plan-host.ts';
import { plural } from '../report/diagnostic-text.ts';
import { escapeText, type SafeText, safe } from '../report/terminal-escape.ts';
import { type Adjustment, adjustPolicy } from './adjust-policy.ts';
import type { TextQuestion } from './question.ts';
import type { Measured, Setting, Template } from './setting.ts';
import type { At, State, Subject, View } from './state.ts';
import { readFleet, readHost } from './target-steps.ts';
import { ask, choice, no, ok, yes } from './views.ts';

/** Steps to what the limits are to go by, of one host or several. */

export function needsView(state: At<'needs'>, { saved }: Setting): View {
  return ask(
    choice(
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
          about: safe`Rules for a kind of host, with what ${state.kind === 'host' ? safe`the host shows` : safe`each host shows`} now.`,
        },
      ],
      // Who has a failing fork has no time to measure, and the limit that was hit tells enough.
      { initial: state.reason === 'look' && !saved ? 'duration' : 'template' },
    ),
    (value) =>
      value === 'template'
        ? { ...state, at: 'template', before: null }
        : { ...state, at: value === 'duration' ? 'duration' : 'profile' },
  );
}

export function durationView(state: At<'duration'>): View {
  const times: readonly (readonly [number, SafeText])[] = [
    [30, safe`30 seconds`],
    [60, safe`1 minute`],
    [600, safe`10 minutes`],
    [3600, safe`1 hour`],
  ];
  return ask(
    choice(
      safe`Measure for how long?`,
      times.map(([seconds, name]) => ({
        value: String(seconds),
        name,
        about: safe`For days: tasksctl measure --duration 7d --out FILE, then come back with the file.`,
      })),
      { initial: '60' },
    ),
    (value) => ({ ...state, at: 'measuring', ms: Number(value) * 1000 }),
  );
}

export function measuringView(state: At<'measuring'>, setting: Setting): View {
  const { ms, reason } = state;
  return {
    kind: 'work',
    run: async (work) => {
      const targets = state.kind === 'host' ? [state.target] : state.hosts.map(({ host }) => host.target);
      const done = await work.measure(targets, ms);
      if (!done.ok) return done;
      // Peaks and rejected forks are those of now.
      const read =
        state.kind === 'host'
          ? await readHost(work, reason, state.target)
          : await readFleet(work, reason, state.picked);
      return read.ok ? ok(want(read.value, defaultTemplate(setting), done.value, [])) : read;
    },
  };
}

export function profileView(state: At<'profile'>, { fileAt }: Setting): View {
  return ask(
    {
      message: safe`Profile file:`,
      initial: '',
      check: (text) => {
        if (text === '') return no('Such as web1.json, saved by tasksctl measure --out.');
        const there = fileAt(text);
        if (there === 'file') return yes(safe`There is such a file.`);
        return no(there === 'none' ? `There is no file ${text}` : `${text} is a directory`);
      },
    },
    (file) => ({ ...state, at: 'loading', file }),
  );
}

export function loadingView({ file, ...state }: At<'loading'>, setting: Setting): View {
  return {
    kind: 'work',
    run: async (work) => {
      const done = await work.load(file, state.kind === 'host' ? state.snapshot : null);
      return done.ok ? ok(want(state, defaultTemplate(setting), done.value, [])) : done;
    },
  };
}

function defaultTemplate({ templates }: Setting): Template {
  const found = templates.find(({ name }) => name === 'default');
  if (found === undefined) throw new Error('templates/policies/default.yaml is missing');
  return found;
}

export function templateView({ before, ...state }: At<'template'>, setting: Setting): View {
  const { templates } = setting;
  // The one for any host first.
  const fallback = defaultTemplate(setting);
  const sorted = [fallback, ...templates.filter((template) => template !== fallback)];
  return ask(
    choice(
      safe`Which template?`,
      sorted.map(({ name, description }) => ({
        value: name,
        name: name === 'default' ? safe`default (any host)` : escapeText(name),
        about: escapeText(description),
      })),
      { initial: before?.template.name ?? 'default' },
    ),
    (value) => {
      const template = templates.find(({ name }) => name === value) ?? fallback;
      return want(state, template, before?.measured ?? null, before?.adjustments ?? []);
    },
  );
}

/** The state in which limits by this template, by what was measured and with these adjustments are looked at. */
export function want(
  subject: Subject,
  template: Template,
  measured: Measured | null,
  adjustments: readonly Adjustment[],
  shown: PlanLimit | null = null,
): State {
  const adjusted = adjustPolicy(template.text, adjustments);
  // A limit that can be fixed in one template can be in all.
  if (!adjusted.ok) throw new Error(adjusted.problem);
  const chosen = { template, measured, adjustments, policyText: adjusted.text, shown };
  if (subject.kind === 'fleet') {
    const { kind, reason, picked, hosts, lost } = subject;
    return { at: 'planning', kind, reason, picked, hosts, lost, ...chosen };
  }
  const { kind, reason, target, snapshot, limits } = subject;
  const use = measured === null ? null : profileOf(measured.profile, snapshot.host);
  const plan = planHost(snapshot, adjusted.policy, use, recorderFiles());
  return { at: 'values', kind, reason, target, snapshot, limits, ...chosen, plan };
}

/** Asks what to do with the limits that are wanted now. */
export function adjustView(
  state: At<'values' | 'fleet-values'>,
  adjustable: readonly { readonly limit: PlanLimit; readonly name: SafeText }[],
  show: SafeText,
): View {
  const { template, adjustments, measured } = state;
  return ask(
    choice(safe`What next?`, [
      { value: 'review', name: safe`Go on with these` },
      ...adjustable.map(({ name }, i) => ({ value: `adjust ${i}`, name: safe`Adjust ${name}` })),
      { value: 'unit', name: safe`Give a unit that is not listed a limit` },
      { value: 'template', name: safe`Take another template (now ${escapeText(template.name)})` },
      ...(adjustments.length > 0
        ? [{ value: 'reset', name: safe`Undo ${plural(adjustments.length, 'adjustment')}` }]
        : []),
    ]),
    (value) => {
      const chosen = adjustable[Number(/^adjust (\d+)$/.exec(value)?.[1] ?? -1)];
      if (chosen !== undefined) return { ...state, at: 'value', limit: chosen.limit };
      switch (value) {
        case 'unit':
          return { ...state, at: 'unit' };
        case 'template':
          return { ...state, at: 'template', before: state };
        case 'reset':
          return want(state, template, measured, []);
        default:
          return { ...state, at: 'review' };
      }
    },
    show,
  );
}

/** Asks for one of these units. */
export function unitQuestion(
  names: readonly string[],
  message: SafeText,
): { readonly question: Omit<TextQuestion, 'kind'>; readonly find: (text: string) => string } {
  const known = new Set(names);
  const find = (text: string) => [text, `${text}.service`].find((name) => known.has(name));
  return {
    find: (text) => find(text) ?? text,
    question: {
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
        return no(`There is no unit ${text}${near === null ? '' : `; did you mean ${near}?`}`);
      },
    },
  };
}
