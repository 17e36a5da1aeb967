import type { Console } from './console.ts';
import type { Outcome } from './failure.ts';
import type { InventoryOptions, OutputOptions, SourceOptions } from './options.ts';
import { readSource } from './read-source.ts';

export interface StatusOptions extends SourceOptions, InventoryOptions, OutputOptions {
  readonly unit?: readonly string[];
  /** A share, 0 to 1. */
  readonly over?: number;
  readonly all?: true;
  readonly tree?: true;
  readonly explain?: string;
}

/** `tasksctl status` */
export async function status(console: Console, options: StatusOptions): Promise<Outcome> {
  const filter = { all: options.all === true, globs: options.unit ?? [], over: options.over ?? null };
  const { inventory } = options;
  if (inventory !== undefined) {
    const { fleetStatus } = await import('./fleet-read.ts');
    return fleetStatus(console, { ...options, inventory }, filter);
  }
  const source = await readSource(console, options, { meanwhile: () => import('./show-status.ts') });
  if (source.kind === 'failed') return source;
  const { showStatus } = await import('./show-status.ts');
  return showStatus(console, source.snapshot, options, filter);
}
