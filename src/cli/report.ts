import packageJson from '../../package.json' with { type: 'json' };
import { runRecordSchema } from '../apply/run-record.ts';
import { hostPlanSchema, PlanGroups } from '../fleet/host-plan.ts';
import { fleetOrderSchema } from '../fleet/host-plan-file.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import { parseJournal } from '../fleet/journal.ts';
import { parseProfile, type Trace } from '../measure/load-profile.ts';
import { EMPTY_PROFILE, mergeProfiles } from '../measure/merge-profiles.ts';
import { fileDiff } from '../plan/file-diff.ts';
import { type Plan, planSchema } from '../plan/plan.ts';
import { applySchema, rollbackSchema, runsSchema, verifySchema } from '../report/apply-json.ts';
import { plural } from '../report/diagnostic-text.ts';
import { type HostReport, hostReport } from '../report/host-report.ts';
import { hostUses } from '../report/host-use.ts';
import { htmlReport } from '../report/html/html-report.ts';
import { junitReport } from '../report/junit-report.ts';
import { markdownReport } from '../report/markdown-report.ts';
import { prometheusReport } from '../report/prometheus-report.ts';
import type { PlanReport, Report } from '../report/report.ts';
import { fleetPlanSchema, rolloutSchema } from '../report/rollout-json.ts';
import { type RunDocument, runEvents } from '../report/run-events.ts';
import { sarifReport } from '../report/sarif-report.ts';
import { escapeText, join, type SafeText, safe } from '../report/terminal-escape.ts';
import { hostLimits } from '../snapshot/limits.ts';
import { parseSnapshot } from '../snapshot/load-snapshot.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { type Failed, failed, type Outcome } from './failure.ts';
import type { HostsOptions, InventoryOptions, OutputOptions } from './options.ts';
import { readText } from './read-file.ts';
import { notePartialData } from './read-source.ts';
import { reportPage } from './report-page.ts';
import { writeResult } from './write-file.ts';

export interface ReportOptions extends HostsOptions, InventoryOptions, OutputOptions {
  readonly files: readonly string[];
  readonly html?: string;
  readonly markdown?: string;
  readonly junit?: string;
  readonly sarif?: string;
  readonly prometheus?: string;
}

const FORMATS = ['html', 'markdown', 'junit', 'sarif', 'prometheus'] as const;

/** `tasksctl report` */
export async function report(console: Console, options: ReportOptions): Promise<Outcome> {
  const wanted = FORMATS.flatMap((format) => {
    const path = options[format];
    return path === undefined ? [] : [{ format, path }];
  });
  if (wanted.length === 0) {
    return failed({
      kind: 'usage',
      message: 'No kind of report is asked for.',
      help: 'Say where it goes: --html FILE, --markdown FILE, --junit FILE, --sarif FILE or --prometheus FILE.',
    });
  }
  if (wanted.filter(({ path }) => path === '-').length > 1) {
    return failed({ kind: 'usage', message: 'Only one report can go to standard output.' });
  }
  const collected = new Collected();
  for (const path of options.files) {
    const failure = await collected.file(path, console);
    if (failure !== null) return failure;
  }
  const named = await hostsToRead(console, options);
  if (named.kind === 'failed') return named;
  let lost = 0;
  const take = async (snapshot: Snapshot): Promise<void> => {
    await notePartialData(console, snapshot);
    collected.snapshot(snapshot);
  };
  const { hosts } = named;
  const [only] = hosts;
  // SSH is the largest part of the program; files need none of it.
  if (hosts.length === 1 && only !== undefined) {
    const { readHost } = await import('./read-host.ts');
    const read = await readHost(console, { ...options, target: only.target });
    if (read.kind === 'failed') return read;
    await take(read.snapshot);
  } else if (hosts.length > 1) {
    const { readFleet } = await import('./read-fleet.ts');
    const fleet = { ...options, inventory: options.inventory ?? [] };
    const missing = await readFleet(console, hosts, fleet, async (_, snapshot) => {
      await take(snapshot);
      return null;
    });
    if (console.io.signal.aborted) return failed({ kind: 'aborted', message: 'Interrupted.' });
    lost = missing.length;
  }
  const made = collected.report();
  if (options.prometheus !== undefined && made.hosts.length !== 1) {
    return failed({
      kind: 'usage',
      message: `--prometheus tells of one host, since its labels name none; there are ${made.hosts.length} here.`,
      help: 'Run it on each host, or for each with a file of its own.',
    });
  }
  const written: SafeText[] = [];
  for (const { format, path } of wanted) {
    const text = await render(format, made);
    // What a report says of hosts is escaped as its format needs it.
    if (path === '-') return console.result(text as SafeText, lost > 0 ? EXIT.someHostsFailed : EXIT.done);
    const failure = await writeResult(path, text);
    if (failure !== null) return failed(failure);
    written.push(escapeText(path));
  }
  await console.notice('note', safe`${summary(made)}: ${join(written, safe`, `)}`);
  return { kind: 'exit', code: lost > 0 ? EXIT.someHostsFailed : EXIT.done };
}

type Named = { readonly kind: 'ok'; readonly hosts: readonly InventoryHost[] } | Failed;

/** Those of the inventories, or the targets; without either and without files this machine. */
async function hostsToRead(console: Console, options: ReportOptions): Promise<Named> {
  const { inventory, target } = options;
  if (inventory !== undefined) {
    const { hostsOf } = await import('./inventory.ts');
    return hostsOf(console, { ...options, inventory });
  }
  const targets = target ?? (options.files.length === 0 ? ['local'] : []);
  return { kind: 'ok', hosts: targets.map((name) => ({ name, target: name, groups: [] })) };
}

async function render(format: (typeof FORMATS)[number], made: Report): Promise<string> {
  switch (format) {
    case 'html':
      return htmlReport(made, await reportPage());
    case 'markdown':
      return markdownReport(made);
    case 'junit':
      return junitReport(made);
    case 'sarif':
      return sarifReport(made);
    case 'prometheus':
      return made.hosts.map(prometheusReport).join('');
  }
}

function summary({ hosts, use, plans, runs }: Report): SafeText {
  const parts = [
    [hosts.length, 'host'],
    [use.length, 'profile'],
    [plans.length, 'plan'],
    [runs.length, 'run'],
  ] as const;
  const told = parts.flatMap(([count, noun]) => (count === 0 ? [] : [plural(count, noun)]));
  return told.length === 0 ? safe`Nothing to tell` : join(told, safe`, `);
}

const RUN_SCHEMAS = [runRecordSchema, applySchema, runsSchema, rollbackSchema, verifySchema, rolloutSchema];

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function schemaOf(document: unknown): unknown {
  return (document as { readonly schema?: unknown } | null | undefined)?.schema;
}

/** What was read so far. Of snapshots only what a report needs is kept: those of a large fleet would fill the memory. */
class Collected {
  readonly #hosts = new Map<string, HostReport>();
  readonly #plans: PlanReport[] = [];
  readonly #runs: RunDocument[] = [];
  readonly #traces: Trace[] = [];
  #profile = EMPTY_PROFILE;

  /** Takes a file for what its `schema` says it is. */
  async file(path: string, console: Console): Promise<Failed | null> {
    const file = await readText(path, console.io);
    if (!file.ok) return failed(file.failure);
    const missing: string[] = [];
    const fault = this.#file(file.text, missing);
    for (const host of missing) await console.notice('warning', escapeText(`${file.name}: ${host}`));
    if (fault === null) return null;
    return failed({
      kind: 'input-invalid',
      message: `${file.name}: ${fault}`,
      help: 'A report is made of snapshots, plans, profiles, journals of rollouts, and what apply, plan, rollback, rollout, runs and verify print with --json.',
    });
  }

  snapshot(snapshot: Snapshot): void {
    const host = hostReport(snapshot, hostLimits(snapshot));
    // Clones may share their machine id.
    const key = JSON.stringify([host.machineId, host.hostname]);
    const known = this.#hosts.get(key);
    if (known === undefined || known.takenAt <= host.takenAt) this.#hosts.set(key, host);
  }

  report(): Report {
    const hosts = [...this.#hosts.values()].sort((a, b) => (a.hostname < b.hostname ? -1 : 1));
    const name = ({ hosts: [first = ''] }: PlanReport): string => first;
    return {
      version: packageJson.version,
      hosts,
      use: hostUses(this.#profile, this.#traces, hosts),
      plans: this.#plans.sort((a, b) => (name(a) < name(b) ? -1 : 1)),
      runs: runEvents(this.#runs),
    };
  }

  /** Adds to `missing` what the file says is not in it. Text: what is wrong with the file. */
  #file(text: string, missing: string[]): string | null {
    // These are lines of JSON, of which there may be one.
    const end = text.indexOf('\n');
    switch (schemaOf(parsed(text.slice(0, end < 0 ? text.length : end)))) {
      case 'tasksctl/rollout-journal/1': {
        const journal = parseJournal(text);
        if (!journal.ok) return `line ${journal.line ?? 1}: ${journal.message}`;
        const { head, records } = journal;
        this.#runs.push({ schema: 'tasksctl/rollout-journal/1', head, records });
        return null;
      }
      case 'tasksctl/fleet-order/1':
        return this.#hostPlans(text, missing);
    }
    const document = parsed(text);
    return document === undefined ? this.#measured(text) : this.#document(document, text, missing);
  }

  #document(document: unknown, text: string, missing: string[]): string | null {
    const schema = schemaOf(document);
    if (schema === 'tasksctl/snapshot/1') {
      const loaded = parseSnapshot(text);
      if (loaded.ok) this.snapshot(loaded.snapshot);
      return loaded.ok ? null : loaded.message;
    }
    if (schema === 'tasksctl/plan/1') {
      const plan = planSchema.safeParse(document);
      if (!plan.success) return 'is no valid plan';
      this.#plan([plan.data.host.hostname], plan.data);
      return null;
    }
    if (schema === 'tasksctl/fleet-plan/1') {
      const fleet = fleetPlanSchema.safeParse(document);
      if (!fleet.success) return 'is no valid plan of a fleet';
      const { groups, lost, failed: refusing } = fleet.data;
      for (const { hosts, plan } of groups) this.#plan(hosts, plan);
      missing.push(...lost.map(({ name, error }) => `there is no plan of ${name}: ${error.message}`));
      missing.push(...refusing.map(({ name, detail }) => `${name} would refuse its plan: ${detail}`));
      return null;
    }
    for (const one of RUN_SCHEMAS) {
      if (schema !== one.shape.schema.value) continue;
      const run = one.safeParse(document);
      if (!run.success) return `is no valid ${schema}`;
      this.#runs.push(run.data);
      return null;
    }
    return this.#measured(text);
  }

  /** A saved plan of a fleet: a line of what its hosts have in common, then one for each. */
  #hostPlans(text: string, missing: string[]): string | null {
    const [first = '', ...lines] = text.trimEnd().split('\n');
    const order = fleetOrderSchema.safeParse(parsed(first));
    if (!order.success) return 'is no valid plan of a fleet';
    const names = order.data.stages.flatMap(({ hosts }) => hosts);
    const groups = new PlanGroups(names);
    const planned = new Set<string>();
    for (const [index, line] of lines.entries()) {
      const host = hostPlanSchema.safeParse(parsed(line));
      if (!host.success) return `line ${index + 2}: this is no plan of a host`;
      groups.add(host.data.name, host.data.plan);
      planned.add(host.data.name);
    }
    missing.push(...names.filter((name) => !planned.has(name)).map((name) => `there is no plan of ${name}`));
    for (const { hosts, plan } of groups.all()) this.#plan(hosts, plan);
    return null;
  }

  #plan(hosts: readonly string[], plan: Plan): void {
    this.#plans.push({ hosts, plan, diffs: plan.files.map(fileDiff).filter((diff) => diff !== '') });
  }

  #measured(text: string): string | null {
    const loaded = parseProfile(text);
    if (!loaded.ok) return loaded.message;
    this.#profile = mergeProfiles(this.#profile, loaded.profile);
    this.#traces.push(...(loaded.traces ?? []));
    return null;
  }
}
