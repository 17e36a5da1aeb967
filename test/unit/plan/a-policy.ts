import { type Policy, parsePolicy } from '../../../src/plan/policy.ts';

/** The policy that these lines are, below its head. */
export function aPolicy(lines: string): Policy {
  const parsed = parsePolicy(`schema: tasksctl/policy/1\nname: test\n${lines}\n`, 'test.yaml');
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.policy;
}
