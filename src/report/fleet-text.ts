import type { PlanGroup } from '../fleet/host-plan.ts';
import type { HostState, JournalHead, RolloutHost } from '../fleet/journal.ts';
import type { GateFinding, RolloutEvent, RolloutResult } from '../fleet/rollout.ts';
import { fileDiff } from '../plan/file-diff.ts';
import { plural } from './diagnostic-text.ts';
import { wrap } from './layout.ts';
import { planText } from './plan-text.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** Hosts named of a group without `verbose`. */
const HOSTS_SHOWN = 3;

/** The plans of a fleet, hosts with the same one together, and what they come to. */
export function fleetPlanText(
  groups: readonly PlanGroup[],
  lost: number,
  options: { readonly diff: boolean; readonly verbose: boolean },
  style: Style,
): SafeText {
  const blocks = groups.flatMap(({ plan, hosts, policies }): SafeText[] => {
    const names = hostNames(hosts, options.verbose);
    if (isQuiet(plan)) {
      return [lines(wrap(safe`${plural(hosts.length, 'host')} with nothing to change: ${names}`, 0, style))];
    }
    const by = policies.length > 1 ? safe`, by policies ${join(policies.map(escapeText), safe`, `)}` : safe``;
    const title =
      hosts.length === 1
        ? safe`1 host: ${names}`
        : safe`${hosts.length} hosts with the same plan${by}: ${names}`;
    const diffs = options.diff ? plan.files.map(fileDiff) : [];
    return [
      safe`${lines(wrap(title, 0, style).map(style.bold))}${planText(plan, { diffs, verbose: options.verbose }, style)}`,
    ];
  });
  return safe`${join(blocks, safe`\n`)}\n${style.bold(fleetSummary(groups, lost))}\n`;
}

function isQuiet({ changes, refused }: PlanGroup['plan']): boolean {
  return changes.length === 0 && refused.length === 0;
}

/** `Fleet: 214 hosts to change, 3 with nothing to change, 2 that could not be read.` */
export function fleetSummary(groups: readonly PlanGroup[], lost: number): SafeText {
  const count = (wanted: (plan: PlanGroup['plan']) => boolean): number =>
    groups.reduce((sum, { plan, hosts }) => sum + (wanted(plan) ? hosts.length : 0), 0);
  const parts = [
    safe`${plural(
      count(({ changes }) => changes.length > 0),
      'host',
    )} to change`,
  ];
  parts.push(safe`${count(({ changes }) => changes.length === 0)} with nothing to change`);
  const refused = count((plan) => plan.refused.length > 0);
  if (refused > 0) parts.push(safe`${refused} where something was refused`);
  if (lost > 0) parts.push(safe`${lost} that could not be read`);
  return safe`Fleet: ${join(parts, safe`, `)}.`;
}

/** The first few of some hosts, or all. */
export function hostNames(hosts: readonly string[], all: boolean): SafeText {
  const shown = all || hosts.length <= HOSTS_SHOWN + 1 ? hosts : hosts.slice(0, HOSTS_SHOWN);
  const more = hosts.length - shown.length;
  const names = join(shown.map(escapeText), safe`, `);
  return more === 0 ? names : safe`${names} and ${more} more`;
}

/** `4 waves: 1 (web1), then 3, then 6`; `2 waves: 1 canary (web1), then 9 web` where a fleet file names them. */
export function wavesText(hosts: readonly Pick<RolloutHost, 'name' | 'wave' | 'stage'>[]): SafeText {
  const waves: { size: number; readonly stage: string | null }[] = [];
  for (const { wave, stage } of hosts) {
    waves[wave] ??= { size: 0, stage };
    waves[wave].size++;
  }
  const first = hosts.filter(({ wave }) => wave === 0).map(({ name }) => name);
  return safe`${plural(waves.length, 'wave')}: ${join(
    waves.map(({ size, stage }, i) => {
      const name = stage === null ? safe`` : safe` ${escapeText(stage)}`;
      return i === 0 ? safe`${size}${name} (${hostNames(first, false)})` : safe`${size}${name}`;
    }),
    safe`, then `,
  )}`;
}

/** `web1: applied: …` */
function hostLine(name: string, state: HostState, style: Style): SafeText {
  const { word, paint } = stateWord(state, style);
  const detail = 'detail' in state ? state.detail : '';
  const more = detail === '' ? safe`` : safe`: ${escapeText(detail)}`;
  return safe`${style.bold(escapeText(name))}: ${paint(word)}${more}`;
}

function stateWord(state: HostState, style: Style): { word: SafeText; paint: (text: SafeText) => SafeText } {
  switch (state.kind) {
    case 'applied':
      return { word: safe`applied`, paint: style.green };
    case 'unchanged':
      return { word: safe`unchanged`, paint: style.green };
    case 'rolled-back':
      return { word: safe`rolled back`, paint: style.yellow };
    case 'waiting':
      return { word: safe`not begun`, paint: style.dim };
    case 'applying':
      return { word: safe`cut off`, paint: style.yellow };
    case 'unsettled':
      return { word: safe`unknown`, paint: style.red };
    case 'failed':
      return { word: safe`failed`, paint: style.red };
    case 'rollback-failed':
      return { word: safe`not rolled back`, paint: style.red };
  }
}

/** What is told while a rollout goes on. */
export function eventLines(event: RolloutEvent, style: Style): SafeText[] {
  switch (event.kind) {
    case 'wave':
      return [
        style.bold(
          safe`Wave ${event.wave + 1} of ${event.waves}: ${plural(event.hosts, 'host')}${event.stage === null ? safe`` : safe`, ${escapeText(event.stage)}`}`,
        ),
      ];
    case 'host':
      return [safe`  ${hostLine(event.host.name, event.state, style)}`];
    case 'reboot': {
      const what = event.ok ? safe`rebooted` : style.red(escapeText(event.detail));
      return [safe`  ${style.bold(escapeText(event.host.name))}: ${what}`];
    }
    case 'gate':
      return gateLines(event.wave, event.found, style).map((line) => safe`  ${line}`);
  }
}

/** What a gate said of a wave. */
function gateLines(wave: number, found: readonly GateFinding[], style: Style): SafeText[] {
  if (found.length === 0) return [safe`Wave ${wave + 1}: ${style.green(safe`every check passed`)}`];
  return found.map(({ host, detail }) => {
    const where = host === null ? safe`` : safe`${escapeText(host)}: `;
    return safe`Wave ${wave + 1}: ${style.red(safe`gate failed`)}: ${where}${escapeText(detail)}`;
  });
}

const VERDICTS: Readonly<Record<RolloutResult['verdict'], string>> = {
  done: 'Done',
  stopped: 'Stopped',
  'rolled-back': 'Rolled back',
  'rollback-incomplete': 'Not fully rolled back',
  interrupted: 'Interrupted',
  paused: 'Paused',
};

/**
 * What became of a rollout, or of taking it back: hosts that are not as they should be, how many there are of each kind, and
 * the commands that go on with it and that undo it.
 */
export function rolloutText(
  head: JournalHead,
  result: RolloutResult,
  commands: { readonly again: SafeText; readonly undo: SafeText },
  style: Style,
): SafeText {
  const { verdict, why, state } = result;
  const counts = new Map<string, number>();
  const bad: SafeText[] = [];
  for (const { name } of head.hosts) {
    const host = state.of(name);
    const { word } = stateWord(host, style);
    counts.set(word, (counts.get(word) ?? 0) + 1);
    if (BAD.has(host.kind)) bad.push(safe`  ${hostLine(name, host, style)}`);
  }
  const paint =
    verdict === 'done' && bad.length === 0
      ? style.green
      : ['done', 'rolled-back', 'paused'].includes(verdict)
        ? style.yellow
        : style.red;
  const sum = [...counts].map(([word, count]) => safe`${count} ${escapeText(word)}`);
  const reason = why === null ? safe`` : safe`: ${escapeText(why)}`;
  const help: SafeText[] = [];
  if (
    verdict === 'stopped' ||
    verdict === 'interrupted' ||
    verdict === 'paused' ||
    verdict === 'rollback-incomplete'
  ) {
    help.push(safe`To go on:   ${commands.again}`);
  }
  if (verdict !== 'rolled-back' && (counts.get('applied') ?? 0) > 0) {
    help.push(safe`To undo it: ${commands.undo}`);
  }
  return lines([
    ...bad,
    safe`${paint(style.bold(escapeText(VERDICTS[verdict])))}${reason}. Run ${escapeText(head.run)}: ${join(sum, safe`, `)} of ${plural(head.hosts.length, 'host')}.`,
    ...help,
  ]);
}

const BAD: ReadonlySet<HostState['kind']> = new Set(['failed', 'unsettled', 'applying', 'rollback-failed']);

function lines(all: readonly SafeText[]): SafeText {
  return safe`${join(all, safe`\n`)}\n`;
}
