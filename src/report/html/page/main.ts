import 'uplot/dist/uPlot.min.css';
import './page.css';
import { type PageData, UNIT_NUMBERS } from '../page-data.ts';
import { Data, levelOf } from './decode.ts';
import { h } from './dom.ts';
import { heatMap } from './heat-map.ts';
import { hostView } from './host-view.ts';
import {
  findingsTable,
  type HostRow,
  hostTable,
  planFold,
  summary,
  timeline,
  useSection,
} from './sections.ts';

const block = document.getElementById('report');
const data = new Data(JSON.parse(block?.textContent ?? '') as PageData);
const { hosts, use, plans, runs } = data.page;

const rows = hosts.map((host): HostRow => {
  const units = data.units(host);
  let tightest: (typeof units)[number] | null = null;
  for (const unit of units) {
    if (unit.used !== null && unit.used > (tightest?.used ?? -1)) tightest = unit;
  }
  const severe = host.findings.filter((index) => (data.page.findings[index]?.[0] ?? 2) < 2);
  return {
    host,
    used: tightest?.used ?? null,
    unit: tightest?.name ?? null,
    left: tightest?.left ?? null,
    rejections: host.rejections,
    warnings: severe.length,
  };
});

const search = h('input', { type: 'search', id: 'search', autocomplete: 'off', spellcheck: 'false' });
const level = choice('level', [
  ['', 'any use'],
  ['half', '50% and more'],
  ['near', '80% and more'],
  ['out', '95% and more'],
]);
const order = choice('order', [
  ['used', 'use, most first'],
  ['name', 'name'],
  ['rejections', 'rejected forks, most first'],
]);
const shownHosts = h('p', { class: 'muted', role: 'status', id: 'shown' });
const detail = h('div', { id: 'host' });
const map = heatMap(
  rows.map(({ host, used, unit }) => ({ host: host.name, used, unit })),
  (index) => choose(index, true),
);
const table = hostTable(data, rows, (index) => choose(index, true));
const folds = plans.map((plan) => planFold(data, plan));
const time = timeline(data, runs);
const charts = useSection(data, use);

function choice(id: string, options: readonly (readonly [string, string])[]): HTMLSelectElement {
  return h('select', { id }, ...options.map(([value, label]) => h('option', { value }, label)));
}

function choose(index: number, move: boolean): void {
  const row = rows[index];
  if (row === undefined) return;
  map.select(index);
  detail.replaceChildren(hostView(data, row.host));
  if (!move) return;
  const heading = detail.querySelector('h3');
  heading?.setAttribute('tabindex', '-1');
  heading?.focus();
}

const LEVELS = ['none', 'low', 'half', 'near', 'out'];

/** Shows what the search and the level let through, everywhere on the page. */
function filter(): void {
  const words = search.value
    .toLowerCase()
    .split(' ')
    .filter((word) => word !== '');
  const least = LEVELS.indexOf(level.value);
  // A word is looked for once in each text, not in each host.
  const found = words.map(
    (word) => new Set(data.page.texts.flatMap((text, i) => (text.toLowerCase().includes(word) ? i : []))),
  );
  const shapes = found.map(
    (texts) => new Set(data.page.shapes.flatMap(([unit = -1], i) => (texts.has(unit) ? i : []))),
  );
  const passing = rows.flatMap(({ host, used }, index) => {
    if (LEVELS.indexOf(levelOf(used)) < least) return [];
    const names = `${host.name} ${host.target}`.toLowerCase();
    const all = words.every((word, i) => {
      if (names.includes(word) || found[i]?.has(host.os) === true) return true;
      for (let at = 0; at < host.units.length; at += UNIT_NUMBERS) {
        if (shapes[i]?.has(host.units[at] ?? -1) === true) return true;
      }
      return false;
    });
    return all ? [index] : [];
  });
  const shown = new Set(passing);
  const at = (index: number): HostRow | undefined => rows[index];
  passing.sort((a, b) => {
    if (order.value === 'rejections') return (at(b)?.rejections ?? 0) - (at(a)?.rejections ?? 0) || a - b;
    if (order.value === 'used') return (at(b)?.used ?? -1) - (at(a)?.used ?? -1) || a - b;
    return (at(a)?.host.name ?? '') < (at(b)?.host.name ?? '') ? -1 : 1;
  });
  map.show(passing);
  table.filter((index) => shown.has(index));
  shownHosts.textContent = `${passing.length} of ${rows.length} hosts`;
  const named = (text: string): boolean => words.every((word) => text.toLowerCase().includes(word));
  for (const [i, fold] of folds.entries())
    fold.hidden = !named(`${plans[i]?.names.join(' ')} ${plans[i]?.target}`);
  for (const [i, item] of time.items.entries())
    item.hidden = !named(`${runs[i]?.host} ${runs[i]?.run} ${runs[i]?.rollout}`);
}

interface Section {
  readonly id: string;
  readonly title: string;
  readonly content: readonly (Node | null)[];
}

const sections: Section[] = [];
if (rows.length > 0) {
  const legend = h(
    'p',
    { class: 'legend' },
    'Use of the tightest limit: ',
    ...(['low', 'half', 'near', 'out', 'none'] as const).map((step, i) =>
      h('span', { class: `cell ${step}` }, ['under 50%', '50%', '80%', '95%', 'no limit'][i] ?? ''),
    ),
  );
  sections.push(
    { id: 'fleet', title: 'Fleet', content: [legend, map.element] },
    { id: 'hosts', title: 'Hosts', content: [table.element] },
    { id: 'host-section', title: 'Host', content: [detail] },
  );
}
if (use.length > 0) sections.push({ id: 'use', title: 'Use', content: [charts.element] });
if (plans.length > 0) sections.push({ id: 'plans', title: 'Plans', content: folds });
if (runs.length > 0) sections.push({ id: 'runs', title: 'Runs', content: [time.element] });
const findings = findingsTable(data);
if (findings !== null) sections.push({ id: 'findings', title: 'Findings', content: [findings.element] });

if (hosts.length === 1) document.title = `Task limits of ${hosts[0]?.name}`;
else if (hosts.length > 1) document.title = `Task limits of ${hosts.length} hosts`;
const newest = hosts.reduce((latest, { at }) => (at > latest ? at : latest), '');
document.body.append(
  h(
    'header',
    {},
    h('h1', {}, document.title),
    h(
      'p',
      { class: 'muted' },
      newest === '' ? '' : `Read up to ${newest}. `,
      `Written by tasksctl ${data.page.version}.`,
    ),
    summary(rows, data),
    h(
      'nav',
      { 'aria-label': 'Sections' },
      ...sections.map(({ id, title }) => h('a', { href: `#${id}` }, title)),
    ),
    h(
      'form',
      { role: 'search', submit: (event) => event.preventDefault() },
      h('label', { for: 'search' }, 'Host, system or unit'),
      search,
      h('label', { for: 'level' }, 'Use'),
      level,
      h('label', { for: 'order' }, 'Order'),
      order,
      shownHosts,
    ),
  ),
  h(
    'main',
    {},
    ...sections.map(({ id, title, content }) =>
      h(
        'section',
        { id, 'aria-labelledby': `${id}-title` },
        h('h2', { id: `${id}-title` }, title),
        ...content,
      ),
    ),
  ),
);
for (const control of [search, level, order]) control.addEventListener('input', filter);
filter();
// What is nearest to its limit is what the report is opened for.
const worst = rows.reduce((best, { used }, i) => ((used ?? -1) > (rows[best]?.used ?? -1) ? i : best), 0);
choose(worst, false);
charts.redraw();
// Canvases do not follow the scheme by themselves.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', charts.redraw);
addEventListener('beforeprint', () => {
  charts.redraw();
  for (const fold of document.querySelectorAll('details')) fold.open = true;
});
addEventListener('afterprint', charts.redraw);
