import { z } from 'zod';
import { unitOfCgroup } from '../systemd/unit-name.ts';
import { EMPTY_PROFILE, mergeProfiles } from './merge-profiles.ts';
import type { Profile } from './profile.ts';
import { Recorder } from './recorder.ts';
import type { SamplerEvent } from './sampler-stream.ts';

/** The answer of Prometheus to a range query (`/api/v1/query_range`), or its `data` alone. */
const matrixSchema = z.object({
  resultType: z.literal('matrix'),
  result: z.array(
    z.object({
      metric: z.record(z.string(), z.string()),
      values: z.array(z.tuple([z.number(), z.string()])),
    }),
  ),
});
const answerSchema = z.object({ status: z.literal('success'), data: matrixSchema });

/**
 * The metrics that count tasks, the best of one unit first: systemd_exporter's and node_exporter's per unit, cAdvisor's
 * per cgroup. `container_processes` counts processes and not threads: it is taken where there is nothing better.
 */
const METRICS = [
  /^(?:node_)?systemd_unit_tasks_current$/,
  /^container_threads$/,
  /^container_processes$/,
] as const;

/** Scrapes further apart than so many times the usual step are two windows with a gap between. */
const GAP_STEPS = 5;

interface Series {
  /** A cgroup's path; of metrics that only know the unit, the unit's name after a slash. */
  readonly path: string;
  readonly rank: number;
  readonly values: readonly (readonly [number, string])[];
}

/** Whether a JSON document is an answer of Prometheus. */
export function isPrometheus(document: unknown): boolean {
  return answerSchema.safeParse(document).success || matrixSchema.safeParse(document).success;
}

/**
 * A profile from an answer of Prometheus to a range query of one of `METRICS`, each instance a host. Null where no series
 * of it counts tasks of a unit. There is no boot, no machine id, no rejected fork and no kernel's peak in it.
 */
export function profileOfPrometheus(document: unknown): Profile | null {
  const hosts = instancesOf(document);
  if (hosts.size === 0) return null;
  let profile = EMPTY_PROFILE;
  for (const [hostname, series] of hosts) {
    for (const events of eventsOf(hostname, [...series.values()])) {
      const recorder = new Recorder();
      for (const event of events) recorder.take(event);
      const host = recorder.profile();
      if (host !== null) profile = mergeProfiles(profile, { ...EMPTY_PROFILE, hosts: [host] });
    }
  }
  return profile;
}

/** What was sampled, one list of events for each host and window. */
export function eventsOfPrometheus(document: unknown): SamplerEvent[][] {
  return [...instancesOf(document)].flatMap(([hostname, series]) => eventsOf(hostname, [...series.values()]));
}

/** The series that count tasks of units, by host and unit. */
function instancesOf(document: unknown): Map<string, Map<string, Series>> {
  const answer = answerSchema.safeParse(document);
  const matrix = answer.success ? answer.data.data : matrixSchema.parse(document);
  const hosts = new Map<string, Map<string, Series>>();
  for (const { metric, values } of matrix.result) {
    const rank = METRICS.findIndex((name) => name.test(metric['__name__'] ?? ''));
    const path = rank < 0 ? null : pathOf(metric, rank);
    if (path === null || values.length === 0) continue;
    const hostname =
      metric['nodename'] ?? metric['node'] ?? (metric['instance'] ?? '').replace(/:[0-9]+$/, '');
    const series = hosts.get(hostname) ?? new Map<string, Series>();
    hosts.set(hostname, series);
    const known = series.get(path);
    if (known === undefined || rank < known.rank) series.set(path, { path, rank, values });
  }
  return hosts;
}

function pathOf(metric: Readonly<Record<string, string>>, rank: number): string | null {
  if (rank === 0) return metric['name'] === undefined ? null : `/${metric['name']}`;
  const id = metric['id'];
  return id === undefined || unitOfCgroup(id) === null ? null : id;
}

function eventsOf(hostname: string, series: readonly Series[]): SamplerEvent[][] {
  const byTime = new Map<number, [string, number][]>();
  for (const { path, values } of series) {
    for (const [seconds, text] of values) {
      // NaN: a stale marker.
      const tasks = Number(text);
      if (!Number.isFinite(tasks) || tasks < 0) continue;
      const at = Math.round(seconds * 1000);
      const counts = byTime.get(at);
      if (counts === undefined) byTime.set(at, [[path, Math.round(tasks)]]);
      else counts.push([path, Math.round(tasks)]);
    }
  }
  const times = [...byTime.keys()].sort((a, b) => a - b);
  const step = medianStep(times);
  const windows: SamplerEvent[][] = [];
  let events: SamplerEvent[] = [];
  let there = new Set<string>();
  let last = Number.NEGATIVE_INFINITY;
  for (const at of times) {
    if (at - last > GAP_STEPS * step) {
      events = [hostEvent(hostname, at, step)];
      there = new Set();
      windows.push(events);
    }
    last = at;
    const counts = byTime.get(at) ?? [];
    const now = new Set(counts.map(([path]) => path));
    const gone = [...there].filter((path) => !now.has(path)).map((path) => [path, null] as const);
    events.push({ kind: 'sample', at, changes: [...gone, ...counts], kernelTasks: null });
    there = now;
  }
  return windows;
}

function hostEvent(hostname: string, at: number, step: number): SamplerEvent {
  return {
    kind: 'host',
    facts: {
      hostname,
      machineId: null,
      bootId: null,
      pidMax: null,
      threadsMax: null,
      intervalMs: step,
      clockMs: at,
      bootMs: at,
      pidsRoot: '/',
    },
  };
}

/** The usual time between two samples, milliseconds; a minute where there is only one. */
function medianStep(times: readonly number[]): number {
  const steps = times.slice(1).map((at, i) => at - (times[i] ?? at));
  return steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 60_000;
}
