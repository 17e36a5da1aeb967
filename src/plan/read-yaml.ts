import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type YAMLError,
} from 'yaml';
import type { z } from 'zod';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { nearestName } from './nearest-name.ts';

/** Larger texts are nothing that anybody wrote. */
const MAX_CHARS = 1024 * 1024;

/** A kind of YAML file that operators write: a policy, a fleet file. */
export interface YamlKind<T> {
  /** `policy`, for messages. */
  readonly what: string;
  readonly schema: z.ZodType<T>;
  /** The keys there are at a place, to help with one that is not. */
  readonly knownKeys: (path: readonly PropertyKey[]) => readonly string[];
  /** What the schema cannot say. Looks at the raw content, so that nothing hides behind a mistake elsewhere. */
  readonly contradictions: (content: unknown) => readonly Finding[];
}

/** What is wrong with such a file, and where. `line` and `column` start at 1. */
export type YamlProblem = Diagnostic & { readonly column?: number };

export type YamlResult<T> =
  | {
      readonly ok: true;
      readonly data: T;
      /** Where in the text a place of the content is. */
      readonly lineOf: (path: readonly PropertyKey[]) => number;
    }
  | { readonly ok: false; readonly problems: readonly YamlProblem[] };

/** Reads such a file; `file` is its name for messages. All problems are found at once, in the order of the text. */
export function readYaml<T>(text: string, file: string, kind: YamlKind<T>): YamlResult<T> {
  const { what, schema, contradictions } = kind;
  if (text.length > MAX_CHARS) {
    const message = `The ${what} has ${text.length} characters; the limit is ${MAX_CHARS}.`;
    return { ok: false, problems: [{ code: 'policy-too-large', severity: 'error', message, file }] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Else the library prints warnings of its own.
    logLevel: 'error',
  });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col };
  };
  const problems = [...document.errors, ...document.warnings].map((error) => yamlProblem(error, at));
  // A tree with syntax errors says little about what was meant; double keys alone leave it whole.
  if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) return { ok: false, problems };

  const content = plainContent(document);
  if (!content.ok) {
    const message = `The ${what} cannot be read: ${content.reason}.`;
    return {
      ok: false,
      problems: [...problems, { code: 'policy-syntax', severity: 'error', message, file }],
    };
  }
  const checked = schema.safeParse(content.value);
  const issues = [
    ...(checked.error?.issues ?? []).flatMap((issue) => findingsOf(issue, content.value, kind)),
    ...contradictions(content.value),
  ];
  for (const { path, onKey, ...finding } of issues) {
    problems.push({ severity: 'error', ...finding, ...at(offsetOf(document, path, onKey)) });
  }
  if (!checked.success || problems.length > 0) return { ok: false, problems: problems.sort(byPlace) };
  const lineOf = (path: readonly PropertyKey[]) => at(offsetOf(document, path, false)).line;
  return { ok: true, data: checked.data, lineOf };
}

type Place = { readonly file: string; readonly line: number; readonly column: number };

function yamlProblem(error: YAMLError, at: (offset: number) => Place): YamlProblem {
  const code = error.code === 'DUPLICATE_KEY' ? 'policy-duplicate-key' : 'policy-syntax';
  const message =
    error.code === 'DUPLICATE_KEY' ? 'This key is there twice; which one counts?' : error.message;
  return { code, severity: 'error', message, ...at(error.pos[0]) };
}

function plainContent(document: Document): { ok: true; value: unknown } | { ok: false; reason: string } {
  try {
    // The limit on aliases stops a small text that stands for a huge one.
    return { ok: true, value: document.toJS({ maxAliasCount: 100 }) };
  } catch (error) {
    if (error instanceof ReferenceError) return { ok: false, reason: error.message };
    throw error;
  }
}

/** Something wrong with the content at `path`: with the key itself, or with what it holds. */
export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly help?: string;
  readonly path: readonly PropertyKey[];
  readonly onKey: boolean;
}

function findingsOf(
  issue: z.core.$ZodIssue,
  content: unknown,
  kind: Pick<YamlKind<unknown>, 'what' | 'knownKeys'>,
): Finding[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key, kind));
  const where = path.length === 0 ? `The ${kind.what}` : path.join('.');
  if (path.length > 0 && isMissing(content, path)) {
    const message = `${where} is missing`;
    return [{ code: 'policy-missing-key', message, path: path.slice(0, -1), onKey: false }];
  }
  const message = `${where} ${readable(issue)}`;
  return [{ code: 'policy-value', message, path, onKey: false }];
}

function isMissing(content: unknown, path: readonly PropertyKey[]): boolean {
  let at = content;
  for (const step of path) at = isRecord(at) || Array.isArray(at) ? Reflect.get(at, step) : undefined;
  return at === undefined;
}

function readable(issue: z.core.$ZodIssue): string {
  if (issue.message.startsWith('must ')) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${issue.expected === 'object' || issue.expected === 'record' ? 'a map of keys and values' : `a ${issue.expected}`}`;
    case 'too_small':
      return `must be at least ${issue.minimum}`;
    case 'too_big':
      return `must be at most ${issue.maximum}`;
    default:
      return `is not valid: ${issue.message}`;
  }
}

function unknownKey(
  path: readonly PropertyKey[],
  key: string,
  { what, knownKeys }: Pick<YamlKind<unknown>, 'what' | 'knownKeys'>,
): Finding {
  const known = knownKeys(path);
  const near = nearestName(key, known);
  return {
    code: 'policy-unknown-key',
    message: `${[...path, key].join('.')} is no key of a ${what}`,
    help: near === null ? `There are: ${known.join(', ')}.` : `Did you mean "${near}"?`,
    path: [...path, key],
    onKey: true,
  };
}

/** A map of keys and values. */
export function isRecord(thing: unknown): thing is Record<string, unknown> {
  return typeof thing === 'object' && thing !== null && !Array.isArray(thing);
}

/** Where in the text a place of the content is; the nearest thing around it where it is not there itself. */
function offsetOf(document: Document, path: readonly PropertyKey[], onKey: boolean): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [depth, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isSeq(node)) {
      node = node.items[Number(step)];
    } else if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === step);
      const found = onKey && depth === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key);
      if (pair === undefined || !isNode(found)) return offset;
      node = found;
    } else {
      return offset;
    }
    if (isNode(node)) offset = node.range?.[0] ?? offset;
  }
  return offset;
}

function byPlace(a: YamlProblem, b: YamlProblem): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
}
