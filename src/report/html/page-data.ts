/**
 * What the page of a report is handed: the report with every text once, and rows of numbers, so that a thousand hosts
 * are a few megabytes. A text is a number, its place in `texts`. -1 stands for what is not known or not there, and -2
 * for infinity; this file is the one place where they mean that.
 */
export interface PageData {
  /** Version of tasksctl that wrote it. */
  readonly version: string;
  readonly texts: readonly string[];
  /** What units of many hosts have in common. */
  readonly shapes: readonly Shape[];
  readonly findings: readonly PageFinding[];
  readonly hosts: readonly PageHost[];
  readonly use: readonly PageUse[];
  readonly plans: readonly PagePlan[];
  readonly runs: readonly PageRun[];
}

/** name, type, depth, by, leftAt, own, source, then every assignment: texts, but depth. */
export type Shape = readonly number[];

/** Numbers of a unit in `PageHost.units`: shape, tasks, peak, limit, left, rejections, used in thousandths. */
export const UNIT_NUMBERS = 7;

export const UNKNOWN = -1;
export const INFINITE = -2;

/** severity (0 error, 1 warning, 2 note), code, message, place, help. */
export type PageFinding = readonly [number, number, number, number, number];

export interface PageHost {
  readonly name: string;
  readonly target: string;
  readonly at: string;
  readonly os: number;
  readonly kernel: number;
  readonly systemd: number;
  readonly cgroup: number;
  readonly tasks: number;
  readonly rejections: number;
  readonly threadsMax: number;
  readonly pidMax: number;
  readonly userDefault: number;
  readonly serviceDefault: number;
  readonly hidden: number;
  readonly units: readonly number[];
  readonly findings: readonly number[];
  readonly problems: readonly number[];
}

/** What was measured on a host. */
export interface PageUse {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Units that are left out of a large report. */
  readonly omitted: number;
  readonly units: readonly PageUnitUse[];
}

export interface PageUnitUse {
  readonly unit: number;
  readonly peak: number;
  readonly rejections: number;
  readonly limit: number;
  /** Tasks from which a bar begins and its share of the time in ten-thousandths, pairs, bars of one width. */
  readonly histogram: readonly number[];
  readonly barWidth: number;
  /** Milliseconds since 1970 of the first point; null: the order of what happened is not known. */
  readonly start: number | null;
  /** Seconds since `start` and tasks, pairs. */
  readonly series: readonly number[];
}

export interface PagePlan {
  /** Hosts that have it. */
  readonly names: readonly string[];
  readonly target: string;
  readonly policy: number;
  readonly changes: readonly {
    readonly title: number;
    readonly from: number;
    readonly to: number;
    readonly reasons: readonly number[];
    readonly summary: number;
    readonly reboot: number;
  }[];
  readonly diffs: readonly number[];
  readonly refused: readonly { readonly title: number; readonly wanted: number; readonly why: number }[];
  readonly unchanged: number;
}

export interface PageRun {
  /** Empty: all hosts of a rollout. */
  readonly host: string;
  readonly run: string;
  /** ISO 8601; empty: not known. */
  readonly at: string;
  /** How long it took, in words, or empty. */
  readonly took: string;
  /** Of what is a part of a rollout: its run, and when it began and ended within that, in thousandths. */
  readonly rollout: string;
  readonly span: readonly [number, number];
  readonly tone: 'good' | 'warn' | 'bad';
  readonly state: number;
  readonly details: readonly number[];
}
