import type { HostError, Transport } from '../host/transport.ts';
import { collectSamples } from '../measure/collect-samples.ts';
import { sampleLocal } from '../measure/local-sampler.ts';
import { EMPTY_PROFILE, mergeProfiles } from '../measure/merge-profiles.ts';
import type { Profile } from '../measure/profile.ts';
import { Recorder } from '../measure/recorder.ts';
import { sampleRemote } from '../measure/remote-sampler.ts';
import type { LiveHost } from '../report/measure-live.ts';
import { measureText } from '../report/measure-text.ts';
import { escapeJson, escapeText, safe } from '../report/terminal-escape.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { type Failure, failed, type Outcome } from './failure.ts';
import { hostsOf } from './inventory.ts';
import { type Followed, LiveView } from './live-view.ts';
import type { HostOptions, HostsOptions, InventoryOptions, OutputOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { writeResult } from './write-file.ts';

/** What is sampled, where and for how long. */
export interface Sampling extends HostsOptions, OutputOptions {
  /** Milliseconds. */
  readonly duration: number;
  readonly interval: number;
  readonly collect?: true;
}

export interface MeasureOptions extends Sampling, InventoryOptions {
  readonly out?: string;
}

interface Measurement extends Followed {
  error: Failure | null;
  /** What the recorder there had written. */
  collected: Profile;
}

/** `tasksctl measure` */
export async function measure(console: Console, options: MeasureOptions): Promise<Outcome> {
  if (options.interval > options.duration) {
    return failed({ kind: 'usage', message: 'The interval is longer than the whole measurement.' });
  }
  const fleet =
    options.inventory === undefined
      ? null
      : await hostsOf(console, { ...options, inventory: options.inventory });
  if (fleet?.kind === 'failed') return fleet;
  const named = fleet?.hosts.map(({ target }) => target) ?? options.target ?? ['local'];
  const { measurements, profile } = await measureHosts(console, { ...options, target: named }, 'keeps');
  return result(console, options, measurements, profile);
}

/** Measures, with the live view. `interrupt`: what the view says of Ctrl-C. */
export async function measureHosts(
  console: Console,
  options: Sampling,
  interrupt: LiveHost['interrupt'],
): Promise<{ readonly measurements: readonly Measurement[]; readonly profile: Profile }> {
  const targets = [...new Set(options.target ?? ['local'])];
  const measurements = targets.map(
    (target): Measurement => ({
      target,
      recorder: new Recorder(),
      state: 'connecting',
      endsAt: 0,
      error: null,
      collected: EMPTY_PROFILE,
    }),
  );
  // A password may be asked for until all are connected; nothing may be drawn over the question.
  const progress = console.progress(safe`Connecting`);
  const view = new LiveView(console, measurements, interrupt);
  const connected = (): void => {
    if (measurements.some(({ state }) => state === 'connecting')) return;
    progress.pause();
    view.start();
  };
  try {
    await Promise.all(
      measurements.map((measurement) => measureHost(console, options, measurement, progress, connected)),
    );
  } finally {
    progress.pause();
    view.stop();
  }
  let profile: Profile = EMPTY_PROFILE;
  for (const { recorder, collected } of measurements) {
    profile = mergeProfiles(profile, collected);
    const host = recorder.profile();
    if (host !== null) profile = mergeProfiles(profile, { ...EMPTY_PROFILE, hosts: [host] });
  }
  return { measurements, profile };
}

async function measureHost(
  console: Console,
  options: Sampling,
  measurement: Measurement,
  progress: Progress,
  connected: () => void,
): Promise<void> {
  const { signal } = console.io;
  const { target, recorder } = measurement;
  const { duration: durationMs, interval: intervalMs } = options;
  const sampling = {
    durationMs,
    intervalMs,
    signal,
    onEvent: recorder.take.bind(recorder),
  };
  const begin = (): void => {
    measurement.state = 'measuring';
    measurement.endsAt = performance.now() + durationMs;
    connected();
  };
  if (target === 'local' && options.collect !== true) {
    begin();
    await sampleLocal(sampling);
  } else {
    const host: HostOptions = { ...options, target };
    const made = await connector(console, host, progress, signal)();
    if (!made.ok) {
      measurement.error = made.error;
    } else {
      try {
        if (options.collect === true) {
          await collect(console, options, measurement, made.transport);
          return;
        }
        begin();
        measurement.error = await sampleRemote(made.transport, sampling);
      } finally {
        await made.transport.close();
      }
    }
  }
  if (measurement.error === null && recorder.samples === 0 && !signal.aborted) {
    measurement.error = noPids(target);
  }
  measurement.state = measurement.error === null ? 'done' : 'failed';
  connected();
}

/** Fetches what the recorder on a host has written. */
async function collect(
  console: Console,
  options: Sampling,
  measurement: Measurement,
  transport: Transport,
): Promise<void> {
  const { signal } = console.io;
  const collected = await collectSamples(transport, { timeoutMs: options.timeout * 1000, signal });
  if (collected.kind === 'failed') {
    measurement.error = collected.error;
    measurement.state = 'failed';
    return;
  }
  measurement.collected = collected.profile;
  measurement.state = 'done';
  for (const problem of collected.problems) await console.notice('warning', escapeText(problem));
}

function noPids(target: string): HostError {
  const message = `${target}: no task was counted: the kernel has no pids controller, or it is disabled or not mounted.`;
  return { kind: 'unsupported', target, message };
}

async function result(
  console: Console,
  options: MeasureOptions,
  measurements: readonly Measurement[],
  profile: Profile,
): Promise<Outcome> {
  const { aborted } = console.io.signal;
  const failures = measurements.flatMap(({ error }) => (error === null || aborted ? [] : [error]));
  const [first] = failures;
  if (profile.hosts.length === 0) {
    if (first !== undefined && failures.length === 1) return failed(first);
    for (const failure of failures) await console.failure(failure);
    const message = aborted ? 'Interrupted before the first sample.' : 'No host could be measured.';
    return failed({ kind: aborted ? 'aborted' : (first?.kind ?? 'unsupported'), message });
  }
  for (const failure of failures) await console.failure(failure);
  const code = aborted ? EXIT.interrupted : failures.length > 0 ? EXIT.someHostsFailed : EXIT.done;
  if (options.out !== undefined) {
    // Compact: what is indented is three times as large.
    const failure = await writeResult(options.out, escapeJson(`${JSON.stringify(profile)}\n`));
    if (failure !== null) return failed(failure);
  }
  if (console.json) return console.document(profile, code);
  const outcome = await console.result(measureText(profile, console.style), code);
  if (options.out === undefined)
    await console.notice('note', safe`nothing was saved; --out FILE saves the profile`);
  return outcome;
}
