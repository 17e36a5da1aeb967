import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Amount, parseAmount } from '../fleet/waves.ts';
import type { SshClient } from '../host/connect.ts';
import type { ColorWish } from './terminal.ts';

/** Options of how a result is shown, on every command. */
export interface OutputOptions {
  readonly json?: true;
  readonly color: ColorWish | boolean;
  /** Long results may go through a pager; undefined on commands that ask questions. */
  readonly pager?: boolean;
}

/** Options of how hosts are reached. */
export interface ConnectionOptions {
  readonly transport: SshClient;
  readonly sshConfig?: string;
  readonly acceptNew?: true;
  /** One sudo password for all hosts. */
  readonly askBecomePass?: true;
  /** Seconds. */
  readonly timeout: number;
}

/** Options of which host is read and how, on every command that reads one. */
export interface HostOptions extends ConnectionOptions {
  readonly target: string;
}

/** The same for several hosts; none named: this one. */
export interface HostsOptions extends ConnectionOptions {
  readonly target?: readonly string[];
}

/** Options of which hosts of which inventories, on every command that works on a fleet too. */
export interface InventoryOptions {
  readonly inventory?: readonly string[];
  readonly limit?: string;
  /** Hosts worked on at once. */
  readonly forks: number;
}

/** The same where it works on a fleet. */
export interface FleetOptions extends ConnectionOptions, InventoryOptions {
  readonly inventory: readonly string[];
}

/** The same, where a saved snapshot may stand in for the host. */
export interface SourceOptions extends HostOptions {
  readonly snapshot?: string;
}

/** Of a host that does not answer. */
export const DEFAULT_TIMEOUT_SECONDS = 60;
/** Hosts worked on at once. */
export const DEFAULT_FORKS = 32;

export function addOutputOptions(command: Command): Command {
  return addColorOptions(command.option('--json', 'print JSON for programs; errors are JSON on stderr then'));
}

/** The same for a command that only shows something. */
export function addShownOptions(command: Command): Command {
  return addOutputOptions(command).option('--no-pager', 'do not show long output by a pager');
}

export function addColorOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--color <when>', 'colour the output').choices(['auto', 'always', 'never']).default('auto'),
    )
    .option('--no-color', 'the same as --color=never');
}

export function addHostOptions(command: Command): Command {
  return addConnectionOptions(
    command.option('-t, --target <target>', 'the host: local, [user@]host[:port] or ssh://…', 'local'),
  );
}

/** The same for a command that works on several hosts at once. */
export function addHostsOptions(command: Command): Command {
  return addConnectionOptions(
    command.option(
      '-t, --target <target...>',
      'the hosts: local (the default), [user@]host[:port] or ssh://…; may be repeated',
    ),
  );
}

/** Options of the hosts of an inventory, in place of one target. */
export function addFleetOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '-i, --inventory <inventory>',
        "the hosts: an Ansible inventory (INI, YAML, JSON or a program), a fleet file, an ssh_config, a list of hosts ('-': standard input), or h1,h2; may be repeated",
      )
        .argParser(collect)
        .conflicts(['target', 'snapshot']),
    )
    .option('--limit <pattern>', "of these only the hosts and groups named, as 'web:&prod:!db'")
    .option('--forks <n>', 'hosts worked on at once', positiveInteger, DEFAULT_FORKS);
}

export function addConnectionOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--transport <client>', "log in by ssh2, built in, or by openssh, this machine's ssh")
        .choices(['ssh2', 'openssh'])
        .default('ssh2'),
    )
    .option('--ssh-config <file>', 'use this ssh_config instead of ~/.ssh/config')
    .option('--accept-new', 'accept and remember the key of a host never seen before')
    .option('-K, --ask-become-pass', 'all hosts have the same sudo password: ask for it once')
    .option(
      '--timeout <seconds>',
      'give up on the host after so long',
      positiveSeconds,
      DEFAULT_TIMEOUT_SECONDS,
    );
}

/** What an option that stands in for a host conflicts with. */
export const HOST_OPTIONS = [
  'target',
  'transport',
  'sshConfig',
  'acceptNew',
  'askBecomePass',
  'timeout',
] as const;

export function addSourceOptions(command: Command): Command {
  return addHostOptions(command).addOption(
    new Option('--snapshot <file>', "read a saved snapshot, not a host; '-' is standard input").conflicts([
      ...HOST_OPTIONS,
    ]),
  );
}

/** A time in seconds, for an option. */
export function positiveSeconds(text: string): number {
  const seconds = Number(text);
  // setTimeout takes at most 2^31-1 ms.
  if (!(seconds > 0 && seconds <= 86_400)) {
    throw new InvalidArgumentError('Give seconds, more than 0 and at most 86400.');
  }
  return seconds;
}

/** A count of at least one, for an option. */
export function positiveInteger(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidArgumentError('Give a number from 1 to 99999.');
  return Number(text);
}

/** `5` or `10%`, for an option. */
export function amount(text: string): Amount {
  const parsed = parseAmount(text);
  if (parsed === null)
    throw new InvalidArgumentError('Give a number of hosts such as 5, or a share such as 10%.');
  return parsed;
}

/** `1,10%,50%,100%`, for an option. */
export function amounts(text: string): Amount[] {
  return text.split(',').map(amount);
}

/** `web=2`, for an option that may be repeated. */
export function groupMaximum(
  text: string,
  earlier: readonly (readonly [string, number])[] = [],
): (readonly [string, number])[] {
  const [, group, most] = /^([^=]+)=([1-9][0-9]{0,4})$/.exec(text) ?? [];
  if (group === undefined)
    throw new InvalidArgumentError('Give a group and a number of hosts, such as web=2.');
  return [...earlier, [group, Number(most)]];
}

/** A process id, for an option. */
export function processId(text: string): number {
  if (!/^[1-9][0-9]{0,9}$/.test(text)) throw new InvalidArgumentError('Give a process id.');
  return Number(text);
}

/** A user's name or uid, for an option. */
export function userName(text: string): string {
  if (!/^[A-Za-z0-9_.@$\\-]{1,255}$/.test(text) || text.startsWith('-')) {
    throw new InvalidArgumentError('Give the name of a user, or a uid.');
  }
  return text;
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `10m`, `90s`, `500ms`, `2h`, `7d`, or seconds without a unit, as milliseconds; for an option. */
export function duration(text: string): number {
  const [, number, unit = 's'] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const ms = Number(number) * (DURATION_UNITS[unit] ?? Number.NaN);
  // Timers end after 24 days.
  if (!(ms >= 100 && ms <= 14 * 86_400_000)) {
    throw new InvalidArgumentError('Give a time such as 90s, 10m, 2h or 7d: at least 100ms and at most 14d.');
  }
  return ms;
}

/** `80%` or `80` as a share, 0.8. */
export function percentage(text: string): number {
  const percent = /^[0-9]+(?:\.[0-9]+)?%?$/.test(text) ? Number(text.replace('%', '')) : Number.NaN;
  if (!(percent <= 100)) throw new InvalidArgumentError('Give a percentage from 0% to 100%.');
  return percent / 100;
}

/** Adds to the values given so far, for options that may be repeated. */
export function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

/** `nginx.service=500`, for an option that may be repeated. */
export function unitLimit(
  text: string,
  earlier: readonly (readonly [string, bigint])[] = [],
): (readonly [string, bigint])[] {
  const [, unit, limit] = /^([^=]+)=([0-9]{1,7})$/.exec(text) ?? [];
  if (unit === undefined || limit === undefined) {
    throw new InvalidArgumentError('Give a unit or pattern and its limit, such as nginx.service=500.');
  }
  return [...earlier, [unit, BigInt(limit)]];
}
