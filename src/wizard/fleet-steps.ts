import { profileOf } from '../measure/host-of.ts';
import { recorderFiles } from '../measure/recorder-files.ts';
import { nearestName } from '../plan/nearest-name.ts';
import { planHost } from '../plan/plan-host.ts';
import { parsePolicy } from '../plan/policy.ts';
import { plural } from '../report/diagnostic-text.ts';
import { fleetDiagnosisLine } from '../report/fleet-line.ts';
import { fleetStatusText } from '../report/fleet-status-text.ts';
import { fleetPlanText } from '../report/fleet-text.ts';
import { nameLimit, sameLimit } from '../report/limit-names.ts';
import { escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { hostLimits } from '../snapshot/limits.ts';
import { adjustPolicy } from './adjust-policy.ts';
import { limitEffect } from './effect.ts';
import { DEFAULT_CHOICES, toEnd } from './end-steps.ts';
import { byUse } from './fleet-host.ts';
import { outcomesOf } from './fleet-outcome.ts';
import { fleetValuesText } from './fleet-values-text.ts';
import { adjustView, unitQuestion, want } from './needs-steps.ts';
import { outcomeOf } from './outcome.ts';
import type { Setting } from './setting.ts';
import type { At, FleetWanted, Goal, View } from './state.ts';
import { ask, choice, end, no, ok, QUIT, yes } from './views.ts';

/** Steps of several hosts of an inventory: their limits, and what they are to be. */

/** Rows of a screen that the question after a table takes, and the lines around it. */
const AROUND_TABLE = 13;
/** Hosts where something rejected a fork that are told. */
const DIAGNOSES_SHOWN = 5;

export function fleetView(state: At<'fleet'>, setting: Setting): View {
  const { hosts, lost, picked, reason, shown } = state;
  const style = setting.style();
  const most = shown === 'all' ? hosts.length : Math.max(5, setting.rows() - AROUND_TABLE - lost.length);
  const table = fleetStatusText(
    hosts.map(({ host, tightest, rejected }) => ({ name: host.name, tightest, rejected })),
    lost.map(({ host, failure }) => ({ name: host.name, why: failure.message })),
    most,
    style,
  );
  const found = hosts.filter(({ diagnosis }) => diagnosis.verdicts.length > 0);
  const diagnoses =
    reason !== 'fork'
      ? []
      : found.length === 0
        ? [safe`On no host is there evidence of a rejected fork.`]
        : found
            .slice(0, shown === 'all' ? found.length : DIAGNOSES_SHOWN)
            .map(({ host, diagnosis }) => fleetDiagnosisLine(host.name, diagnosis, style));
  return ask(
    choice(safe`What next?`, [
      ...(hosts.some(({ systemd }) => systemd)
        ? [
            {
              value: 'needs',
              name: safe`What the limits should be`,
              about: safe`From what is used, or from what you are going to run. Each host by its own use.`,
            },
          ]
        : []),
      { value: 'one-host', name: safe`Look at one of the hosts` },
      ...(shown === 'tightest' && hosts.length > most ? [{ value: 'all', name: safe`Show every host` }] : []),
      QUIT,
    ]),
    (value) => {
      if (value === 'all') return { ...state, shown: 'all' };
      if (value === 'quit') return end(['tasksctl', 'status', ...setting.source(picked)]);
      return value === 'needs' ? { ...state, at: 'needs' } : { ...state, at: 'one-host' };
    },
    diagnoses.length === 0 ? table : safe`${table}\n${join([...diagnoses, safe``], safe`\n`)}`,
  );
}

export function oneHostView({ hosts, reason }: At<'one-host'>): View {
  const names = hosts.map(({ host }) => host.name);
  const find = (text: string) => hosts.find(({ host }) => host.name === text);
  return ask(
    {
      message: safe`Which host?`,
      initial: '',
      check: (text) => {
        if (text === '') return no(`Such as ${names[0] ?? ''}.`);
        const found = find(text);
        if (found !== undefined) return yes(safe`${escapeText(found.host.target)}, as it was read just now.`);
        const near = names.find((name) => name.includes(text)) ?? nearestName(text, names);
        return no(`No host ${text} was read${near === null ? '' : `; did you mean ${near}?`}`);
      },
    },
    (text) => {
      const one = find(text);
      if (one === undefined) throw new Error('a host was taken that there is not');
      const snapshot = one.snapshot();
      const host = {
        kind: 'host',
        reason,
        target: one.host.target,
        snapshot,
        limits: hostLimits(snapshot),
      } as const;
      return { at: 'status', shown: 'tightest', ...host };
    },
  );
}

export function planningView({ at, ...state }: At<'planning'>): View {
  return {
    kind: 'work',
    run: async (work) => {
      const parsed = parsePolicy(state.policyText, 'the policy');
      if (!parsed.ok) throw new Error('the policy is not valid');
      const by = { policy: parsed.policy, profile: state.measured?.profile ?? null };
      const done = await work.planFleet(state, by);
      return done.ok ? ok({ ...state, at: 'fleet-values', plans: done.value }) : done;
    },
  };
}

export function fleetValuesView(state: At<'fleet-values'>, setting: Setting): View {
  const { plans, adjustments, shown } = state;
  const adjustable = outcomesOf(plans.plans)
    .filter(
      ({ limit, outcomes }) =>
        limit.kind !== 'unit' ||
        outcomes.some(({ kind }) => kind !== 'unchanged') ||
        adjustments.some((one) => sameLimit(one.limit, limit)),
    )
    .map(({ limit, title, outcomes }) => {
      const [first] = outcomes;
      const more = outcomes.length > 1 ? safe`, ...` : safe``;
      return {
        limit,
        name: safe`${escapeText(title)}: ${first?.text ?? safe``} on ${plural(first?.hosts.length ?? 0, 'host')}${more}`,
      };
    });
  return adjustView(state, adjustable, fleetValuesText(state, shown, setting.style()));
}

export function fleetUnitView(state: FleetWanted): View {
  const units = new Set(
    state.hosts.flatMap(({ used }) => [...used.keys()].filter((key) => key.includes('.'))),
  );
  const { question, find } = unitQuestion([...units], safe`Give which unit a limit of its own?`);
  return ask(question, (text) => ({ ...state, at: 'value', limit: { kind: 'unit', unit: find(text) } }));
}

/** A limit is judged with every key: on so many hosts, those that use most of it. The plan is made for all of them. */
const JUDGES = 8;

export function fleetValueView(state: At<'value'> & FleetWanted): View {
  const { hosts, plans, limit, template, measured } = state;
  const others = state.adjustments.filter((one) => !sameLimit(one.limit, limit));
  const profile = measured?.profile ?? null;
  const refuses = new Set(
    plans.plans.flatMap(({ name, plan }) => (outcomeOf(plan, limit).refused === undefined ? [] : [name])),
  );
  const planned = byUse(hosts, limit, profile).filter(({ host }) =>
    plans.plans.some(({ name }) => name === host.name),
  );
  // A host that cannot have the limit changed at all says nothing about the value.
  const able = planned.filter(({ host }) => !refuses.has(host.name));
  const judges = (able.length > 0 ? able : planned).slice(0, JUDGES).map(({ host, snapshot }) => {
    const read = snapshot();
    const use = profile === null ? null : profileOf(profile, read.host);
    return { name: host.name, snapshot: read, limits: hostLimits(read), use };
  });
  const [first] = judges;
  const now = plans.plans.find(({ name }) => name === first?.name)?.plan;
  const adjusted = state.adjustments.find((one) => sameLimit(one.limit, limit))?.value;
  return ask(
    {
      message: safe`Limit for ${nameLimit(limit)} on ${plural(planned.length, 'host')}:`,
      initial: adjusted ?? (now === undefined ? '' : (outcomeOf(now, limit).change?.to.text ?? '')),
      check: (text) => {
        if (text === '') return no('A number of tasks, a percentage such as 33%, or infinity.');
        const made = adjustPolicy(template.text, [...others, { limit, value: text }]);
        if (!made.ok) return no(made.problem);
        let changed: SafeText | null = null;
        for (const { name, snapshot, limits, use } of judges) {
          const { change, refused } = outcomeOf(planHost(snapshot, made.policy, use, recorderFiles()), limit);
          if (refused !== undefined) {
            const { message, help } = refused.diagnostic;
            return no(`${name}: ${message}.${help === undefined ? '' : ` ${help}`}`);
          }
          if (change === undefined || changed !== null) continue;
          const { from, to } = change;
          const value = to.text === to.count ? to.text : `${to.text} = ${to.count}`;
          changed = join(
            [
              escapeText(`On ${name}: ${from.text} -> ${value}.`),
              ...limitEffect(limits, use, limit, to.count),
            ],
            safe`\n`,
          );
        }
        const unseen = planned.length - judges.length;
        const rest = unseen > 0 ? [safe`${plural(unseen, 'host')} that use less of it come next.`] : [];
        return yes(join([changed ?? safe`No change on any host.`, ...rest], safe`\n`));
      },
    },
    (value) => want(state, template, measured, [...others, { limit, value }], limit),
  );
}

export function fleetReviewView(state: FleetWanted, setting: Setting): View {
  const { groups, lost } = state.plans;
  const hasStages = state.picked.order.stages.some(({ name }) => name !== null);
  const changed = groups.reduce(
    (sum, { plan, hosts }) => sum + (plan.changes.length > 0 ? hosts.length : 0),
    0,
  );
  return ask(
    choice(safe`What is to be done with this plan?`, [
      { value: 'dry-run', name: safe`Leave it at that`, about: safe`A dry run: the hosts stay as they are.` },
      {
        value: 'save',
        name: safe`Save the plan and its policy`,
        about: safe`To review, and for tasksctl rollout later. The hosts stay as they are.`,
      },
      ...(changed > 0
        ? [
            {
              value: 'rollout',
              name: safe`Roll it out to ${plural(changed, 'host')}, in waves`,
              about: safe`A first host alone, then more, with checks after each wave. You are asked once more.`,
            },
          ]
        : []),
    ]),
    (value) =>
      value === 'rollout'
        ? { ...state, at: 'rollout', choices: { ...DEFAULT_CHOICES, ...(hasStages ? { waves: null } : {}) } }
        : toEnd(state, value as Goal),
    fleetPlanText(groups, lost.length, { diff: true, verbose: false }, setting.style()),
  );
}
