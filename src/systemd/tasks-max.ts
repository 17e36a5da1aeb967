import type { SystemdCapabilities, TasksMaxKey, ValueSyntax } from './capabilities.ts';

/**
 * A value that a `TasksMax=`, `DefaultTasksMax=` or `UserTasksMax=` assignment can hold.
 *
 * A union, never a number with a magic value: a count of tasks, a fraction of the system's maximum
 * (`33%` is 33/100, `12.5‰` is 125/10000), or no limit.
 */
export type TasksMax =
  | { readonly kind: 'count'; readonly count: bigint }
  | { readonly kind: 'fraction'; readonly numerator: bigint; readonly denominator: bigint }
  | { readonly kind: 'infinity' };

/** A number of tasks a limit allows, after fractions were resolved. */
export type TaskCount = bigint | 'infinity';

/** What a value's text is read as: `unset` for an empty one that resets the setting, or why it is ignored. */
export type ParsedTasksMax =
  | { readonly ok: true; readonly value: TasksMax | 'unset' }
  | { readonly ok: false; readonly reason: string };

/** Kernel numbers that bound the number of tasks. */
export interface KernelTaskLimits {
  /** kernel.pid_max */
  readonly pidMax: bigint;
  /** kernel.threads-max */
  readonly threadsMax: bigint;
  /** pids.max of the cgroup systemd has as its root, where there is one (a container). */
  readonly rootPidsMax?: TaskCount;
}

const UINT64_MAX = 2n ** 64n - 1n;
const INT32_MAX = 2n ** 31n - 1n;

/** The most tasks Linux can have: process ids end at PID_MAX_LIMIT (2^22), and 0 is none (systemd's TASKS_MAX). */
const KERNEL_TASKS_MAX = 4_194_303n;

/**
 * Reads the text of a value as this systemd version reads it (`config_parse_tasks_max()` of systemd's
 * load-fragment.c; up to version 238 also logind's `config_parse_user_tasks_max()`). `raw` has no outer white space.
 */
export function parseTasksMax(
  raw: string,
  key: TasksMaxKey,
  capabilities: SystemdCapabilities,
): ParsedTasksMax {
  const syntax = capabilities.syntax[key];
  if (syntax === null)
    return { ok: false, reason: `${key}= does nothing in systemd ${capabilities.version}` };
  if (raw === '') return parseEmpty(syntax);
  if (raw === 'infinity' && syntax.infinity) return { ok: true, value: { kind: 'infinity' } };
  const fraction = parseFraction(raw, syntax);
  if (fraction !== null) return { ok: true, value: fraction };
  const count = parseUint64(raw, syntax);
  if (count === null) return { ok: false, reason: whyRejected(raw, syntax) };
  if (count === 0n) return { ok: false, reason: 'zero is out of range' };
  if (count === UINT64_MAX) return { ok: false, reason: 'out of range; write infinity for no limit' };
  return { ok: true, value: { kind: 'count', count } };
}

function parseEmpty(syntax: ValueSyntax): ParsedTasksMax {
  if (syntax.empty === 'rejected') return { ok: false, reason: 'an empty value is no number' };
  return { ok: true, value: syntax.empty === 'infinity' ? { kind: 'infinity' } : 'unset' };
}

const FINENESS = { none: 0, percent: 1, permille: 2, permyriad: 3 } as const;

/** `33%`, `33.3%`, `333‰` and so on, as a fraction; null for what is no fraction in this syntax. */
function parseFraction(raw: string, syntax: ValueSyntax): TasksMax | null {
  const fineness = FINENESS[syntax.fraction];
  const match = /^(.*?)(?:\.([0-9]{1,2}))?([%‰‱])$/su.exec(raw);
  if (match === null) return null;
  const [, whole = '', decimals = '', sign = ''] = match;
  // ‰ and ‱ are steps of one and two decimals of a percent.
  const scale = sign === '%' ? 0 : sign === '‰' ? 1 : 2;
  if (fineness === 0 || scale + decimals.length > fineness - 1) return null;
  const units = parseInt32(whole, syntax);
  if (units === null) return null;
  const denominator = 100n * 10n ** BigInt(scale + decimals.length);
  const numerator = units * 10n ** BigInt(decimals.length) + BigInt(decimals === '' ? 0 : decimals);
  if (numerator > denominator) return null;
  if (numerator === 0n && !syntax.zeroFraction) return null;
  if (numerator === denominator && !syntax.fullFraction) return null;
  return { kind: 'fraction', ...coarsest(numerator, denominator) };
}

/** The same fraction in whole percent where it has no decimals, so that equal fractions look equal. */
function coarsest(numerator: bigint, denominator: bigint): { numerator: bigint; denominator: bigint } {
  let top = numerator;
  let bottom = denominator;
  while (bottom > 100n && top % 10n === 0n) {
    top /= 10n;
    bottom /= 10n;
  }
  return { numerator: top, denominator: bottom };
}

/**
 * An integer as `strtoull()` with base 0 reads it: white space, a sign, then `0x` hexadecimal, a leading `0` octal, or
 * decimal digits; systemd adds `0b` and `0o`. Null for anything else, or anything after it.
 */
function parseInteger(raw: string, syntax: ValueSyntax): { magnitude: bigint; negative: boolean } | null {
  let text = raw.replace(/^[ \t\n\r]+/, '');
  let base = 0;
  if (syntax.binaryAndOctalPrefix) {
    const prefix = /^0([bo])/i.exec(text)?.[1]?.toLowerCase();
    if (prefix !== undefined) {
      base = prefix === 'b' ? 2 : 8;
      text = text.slice(2);
    }
  }
  const match = /^([ \t\n\v\f\r]*)([+-]?)(0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)$/.exec(text);
  if (match === null) return null;
  const [, , sign, hex, digits = ''] = match;
  if (hex !== undefined) {
    if (base !== 0) return null;
    base = 16;
  } else if (base === 0) {
    base = digits.startsWith('0') ? 8 : 10;
  }
  const allowed =
    base === 2 ? /^[01]+$/ : base === 8 ? /^[0-7]+$/ : base === 10 ? /^[0-9]+$/ : /^[0-9a-fA-F]+$/;
  if (!allowed.test(digits)) return null;
  const prefix = base === 2 ? '0b' : base === 8 ? '0o' : base === 16 ? '0x' : '';
  return { magnitude: BigInt(prefix + digits), negative: sign === '-' };
}

function parseUint64(raw: string, syntax: ValueSyntax): bigint | null {
  const integer = parseInteger(raw, syntax);
  if (integer === null || integer.magnitude > UINT64_MAX) return null;
  if (!integer.negative || integer.magnitude === 0n) return integer.magnitude;
  // systemd looks for the minus where the text starts, after the white space it knows; C skips two kinds more.
  return /^[ \t\n\r]*[\v\f]/.test(raw) ? UINT64_MAX + 1n - integer.magnitude : null;
}

/** The whole part of a fraction: an `int` that is not negative. */
function parseInt32(raw: string, syntax: ValueSyntax): bigint | null {
  const integer = parseInteger(raw, syntax);
  if (integer === null || integer.magnitude > INT32_MAX) return null;
  return integer.negative && integer.magnitude !== 0n ? null : integer.magnitude;
}

function whyRejected(raw: string, syntax: ValueSyntax): string {
  if (/^[0-9]+(?:\.[0-9]+)?\s*[kmgtpe]i?b?$/i.test(raw))
    return 'size suffix: task limits take none in any version';
  if (/^["'].*["']$/s.test(raw)) return 'quotes: they are part of the value';
  if (/^\S+\s+[#;]/.test(raw)) return 'trailing comment: it is part of the value';
  if (/^(?:infinity|max|unlimited)$/i.test(raw)) {
    if (!syntax.infinity) return 'this version knows no word for no limit here';
    return 'the word for no limit is infinity, in lower case';
  }
  if (/[%‰‱]$/u.test(raw)) {
    if (syntax.fraction === 'none') return 'this version takes no fractions here';
    if (/^0+(?:\.0+)?\s*[%‰‱]$/u.test(raw)) return 'zero is out of range';
    return 'no fraction from 0% to 100% in the form this version takes';
  }
  return 'not a number';
}

/** The value as every version that accepts its kind reads it: `4096`, `33%`, `12.5%`, `infinity`. */
export function formatTasksMax(value: TasksMax): string {
  switch (value.kind) {
    case 'count':
      return value.count.toString();
    case 'infinity':
      return 'infinity';
    case 'fraction': {
      const scaled = value.numerator * 10_000n;
      if (scaled % value.denominator !== 0n)
        throw new RangeError('a fraction finer than 1/10000 cannot be written');
      const permyriad = scaled / value.denominator;
      const decimals = (permyriad % 100n).toString().padStart(2, '0').replace(/0+$/, '');
      return `${permyriad / 100n}${decimals === '' ? '' : `.${decimals}`}%`;
    }
  }
}

/**
 * The number of tasks a value allows where fractions are of `base` (`systemTasksMax`); rounded down as systemd's
 * `system_tasks_max_scale()` does.
 */
export function resolveTasksMax(value: TasksMax, base: bigint): TaskCount {
  switch (value.kind) {
    case 'count':
      return value.count;
    case 'infinity':
      return 'infinity';
    case 'fraction':
      return (base * value.numerator) / value.denominator;
  }
}

/** What systemd of this version takes fractions of: `system_tasks_max()` of its limits-util.c (util.c before 239). */
export function systemTasksMax(limits: KernelTaskLimits, capabilities: SystemdCapabilities): bigint {
  const { rootPidsMax = 'infinity' } = limits;
  // Process id 0 is none, so pid_max ids make for one task less.
  const candidates =
    capabilities.fractionBase === 'pid-max' ? [limits.pidMax] : [limits.threadsMax, limits.pidMax - 1n];
  if (rootPidsMax !== 'infinity') candidates.push(rootPidsMax);
  let lowest = KERNEL_TASKS_MAX;
  for (const candidate of candidates) if (candidate > 0n && candidate < lowest) lowest = candidate;
  return lowest;
}

/** The lower of the two. */
export function minTaskCount(a: TaskCount, b: TaskCount): TaskCount {
  return compareTaskCount(a, b) <= 0 ? a : b;
}

/** Negative, zero or positive as `a` allows fewer, as many or more tasks than `b`. */
export function compareTaskCount(a: TaskCount, b: TaskCount): number {
  if (a === b) return 0;
  if (a === 'infinity') return 1;
  if (b === 'infinity') return -1;
  return a < b ? -1 : 1;
}
