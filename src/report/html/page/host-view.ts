import type { PageHost } from '../page-data.ts';
import { count, type Data, formatCount, formatShare, levelOf, type Unit } from './decode.ts';
import { h, name } from './dom.ts';
import { type Column, sortableTable } from './table.ts';

/** A host in full: what holds for all of it, the tree of its units with where each limit is set, and its findings. */
export function hostView(data: Data, host: PageHost): HTMLElement {
  const units = data.units(host);
  const facts: (readonly [string, string])[] = [
    ['Read', `${host.at} from ${host.target}`],
    ['System', systemOf(data, host)],
    [
      'Kernel',
      `${formatCount(count(host.tasks))} tasks exist; threads-max ${formatCount(count(host.threadsMax))}, pid_max ${formatCount(count(host.pidMax))}`,
    ],
  ];
  const userDefault = data.textOrNull(host.userDefault);
  const serviceDefault = data.textOrNull(host.serviceDefault);
  if (userDefault !== null) facts.push(['Each user', userDefault]);
  if (serviceDefault !== null) facts.push(['Each service', serviceDefault]);
  const tree = sortableTable('Units in the tree of slices; a title sorts them', COLUMNS, units, null);
  const findings = host.findings.flatMap((index) => {
    const finding = data.page.findings[index];
    return finding === undefined ? [] : [data.finding(finding)];
  });
  return h(
    'div',
    {},
    h('h3', {}, name(host.name)),
    h('dl', {}, ...facts.flatMap(([term, text]) => [h('dt', {}, term), h('dd', {}, text)])),
    ...host.problems.map((problem) => h('p', { class: 'problem' }, `Not read: ${data.text(problem)}`)),
    tree.element,
    host.hidden === 0
      ? null
      : h('p', { class: 'muted' }, `${host.hidden} inactive units and cgroups without a limit are left out.`),
    ...findings.map(({ severity, code, message, place, help }) =>
      h(
        'p',
        { class: `finding ${severity}` },
        h('strong', {}, severity),
        place === '' ? ' ' : h('code', {}, ` ${place} `),
        `${message} [${code}]`,
        help === '' ? null : h('span', { class: 'help' }, ` ${help}`),
      ),
    ),
  );
}

export function systemOf(data: Data, host: PageHost): string {
  const systemd = count(host.systemd);
  const manager = systemd === null ? 'no systemd' : `systemd ${systemd}`;
  return `${data.text(host.os)}, ${manager}, Linux ${data.text(host.kernel)}, cgroup ${data.text(host.cgroup)}`;
}

const COLUMNS: readonly Column<Unit>[] = [
  { title: 'Unit', key: (unit) => unit.name, cell: unitCell },
  { title: 'Used', numeric: true, key: (unit) => unit.used, cell: ({ used }) => usedCell(used) },
  { title: 'Tasks', numeric: true, key: (unit) => unit.current, cell: (unit) => formatCount(unit.current) },
  { title: 'Peak', numeric: true, key: (unit) => unit.peak, cell: (unit) => formatCount(unit.peak) },
  { title: 'Limit', numeric: true, key: (unit) => unit.limit, cell: (unit) => formatCount(unit.limit) },
  { title: 'Left', numeric: true, key: (unit) => unit.left, cell: (unit) => formatCount(unit.left) },
  {
    title: 'Rejected',
    numeric: true,
    key: (unit) => unit.rejections,
    cell: ({ rejections }) =>
      h('span', (rejections ?? 0) > 0 ? { class: 'bad' } : {}, formatCount(rejections)),
  },
  {
    title: 'Bound by',
    key: (unit) => unit.by,
    cell: ({ by, leftAt }) =>
      by === null ? '–' : h('span', {}, name(by), leftAt === null ? null : `; least left in ${leftAt}`),
  },
  { title: 'Own limit', key: (unit) => unit.own, cell: (unit) => unit.own ?? '–' },
  { title: 'Set by', key: (unit) => unit.source, cell: sourceCell },
];

function unitCell(unit: Unit): HTMLElement {
  const cell = h('span', { class: 'unit' }, name(unit.name));
  // A style of its own by the object model: the content security policy allows no attribute.
  cell.style.paddingInlineStart = `${unit.depth * 1.1}em`;
  return cell;
}

/** A bar and its number. */
export function usedCell(used: number | null): HTMLElement {
  const fill = h('span', { class: `fill ${levelOf(used)}` });
  fill.style.width = `${Math.min(100, (used ?? 0) * 100)}%`;
  return h(
    'span',
    { class: 'used' },
    used === null ? null : h('span', { class: 'bar', 'aria-hidden': 'true' }, fill),
    h('span', {}, formatShare(used)),
  );
}

/** The place that wins; where there are more, all assignments below it. */
function sourceCell({ source, assignments }: Unit): HTMLElement {
  if (source === null) return h('span', {}, '–');
  if (assignments.length < 2) return h('code', {}, source);
  return h(
    'details',
    {},
    h('summary', {}, h('code', {}, source)),
    h('ol', {}, ...assignments.map((line) => h('li', {}, h('code', {}, line)))),
  );
}
