import type { Fleet } from './fleet-file.ts';
import type { FleetOrder } from './host-plan-file.ts';

/** What a file of the plans of these hosts is to say of them all. */
export function orderOf({
  hosts,
  stages,
  maxUnavailable,
}: Pick<Fleet, 'hosts' | 'stages' | 'maxUnavailable'>): FleetOrder {
  const wanted = new Set(hosts.map(({ name }) => name));
  return {
    schema: 'tasksctl/fleet-order/1',
    stages: stages.map(({ name, hosts, split }) => ({
      name,
      hosts: hosts.filter((host) => wanted.has(host)),
      split: split?.kind === 'until' ? { ...split, amounts: [...split.amounts] } : split,
    })),
    maxUnavailable: maxUnavailable.map(([group, most]) => [group, most]),
  };
}
