import type { HostError, Transport } from '../host/transport.ts';
import { type Connect, pause } from './saved-run.ts';

export type RebootResult =
  /** The host is up again, has a new boot id, and lets people in. */
  | { readonly kind: 'back'; readonly bootId: string; readonly seconds: number }
  /** It was not asked to reboot, or did not come back in time. */
  | { readonly kind: 'failed'; readonly error: HostError };

export interface RebootOptions {
  readonly connect: Connect;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const RETRY_MS = 1_000;
const ASK_MS = 15_000;

/** Reboots a host and waits until a login finds a new boot id there and systemd at the end of its boot. */
export async function rebootHost(options: RebootOptions): Promise<RebootResult> {
  const started = performance.now();
  const connected = await options.connect();
  if (!connected.ok) return { kind: 'failed', error: connected.error };
  const { transport } = connected;
  let before: string;
  try {
    const asked = await tell(transport, 'cat /proc/sys/kernel/random/boot_id', options.signal);
    if (typeof asked !== 'string') return { kind: 'failed', error: asked };
    before = asked;
    // The answer may be lost with the connection, which says nothing about the reboot.
    await tell(transport, 'systemctl --no-block reboot', options.signal);
  } finally {
    await transport.close();
  }

  const until = started + options.timeoutMs;
  const { target } = transport;
  let error: HostError = { kind: 'timeout', target, message: `${target}: it did not reboot.` };
  while (performance.now() < until && options.signal?.aborted !== true) {
    await pause(RETRY_MS, options.signal);
    const again = await options.connect();
    if (!again.ok) {
      error = again.error;
      continue;
    }
    try {
      // Not --wait, which systemd learnt in 240: asked again instead.
      const script = 'cat /proc/sys/kernel/random/boot_id; systemctl is-system-running || :';
      const asked = await tell(again.transport, script, options.signal);
      if (typeof asked !== 'string') {
        error = asked;
        continue;
      }
      const [bootId = '', state = ''] = asked.split('\n');
      if (bootId !== before && (state === 'running' || state === 'degraded')) {
        return { kind: 'back', bootId, seconds: (performance.now() - started) / 1000 };
      }
    } finally {
      await again.transport.close();
    }
  }
  return { kind: 'failed', error };
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
