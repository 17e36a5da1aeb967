import type { Fleet } from '../fleet/fleet-file.ts';
import type { Policy } from '../plan/policy.ts';
import type { Console } from './console.ts';
import { type Failed, failed } from './failure.ts';
import { besideFile, namedIn } from './inventory.ts';
import { type PlanOptions, readPolicy, TEMPLATE_NAME } from './plan.ts';

/** The policy of a host, by its name in the inventory. */
export type PolicyOf = (host: string) => Policy;

/** By which policies the hosts of a fleet are planned: those of its fleet file, else the one of the command line. */
export async function policiesOf(
  console: Console,
  options: Pick<PlanOptions, 'policy' | 'policyGiven'>,
  { file, policies }: Pick<Fleet, 'file' | 'policies'>,
): Promise<{ readonly kind: 'ok'; readonly policyOf: PolicyOf } | Failed> {
  if (file === null || policies === null) {
    const read = await readPolicy(options, console.io);
    return read.kind === 'failed' ? read : { kind: 'ok', policyOf: () => read.policy };
  }
  if (options.policyGiven === true) {
    return failed({
      kind: 'usage',
      message: `${file} says which policy each host has.`,
      help: 'Leave out --policy, or policies in the fleet file.',
    });
  }
  const byName = new Map<string, Policy>();
  for (const { name, line } of policies.values()) {
    if (byName.has(name)) continue;
    const policy = TEMPLATE_NAME.test(name) ? name : besideFile(file, name);
    const read = await readPolicy({ policy }, console.io);
    if (read.kind === 'failed') return namedIn(file, line, read);
    byName.set(name, read.policy);
  }
  return {
    kind: 'ok',
    policyOf: (host) => {
      const policy = byName.get(policies.get(host)?.name ?? '');
      if (policy === undefined) throw new Error(`no policy for ${host}`);
      return policy;
    },
  };
}
