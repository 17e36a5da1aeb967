import { eachHost } from '../fleet/each-host.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { readSnapshot } from '../snapshot/read-snapshot.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import type { Failure } from './failure.ts';
import type { FleetOptions } from './options.ts';
import type { Progress } from './progress.ts';

/** A host that is not in the result, and why. */
export interface LostHost {
  readonly host: InventoryHost;
  readonly failure: Failure;
}

/**
 * Reads hosts, several at a time, and hands each snapshot on as it comes; none is kept. Hosts that cannot be read are
 * told at once and do not stop the others. What `take` gives back is why a host that was read is lost all the same.
 */
export async function readFleet(
  console: Console,
  hosts: readonly InventoryHost[],
  options: FleetOptions,
  take: (host: InventoryHost, snapshot: Snapshot) => Promise<Failure | null>,
): Promise<readonly LostHost[]> {
  const { signal } = console.io;
  const lost: LostHost[] = [];
  let ended = 0;
  const progress = console.progress(() => safe`Reading: ${ended} of ${hosts.length} hosts`);
  const lose = async (host: InventoryHost, failure: Failure): Promise<void> => {
    lost.push({ host, failure });
    if (signal.aborted) return;
    const name = console.errorStyle.red(escapeText(host.name));
    // Most messages begin with the target, which often is the name.
    const told = failure.message.startsWith(`${host.name}: `)
      ? failure.message.slice(host.name.length + 2)
      : failure.message;
    await console.aside(safe`${name}: ${escapeText(told)}\n`);
  };
  try {
    await eachHost(hosts, { forks: options.forks, stop: () => signal.aborted }, async (host) => {
      const read = await readOne(console, host, options, progress);
      const failure = 'failure' in read ? read.failure : await take(host, read.snapshot);
      if (failure !== null) await lose(host, failure);
      ended++;
    });
  } finally {
    progress.pause();
  }
  return lost.sort((a, b) => hosts.indexOf(a.host) - hosts.indexOf(b.host));
}

async function readOne(
  console: Console,
  host: InventoryHost,
  options: FleetOptions,
  progress: Progress,
): Promise<{ readonly snapshot: Snapshot } | { readonly failure: Failure }> {
  const { signal } = console.io;
  const connected = await connector(console, { ...options, target: host.target }, progress, signal)();
  if (!connected.ok) return { failure: connected.error };
  try {
    const read = await readSnapshot(connected.transport, { timeoutMs: options.timeout * 1000, signal });
    return read.kind === 'ok' ? { snapshot: read.snapshot } : { failure: read.error };
  } finally {
    await connected.transport.close();
  }
}
