import { EMPTY_PROFILE } from './merge-profiles.ts';
import { type Profile, profileSchema } from './profile.ts';
import { eventsOfPrometheus, isPrometheus, profileOfPrometheus } from './prometheus.ts';
import { Recorder } from './recorder.ts';
import { type SamplerEvent, SamplerStream } from './sampler-stream.ts';

export type LoadedProfile =
  | {
      readonly ok: true;
      readonly profile: Profile /** null: a profile has lost the order of what happened. */;
      readonly traces: readonly Trace[] | null;
    }
  | { readonly ok: false; readonly message: string };

/** What was sampled on one host, in order. */
export type Trace = readonly SamplerEvent[];

const MAGIC = 'tasksctl-sampler 1\n';

/**
 * Reads what was measured: a profile, samples that templates/sampler.sh wrote in one run, or the answer of
 * Prometheus to a range query. `message` is one sentence without the file's name.
 */
export function parseProfile(text: string): LoadedProfile {
  if (text.startsWith(MAGIC)) return ofSamples(text);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return { ok: false, message: 'is neither JSON nor samples of the recorder' };
  }
  if (isPrometheus(document)) {
    const profile = profileOfPrometheus(document);
    if (profile !== null) return { ok: true, profile, traces: eventsOfPrometheus(document) };
    const message =
      'has no series that counts tasks of units: query systemd_unit_tasks_current, container_threads or container_processes';
    return { ok: false, message };
  }
  const checked = profileSchema.safeParse(document);
  if (checked.success) return { ok: true, profile: checked.data, traces: null };
  const [issue] = checked.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return { ok: false, message: `is no profile: ${where}${issue?.message ?? 'not valid'}` };
}

/** Samples of one run, which may have been cut off. */
function ofSamples(text: string): LoadedProfile {
  const events = new SamplerStream().push(Buffer.from(text));
  const recorder = new Recorder();
  for (const event of events) recorder.take(event);
  const host = recorder.profile();
  if (host === null) return { ok: false, message: 'has no sample in it' };
  return { ok: true, profile: { ...EMPTY_PROFILE, hosts: [host] }, traces: [events] };
}
