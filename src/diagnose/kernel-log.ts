import type { Snapshot } from '../snapshot/snapshot.ts';

/** A line of the kernel about the first fork rejected in a cgroup. */
export interface RejectionLine {
  /** The forking task's cgroup, below systemd's root, as it was then. */
  readonly cgroup: string;
  readonly text: string;
  /** ISO 8601 in UTC, to the second; null where it cannot be told. */
  readonly at: string | null;
}

/**
 * Kernel lines `cgroup: fork rejected by pids controller in PATH` (kernel/cgroup/pids.c; before Linux 4.13 or so
 * without the `cgroup: `). PATH is of the task that forked, not of the limit, and there is one line in a cgroup's
 * life, so that no line proves nothing. In a container the log is the machine's: its lines may be of others.
 */
export function rejectionLines({ kernel, systemd, takenAt }: Snapshot): RejectionLine[] {
  const root = systemd?.controlGroup ?? '';
  const prefix = root === '/' ? '' : root;
  return kernel.log.flatMap((text) => {
    const path = /fork rejected by pids controller in (\/.*?)\s*$/.exec(text)?.[1];
    if (path === undefined || !path.startsWith(prefix)) return [];
    return [
      { cgroup: path.slice(prefix.length) || '/', text, at: timeOf(text, takenAt, kernel.uptimeSeconds) },
    ];
  });
}

function timeOf(text: string, takenAt: string, uptime: number | undefined): string | null {
  const seconds = /^\s*\[\s*([0-9]+\.[0-9]+)\]/.exec(text)?.[1];
  if (seconds === undefined || uptime === undefined) return null;
  const then = Date.parse(takenAt) - (uptime - Number(seconds)) * 1000;
  return Number.isFinite(then) ? new Date(then).toISOString().replace(/\.[0-9]+Z$/, 'Z') : null;
}
