import { profileOf } from '../measure/host-of.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { fileDiff } from '../plan/file-diff.ts';
import { planHost } from '../plan/plan-host.ts';
import { explainText } from '../report/explain-text.ts';
import { nameLimit, sameLimit } from '../report/limit-names.ts';
import { planText } from '../report/plan-text.ts';
import { statusText } from '../report/status-text.ts';
import { escapeText, join, safe } from '../report/terminal-escape.ts';
import { adjustPolicy } from './adjust-policy.ts';
import { limitEffect } from './effect.ts';
import { toEnd } from './end-steps.ts';
import { adjustView, unitQuestion, want } from './needs-steps.ts';
import { outcomeOf } from './outcome.ts';
import type { Setting } from './setting.ts';
import type { At, Goal, Host, HostWanted, View } from './state.ts';
import { valuesText } from './values-text.ts';
import { ask, choice, end, no, QUIT, yes } from './views.ts';

/** Steps of a single host: its limits, and what they are to be. */

/** Rows of a screen that the lines around a table and the question after it take. */
const AROUND_STATUS = 19;

export function statusView(state: At<'status'>, setting: Setting): View {
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

export function explainedView(state: At<'explained'>, setting: Setting): View {
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

export function explainView(state: At<'explain'>): View {
  const { question, find } = unitQuestion(unitsOf(state), safe`Which unit?`);
  return ask(question, (text) => ({ ...state, at: 'explained', unit: find(text) }));
}

export function unitView(state: HostWanted): View {
  const { question, find } = unitQuestion(unitsOf(state), safe`Give which unit a limit of its own?`);
  return ask(question, (text) => ({ ...state, at: 'value', limit: { kind: 'unit', unit: find(text) } }));
}

function unitsOf({ limits }: Host): string[] {
  return limits.units.flatMap(({ name, type }) => (type === 'cgroup' ? [] : [name]));
}

export function valuesView(state: At<'values'>, setting: Setting): View {
  const { plan, adjustments, shown } = state;
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
  return adjustView(state, adjustable, valuesText(state, shown, setting.style()));
}

export function valueView(state: At<'value'> & HostWanted): View {
  const { plan, limit, limits, snapshot, template, measured } = state;
  const use = measured === null ? null : profileOf(measured.profile, snapshot.host);
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
        const made = planHost(snapshot, adjusted.policy, use, recorderFiles());
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
            [escapeText(`${from.text} -> ${value}.`), ...limitEffect(limits, use, limit, to.count)],
            safe`\n`,
          ),
        );
      },
    },
    next: (value) => want(state, template, measured, [...others, { limit, value }], limit),
  };
}

export function reviewView(state: HostWanted, setting: Setting): View {
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
    next: (value) => toEnd(state, value as Goal),
  };
}
