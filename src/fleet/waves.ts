import type { InventoryHost } from './inventory.ts';
import type { RolloutHost } from './journal.ts';

/** How many hosts are done after a wave, or are in a batch. */
export type Amount =
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'percent'; readonly percent: number };

/** One host to see whether it works at all, a tenth, half, all. */
export const DEFAULT_WAVES = '1,10%,50%,100%';

/** `5` or `10%`; null for anything else. */
export function parseAmount(text: string): Amount | null {
  const [, number, percent] = /^([0-9]{1,6}(?:\.[0-9]+)?)(%?)$/.exec(text.trim()) ?? [];
  const value = Number(number);
  if (percent === '%') return value <= 100 ? { kind: 'percent', percent: value } : null;
  return Number.isInteger(value) ? { kind: 'count', count: value } : null;
}

/** `1,10%,50%,100%`; null for anything else. */
export function parseAmounts(text: string): readonly Amount[] | null {
  const amounts = text.split(',').map(parseAmount);
  return amounts.every((amount) => amount !== null) ? amounts : null;
}

/** Of so many hosts; a percentage is rounded up, so that it is never none of some. */
export function amountOf(amount: Amount, hosts: number): number {
  return amount.kind === 'count' ? amount.count : Math.ceil((hosts * amount.percent) / 100);
}

/**
 * The hosts in waves, in their order. `until`: how many are done after each wave; what is left after the last is one more
 * wave. Waves that have nobody left are left out.
 */
export function wavesUntil<T>(hosts: readonly T[], until: readonly Amount[]): readonly (readonly T[])[] {
  const waves: T[][] = [];
  let done = 0;
  for (const end of [...until.map((amount) => amountOf(amount, hosts.length)), hosts.length]) {
    const wave = hosts.slice(done, end);
    if (wave.length === 0) continue;
    waves.push(wave);
    done += wave.length;
  }
  return waves;
}

/** The hosts in batches of one size (`serial` of Ansible). */
export function wavesOf<T>(hosts: readonly T[], size: Amount): readonly (readonly T[])[] {
  const most = Math.max(1, amountOf(size, hosts.length));
  const waves: T[][] = [];
  for (let at = 0; at < hosts.length; at += most) waves.push(hosts.slice(at, at + most));
  return waves;
}

/** The hosts of a rollout, each with the number of its wave. */
export function inWaves(
  hosts: readonly InventoryHost[],
  by: { readonly waves: readonly Amount[] } | { readonly serial: Amount },
): RolloutHost[] {
  const all = 'serial' in by ? wavesOf(hosts, by.serial) : wavesUntil(hosts, by.waves);
  return all.flatMap((wave, number) =>
    wave.map(({ name, target, groups }) => ({ name, target, groups: [...groups], wave: number })),
  );
}
