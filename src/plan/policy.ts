import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { TasksMax } from '../systemd/tasks-max.ts';
import { type Finding, isRecord, readYaml, type YamlProblem } from './read-yaml.ts';
import { isPattern, matchesPattern, unitPatternProblem } from './unit-pattern.ts';

/**
 * A policy: what the operator wants of task limits, for any number of hosts. Written in YAML; docs/policy.md explains
 * it, templates/policies/ has some. The schema is the one source of the checks, the types and the published JSON Schema.
 */

/** Linux has no more process ids than this (PID_MAX_LIMIT of include/linux/threads.h), so no limit above it means anything. */
const MOST_TASKS = 4_194_304;

const DEFAULT_HEADROOM = '50%';
const DEFAULT_GROWTH = '50%';

const PERCENT = /^(?!0*(?:\.0*)?%)(?:100(?:\.0{1,2})?|[0-9]{1,2}(?:\.[0-9]{1,2})?)%$/;

const tasks = z.number().int().min(1).max(MOST_TASKS);
const AMOUNT = `must be a number of tasks from 1 to ${MOST_TASKS}, or a percentage such as 33%`;
const amount = z
  .union([tasks, z.string().regex(PERCENT, { error: AMOUNT })], { error: AMOUNT })
  .describe(
    'Tasks, or a percentage of what the host can have (systemd takes percentages of the same number)',
  );

const VALUE = `must be a number of tasks from 1 to ${MOST_TASKS}, a percentage such as 33%, or infinity`;
const value = z
  .union([tasks, z.string().regex(PERCENT, { error: VALUE }), z.literal('infinity')], { error: VALUE })
  .describe('The limit is exactly this, whether that raises or lowers it');

const share = z
  .string({ error: 'must be a percentage such as 50%' })
  .regex(/^[0-9]{1,4}(?:\.[0-9]{1,2})?%$/, { error: 'must be a percentage such as 50%' });

const percentile = z
  .string({ error: 'must be a percentage such as 99%' })
  .regex(PERCENT, { error: 'must be a percentage such as 99%' });

/** In place of a value: what logind.conf says where systemd no longer reads it. */
const USER_TASKS_MAX = 'UserTasksMax';
const USER_VALUE = `${VALUE}, or ${USER_TASKS_MAX}`;
const userValue = z
  .union(
    [
      tasks,
      z.string().regex(PERCENT, { error: USER_VALUE }),
      z.literal('infinity'),
      z.literal(USER_TASKS_MAX),
    ],
    { error: USER_VALUE },
  )
  .describe(
    `The limit is exactly this. ${USER_TASKS_MAX}: what UserTasksMax= asks for in logind.conf where systemd ignores it (since 239); the line is moved`,
  );

const rule = z.strictObject({
  value: value.optional(),
  floor: amount.describe('Never plan a limit under this').optional(),
  ceiling: amount.describe('Never plan a limit over this').optional(),
  headroom: share.describe('Room above the need for this limit').optional(),
});
const namedRule = rule.extend({
  force: z
    .boolean()
    .describe('Allow a limit under what is in use, or under what a login needs. Only for exact names')
    .optional(),
});
const userRule = rule.extend({ value: userValue.optional() });
const kernelRule = z.strictObject({
  value: tasks.describe('The sysctl is exactly this').optional(),
  floor: tasks.describe('Never less than this').optional(),
  ceiling: tasks.describe('Never raised over this').optional(),
});
const kernel = z.strictObject({ pid_max: kernelRule.optional(), 'threads-max': kernelRule.optional() });

/** A policy file. What a schema cannot say (patterns, value beside floor) `parsePolicy` checks. */
export const policySchema = z
  .strictObject({
    schema: z.literal('tasksctl/policy/1', { error: 'must be tasksctl/policy/1' }),
    name: z
      .string({ error: 'must be text' })
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
        error: 'must be up to 64 letters, digits, dots, dashes and underscores, the first a letter or digit',
      })
      .describe('Named in plans and in the files they write'),
    description: z.string().optional(),
    headroom: share
      .describe(
        `Room above the need: the limit wanted is need x (1 + headroom). ${DEFAULT_HEADROOM} if left out`,
      )
      .optional(),
    growth: share
      .describe(
        `After rejected forks the need is at least the limit that was hit x (1 + growth). ${DEFAULT_GROWTH} if left out`,
      )
      .optional(),
    percentile: percentile
      .describe(
        'With a profile: the need is what was enough for this share of the time; no limit is below the peak all the same. The peak if left out',
      )
      .optional(),
    'user-default': userRule.describe("What every user's slice gets").optional(),
    users: z.record(z.string(), namedRule).describe('Single users by name or uid').optional(),
    'service-default': rule
      .describe('DefaultTasksMax= of the system manager: what units without a limit of their own get')
      .optional(),
    units: z
      .record(z.string(), namedRule)
      .describe(
        'Units by name or pattern (* and ?). An exact name beats a pattern; the first pattern that fits wins',
      )
      .optional(),
    kernel: kernel.describe("The kernel's own ceilings").optional(),
    recorder: z
      .boolean({ error: 'must be true or false' })
      .describe(
        'Whether the host records by itself how many tasks its units have, for measure --collect. As it is if left out',
      )
      .optional(),
  })
  .describe('tasksctl policy: what task limits should be');

type PolicyText = z.infer<typeof policySchema>;
type RuleText = z.infer<typeof namedRule>;
type KernelRuleText = z.infer<typeof kernelRule>;

/** A number of tasks, or a share of what the host can have. */
export type Amount = Exclude<TasksMax, { kind: 'infinity' }>;

/** What is wanted of one limit. */
export interface Rule {
  /** Where in the policy it is, for reasons: `user-default`, `units: postgresql*.service`. */
  readonly label: string;
  /** Exactly this; null: found from use, floor and ceiling. */
  readonly value: TasksMax | null;
  readonly floor: Amount | null;
  readonly ceiling: Amount | null;
  /** Hundredths of a percent: 5000 is 50 %. */
  readonly headroom: bigint;
  readonly force: boolean;
}

/** What is wanted of one sysctl; null: no such bound. */
export interface KernelRule {
  readonly label: string;
  readonly value: number | null;
  readonly floor: number | null;
  readonly ceiling: number | null;
  /** As in `Rule`. */
  readonly headroom: bigint;
}

/** The operator's intent, as a policy file says it. */
export interface Policy {
  readonly name: string;
  /** For people; empty where the text has none. */
  readonly description: string;
  /** Hex SHA-256 of the policy's text. */
  readonly sha256: string;
  /** Hundredths of a percent, as `Rule.headroom`. */
  readonly growth: bigint;
  /** Of rules that say nothing else. */
  readonly headroom: bigint;
  /** The same; null: needs are the peaks. */
  readonly percentile: bigint | null;
  readonly userDefault: Rule | null;
  /** `userDefault` is to be what UserTasksMax= asks for where systemd ignores it, and that line is to go. */
  readonly movesUserTasksMax: boolean;
  /** By name or uid, in the order of the text. */
  readonly users: ReadonlyMap<string, Rule>;
  readonly serviceDefault: Rule | null;
  readonly exactUnits: ReadonlyMap<string, Rule>;
  readonly unitPatterns: readonly { readonly pattern: string; readonly rule: Rule }[];
  readonly kernel: {
    readonly 'kernel.pid_max': KernelRule | null;
    readonly 'kernel.threads-max': KernelRule | null;
  };
  /** Whether the host is to record by itself; null: as it is. */
  readonly recorder: boolean | null;
}

/**
 * The rule for a unit, or for a pattern of a profile such as `user-.slice`; null where the policy has none for it. Users
 * are found by uid only. Services without a rule of their own have that of all services.
 */
export function ruleFor(policy: Policy, unit: string): Rule | null {
  const uid = /^user-([0-9]+)\.slice$/.exec(unit)?.[1];
  const user = uid === undefined ? undefined : policy.users.get(uid);
  const own =
    user ??
    policy.exactUnits.get(unit) ??
    policy.unitPatterns.find(({ pattern }) => matchesPattern(pattern, unit))?.rule;
  if (own !== undefined) return own;
  if (uid !== undefined || unit === 'user-.slice') return policy.userDefault;
  return unit.endsWith('.slice') ? null : policy.serviceDefault;
}

/** What the policy says of a unit's limit; where nothing, what it says of all. */
export function limitRule(policy: Policy, unit: string) {
  const rule = ruleFor(policy, unit);
  return rule ?? { headroom: policy.headroom, floor: null, ceiling: null, label: 'no rule' };
}

export type ParsedPolicy =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly problems: readonly YamlProblem[] };

function knownKeys([section, ...below]: readonly PropertyKey[]): readonly string[] {
  if (section === undefined) return Object.keys(policySchema.shape);
  if (section === 'kernel') return Object.keys(below.length === 0 ? kernel.shape : kernelRule.shape);
  return Object.keys(section === 'users' || section === 'units' ? namedRule.shape : rule.shape);
}

/** What the schema cannot say. Looks at the raw content, so that nothing hides behind a mistake elsewhere. */
function contradictions(content: unknown): Finding[] {
  if (!isRecord(content)) return [];
  const findings: Finding[] = [];
  const add = (path: readonly string[], message: string, onKey = true): void => {
    findings.push({ code: 'policy-contradiction', message, path, onKey });
  };
  const checkRule = (path: readonly string[], rule: unknown): void => {
    if (!isRecord(rule)) return;
    if (rule['value'] !== undefined) {
      for (const key of ['floor', 'ceiling', 'headroom']) {
        if (rule[key] === undefined) continue;
        add([...path, key], `${[...path, key].join('.')} has no meaning beside value, which fixes the limit`);
      }
    }
    const { floor, ceiling } = rule;
    if (comparable(floor, ceiling) && amountSize(floor) > amountSize(ceiling)) {
      add([...path, 'floor'], `${path.join('.')}: floor ${floor} is above ceiling ${ceiling}`);
    }
  };
  for (const section of ['user-default', 'service-default']) checkRule([section], content[section]);
  for (const section of ['users', 'units', 'kernel']) {
    const rules = content[section];
    if (!isRecord(rules)) continue;
    for (const [name, rule] of Object.entries(rules)) {
      checkRule([section, name], rule);
      if (section === 'users' && !USER.test(name)) {
        findings.push({
          code: 'policy-name',
          message: `"${name}" is no user name or uid`,
          path: [section, name],
          onKey: true,
        });
      }
      if (section !== 'units') continue;
      const uid = /^user-([0-9]+)\.slice$/.exec(name)?.[1];
      if (uid !== undefined && isRecord(content['users']) && content['users'][uid] !== undefined) {
        add([section, name], `${name} is the slice of user ${uid}, whom users: names as well`);
      }
      const problem = unitPatternProblem(name);
      if (problem !== null) {
        findings.push({ code: 'policy-name', message: problem, path: [section, name], onKey: true });
      } else if (isPattern(name) && isRecord(rule) && rule['force'] === true) {
        add([section, name, 'force'], 'force needs the exact name of a unit, not a pattern');
      }
    }
  }
  return findings;
}

/** As useradd and systemd take names in practice (docs/USER_NAMES of systemd), and uids. */
const USER = /^(?:[0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.@\\-]{0,254}\$?)$/;

/** Both are numbers of tasks, or both percentages: which of two others is larger depends on the host. */
function comparable(a: unknown, b: unknown): boolean {
  const percent = (thing: unknown) => typeof thing === 'string' && PERCENT.test(thing);
  return (typeof a === 'number' && typeof b === 'number') || (percent(a) && percent(b));
}

function amountSize(amount: unknown): number {
  return typeof amount === 'number' ? amount : Number.parseFloat(String(amount));
}

/** Reads a policy; `file` is its name for messages. All problems are found at once, in the order of the text. */
export function parsePolicy(text: string, file: string): ParsedPolicy {
  const read = readYaml(text, file, { what: 'policy', schema: policySchema, knownKeys, contradictions });
  if (!read.ok) return read;
  return { ok: true, policy: policyOf(read.data, createHash('sha256').update(text).digest('hex')) };
}

function policyOf(text: PolicyText, sha256: string): Policy {
  const headroom = permyriad(text.headroom ?? DEFAULT_HEADROOM);
  const ruleOf = (label: string, rule: RuleText | undefined): Rule | null =>
    rule === undefined ? null : namedRuleOf(label, rule, headroom);
  const { value: everyUser, ...userRest } = text['user-default'] ?? {};
  const movesUserTasksMax = everyUser === USER_TASKS_MAX;
  const userRule =
    movesUserTasksMax || everyUser === undefined ? userRest : { ...userRest, value: everyUser };
  const units = Object.entries(text.units ?? {}).map(([name, rule]) => ({
    pattern: name,
    rule: namedRuleOf(`units: ${name}`, rule, headroom),
  }));
  return {
    name: text.name,
    description: text.description ?? '',
    sha256,
    growth: permyriad(text.growth ?? DEFAULT_GROWTH),
    headroom,
    percentile: text.percentile === undefined ? null : permyriad(text.percentile),
    userDefault: ruleOf('user-default', text['user-default'] && userRule),
    movesUserTasksMax,
    users: new Map(
      Object.entries(text.users ?? {}).map(([name, rule]) => [
        name,
        namedRuleOf(`users: ${name}`, rule, headroom),
      ]),
    ),
    serviceDefault: ruleOf('service-default', text['service-default']),
    exactUnits: new Map(
      units.filter(({ pattern }) => !isPattern(pattern)).map(({ pattern, rule }) => [pattern, rule]),
    ),
    unitPatterns: units.filter(({ pattern }) => isPattern(pattern)),
    kernel: {
      'kernel.pid_max': kernelRuleOf('kernel: pid_max', text.kernel?.pid_max, headroom),
      'kernel.threads-max': kernelRuleOf('kernel: threads-max', text.kernel?.['threads-max'], headroom),
    },
    recorder: text.recorder ?? null,
  };
}

function namedRuleOf(label: string, rule: RuleText, headroom: bigint): Rule {
  return {
    label,
    value:
      rule.value === undefined
        ? null
        : rule.value === 'infinity'
          ? { kind: 'infinity' }
          : amountOf(rule.value),
    floor: rule.floor === undefined ? null : amountOf(rule.floor),
    ceiling: rule.ceiling === undefined ? null : amountOf(rule.ceiling),
    headroom: rule.headroom === undefined ? headroom : permyriad(rule.headroom),
    force: rule.force === true,
  };
}

function kernelRuleOf(label: string, rule: KernelRuleText | undefined, headroom: bigint): KernelRule | null {
  if (rule === undefined) return null;
  return {
    label,
    value: rule.value ?? null,
    floor: rule.floor ?? null,
    ceiling: rule.ceiling ?? null,
    headroom,
  };
}

function amountOf(amount: number | string): Amount {
  if (typeof amount === 'number') return { kind: 'count', count: BigInt(amount) };
  const hundredths = permyriad(amount);
  return hundredths % 100n === 0n
    ? { kind: 'fraction', numerator: hundredths / 100n, denominator: 100n }
    : { kind: 'fraction', numerator: hundredths, denominator: 10_000n };
}

/** `33.5%` as hundredths of a percent. */
function permyriad(percent: string): bigint {
  const [whole = '', decimals = ''] = percent.slice(0, -1).split('.');
  return BigInt(whole) * 100n + BigInt(decimals.padEnd(2, '0'));
}
