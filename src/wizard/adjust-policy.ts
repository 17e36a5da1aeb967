import { isMap, isNode, parseDocument } from 'yaml';
import type { PlanLimit } from '../plan/plan.ts';
import { type Policy, parsePolicy } from '../plan/policy.ts';

/** A limit the operator has fixed: `576`, `33%` or `infinity`. */
export interface Adjustment {
  readonly limit: PlanLimit;
  readonly value: string;
}

export type Adjusted =
  | { readonly ok: true; readonly text: string; readonly policy: Policy }
  | { readonly ok: false; readonly problem: string };

/** The text of a policy in which these limits are fixed, whatever it says of them; that text itself where there are none. */
export function adjustPolicy(text: string, adjustments: readonly Adjustment[]): Adjusted {
  let adjusted = text;
  if (adjustments.length > 0) {
    const document = parseDocument(text);
    document.set('name', `${String(document.get('name')).slice(0, 54)}-adjusted`);
    document.set('description', 'Made by tasksctl wizard.');
    // What the template says of itself, with a path that is not right where this file will be.
    if (isMap(document.contents)) {
      const key = document.contents.items[0]?.key;
      if (isNode(key)) key.commentBefore = null;
      document.contents.commentBefore = null;
    }
    document.commentBefore = null;
    for (const { limit, value } of adjustments) {
      const path = pathOf(limit);
      if (path === null) return { ok: false, problem: 'No policy can set this limit.' };
      document.setIn(path, document.createNode({ value: /^[0-9]+$/.test(value) ? Number(value) : value }));
    }
    adjusted = document.toString({ lineWidth: 0 });
  }
  const parsed = parsePolicy(adjusted, 'the policy');
  if (parsed.ok) return { ok: true, text: adjusted, policy: parsed.policy };
  return { ok: false, problem: parsed.problems.map(({ message }) => `${message}.`).join(' ') };
}

/** Where in a policy the rule for a limit is; null: it has none for such. */
function pathOf(limit: PlanLimit): readonly string[] | null {
  switch (limit.kind) {
    case 'unit':
      return ['units', limit.unit];
    case 'user-default':
      return ['user-default'];
    case 'manager-default':
      return limit.manager === 'system' ? ['service-default'] : null;
    case 'sysctl':
      return ['kernel', limit.name.replace('kernel.', '')];
    case 'cgroup':
    case 'recorder':
      return null;
  }
}
