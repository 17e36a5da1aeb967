import type { HostError, Transport } from '../host/transport.ts';
import { type Connect, pause } from './saved-run.ts';

export type RebootResult =
  /** The host is up again, has a new boot id, and lets people in. */
  | { readonly kind: 'back'; readonly bootId: string; readonly seconds: number }
  /** It was not asked to reboot, would not, or did not come back in time. */
  | { readonly kind: 'failed'; readonly error: HostError };

export interface RebootOptions {
  readonly connect: Connect;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const RETRY_MS = 1_000;
/** For one question; a host that goes down may leave it unanswered. */
const ASK_MS = 30_000;

const BOOT_ID = 'cat /proc/sys/kernel/random/boot_id';

/** Reboots a host and waits until a login finds a new boot id there and systemd at the end of its boot. */
export async function rebootHost(options: RebootOptions): Promise<RebootResult> {
  const { connect, timeoutMs, signal } = options;
  const started = performance.now();
  const connected = await connect();
  if (!connected.ok) return { kind: 'failed', error: connected.error };
  const { transport } = connected;
  const { target } = transport;
  const failure = (kind: HostError['kind'], what: string): RebootResult => ({
    kind: 'failed',
    error: { kind, target, message: `${target}: ${what}.` },
  });
  let before: string;
  try {
    const asked = await tell(transport, BOOT_ID, signal);
    if (typeof asked !== 'string') return { kind: 'failed', error: asked };
    before = asked;
    // The answer may be lost with the connection, which says nothing about the reboot.
    const said = await tell(transport, 'systemctl --no-block reboot 2>&1 || echo refused', signal);
    if (typeof said === 'string' && /^refused$/m.test(said)) {
      return failure('unsupported', `it would not reboot: ${said.split('\n')[0]}`);
    }
  } finally {
    await transport.close();
  }

  let last: RebootResult = failure('timeout', 'it did not go down');
  while (performance.now() < started + timeoutMs) {
    await pause(RETRY_MS, signal);
    if (signal?.aborted === true) return failure('aborted', 'interrupted while it reboots');
    const again = await connect();
    if (!again.ok) {
      last = { kind: 'failed', error: again.error };
      continue;
    }
    try {
      // Not --wait, which systemd learnt in 240: asked again instead.
      const asked = await tell(again.transport, `${BOOT_ID}; systemctl is-system-running || :`, signal);
      if (typeof asked !== 'string') {
        last = { kind: 'failed', error: asked };
        continue;
      }
      const [bootId = '', state = ''] = asked.split('\n');
      if (bootId !== before && (state === 'running' || state === 'degraded')) {
        return { kind: 'back', bootId, seconds: (performance.now() - started) / 1000 };
      }
      last = failure(
        'timeout',
        bootId === before ? 'it did not go down' : `it rebooted, but its boot does not end (${state})`,
      );
    } finally {
      await again.transport.close();
    }
  }
  return last;
}

async function tell(
  transport: Transport,
  script: string,
  signal: AbortSignal | undefined,
): Promise<string | HostError> {
  const result = await transport.run({
    script,
    asRoot: true,
    timeoutMs: ASK_MS,
    maxOutputBytes: 64 * 1024,
    ...(signal === undefined ? {} : { signal }),
  });
  return result.kind === 'failed' ? result.error : result.stdout.toString().trim();
}
