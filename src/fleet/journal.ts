import { z } from 'zod';

const amountSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('count'), count: z.number().int().nonnegative() }),
  z.strictObject({ kind: z.literal('percent'), percent: z.number().min(0).max(100) }),
]);

/** How a rollout goes on; kept in its journal, so that a resumed one goes on as it began. */
export const rolloutSettingsSchema = z.strictObject({
  forks: z.number().int().positive(),
  /** Failed hosts that do not stop the rollout. */
  maxFail: amountSchema,
  maxUnavailable: z.array(z.tuple([z.string(), z.number().int().positive()])),
  bakeSeconds: z.number().nonnegative(),
  /** Stop after each wave and ask. */
  pause: z.boolean(),
  onFailure: z.enum(['stop', 'rollback-wave', 'rollback-all']),
  /** A shell command of the operator's, run on the controller after each wave. */
  gateCommand: z.string().nullable(),
  /** Reboot hosts where a change waits for one, and these commands before and after. */
  reboot: z.boolean(),
  drain: z.string().nullable(),
  undrain: z.string().nullable(),
  deadManSeconds: z.number().int().positive().nullable(),
});
export type RolloutSettings = z.infer<typeof rolloutSettingsSchema>;

const hostSchema = z.strictObject({
  name: z.string(),
  target: z.string(),
  groups: z.array(z.string()),
  /** Number of its wave, from 0. */
  wave: z.number().int().nonnegative(),
});
export type RolloutHost = z.infer<typeof hostSchema>;

export const headSchema = z.strictObject({
  schema: z.literal('tasksctl/rollout-journal/1'),
  run: z.string(),
  startedAt: z.string(),
  operator: z.string(),
  policy: z.string(),
  settings: rolloutSettingsSchema,
  hosts: z.array(hostSchema),
});
export type JournalHead = z.infer<typeof headSchema>;

/** What came of applying to one host. */
export const applyOutcomeSchema = z.enum(['applied', 'unchanged', 'failed', 'unknown']);
export type ApplyOutcome = z.infer<typeof applyOutcomeSchema>;

/** One line of a journal after the first. What is about to be done is written before, what came of it after. */
export const recordSchema = z.discriminatedUnion('what', [
  z.strictObject({ what: z.literal('apply'), at: z.string(), host: z.string(), run: z.string() }),
  z.strictObject({
    what: z.literal('applied'),
    at: z.string(),
    host: z.string(),
    run: z.string(),
    outcome: applyOutcomeSchema,
    detail: z.string(),
  }),
  z.strictObject({ what: z.literal('reboot'), at: z.string(), host: z.string() }),
  z.strictObject({
    what: z.literal('rebooted'),
    at: z.string(),
    host: z.string(),
    ok: z.boolean(),
    detail: z.string(),
  }),
  /** What gates found wrong with a wave; nothing: it passed. */
  z.strictObject({
    what: z.literal('gate'),
    at: z.string(),
    wave: z.number().int(),
    found: z.array(z.strictObject({ host: z.string().nullable(), detail: z.string() })),
  }),
  z.strictObject({ what: z.literal('rollback'), at: z.string(), host: z.string(), run: z.string() }),
  z.strictObject({
    what: z.literal('rolled-back'),
    at: z.string(),
    host: z.string(),
    run: z.string(),
    ok: z.boolean(),
    detail: z.string(),
  }),
  /** The rollout stopped of itself in this wave, and what it was to do then. */
  z.strictObject({ what: z.literal('stopped'), at: z.string(), wave: z.number().int(), why: z.string() }),
  z.strictObject({ what: z.literal('resumed'), at: z.string() }),
  /** Nothing is left to do, also not for a resumed rollout. */
  z.strictObject({ what: z.literal('end'), at: z.string(), verdict: z.enum(['done', 'rolled-back']) }),
]);
export type JournalRecord = z.infer<typeof recordSchema>;

/** Where one host stands. */
export type HostState =
  /** Nothing was done to it, or nothing of what was done is in place. */
  | { readonly kind: 'waiting' }
  /** Its apply began, and how it ended is not known. */
  | { readonly kind: 'unsettled'; readonly run: string; readonly detail: string }
  | { readonly kind: 'applied'; readonly run: string; readonly detail: string }
  | { readonly kind: 'unchanged'; readonly detail: string }
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'rolled-back'; readonly detail: string }
  /** Its changes are in place, and could not be taken back. */
  | { readonly kind: 'rollback-failed'; readonly run: string; readonly detail: string };

/** What a journal comes to. */
export interface RolloutState {
  readonly hosts: ReadonlyMap<string, HostState>;
  /** Waves whose gates were passed. */
  readonly passed: ReadonlySet<number>;
  /** Hosts that were rebooted as they should. */
  readonly rebooted: ReadonlySet<string>;
  /** Since it was last resumed. */
  readonly stopped: { readonly wave: number; readonly why: string } | null;
  readonly end: 'done' | 'rolled-back' | null;
}

/** Reads the records in their order. Pure. */
export function rolloutState(head: JournalHead, records: readonly JournalRecord[]): RolloutState {
  const hosts = new Map<string, HostState>(head.hosts.map(({ name }) => [name, { kind: 'waiting' }]));
  const passed = new Set<number>();
  const rebooted = new Set<string>();
  let stopped: RolloutState['stopped'] = null;
  let end: RolloutState['end'] = null;
  for (const record of records) {
    switch (record.what) {
      case 'apply':
        hosts.set(record.host, { kind: 'unsettled', run: record.run, detail: 'cut off' });
        break;
      case 'applied':
        hosts.set(record.host, outcomeState(record));
        break;
      case 'rebooted':
        if (record.ok) rebooted.add(record.host);
        break;
      case 'gate':
        if (record.found.length === 0) passed.add(record.wave);
        break;
      case 'rolled-back':
        hosts.set(
          record.host,
          record.ok
            ? { kind: 'rolled-back', detail: record.detail }
            : { kind: 'rollback-failed', run: record.run, detail: record.detail },
        );
        break;
      case 'stopped':
        stopped = { wave: record.wave, why: record.why };
        break;
      case 'resumed':
        break;
      case 'end':
        end = record.verdict;
        break;
      // What began and did not end is found out by the host, or done again.
      case 'reboot':
      case 'rollback':
        break;
    }
  }
  return { hosts, passed, rebooted, stopped, end };
}

function outcomeState({ outcome, run, detail }: JournalRecord & { what: 'applied' }): HostState {
  switch (outcome) {
    case 'applied':
      return { kind: 'applied', run, detail };
    case 'unchanged':
      return { kind: 'unchanged', detail };
    case 'unknown':
      return { kind: 'unsettled', run, detail };
    case 'failed':
      return { kind: 'failed', detail };
  }
}
