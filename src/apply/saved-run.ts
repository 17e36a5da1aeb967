import type { ConnectResult } from '../host/ssh.ts';
import type { HostError, Transport } from '../host/transport.ts';
import { readFrames } from './frames.ts';
import { parseTransaction, type TransactionReport } from './parse-transaction.ts';
import { isRunId, type RunId } from './run-id.ts';

/** Opens a connection of its own each time it is called. */
export type Connect = () => Promise<ConnectResult>;

/** What the program that a run left on its host can be asked to do. */
export type SavedMode = 'confirm' | 'status' | 'rollback' | 'recover now';

/** What a host says of a run's state. */
export interface RunStatus {
  /** A word of the run's state file; empty where there is none. */
  readonly state: string;
  /** `running`: the script is at work; `nobody`: it is not; `absent`: the host knows no such run. */
  readonly by: 'running' | 'nobody' | 'absent';
  /** Seconds until the host restores itself. */
  readonly seconds: number;
}

export type Answer =
  | { readonly kind: 'answer'; readonly status: RunStatus; readonly report: TransactionReport }
  | { readonly kind: 'failed'; readonly error: HostError };

export interface AskOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The report of a run is small; a host that says more than this is not our script. */
export const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;

/**
 * A script that runs the saved program of a run. Where the host has no such run, it says so by a `status` frame:
 * `absent`, or `running` while the run has not come as far as making its directory.
 */
export function savedRunScript(run: RunId, mode: SavedMode): string {
  if (!isRunId(run)) throw new Error(`not a run id: ${JSON.stringify(run)}`);
  return `run=${run}
program=/var/lib/tasksctl/runs/$run/transaction.sh
if [ -f "$program" ]; then
  sh "$program" ${mode} </dev/null
  exit
fi
by=absent
for entry in /run/tasksctl/lock/*; do
  owner=
  [ ! -f "$entry" ] || read -r owner <"$entry"
  pid=\${entry##*/}
  if [ "$owner" = "$run" ] && [ -d "/proc/\${pid%%-*}" ]; then by=running; fi
done
printf '%%tasksctl %s status %s 0 0\\n\\n' "$run" "$by"`;
}

/** Has the saved program of a run do something, over a connection that is open. */
export async function askOver(
  transport: Transport,
  run: RunId,
  mode: SavedMode,
  { timeoutMs, signal }: AskOptions,
): Promise<Answer> {
  const result = await transport.run({
    script: savedRunScript(run, mode),
    asRoot: true,
    timeoutMs: Math.max(1_000, timeoutMs),
    maxOutputBytes: MAX_OUTPUT_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.kind === 'failed') return { kind: 'failed', error: result.error };
  return {
    kind: 'answer',
    status: runStatus(result.stdout, run),
    report: parseTransaction(result.stdout, run),
  };
}

/** The same over a connection of its own. */
export async function ask(
  connect: Connect,
  run: RunId,
  mode: SavedMode,
  options: AskOptions,
): Promise<Answer> {
  const connected = await connect();
  if (!connected.ok) return { kind: 'failed', error: connected.error };
  try {
    return await askOver(connected.transport, run, mode, options);
  } finally {
    await connected.transport.close();
  }
}

/** Reads the `status` frame. A saved program that does something else than tell its status prints none. */
function runStatus(output: Buffer, run: RunId): RunStatus {
  const frame = readFrames(output, run).find(({ kind }) => kind === 'status');
  const [by, seconds = ''] = frame?.args ?? [];
  return {
    state: frame?.payload.toString() ?? '',
    by: by === 'running' || by === 'absent' ? by : 'nobody',
    seconds: Number(seconds) || 0,
  };
}

/** Waits, or less where the signal is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
