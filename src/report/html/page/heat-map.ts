import { formatShare, levelOf } from './decode.ts';
import { h, name } from './dom.ts';

export interface Heat {
  readonly host: string;
  readonly used: number | null;
  readonly unit: string | null;
}

export interface HeatMap {
  readonly element: HTMLElement;
  readonly show: (order: readonly number[]) => void;
  readonly select: (index: number) => void;
}

const STEPS: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** The domain all hosts are in, with its dot: in a cell there is room for what tells them apart only. */
function commonDomain(hosts: readonly string[]): string {
  const [first = ''] = hosts;
  const dot = first.indexOf('.');
  const domain = dot < 1 ? '' : first.slice(dot);
  const within = (host: string): boolean => host.length > domain.length && host.endsWith(domain);
  return hosts.length > 1 && hosts.every(within) ? domain : '';
}

/**
 * A cell for each host, coloured and numbered by its tightest unit. One of the cells is in the order of the tab key;
 * arrow keys, Home and End go from cell to cell.
 */
export function heatMap(hosts: readonly Heat[], chosen: (index: number) => void): HeatMap {
  const list = h('ul', { class: 'heat', 'aria-label': 'Hosts by use of their tightest limit' });
  const domain = commonDomain(hosts.map(({ host }) => host));
  let shown: readonly number[] = [];
  const buttons = hosts.map(({ host, used, unit }, i) => {
    const share = formatShare(used);
    const button = h(
      'button',
      {
        type: 'button',
        class: `cell ${levelOf(used)}`,
        tabindex: -1,
        title: unit === null ? `${host}: no limit` : `${host}: ${unit} uses ${share}`,
        'aria-pressed': 'false',
        click: () => chosen(i),
        keydown: (event) => move(event, i),
        focus: () => current(i),
      },
      h('span', { class: 'share' }, share),
      h('span', { class: 'host' }, name(host.slice(0, host.length - domain.length))),
    );
    return button;
  });
  const items = buttons.map((button) => h('li', {}, button));
  let inOrder = -1;
  const current = (index: number): void => {
    buttons[inOrder]?.setAttribute('tabindex', '-1');
    buttons[index]?.setAttribute('tabindex', '0');
    inOrder = index;
  };
  const move = (event: Event, from: number): void => {
    if (!(event instanceof KeyboardEvent)) return;
    const at = shown.indexOf(from);
    const step = STEPS[event.key];
    const to =
      step !== undefined ? at + step : event.key === 'Home' ? 0 : event.key === 'End' ? shown.length - 1 : at;
    const target = shown[to];
    if (to === at || target === undefined) return;
    event.preventDefault();
    buttons[target]?.focus();
  };
  return {
    element: list,
    show: (order) => {
      shown = order;
      list.replaceChildren(...order.flatMap((index) => items[index] ?? []));
      if (!order.includes(inOrder)) current(order[0] ?? -1);
    },
    select: (index) => {
      for (const [i, button] of buttons.entries()) button.setAttribute('aria-pressed', String(i === index));
    },
  };
}
