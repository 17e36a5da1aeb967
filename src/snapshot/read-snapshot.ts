import { readTemplate } from '../host/template.ts';
import type { HostError, RunResult, Transport } from '../host/transport.ts';
import { parseProbe } from './parse-probe.ts';
import type { Snapshot } from './snapshot.ts';

export type ReadResult =
  | { readonly kind: 'ok'; readonly snapshot: Snapshot }
  | { readonly kind: 'failed'; readonly error: HostError };

export interface ReadOptions {
  /** Hard limit on the whole reading, milliseconds. Default: one minute. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** A user or process to find on the host, for the snapshot's `asked`. */
  readonly asked?: Asked;
}

/** `user` is a name or uid; only letters, digits and `_.@$-` and backslash may be in it. */
export type Asked = { readonly user: string } | { readonly pid: number };

/** The largest output taken from a host, bytes. A host with 300 units and 2,000 cgroups sends 0.7 MB. */
const maxOutputBytes = 64 * 1024 * 1024;
/** What the probe leaves of the time limit, so that its partial result still arrives, milliseconds. */
const reserveMs = 3_000;

/**
 * Reads a host in one round trip. Root is asked for first; where sudo cannot give it, the host is read a second time
 * as the login user and the snapshot's `problems` say so.
 */
export async function readSnapshot(transport: Transport, options: ReadOptions = {}): Promise<ReadResult> {
  const asRoot = await runProbe(transport, options, true);
  if (asRoot.kind === 'exit') return snapshotOf(asRoot, transport.target, null);
  if (!isSudoFailure(asRoot.error)) return { kind: 'failed', error: asRoot.error };
  const asUser = await runProbe(transport, options, false);
  if (asUser.kind === 'failed') return { kind: 'failed', error: asUser.error };
  return snapshotOf(asUser, transport.target, asRoot.error);
}

function runProbe(transport: Transport, options: ReadOptions, asRoot: boolean): Promise<RunResult> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const seconds = Math.max(1, Math.floor((timeoutMs - reserveMs) / 1000));
  return transport.run({
    script: `TASKSCTL_PROBE_SECONDS=${seconds}\n${assignment(options.asked)}${readTemplate('probe.sh')}`,
    asRoot,
    timeoutMs,
    maxOutputBytes,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

function assignment(asked: Asked | undefined): string {
  if (asked === undefined) return '';
  if ('pid' in asked) return `TASKSCTL_PROBE_PID=${asked.pid}\n`;
  if (!/^[A-Za-z0-9_.@$\\-]+$/.test(asked.user)) throw new Error('no user name');
  return `TASKSCTL_PROBE_USER='${asked.user}'\n`;
}

function isSudoFailure({ kind }: HostError): boolean {
  return (
    kind === 'sudo-missing' ||
    kind === 'sudo-denied' ||
    kind === 'sudo-password-needed' ||
    kind === 'sudo-password-wrong'
  );
}

function snapshotOf(
  run: RunResult & { readonly kind: 'exit' },
  target: string,
  notRoot: HostError | null,
): ReadResult {
  const result = parseProbe(run.stdout, target);
  if (result.kind === 'not-a-probe') {
    const message = `${target}: sh there ended with status ${run.code ?? run.signal} and did not run the probe; check that the login shell starts a POSIX sh.`;
    return { kind: 'failed', error: { kind: 'unsupported', target, message } };
  }
  if (notRoot !== null) {
    result.snapshot.problems.unshift({ part: 'probe', reason: 'no-permission', detail: notRoot.message });
  }
  return { kind: 'ok', snapshot: result.snapshot };
}
