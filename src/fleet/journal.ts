import { z } from 'zod';
import { amountSchema } from './waves.ts';

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
  /** The name of the policy its plan is by. */
  policy: z.string(),
  /** Number of its wave, from 0. */
  wave: z.number().int().nonnegative(),
  /** What a fleet file calls the hosts of that wave. */
  stage: z.string().nullable(),
});
export type RolloutHost = z.infer<typeof hostSchema>;

export const headSchema = z.strictObject({
  schema: z.literal('tasksctl/rollout-journal/1'),
  run: z.string(),
  startedAt: z.string(),
  operator: z.string(),
  settings: rolloutSettingsSchema,
  hosts: z.array(hostSchema),
});
export type JournalHead = z.infer<typeof headSchema>;

/** What came of applying to one host; `not-applied`: it was cut off before anything of it was in place. */
export const applyOutcomeSchema = z.enum(['applied', 'unchanged', 'failed', 'not-applied', 'unknown']);
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
  /** With the boot that it is to end. */
  z.strictObject({
    what: z.literal('reboot'),
    at: z.string(),
    host: z.string(),
    bootId: z.string().nullable(),
  }),
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

/** A journal's text, or what is wrong with which line of it. */
export type ParsedJournal =
  | {
      readonly ok: true;
      readonly head: JournalHead;
      readonly records: readonly JournalRecord[];
      /** Bytes of whole lines; what is after them was being written when the controller went away. */
      readonly whole: number;
    }
  | { readonly ok: false; readonly message: string; readonly line?: number };

export function parseJournal(text: string): ParsedJournal {
  const end = text.lastIndexOf('\n') + 1;
  const lines = text.slice(0, end).split('\n').slice(0, -1);
  const records: JournalRecord[] = [];
  let head: JournalHead | null = null;
  for (const [index, line] of lines.entries()) {
    const json = parseLine(line);
    if (index === 0) {
      const parsed = headSchema.safeParse(json);
      if (!parsed.success) return { ok: false, line: 1, message: 'this is no journal of a rollout' };
      head = parsed.data;
      continue;
    }
    const parsed = recordSchema.safeParse(json);
    if (!parsed.success) return { ok: false, line: index + 1, message: 'the line is damaged' };
    records.push(parsed.data);
  }
  if (head === null) return { ok: false, message: 'the rollout ended before it began: nothing was done' };
  return { ok: true, head, records, whole: Buffer.byteLength(text.slice(0, end)) };
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** Where one host stands. */
export type HostState =
  /** Nothing was done to it. */
  | { readonly kind: 'waiting' }
  /** Its apply has begun; in the journal of a rollout that nobody works on: it was cut off. */
  | { readonly kind: 'applying'; readonly run: string }
  /** How its apply ended is not known, also after asking it. */
  | { readonly kind: 'unsettled'; readonly run: string; readonly detail: string }
  | { readonly kind: 'applied'; readonly run: string; readonly detail: string }
  | { readonly kind: 'unchanged'; readonly detail: string }
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'rolled-back'; readonly detail: string }
  /** Its changes are in place, and could not be taken back. */
  | { readonly kind: 'rollback-failed'; readonly run: string; readonly detail: string };

/** How far the reboot of a host came. */
export type RebootState =
  | { readonly kind: 'begun'; readonly bootId: string | null }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly bootId: string | null; readonly detail: string };

/** What a journal comes to, record by record. */
export class RolloutState {
  readonly #head: JournalHead;
  readonly #hosts: Map<string, HostState>;
  readonly #reboots = new Map<string, RebootState>();
  readonly #passed = new Set<number>();
  #stopped: { readonly wave: number; readonly why: string } | null = null;
  #end: 'done' | 'rolled-back' | null = null;

  constructor(head: JournalHead, records: readonly JournalRecord[] = []) {
    this.#head = head;
    this.#hosts = new Map(head.hosts.map(({ name }) => [name, { kind: 'waiting' }]));
    for (const record of records) this.add(record);
  }

  of(host: string): HostState {
    return this.#hosts.get(host) ?? { kind: 'waiting' };
  }

  /** null: it was not begun. */
  rebootOf(host: string): RebootState | null {
    return this.#reboots.get(host) ?? null;
  }

  /** Its gates were passed. */
  hasPassed(wave: number): boolean {
    return this.#passed.has(wave);
  }

  get hosts(): ReadonlyMap<string, HostState> {
    return this.#hosts;
  }

  /** Since it was last resumed. */
  get stopped(): { readonly wave: number; readonly why: string } | null {
    return this.#stopped;
  }

  get end(): 'done' | 'rolled-back' | null {
    return this.#end;
  }

  add(record: JournalRecord): void {
    switch (record.what) {
      case 'apply':
        this.#hosts.set(record.host, { kind: 'applying', run: record.run });
        break;
      case 'applied':
        this.#hosts.set(record.host, outcomeState(record));
        break;
      case 'reboot':
        this.#reboots.set(record.host, { kind: 'begun', bootId: record.bootId });
        break;
      case 'rebooted': {
        const before = this.rebootOf(record.host);
        const bootId = before?.kind === 'begun' ? before.bootId : null;
        const { ok, detail } = record;
        this.#reboots.set(record.host, ok ? { kind: 'done' } : { kind: 'failed', bootId, detail });
        break;
      }
      case 'gate':
        if (record.found.length === 0) this.#passed.add(record.wave);
        break;
      case 'rolled-back':
        this.#hosts.set(
          record.host,
          record.ok
            ? { kind: 'rolled-back', detail: record.detail }
            : { kind: 'rollback-failed', run: record.run, detail: record.detail },
        );
        break;
      case 'stopped':
        this.#stopped = { wave: record.wave, why: record.why };
        break;
      case 'end':
        this.#end = record.verdict;
        break;
      case 'resumed':
        this.#tryAgain();
        break;
      // What began and did not end is done again.
      case 'rollback':
        break;
    }
  }

  /** Who resumes a rollout wants another try at what failed. */
  #tryAgain(): void {
    for (const { name, wave } of this.#head.hosts) {
      if (this.#passed.has(wave)) continue;
      if (this.of(name).kind === 'failed') this.#hosts.set(name, { kind: 'waiting' });
      const reboot = this.rebootOf(name);
      if (reboot?.kind === 'failed') this.#reboots.set(name, { kind: 'begun', bootId: reboot.bootId });
    }
  }
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
    case 'not-applied':
      return { kind: 'waiting' };
  }
}
