import { h } from './dom.ts';

export interface Column<T> {
  readonly title: string;
  /** Numbers are aligned right. */
  readonly numeric?: boolean;
  /** What rows are sorted by; null goes last. */
  readonly key: (row: T) => string | number | null;
  readonly cell: (row: T) => Node | string;
}

export interface Table {
  readonly element: HTMLElement;
  /** Shows only rows that pass; gives how many do. */
  readonly filter: (passes: (index: number) => boolean) => number;
}

/** A table that is sorted by its titles, which are buttons; rows start out in the order given. */
export function sortableTable<T>(
  caption: string,
  columns: readonly Column<T>[],
  rows: readonly T[],
  sorted: { readonly column: number; readonly down: boolean } | null,
): Table {
  const body = h('tbody');
  const lines = rows.map((row) =>
    h(
      'tr',
      {},
      ...columns.map(({ cell, numeric }, i) => {
        const attributes = numeric === true ? { class: 'number' } : {};
        // The first cell says what the row is about.
        return i === 0 ? h('th', { scope: 'row', ...attributes }, cell(row)) : h('td', attributes, cell(row));
      }),
    ),
  );
  body.append(...lines);
  const heads = columns.map(({ title, numeric }, i) =>
    h(
      'th',
      { scope: 'col', ...(numeric === true ? { class: 'number' } : {}) },
      h('button', { type: 'button', class: 'sort', click: () => sortBy(i) }, title),
    ),
  );
  let current = sorted;
  const mark = (): void => {
    for (const [i, head] of heads.entries()) {
      if (current?.column !== i) head.removeAttribute('aria-sort');
      else head.setAttribute('aria-sort', current.down ? 'descending' : 'ascending');
    }
  };
  const sortBy = (column: number): void => {
    // The first click on numbers shows the highest first.
    const down = current?.column === column ? !current.down : columns[column]?.numeric === true;
    current = { column, down };
    const key = columns[column]?.key ?? (() => null);
    const order = rows.map((row, index) => ({ index, key: key(row) }));
    order.sort((a, b) => {
      if (a.key === null || b.key === null)
        return a.key === b.key ? a.index - b.index : a.key === null ? 1 : -1;
      const way = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
      return (down ? -way : way) || a.index - b.index;
    });
    body.append(...order.flatMap(({ index }) => lines[index] ?? []));
    mark();
  };
  mark();
  const table = h('table', {}, h('caption', {}, caption), h('thead', {}, h('tr', {}, ...heads)), body);
  return {
    // What can be scrolled has to be within reach of the keyboard.
    element: h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, table),
    filter: (passes) => {
      let shown = 0;
      for (const [i, line] of lines.entries()) {
        line.hidden = !passes(i);
        if (!line.hidden) shown++;
      }
      return shown;
    },
  };
}
