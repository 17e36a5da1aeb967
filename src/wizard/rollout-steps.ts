import {
  amountOf,
  DEFAULT_WAVES,
  parseAmount,
  parseAmounts,
  type Split,
  stagesInWaves,
} from '../fleet/waves.ts';
import { plural } from '../report/diagnostic-text.ts';
import { wavesText } from '../report/fleet-text.ts';
import { wrap } from '../report/layout.ts';
import { escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { toEnd } from './end-steps.ts';
import type { RolloutChoices, Setting } from './setting.ts';
import type { At, FleetWanted, View } from './state.ts';
import { ask, choice, no, yes } from './views.ts';

/** Steps of a rollout: how it is to go, all of it on one screen. */

export function rolloutView(state: At<'rollout'>, setting: Setting): View {
  const { choices } = state;
  const { waves, maxFail, pause, bake, onFailure } = choices;
  return ask(
    choice(safe`How is it to go?`, [
      {
        value: 'go',
        name: safe`Like this`,
        about: safe`You are asked once more before anything is changed.`,
      },
      {
        value: 'waves',
        name: safe`Waves: ${waves === null ? safe`as the fleet file says` : escapeText(waves)}`,
        about: safe`How many hosts are done after each wave, as counts or shares.`,
      },
      {
        value: 'max-fail',
        name: safe`Failed hosts that are put up with: ${maxFail === '0' ? safe`none` : escapeText(maxFail)}`,
      },
      {
        value: 'pause',
        name: safe`Before each further wave: ${pause ? safe`ask` : safe`do not ask`}`,
        about: pause ? safe`Enter: do not ask.` : safe`Enter: ask.`,
      },
      {
        value: 'bake',
        name: safe`Time at work before the checks of a wave: ${bake === null ? safe`none` : escapeText(bake)}`,
      },
      { value: 'on-failure', name: safe`Where it has to stop: ${ON_FAILURE[onFailure]}` },
    ]),
    (value) => {
      if (value === 'go') return toEnd(state, 'rollout', choices);
      if (value === 'pause') return { ...state, choices: { ...choices, pause: !pause } };
      return { ...state, at: value as 'waves' | 'max-fail' | 'bake' | 'on-failure' };
    },
    whatHappens(state, setting),
  );
}

const ON_FAILURE: Readonly<Record<RolloutChoices['onFailure'], SafeText>> = {
  stop: safe`leave all as it is`,
  'rollback-wave': safe`take back the wave`,
  'rollback-all': safe`take back all waves`,
};

/** What a rollout with these choices does, in plain words. */
function whatHappens(state: At<'rollout'>, setting: Setting): SafeText {
  const style = setting.style();
  const { waves, maxFail, pause, bake, onFailure } = state.choices;
  const hosts = changedHosts(state);
  const reboots = state.plans.plans.filter(({ plan }) =>
    plan.changes.some(({ activation }) => activation.reboot.needed),
  ).length;
  const failed = parseAmount(maxFail);
  const allowed = failed === null ? 0 : amountOf(failed, hosts.length);
  const { length: lost } = state.plans.lost;
  const lines = [
    wavesIn(state, waves),
    safe`On each host it is one transaction: proven on the live kernel and by a new login, or taken back.`,
    safe`After a wave${bake === null ? safe`` : safe` and ${escapeText(bake)} at work`} each of its hosts is read again: all changes in force, no unit failed, no fork rejected.${pause ? safe` Then you are asked whether to go on.` : safe``}`,
    safe`If a check fails, or ${allowed === 0 ? safe`a host does` : safe`more than ${plural(allowed, 'host')}`}, it stops: ${ON_FAILURE[onFailure]}. It can be gone on with, or taken back.`,
    safe`Ctrl-C finishes the hosts that were begun and begins no more.`,
    ...(reboots > 0
      ? [safe`${plural(reboots, 'host')} will need a reboot for all of it. None is rebooted by this.`]
      : []),
    ...(lost > allowed
      ? [
          style.yellow(
            safe`${plural(lost, 'host')} could not be planned: go back and leave them out, or put up with as many failed hosts.`,
          ),
        ]
      : []),
  ];
  return join([...lines.flatMap((line) => wrap(line, 0, style)), safe``], safe`\n`);
}

/** Who is in which wave; `waves` as they were chosen. */
function wavesIn(state: FleetWanted, waves: string | null): SafeText {
  const amounts = waves === null ? null : parseAmounts(waves);
  const split: Split | null = amounts === null ? null : { kind: 'until', amounts: [...amounts] };
  const placed = stagesInWaves(changedHosts(state), state.picked.order.stages, split);
  return wavesText(placed.map(({ host: { name }, wave, stage }) => ({ name, wave, stage })));
}

/** Hosts with something to change, in the order of the inventory. */
function changedHosts({ hosts, plans }: FleetWanted) {
  const changed = new Set(plans.plans.flatMap(({ name, plan }) => (plan.changes.length > 0 ? [name] : [])));
  return hosts.flatMap(({ host }) => (changed.has(host.name) ? [host] : []));
}

export function wavesView(state: At<'waves'>): View {
  return ask(
    {
      message: safe`Hosts done after each wave:`,
      initial: state.choices.waves ?? DEFAULT_WAVES,
      check: (text) => {
        const waves = parseAmounts(text);
        return waves === null
          ? no('Counts or shares with commas between them, such as 1,10%,50%,100%.')
          : yes(wavesIn(state, text));
      },
    },
    (waves) => ({ ...state, at: 'rollout', choices: { ...state.choices, waves } }),
  );
}

export function maxFailView(state: At<'max-fail'>): View {
  const hosts = changedHosts(state);
  return ask(
    {
      message: safe`Go on with how many failed hosts?`,
      initial: state.choices.maxFail,
      check: (text) => {
        const amount = parseAmount(text);
        if (amount === null) return no('A count such as 0 or 2, or a share such as 5%.');
        const most = amountOf(amount, hosts.length);
        return yes(
          most === 0
            ? safe`The first failed host stops it.`
            : safe`More than ${plural(most, 'failed host')} stop it.`,
        );
      },
    },
    (maxFail) => ({ ...state, at: 'rollout', choices: { ...state.choices, maxFail } }),
  );
}

const BAKES: readonly (readonly [string, SafeText])[] = [
  ['1m', safe`1 minute`],
  ['5m', safe`5 minutes`],
  ['15m', safe`15 minutes`],
  ['1h', safe`1 hour`],
];

export function bakeView(state: At<'bake'>): View {
  return ask(
    choice(
      safe`How long is a wave to work under its new limits before its checks?`,
      [
        { value: 'none', name: safe`No time`, about: safe`The checks come at once.` },
        ...BAKES.map(([value, name]) => ({
          value,
          name,
          about: safe`Any fork rejected meanwhile stops it.`,
        })),
      ],
      { initial: state.choices.bake ?? 'none' },
    ),
    (value) => ({
      ...state,
      at: 'rollout',
      choices: { ...state.choices, bake: value === 'none' ? null : value },
    }),
  );
}

export function onFailureView(state: At<'on-failure'>): View {
  return ask(
    choice(
      safe`Where it has to stop, what becomes of the changes?`,
      [
        {
          value: 'stop',
          name: safe`All stays as it is`,
          about: safe`To look at it, and to go on or take it back.`,
        },
        { value: 'rollback-wave', name: safe`Those of the wave are taken back` },
        { value: 'rollback-all', name: safe`All are taken back` },
      ],
      { initial: state.choices.onFailure },
    ),
    (value) => ({
      ...state,
      at: 'rollout',
      choices: { ...state.choices, onFailure: value as RolloutChoices['onFailure'] },
    }),
  );
}
