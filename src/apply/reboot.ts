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
  /**
   * The boot the reboot is to end, where that is known: by somebody who may have asked for it already and is gone. A host
   * that is down is waited for then, and one that has another boot id is not rebooted again.
   */
  readonly before?: string | undefined;
  readonly signal?: AbortSignal;
}

/** What a host may take to boot. */
export const REBOOT_TIMEOUT_MS = 10 * 60_000;
/** A host that is down answers nothing: to try again is quicker than to wait. */
export const REBOOT_CONNECT_SECONDS = 20;

const RETRY_MS = 1_000;
/** For one question; a host that goes down may leave it unanswered. */
const ASK_MS = 30_000;

/** Not --wait, which systemd learnt in 240: asked again instead. */
const STATE = 'cat /proc/sys/kernel/random/boot_id; systemctl is-system-running || :';

/** Reboots a host and waits until a login finds a new boot id there and systemd at the end of its boot. */
export async function rebootHost(options: RebootOptions): Promise<RebootResult> {
  const { connect, timeoutMs, signal } = options;
  const started = performance.now();
  const failure = (target: string, kind: HostError['kind'], what: string): RebootResult => ({
    kind: 'failed',
    error: { kind, target, message: `${target}: ${what}.` },
  });
  let { before } = options;
  let asked = false;
  for (;;) {
    let last: RebootResult;
    const connected = await connect();
    if (!connected.ok) {
      last = { kind: 'failed', error: connected.error };
      if (before === undefined) return last;
    } else {
      const { transport } = connected;
      const { target } = transport;
      try {
        const said = await tell(transport, STATE, signal);
        if (typeof said !== 'string') {
          last = { kind: 'failed', error: said };
          if (before === undefined) return last;
        } else {
          const [bootId = '', state = ''] = said.split('\n');
          before ??= bootId;
          if (bootId !== before && (state === 'running' || state === 'degraded')) {
            return { kind: 'back', bootId, seconds: (performance.now() - started) / 1000 };
          }
          if (bootId === before && state !== 'stopping' && !asked) {
            asked = true;
            // The answer may be lost with the connection, which says nothing about the reboot.
            const answer = await tell(transport, 'systemctl --no-block reboot 2>&1 || echo refused', signal);
            // Somebody else may have asked a moment ago.
            if (typeof answer === 'string' && /^refused$/m.test(answer) && !/in progress/i.test(answer)) {
              return failure(target, 'unsupported', `it would not reboot: ${answer.split('\n')[0]}`);
            }
          }
          last = failure(
            target,
            'timeout',
            bootId === before ? 'it did not go down' : `it rebooted, but its boot does not end (${state})`,
          );
        }
      } finally {
        await transport.close();
      }
    }
    if (performance.now() >= started + timeoutMs) return last;
    await pause(RETRY_MS, signal);
    const { target } = last.kind === 'failed' ? last.error : { target: '' };
    if (signal?.aborted === true) return failure(target, 'aborted', 'interrupted while it reboots');
  }
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
