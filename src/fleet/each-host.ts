export interface EachHostOptions {
  /** Hosts worked on at once. */
  readonly forks: number;
  /** Of these groups no more than so many hosts at once; `all` is every host. */
  readonly maxUnavailable?: ReadonlyMap<string, number>;
  /** Hosts of a group that are unavailable besides those that are worked on. */
  readonly down?: (group: string) => number;
  /** Asked before each host: true starts no more; what runs is waited for. */
  readonly stop?: () => boolean;
}

/**
 * Does something for each host, several at a time, in their order as far as the bounds let. Ends when all that was
 * started has ended. The task is to turn failures into values: what it throws ends everything, after the others. Gives
 * the hosts that were not begun: it was stopped, or too many of their group are down.
 */
export async function eachHost<H extends { readonly groups: readonly string[] }>(
  hosts: readonly H[],
  { forks, maxUnavailable = new Map(), down = () => 0, stop = () => false }: EachHostOptions,
  task: (host: H) => Promise<void>,
): Promise<readonly H[]> {
  const waiting = [...hosts];
  const busy = new Map<string, number>();
  const running = new Set<Promise<void>>();
  const faults: unknown[] = [];
  const groupsOf = ({ groups }: H): readonly string[] => [...groups, 'all'];
  const nextFree = (): number => {
    // Once for each group and not for each host: there may be thousands of hosts that wait for one group.
    const full = new Set(
      [...maxUnavailable.keys()].filter(
        (group) => (busy.get(group) ?? 0) + down(group) >= (maxUnavailable.get(group) ?? 0),
      ),
    );
    return waiting.findIndex((host) => !groupsOf(host).some((group) => full.has(group)));
  };
  const count = (host: H, by: number): void => {
    for (const group of groupsOf(host)) busy.set(group, (busy.get(group) ?? 0) + by);
  };
  while (waiting.length > 0 && !stop() && faults.length === 0) {
    const next = running.size < forks ? nextFree() : -1;
    const [host] = next < 0 ? [] : waiting.splice(next, 1);
    if (host === undefined) {
      if (running.size === 0) break;
      await Promise.race(running);
      continue;
    }
    count(host, 1);
    const work: Promise<void> = task(host)
      .catch((fault: unknown) => {
        faults.push(fault);
      })
      .finally(() => {
        running.delete(work);
        count(host, -1);
      });
    running.add(work);
  }
  await Promise.all(running);
  if (faults.length > 0) throw faults[0];
  return waiting;
}
