import { compareBytes } from '../systemd/file-tree.ts';

/** Members a pattern's entry keeps: those with the highest peaks. */
export const MOST_MEMBERS = 64;

export type Member = [unit: string, peak: number];

/**
 * The members with the highest peaks, highest first, of equal ones the first by name. Whatever is left out of two lists
 * before they are joined would be left out afterwards as well, so lists can be joined in any order.
 */
export function topMembers(peaks: Iterable<readonly [string, number]>): Member[] {
  const highest = new Map<string, number>();
  for (const [unit, peak] of peaks) highest.set(unit, Math.max(peak, highest.get(unit) ?? 0));
  const sorted = [...highest].sort(([a, m], [b, n]) => n - m || compareBytes(a, b));
  return sorted.slice(0, MOST_MEMBERS);
}
