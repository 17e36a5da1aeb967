type Child = Node | string | number | null;

interface Attributes {
  readonly [name: string]: string | number | boolean | ((event: Event) => void);
}

/**
 * An element. Texts become text nodes and nothing else: there is no way from data to markup. A function is a listener
 * of the event it is named after.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children) {
    if (child !== null) element.append(typeof child === 'number' ? String(child) : child);
  }
  return element;
}

/** A name of a host's: it may be in a script of the other direction, which must not turn what is around it. */
export function name(text: string): HTMLElement {
  return h('bdi', {}, text);
}
