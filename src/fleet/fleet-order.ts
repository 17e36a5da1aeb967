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
    stages: stages.map((stage) => ({ ...stage, hosts: stage.hosts.filter((name) => wanted.has(name)) })),
    maxUnavailable: maxUnavailable.map(([group, most]) => [group, most]),
  };
}
