import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** Seconds, MB, logins on each host. */
export interface Figures {
  readonly wall: number;
  readonly clientCpu: number;
  readonly hostsCpu: number;
  readonly memory: number;
  readonly logins: number;
}

export interface Result {
  readonly hosts: number;
  readonly action: string;
  readonly tool: string;
  /** Results of one run may be compared. */
  readonly run: string;
  readonly cores: number;
  /** null: `note` says why there are none. */
  readonly figures: Figures | null;
  readonly note: string | null;
}

const file = join(import.meta.dirname, 'results.json');
const page = join(import.meta.dirname, '../../docs/fleet-benchmark.md');

export function readResults(): readonly Result[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Result[]) : [];
}

export function saveResult(result: Omit<Result, 'cores'>): void {
  const all = [...readResults(), { ...result, cores: availableParallelism() }];
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
}

const BEGIN = '<!-- figures: bench/fleet.ts --report -->';
const END = '<!-- end of figures -->';

/** Puts the figures into the page; the words around them are written by hand. */
export function saveReport(): void {
  const text = readFileSync(page, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${page} has no place for figures`);
  writeFileSync(page, `${text.slice(0, begin)}${BEGIN}\n\n${tables()}\n${text.slice(end)}`);
}

const TITLES: Readonly<Record<string, string>> = {
  read: 'Read: `tasksctl plan`; the others run its probe and keep what it prints',
  check: 'Dry run: `tasksctl rollout --check`, `ansible-playbook --check`',
  apply: 'Apply: `tasksctl rollout --yes --waves 100%`; a script; a playbook of two tasks and a handler',
  again: 'The same again, where nothing is to change',
};

function tables(): string {
  const results = readResults();
  return Object.entries(TITLES)
    .map(([action, title]) => {
      const rows = latest(results.filter((one) => one.action === action));
      return [
        `### ${title}`,
        '',
        '| hosts | tool | wall s | times tasksctl | wall / (hosts’ CPU / cores) | client CPU s | per host ms | hosts’ CPU s | MB at most | logins a host |',
        '| --: | --- | --: | --: | --: | --: | --: | --: | --: | --: |',
        ...rows.map((row) => line(row, results)),
        '',
      ].join('\n');
    })
    .join('\n');
}

/** One row for each tool and number of hosts: the latest. */
function latest(results: readonly Result[]): readonly Result[] {
  const rows = new Map(results.map((one) => [`${one.hosts} ${one.tool}`, one]));
  return [...rows.values()].sort((a, b) => a.hosts - b.hosts || wallOf(a) - wallOf(b));
}

function wallOf({ figures }: Result): number {
  return figures?.wall ?? Number.POSITIVE_INFINITY;
}

function line(
  { hosts, tool, run, action, cores, figures, note }: Result,
  results: readonly Result[],
): string {
  if (figures === null) return `| ${hosts} | ${tool} | ${note} | | | | | | | |`;
  const base = results.findLast(
    (one) => one.run === run && one.action === action && one.hosts === hosts && one.tool === 'tasksctl',
  )?.figures;
  const { wall, clientCpu, hostsCpu, memory, logins } = figures;
  const cells = [
    hosts,
    tool,
    wall.toFixed(2),
    base ? (wall / base.wall).toFixed(2) : '',
    (wall / (hostsCpu / cores)).toFixed(2),
    clientCpu.toFixed(2),
    ((clientCpu * 1000) / hosts).toFixed(1),
    hostsCpu.toFixed(2),
    memory.toFixed(0),
    logins.toFixed(1),
  ];
  return `| ${cells.join(' | ')} |`;
}
