import { execFile } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join as joinPath, resolve } from 'node:path';
import {
  arrangeFleet,
  type Fleet,
  type FleetFile,
  isFleetFile,
  parseFleet,
  plainFleet,
} from '../fleet/fleet-file.ts';
import { selectHosts } from '../fleet/host-pattern.ts';
import { type InventorySource, readInventory } from '../fleet/read-inventory.ts';
import { diagnosticLines, plural } from '../report/diagnostic-text.ts';
import { escapeText, join, safe } from '../report/terminal-escape.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { Check } from '../wizard/question.ts';
import type { Console } from './console.ts';
import { type Failed, failed } from './failure.ts';
import type { FleetOptions } from './options.ts';
import { readText } from './read-file.ts';
import { write } from './terminal.ts';

type HostsFound = ({ readonly kind: 'ok' } & Fleet) | Failed;

/** What a program that makes an inventory may take, and say. */
const PROGRAM_TIMEOUT_MS = 60_000;
const PROGRAM_MAX_BYTES = 256 * 1024 * 1024;

/** The hosts the options name, at least one, and what a fleet file says of them. */
export async function hostsOf(console: Console, options: FleetOptions): Promise<HostsFound> {
  const named = await readSources(console, options.inventory);
  if ('kind' in named) return named;
  const { sources, fleetFile } = named;
  const names = options.inventory.join(', ');
  const invalid = (problems: readonly Diagnostic[]) =>
    failed({ kind: 'input-invalid', message: `The inventory ${names} cannot be used.`, problems });
  const read = readInventory(sources);
  if (!read.ok) return invalid(read.problems);
  if (!console.json) {
    for (const warning of read.warnings) {
      await write(console.io.stderr, safe`${join(diagnosticLines(warning, console.errorStyle), safe`\n`)}\n`);
    }
  }
  const { hosts, groups } = read.inventory;
  if (hosts.length === 0) return failed({ kind: 'input-invalid', message: `There is no host in ${names}.` });
  let fleet = plainFleet(hosts, groups);
  if (fleetFile !== null) {
    const arranged = arrangeFleet(fleetFile, read.inventory);
    if (!arranged.ok) return invalid(arranged.problems);
    fleet = arranged.fleet;
  }
  if (options.limit === undefined) return { kind: 'ok', ...fleet };
  const selected = selectHosts(fleet.hosts, options.limit, fleet.groups);
  if ('error' in selected) return failed({ kind: 'usage', message: `--limit: ${selected.error}.` });
  if (selected.length === 0) {
    return failed({
      kind: 'usage',
      message: `No host of the inventory is left by --limit ${options.limit}.`,
    });
  }
  return { kind: 'ok', ...fleet, hosts: selected };
}

interface Sources {
  readonly sources: readonly InventorySource[];
  readonly fleetFile: FleetFile | null;
}

/** The texts of inventories, and of those that the one fleet file among them names. */
async function readSources(console: Console, names: readonly string[]): Promise<Sources | Failed> {
  const sources: InventorySource[] = [];
  let fleetFile: FleetFile | null = null;
  const waiting: { readonly name: string; readonly line: number | null }[] = names.map((name) => ({
    name,
    line: null,
  }));
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const source = await readSource(next.name, console);
    if ('kind' in source) {
      return fleetFile === null || next.line === null ? source : namedIn(fleetFile.file, next.line, source);
    }
    if (!isFleetFile(source.text)) {
      sources.push(source);
      continue;
    }
    const { file } = source;
    if (fleetFile !== null) {
      const message = `${fleetFile.file} and ${file} are both fleet files; there can be one.`;
      return failed({ kind: 'input-invalid', message });
    }
    const parsed = parseFleet(source.text, file);
    if (!parsed.ok) {
      const message = `${file} is no valid fleet file.`;
      return failed({ kind: 'input-invalid', message, problems: parsed.problems });
    }
    fleetFile = parsed.fleet;
    waiting.unshift(
      ...fleetFile.inventories.map(({ name, line }) => ({ name: besideFile(file, name), line })),
    );
  }
  return { sources, fleetFile };
}

/** Why something cannot be read, with the line of the file that names it. */
export function namedIn(file: string, line: number, { failure }: Failed): Failed {
  if (failure.kind === 'aborted') return failed(failure);
  // It is not the command line that is wrong.
  const kind = failure.kind === 'usage' ? 'input-invalid' : failure.kind;
  return failed({ ...failure, kind, file, line });
}

/** What a file names, by a path relative to it; a list of hosts is none. */
export function besideFile(file: string, name: string): string {
  return name.includes(',') || isAbsolute(name) ? name : joinPath(dirname(file), name);
}

async function readSource(name: string, console: Console): Promise<InventorySource | Failed> {
  const list = listOf(name);
  if (list !== null) return list;
  if (name !== '-') {
    const found = await stat(name).catch(() => null);
    if (found?.isDirectory() === true) {
      return failed({
        kind: 'usage',
        message: `${name} is a directory.`,
        help: 'Name the inventories in it one by one, with -i for each.',
      });
    }
    if (found?.isFile() === true && isProgram(name)) return runProgram(name, console);
  }
  const file = await readText(name, console.io);
  return file.ok ? { file: file.name, text: file.text } : failed(file.failure);
}

/** An inventory of this size is not read with every key. */
const GLANCE_MAX_BYTES = 1024 * 1024;

/** Whether `--inventory` could take this, as far as that can be told at once, and what is in it. */
export function inventoryAt(name: string): Check {
  const no = (problem: string): Check => ({ ok: false, problem: escapeText(problem) });
  if (name === '-') return no('Standard input is for the questions.');
  let source = listOf(name);
  if (source === null) {
    const found = statSync(name, { throwIfNoEntry: false });
    if (found === undefined) return no(`There is no file ${name}; one host by its name is ${name},`);
    if (!found.isFile()) return no(`${name} is no file.`);
    if (isProgram(name)) return { ok: true, note: safe`A program: it is run with --list.` };
    if (found.size > GLANCE_MAX_BYTES) return { ok: true, note: safe`There is such a file.` };
    try {
      source = { file: name, text: readFileSync(name, 'utf8') };
    } catch (error) {
      return no(`${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const fleet = isFleetFile(source.text) ? parseFleet(source.text, source.file) : null;
  if (fleet?.ok === true) return { ok: true, note: safe`A fleet file.` };
  const read = fleet ?? readInventory([source]);
  if (!read.ok) {
    const [first] = read.problems;
    return no(`${first?.file ?? name}:${first?.line ?? 1}: ${first?.message ?? 'it cannot be used'}`);
  }
  const { hosts } = read.inventory;
  if (hosts.length === 0) return no(`There is no host in ${name}.`);
  const groups = new Set(hosts.flatMap((host) => host.groups)).size;
  const inGroups = groups === 0 ? safe`` : safe` in ${plural(groups, 'group')}`;
  return { ok: true, note: safe`${plural(hosts.length, 'host')}${inGroups}.` };
}

/** `web1,web2`, hosts on the spot; null: it is none. */
function listOf(name: string): InventorySource | null {
  if (!name.includes(',')) return null;
  const hosts = name.split(',').map((host) => host.trim());
  return { file: '--inventory', text: hosts.filter((host) => host !== '').join('\n') };
}

/** It may be executed, and is a script or a binary: many a text file has the execute bit by mistake. */
function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    const file = openSync(path, 'r');
    try {
      const head = Buffer.alloc(4);
      readSync(file, head, 0, 4, 0);
      return head.toString('latin1', 0, 2) === '#!' || head.toString('latin1') === '\x7fELF';
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
}

function runProgram(path: string, console: Console): Promise<InventorySource | Failed> {
  return new Promise((done) => {
    execFile(
      resolve(path),
      ['--list'],
      { timeout: PROGRAM_TIMEOUT_MS, maxBuffer: PROGRAM_MAX_BYTES, signal: console.io.signal },
      (error, stdout, stderr) => {
        if (error === null) {
          done({ file: path, text: stdout });
          return;
        }
        const said = stderr.trim().split('\n').at(-1) ?? '';
        const why =
          error.killed === true ? 'it took longer than 60 s' : `it ended with ${error.code ?? 'a signal'}`;
        done(
          failed({
            kind: 'input-unreadable',
            message: `The inventory program ${path} failed: ${why}${said === '' ? '' : `: ${said}`}`,
          }),
        );
      },
    );
  });
}
