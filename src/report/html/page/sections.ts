import type { PageHost, PagePlan, PageRun, PageUse } from '../page-data.ts';
import { drawHistogram, drawSeries } from './charts.ts';
import { count, type Data, formatCount, formatShare, levelOf } from './decode.ts';
import { h, name } from './dom.ts';
import { systemOf, usedCell } from './host-view.ts';
import { type Column, sortableTable, type Table } from './table.ts';

/** A host with what its row and its cell show. */
export interface HostRow {
  readonly host: PageHost;
  readonly used: number | null;
  readonly unit: string | null;
  readonly left: number | null;
  readonly rejections: number;
  readonly warnings: number;
}

export function hostTable(data: Data, rows: readonly HostRow[], choose: (index: number) => void): Table {
  const index = new Map(rows.map((row, i) => [row, i]));
  const columns: Column<HostRow>[] = [
    {
      title: 'Host',
      key: (row) => row.host.name,
      cell: (row) =>
        h(
          'button',
          { type: 'button', class: 'link', click: () => choose(index.get(row) ?? 0) },
          name(row.host.name),
        ),
    },
    { title: 'Used', numeric: true, key: (row) => row.used, cell: (row) => usedCell(row.used) },
    {
      title: 'Tightest unit',
      key: (row) => row.unit,
      cell: (row) => (row.unit === null ? '–' : name(row.unit)),
    },
    { title: 'Left', numeric: true, key: (row) => row.left, cell: (row) => formatCount(row.left) },
    {
      title: 'Tasks',
      numeric: true,
      key: (row) => count(row.host.tasks),
      cell: (row) => formatCount(count(row.host.tasks)),
    },
    { title: 'Rejected', numeric: true, key: (row) => row.rejections, cell: (row) => String(row.rejections) },
    { title: 'Findings', numeric: true, key: (row) => row.warnings, cell: (row) => String(row.warnings) },
    { title: 'System', key: (row) => data.text(row.host.os), cell: (row) => systemOf(data, row.host) },
  ];
  return sortableTable('Hosts; a title sorts them, a name shows the host', columns, rows, null);
}

function noun(count: number, word: string): string {
  return count === 1 ? word : `${word}s`;
}

/** The tiles at the top, in numbers. */
export function summary(rows: readonly HostRow[], data: Data): HTMLElement {
  const { plans, runs } = data.page;
  const at = (level: string): number => rows.filter(({ used }) => levelOf(used) === level).length;
  const tiles: (readonly [string, number, string])[] = [];
  if (rows.length > 0) {
    tiles.push(
      [noun(rows.length, 'host'), rows.length, 'none'],
      ['nearly out (95% and more)', at('out'), 'out'],
      ['near a limit (80% and more)', at('near'), 'near'],
      ['with rejected forks', rows.filter(({ rejections }) => rejections > 0).length, 'none'],
      ['with errors or warnings', rows.filter(({ warnings }) => warnings > 0).length, 'none'],
    );
  }
  if (plans.length > 0) {
    const planned = plans.reduce((sum, { changes }) => sum + changes.length, 0);
    tiles.push([`${noun(planned, 'change')} planned`, planned, 'none']);
  }
  if (runs.length > 0) tiles.push([noun(runs.length, 'run'), runs.length, 'none']);
  return h(
    'ul',
    { class: 'tiles' },
    ...tiles.map(([label, number, level]) =>
      h('li', { class: number === 0 ? 'none' : level }, h('strong', {}, number), ` ${label}`),
    ),
  );
}

/** What was measured: one unit's charts at a time, chosen from a list. */
export function useSection(
  data: Data,
  uses: readonly PageUse[],
): { element: HTMLElement; redraw: () => void } {
  const entries = uses.flatMap((use) => use.units.map((unit) => ({ use, unit })));
  const select = h('select', { id: 'use-unit' });
  for (const use of uses) {
    const group = h('optgroup', { label: `${use.name}, ${use.from} to ${use.to}` });
    for (const unit of use.units) {
      const value = entries.findIndex((entry) => entry.unit === unit);
      group.append(h('option', { value }, `${data.text(unit.unit)} (${use.name})`));
    }
    select.append(group);
  }
  const figure = h('figure', { class: 'charts' });
  const redraw = (): void => {
    const entry = entries[Number(select.value)];
    if (entry === undefined) return;
    const { unit, use } = entry;
    const limit = count(unit.limit);
    const [series, histogram] = [h('div', { class: 'chart' }), h('div', { class: 'chart' })];
    const told = [
      `${data.text(unit.unit)} on ${use.name}: peak ${unit.peak}`,
      limit === null ? 'limit not known' : `limit ${formatCount(limit)}`,
      limit === null ? '' : `${formatShare(unit.peak / Math.max(1, limit))} of it at the peak`,
      `${formatCount(count(unit.rejections))} forks rejected`,
    ];
    figure.replaceChildren(
      series,
      histogram,
      h('figcaption', {}, `${told.filter((text) => text !== '').join(', ')}.`),
    );
    if (!drawSeries(series, unit)) {
      series.replaceWith(
        h(
          'p',
          { class: 'muted' },
          'A profile has no order of time; samples of the recorder and answers of Prometheus do.',
        ),
      );
    }
    drawHistogram(histogram, unit);
    for (const canvas of figure.querySelectorAll('canvas')) {
      canvas.setAttribute('role', 'img');
      canvas.setAttribute('aria-label', told.join(', '));
    }
  };
  select.addEventListener('change', redraw);
  const omitted = uses.reduce((sum, use) => sum + use.omitted, 0);
  const element = h(
    'div',
    {},
    h('p', {}, h('label', { for: 'use-unit' }, 'Unit '), select),
    figure,
    omitted === 0
      ? null
      : h('p', { class: 'muted' }, `${omitted} units that are further from their limits are left out.`),
  );
  return { element, redraw };
}

/** A plan in a fold of its own, which is filled when it is opened. */
export function planFold(data: Data, plan: PagePlan): HTMLDetailsElement {
  const { changes, refused } = plan;
  const counts = [
    `${changes.length} ${noun(changes.length, 'change')}`,
    `${refused.length} refused`,
    `${plan.unchanged} unchanged`,
  ];
  const fold = h(
    'details',
    { class: 'plan' },
    h('summary', {}, ...planNames(plan), ` by policy ${data.text(plan.policy)}: ${counts.join(', ')}`),
  );
  const fill = once(() => fillPlan(data, plan, fold));
  fold.addEventListener('toggle', fill);
  // Nothing waits for the toggle when a page is printed.
  addEventListener('beforeprint', fill);
  return fold;
}

/** Hosts named in the title of a plan; the plan itself names all. */
const NAMES_SHOWN = 3;

function planNames({ names }: PagePlan): (HTMLElement | string)[] {
  const shown = names.length <= NAMES_SHOWN + 1 ? names : names.slice(0, NAMES_SHOWN);
  const more = names.length - shown.length;
  const list = shown.flatMap((one, i) => (i === 0 ? [name(one)] : [', ', name(one)]));
  return more === 0 ? list : [...list, ` and ${more} more`];
}

function once(act: () => void): () => void {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
}

function fillPlan(data: Data, plan: PagePlan, fold: HTMLElement): void {
  const all = plan.names.length > NAMES_SHOWN + 1;
  fold.append(
    ...(all ? [h('p', {}, `The same on ${plan.names.length} hosts: ${plan.names.join(', ')}.`)] : []),
    ...plan.changes.map(({ title, from, to, reasons, summary, reboot }) =>
      h(
        'div',
        { class: 'change' },
        h('h3', {}, name(data.text(title)), `: ${data.text(to)}`),
        h(
          'dl',
          {},
          h('dt', {}, 'now'),
          h('dd', {}, data.text(from)),
          h('dt', {}, 'why'),
          h('dd', {}, ...reasons.map((reason) => h('div', {}, data.text(reason)))),
          h('dt', {}, 'when'),
          h('dd', {}, data.text(summary)),
          h('dt', {}, 'reboot'),
          h('dd', {}, data.text(reboot)),
        ),
      ),
    ),
    ...plan.diffs.map((diff) => diffBlock(data.text(diff))),
    ...plan.refused.map(({ title, wanted, why }) =>
      h(
        'p',
        { class: 'finding error' },
        h('strong', {}, 'refused '),
        `${data.text(title)} ${data.text(wanted)}: ${data.text(why)}`,
      ),
    ),
  );
}

function diffBlock(diff: string): HTMLElement {
  let inHunk = false;
  const lines = diff.split('\n').map((line) => {
    inHunk ||= line.startsWith('@');
    const kind = !inHunk ? 'file' : line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : '';
    return h('span', { class: kind }, `${line}\n`);
  });
  return h(
    'pre',
    { class: 'diff', tabindex: 0, role: 'region', 'aria-label': 'Differences of a file' },
    ...lines,
  );
}

/** The runs in the order of time, each with a mark of how it went. */
export function timeline(
  data: Data,
  runs: readonly PageRun[],
): { element: HTMLElement; items: HTMLElement[] } {
  const items = runs.map(({ host, run, at, took, rollout, span, tone, state, details }) =>
    h(
      'li',
      { class: tone },
      at === ''
        ? h('span', { class: 'muted' }, 'time not recorded')
        : h('time', { datetime: at }, at.replace(/\.[0-9]+Z$/, 'Z')),
      ' ',
      host === '' ? null : h('strong', {}, name(host)),
      ` ${data.text(state)}${took === '' ? '' : `, after ${took}`} `,
      h('code', {}, run),
      rollout === '' ? null : track(span),
      details.length === 0 ? null : h('ul', {}, ...details.map((line) => h('li', {}, data.text(line)))),
    ),
  );
  return { element: h('ol', { class: 'timeline' }, ...items), items };
}

/** When it was within its rollout, drawn; the text has the times. */
function track([from, to]: readonly [number, number]): HTMLElement {
  const bar = h('span');
  bar.style.marginInlineStart = `${from / 10}%`;
  bar.style.width = `${(to - from) / 10}%`;
  return h('span', { class: 'track', 'aria-hidden': 'true' }, bar);
}

interface FindingRow {
  readonly severity: 'error' | 'warning' | 'note';
  readonly code: string;
  readonly message: string;
  readonly place: string;
  readonly hosts: readonly string[];
}

/** Every finding once, with the hosts that have it. */
export function findingsTable(data: Data): Table | null {
  const hosts = new Map<number, string[]>();
  for (const host of data.page.hosts) {
    for (const finding of host.findings) {
      const known = hosts.get(finding);
      if (known === undefined) hosts.set(finding, [host.name]);
      else known.push(host.name);
    }
  }
  const rows = data.page.findings.map(
    (finding, i): FindingRow => ({ ...data.finding(finding), hosts: hosts.get(i) ?? [] }),
  );
  if (rows.length === 0) return null;
  const rank = { error: 0, warning: 1, note: 2 };
  rows.sort((a, b) => rank[a.severity] - rank[b.severity] || b.hosts.length - a.hosts.length);
  return sortableTable<FindingRow>(
    'Findings about settings; a title sorts them',
    [
      {
        title: 'Severity',
        key: (row) => rank[row.severity],
        cell: (row) => h('span', { class: row.severity }, row.severity),
      },
      {
        title: 'Hosts',
        numeric: true,
        key: (row) => row.hosts.length,
        cell: (row) => String(row.hosts.length),
      },
      {
        title: 'Finding',
        key: (row) => row.code,
        cell: (row) => h('span', {}, row.message, ' ', h('code', {}, row.code)),
      },
      { title: 'Where', key: (row) => row.place, cell: (row) => h('code', {}, row.place) },
      {
        title: 'On',
        key: (row) => row.hosts[0] ?? null,
        cell: ({ hosts: all }) =>
          h('span', {}, all.slice(0, 5).join(', '), all.length > 5 ? ` and ${all.length - 5} more` : ''),
      },
    ],
    rows,
    null,
  );
}
