import type { Assignment, ResolvedLimit } from './resolve.ts';
import type { ParsedTasksMax } from './tasks-max.ts';

/** An assignment systemd came across, and what it made of it. */
export type FoundAssignment = Omit<Assignment, 'value' | 'outcome' | 'reason'> & {
  readonly parsed: ParsedTasksMax;
};

const UNSET: ResolvedLimit = { value: null, winner: null, assignments: [] };

/** The last assignment systemd accepts wins; those it rejects leave what came before. */
export function settleLimit(found: readonly FoundAssignment[]): ResolvedLimit {
  if (found.length === 0) return UNSET;
  const last = found.findLast(({ parsed }) => parsed.ok);
  const assignments = found.map((assignment): Assignment => {
    const { file, line, section, key, raw, parsed } = assignment;
    const text = { file, line, section, key, raw };
    if (!parsed.ok) return { ...text, value: null, outcome: 'ignored', reason: parsed.reason };
    return { ...text, value: parsed.value, outcome: assignment === last ? 'wins' : 'overridden' };
  });
  const winner = assignments.find(({ outcome }) => outcome === 'wins') ?? null;
  const value = winner === null || winner.value === 'unset' ? null : winner.value;
  return { value, winner, assignments };
}
