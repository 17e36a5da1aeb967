import { plural } from './diagnostic-text.ts';
import { type HostReport, tightestRow } from './host-report.ts';
import type { PlanReport, Report } from './report.ts';
import { type RunEvent, tookText } from './run-events.ts';
import { shellCommand, shellWord } from './shell-quote.ts';
import { escapeText } from './terminal-escape.ts';

/** Hosts in the table of a large fleet; those with the least headroom. */
const MOST_HOSTS = 50;

/**
 * A report as Markdown, for a change ticket: the state of the hosts, what is to change and why with the differences of
 * the files, what it takes, how it is undone, and the runs. GitHub's kind of Markdown (tables, fences), in which all
 * text of hosts stays text.
 */
export function markdownReport({ version, hosts, plans, runs }: Report): string {
  const blocks = [
    `# Task limits: ${titleOf(hosts, plans)}`,
    `Written by tasksctl ${text(version)}.`,
    ...hostBlocks(hosts),
    ...plans.flatMap(planBlocks),
    ...(runs.length === 0 ? [] : ['## Runs', runs.map(runLine).join('\n')]),
    ...findingBlocks(hosts),
  ];
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}

function titleOf(hosts: readonly HostReport[], plans: readonly PlanReport[]): string {
  const names = [
    ...new Set([...hosts.map(({ hostname }) => hostname), ...plans.flatMap((plan) => plan.hosts)]),
  ];
  if (names.length === 0) return 'runs';
  return names.length <= 3 ? names.map(text).join(', ') : `${names.length} hosts`;
}

function hostBlocks(hosts: readonly HostReport[]): string[] {
  if (hosts.length === 0) return [];
  const rows = hosts
    .map((host) => ({ host, tightest: tightestRow(host.rows) }))
    .sort((a, b) => (b.tightest?.used ?? -1) - (a.tightest?.used ?? -1));
  const shown = rows.slice(0, MOST_HOSTS);
  const lines = shown.map(({ host, tightest }) => {
    const used = tightest?.used === null || tightest === null ? '-' : `${Math.floor(tightest.used * 100)}%`;
    return row([
      text(host.hostname),
      used,
      tightest === null ? '-' : code(tightest.name),
      String(tightest?.left ?? '-'),
      String(host.tasks ?? '-'),
      String(host.rejections),
      text(host.takenAt),
    ]);
  });
  return [
    '## Hosts',
    [
      row(['Host', 'Used', 'Tightest unit', 'Left', 'Tasks', 'Rejected forks', 'Read']),
      '| --- | ---: | --- | ---: | ---: | ---: | --- |',
      ...lines,
    ].join('\n'),
    rows.length > shown.length ? `${rows.length - shown.length} hosts with more headroom are left out.` : '',
  ];
}

function planBlocks({ plan, diffs, hosts }: PlanReport): string[] {
  const { changes, refused, unchanged } = plan;
  const counts = `${plural(changes.length, 'change')}, ${refused.length} refused, ${unchanged.length} unchanged.`;
  return [
    `## Plan for ${hosts.length <= 3 ? hosts.map(text).join(', ') : `${hosts.length} hosts`} by policy ${text(plan.policy.name)}`,
    hosts.length <= 3
      ? ''
      : `On ${hosts.map(text).join(', ')}. What is told of sessions and use is of the first.`,
    `${text(plan.host.os)}, systemd ${plan.host.systemdVersion}, Linux ${text(plan.host.kernel)}. ${counts}`,
    ...changes.flatMap(({ title, from, to, reason, activation, warnings }) => [
      `### ${text(title)}: ${text(from.text)} to ${text(to.text)}`,
      [
        `- Now: ${text(from.text)}, ${code(from.provenance.text)}`,
        `- Why: ${reason.map(text).join('; ')}`,
        `- When: ${text(activation.summary)}`,
        `- Reboot: ${activation.reboot.needed ? 'needed' : 'not needed'}: ${text(activation.reboot.note)}`,
        ...activation.affected.map(
          ({ what, note }) => `- Affects: ${text(what)}${note === '' ? '' : `: ${text(note)}`}`,
        ),
        ...warnings.map(({ severity, message }) => `- ${text(severity)}: ${text(message)}`),
      ].join('\n'),
      activation.steps.length === 0
        ? ''
        : fence(
            'sh',
            activation.steps.flatMap(({ why, command }) => [`# ${escapeText(why)}`, shellCommand(command)]),
          ),
    ]),
    ...diffs.map((diff) => fence('diff', diff.trimEnd().split('\n').map(escapeText))),
    ...refused.map(
      ({ title, wanted, diagnostic }) =>
        `- Refused: ${text(title)} ${text(wanted)}: ${text(diagnostic.message)}`,
    ),
    changes.length === 0
      ? ''
      : `To undo it: ${code(hosts.length === 1 ? `tasksctl rollback -t ${shellWord(plan.target)}` : 'tasksctl rollback RUN')}, which brings back every file as it was${hosts.length === 1 ? '' : '; rollout prints the name of its run'}.`,
  ];
}

function runLine({ target, run, at, since, state, details }: RunEvent): string {
  const took = at === null || since === undefined ? null : tookText(since, at);
  const head = [
    text(at ?? 'time not recorded'),
    target === null ? '' : text(target),
    text(took === null ? state : `${state}, after ${took}`),
    run === '' ? '' : code(run),
  ];
  const lines = details.map((detail) => `  - ${text(detail)}`);
  return [`- ${head.filter((part) => part !== '').join(' ')}`, ...lines].join('\n');
}

/** Errors and warnings, each once with the number of hosts that have it. */
function findingBlocks(hosts: readonly HostReport[]): string[] {
  const found = new Map<string, number>();
  for (const { diagnostics } of hosts) {
    for (const { severity, message, code: name, file, line } of diagnostics) {
      if (severity === 'note') continue;
      const place = file === undefined ? '' : `${code(line === undefined ? file : `${file}:${line}`)}: `;
      const key = `${severity}: ${place}${text(message)} (${text(name)})`;
      found.set(key, (found.get(key) ?? 0) + 1);
    }
  }
  if (found.size === 0) return [];
  const many = hosts.length > 1;
  const lines = [...found].map(
    ([finding, count]) => `- ${finding}${many ? `, ${plural(count, 'host')}` : ''}`,
  );
  return ['## Findings', lines.sort().join('\n')];
}

/** What makers of pages take for a link, an address or somebody to notify, even where it is written as an entity. */
const LINKED = /@|:\/\/|www\./i;

/** Text of a host as text: nothing in it is markup, a link, a mention or the end of a cell. */
function text(raw: string): string {
  return escapeText(raw)
    .split(' ')
    .map((word) => (LINKED.test(word) ? code(word) : plain(word)))
    .join(' ');
}

function plain(raw: string): string {
  return escapeText(raw)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[\\`*_{}[\]()#+!|~]/g, '\\$&');
}

/** The same as code; a bar would end a table's cell even there, and so would one that is escaped after a backslash. */
function code(raw: string): string {
  const shown = escapeText(raw).replaceAll('|', '\\x7c');
  const longest = Math.max(0, ...[...shown.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const ticks = '`'.repeat(longest + 1);
  const space = /^`|`$/.test(shown) ? ' ' : '';
  return `${ticks}${space}${shown}${space}${ticks}`;
}

function fence(language: string, lines: readonly string[]): string {
  const body = lines.join('\n');
  const longest = Math.max(2, ...[...body.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const ticks = '`'.repeat(longest + 1);
  return `${ticks}${language}\n${body}\n${ticks}`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
