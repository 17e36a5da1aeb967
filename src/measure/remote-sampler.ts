import { readTemplate } from '../host/template.ts';
import type { HostError, Transport } from '../host/transport.ts';
import { type SamplerEvent, SamplerStream } from './sampler-stream.ts';

export interface RemoteOptions {
  readonly durationMs: number;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: SamplerEvent) => void;
}

/** What a host may take longer than asked, for its start and its last words, milliseconds. */
const GRACE_MS = 60_000;

/**
 * Samples a host by templates/sampler.sh, as the login user: the files are open to all. Gives null when it came to its
 * end; what was sampled before an error counts all the same.
 */
export async function sampleRemote(transport: Transport, options: RemoteOptions): Promise<HostError | null> {
  const { durationMs, intervalMs, signal, onEvent } = options;
  const { target } = transport;
  const stream = new SamplerStream();
  let ended = false;
  const result = await transport.run({
    script: [
      `TASKSCTL_SAMPLE_SECONDS=${Math.ceil(durationMs / 1000)}`,
      `TASKSCTL_SAMPLE_CENTISECONDS=${Math.round(intervalMs / 10)}`,
      readTemplate('sampler.sh'),
    ].join('\n'),
    asRoot: false,
    timeoutMs: durationMs + GRACE_MS,
    maxOutputBytes: 1024 * 1024,
    streamOnly: true,
    signal,
    onStdout: (chunk) => {
      for (const event of stream.push(chunk)) {
        if (event.kind === 'end') ended = true;
        onEvent(event);
      }
    },
  });
  if (result.kind === 'failed') return result.error;
  if (ended) return null;
  const message = stream.malformed
    ? `${target}: the sampler's output could not be read to its end; what came before is kept.`
    : `${target}: the sampler ended early with status ${result.code ?? result.signal}; what it told is kept.`;
  return { kind: 'unsupported', target, message };
}
