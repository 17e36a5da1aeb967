import type { z } from 'zod';
import { type Snapshot, snapshotSchema } from './snapshot.ts';

export type LoadResult =
  | { readonly ok: true; readonly snapshot: Snapshot }
  | { readonly ok: false; readonly message: string };

/** How many faults of a document a message names; the rest are counted. */
const namedFaults = 3;

/**
 * Reads a saved snapshot: JSON text, checked against the schema in full. A fault is a value whose message names the
 * place in the document (`units[3].tasksMax: ...`).
 */
export function parseSnapshot(text: string): LoadResult {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    return { ok: false, message: `not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  const result = snapshotSchema.safeParse(document);
  if (result.success) return { ok: true, snapshot: result.data };
  const faults = result.error.issues.slice(0, namedFaults).map(describeIssue);
  const more = result.error.issues.length - faults.length;
  return {
    ok: false,
    message: `not a snapshot: ${faults.join('; ')}${more > 0 ? `; and ${more} more` : ''}`,
  };
}

/**
 * A snapshot as text that `parseSnapshot` reads back: keys in the order of the schema, one unit, file, cgroup, session
 * or user on a line, so that two snapshots of one host compare well with a line diff. Ends with a newline.
 *
 * @throws ZodError where `snapshot` does not match the schema, which is a bug of whoever made it.
 */
export function formatSnapshot(snapshot: Snapshot): string {
  return `${formatMembers(snapshotSchema.parse(snapshot), '')}\n`;
}

/** Objects and arrays of objects are spread out down to the elements of arrays, which take one line each. */
function formatMembers(value: object, indent: string): string {
  const inner = `${indent}  `;
  const members = Object.entries(value).map(([key, member]) => {
    const name = `${inner}${JSON.stringify(key)}: `;
    if (Array.isArray(member)) {
      if (member.length === 0) return `${name}[]`;
      const elements = member.map((element) => `${inner}  ${JSON.stringify(element)}`);
      return `${name}[\n${elements.join(',\n')}\n${inner}]`;
    }
    if (typeof member === 'object' && member !== null) return name + formatMembers(member, inner);
    return name + JSON.stringify(member);
  });
  return members.length === 0 ? '{}' : `{\n${members.join(',\n')}\n${indent}}`;
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const place = issue.path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`,
    )
    .join('');
  return `${place === '' ? 'the document' : place}: ${issue.message}`;
}
