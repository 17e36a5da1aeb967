import type { Diagnostic } from '../../systemd/diagnostic.ts';
import type { TaskCount } from '../../systemd/tasks-max.ts';
import type { HostReport, UnitRow } from '../host-report.ts';
import { type HostUse, MOST_POINTS, thin, type UnitUse } from '../host-use.ts';
import type { PlanReport, Report } from '../report.ts';
import { type RunEvent, tookText } from '../run-events.ts';
import { escapeText } from '../terminal-escape.ts';
import {
  INFINITE,
  type PageData,
  type PageFinding,
  type PageHost,
  type PagePlan,
  type PageRun,
  type PageUnitUse,
  type PageUse,
  type Shape,
  UNKNOWN,
} from './page-data.ts';

/** Charts of all hosts together; a fleet's are shared out, so that the page stays small. */
const MOST_CHARTS = 4000;
const FEWEST_OF_A_HOST = 4;
/** Points of all series together, and of one where there are many. */
const MOST_POINTS_OF_ALL = 120_000;
const FEWEST_POINTS = 24;
/** Bars of a histogram. */
const BARS = 32;

const SEVERITY = { error: 0, warning: 1, note: 2 } as const;

/**
 * The report as its page has it. Every text of a host is made visible here (`escapeText`), so that no browser and no
 * copy of it sees controls, invisible characters or ones that turn the direction of what follows.
 */
export function encodePage(report: Report): PageData {
  const texts = new Interned<string>((text) => text);
  const shapes = new Interned<Shape>((shape) => shape.join());
  const findings = new Interned<PageFinding>((finding) => finding.join());
  const add = (text: string | null | undefined): number =>
    text === null || text === undefined ? UNKNOWN : texts.add(escapeText(text));
  const each = Math.max(FEWEST_OF_A_HOST, Math.floor(MOST_CHARTS / Math.max(1, report.use.length)));
  const charts = report.use.reduce((sum, { units }) => sum + Math.min(each, units.length), 0);
  const points = Math.floor(MOST_POINTS_OF_ALL / Math.max(1, charts));
  const most = Math.min(MOST_POINTS, Math.max(FEWEST_POINTS, points));
  return {
    version: report.version,
    hosts: report.hosts.map((host) => encodeHost(host, add, shapes, findings)),
    use: report.use.map((use) => encodeUse(use, { units: each, points: most }, add)),
    plans: report.plans.map((plan) => encodePlan(plan, add, texts)),
    runs: encodeRuns(report.runs, add),
    texts: texts.all,
    shapes: shapes.all,
    findings: findings.all,
  };
}

type Add = (text: string | null | undefined) => number;

/** Values that are kept once, each with its number. */
class Interned<T> {
  readonly all: T[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #key: (value: T) => string;

  constructor(key: (value: T) => string) {
    this.#key = key;
  }

  add(value: T): number {
    const key = this.#key(value);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.all.length);
    return this.all.push(value) - 1;
  }
}

function encodeHost(
  host: HostReport,
  add: Add,
  shapes: Interned<Shape>,
  findings: Interned<PageFinding>,
): PageHost {
  return {
    name: escapeText(host.hostname),
    target: escapeText(host.target),
    at: escapeText(host.takenAt),
    os: add(host.os),
    kernel: add(host.kernel),
    systemd: host.systemdVersion ?? UNKNOWN,
    cgroup: add(host.cgroupMode),
    tasks: host.tasks ?? UNKNOWN,
    rejections: host.rejections,
    threadsMax: host.threadsMax ?? UNKNOWN,
    pidMax: host.pidMax ?? UNKNOWN,
    userDefault: add(host.userDefault),
    serviceDefault: add(host.serviceDefault),
    hidden: host.hidden,
    units: host.rows.flatMap((row) => [shapes.add(shapeOf(row, add)), ...numbersOf(row)]),
    findings: host.diagnostics.map((found) => findings.add(encodeFinding(found, add))),
    problems: host.problems.map(add),
  };
}

function shapeOf(row: UnitRow, add: Add): Shape {
  const { name, type, depth, by, leftAt, own, source, assignments } = row;
  return [add(name), add(type), depth, add(by), add(leftAt), add(own), add(source), ...assignments.map(add)];
}

function numbersOf({ current, peak, limit, left, rejections, used }: UnitRow): number[] {
  return [
    current ?? UNKNOWN,
    peak ?? UNKNOWN,
    encodeCount(limit),
    left === null ? UNKNOWN : encodeCount(left),
    rejections ?? UNKNOWN,
    used === null ? UNKNOWN : thousandths(used),
  ];
}

/** As formatShare() has it: nothing only for nothing, all only for all. */
function thousandths(share: number): number {
  if (share <= 0) return 0;
  return share >= 1 ? 1000 : Math.min(999, Math.max(1, Math.round(share * 1000)));
}

function encodeCount(count: TaskCount): number {
  return count === 'infinity' ? INFINITE : Number(count);
}

function encodeFinding(
  { severity, code, message, file, line, unit, help }: Diagnostic,
  add: Add,
): PageFinding {
  const place = file === undefined ? unit : line === undefined ? file : `${file}:${line}`;
  return [SEVERITY[severity], add(code), add(message), add(place), add(help)];
}

interface Most {
  readonly units: number;
  readonly points: number;
}

function encodeUse({ hostname, from, to, units }: HostUse, most: Most, add: Add): PageUse {
  return {
    name: escapeText(hostname),
    from: escapeText(from),
    to: escapeText(to),
    omitted: Math.max(0, units.length - most.units),
    units: units.slice(0, most.units).map((unit) => encodeUnitUse(unit, most.points, add)),
  };
}

function encodeUnitUse(use: UnitUse, points: number, add: Add): PageUnitUse {
  const { barWidth, histogram } = bars(use);
  const series = thin(use.series, points);
  const start = series[0]?.[0] ?? null;
  return {
    unit: add(use.unit),
    peak: use.peak,
    rejections: use.rejections ?? UNKNOWN,
    limit: use.limit ?? UNKNOWN,
    histogram,
    barWidth,
    start,
    series: start === null ? [] : series.flatMap(([at, tasks]) => [Math.round((at - start) / 1000), tasks]),
  };
}

/** A profile's histogram in at most so many bars of one width, and each bar's share of the time. */
function bars({ histogram, peak }: UnitUse): { barWidth: number; histogram: number[] } {
  const most = Math.max(1, peak, histogram.at(-1)?.[0] ?? 0);
  const barWidth = Math.max(1, Math.ceil((most + 1) / BARS));
  const total = histogram.reduce((sum, [, ms]) => sum + ms, 0);
  const shares = new Map<number, number>();
  for (const [tasks, ms] of histogram) {
    const from = Math.floor(tasks / barWidth) * barWidth;
    shares.set(from, (shares.get(from) ?? 0) + ms / Math.max(1, total));
  }
  return { barWidth, histogram: [...shares].flatMap(([from, share]) => [from, Math.round(share * 10_000)]) };
}

function encodePlan({ plan, diffs, hosts }: PlanReport, add: Add, texts: Interned<string>): PagePlan {
  return {
    names: hosts.map(escapeText),
    target: escapeText(plan.target),
    policy: add(plan.policy.name),
    changes: plan.changes.map(({ title, from, to, reason, activation }) => ({
      title: add(title),
      from: add(`${valueText(from)}, ${from.provenance.text}`),
      to: add(valueText(to)),
      reasons: reason.map(add),
      summary: add(activation.summary),
      reboot: add(`${activation.reboot.needed ? 'needed' : 'not needed'}: ${activation.reboot.note}`),
    })),
    diffs: diffs.map((diff) => texts.add(diff.trimEnd().split('\n').map(escapeText).join('\n'))),
    refused: plan.refused.map(({ title, wanted, diagnostic }) => ({
      title: add(title),
      wanted: add(wanted),
      why: add(diagnostic.message),
    })),
    unchanged: plan.unchanged.length,
  };
}

/** `33%` and what it comes to. */
export function valueText({ text, count }: { readonly text: string; readonly count: string }): string {
  return text === count ? text : `${text} = ${count}`;
}

function encodeRuns(runs: readonly RunEvent[], add: Add): PageRun[] {
  /** When each rollout began and ended, in milliseconds since 1970. */
  const rollouts = new Map<string, [from: number, to: number]>();
  const timeOf = (time: string | null | undefined): number => Date.parse(time ?? '');
  for (const { rollout, since, at } of runs) {
    if (rollout === undefined) continue;
    const known = rollouts.get(rollout) ?? [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const times = [timeOf(since), timeOf(at)].filter((time) => !Number.isNaN(time));
    rollouts.set(rollout, [Math.min(known[0], ...times), Math.max(known[1], ...times)]);
  }
  return runs.map(({ target, run, at, since, rollout, tone, state, details }): PageRun => {
    const [from, to] = rollouts.get(rollout ?? '') ?? [0, 0];
    const within = (time: number): number =>
      to > from && !Number.isNaN(time) ? Math.round(((time - from) / (to - from)) * 1000) : 0;
    const end = within(timeOf(at));
    return {
      host: target === null ? '' : escapeText(target),
      run: escapeText(run),
      at: at === null ? '' : escapeText(at),
      took: at === null || since === undefined ? '' : (tookText(since, at) ?? ''),
      rollout: rollout === undefined ? '' : escapeText(rollout),
      span: [since === undefined ? end : Math.min(end, within(timeOf(since))), end],
      tone,
      state: add(state),
      details: details.map(add),
    };
  });
}
