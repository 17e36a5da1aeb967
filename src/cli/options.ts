import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ColorWish } from './terminal.ts';

/** Options of how a result is shown, on every command. */
export interface OutputOptions {
  readonly json?: true;
  readonly color: ColorWish | boolean;
}

/** Options of which host is read and how, on every command that reads one. */
export interface HostOptions {
  readonly target: string;
  readonly sshConfig?: string;
  readonly acceptNew?: true;
  /** Seconds. */
  readonly timeout: number;
}

/** The same for several hosts; none named: this one. */
export interface HostsOptions extends Omit<HostOptions, 'target'> {
  readonly target?: readonly string[];
}

/** The same, where a saved snapshot may stand in for the host. */
export interface SourceOptions extends HostOptions {
  readonly snapshot?: string;
}

/** Of a host that does not answer. */
export const DEFAULT_TIMEOUT_SECONDS = 60;

export function addOutputOptions(command: Command): Command {
  return addColorOptions(command.option('--json', 'print JSON for programs; errors are JSON on stderr then'));
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

function addConnectionOptions(command: Command): Command {
  return command
    .option('--ssh-config <file>', 'use this ssh_config instead of ~/.ssh/config')
    .option('--accept-new', 'accept and remember the key of a host never seen before')
    .option(
      '--timeout <seconds>',
      'give up on the host after so long',
      positiveSeconds,
      DEFAULT_TIMEOUT_SECONDS,
    );
}

export function addSourceOptions(command: Command): Command {
  return addHostOptions(command).addOption(
    new Option('--snapshot <file>', "read a saved snapshot, not a host; '-' is standard input").conflicts([
      'target',
      'sshConfig',
      'acceptNew',
      'timeout',
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
