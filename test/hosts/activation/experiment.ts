import { readFileSync } from 'node:fs';
import type { LabHost } from '../../lab/lab.ts';
import type { Row } from './rows.ts';

/** One unit's limit after one step; values as in `symbol`. */
export interface Reading {
  /** The kernel's pids.max; 'none': the cgroup has no such file, or is not there. */
  live: string;
  /** What `systemctl show` prints as TasksMax and EffectiveTasksMax (256; '' before). */
  show: string;
  effective?: string;
  needDaemonReload?: true;
}
export interface StepResult {
  step: string;
  facts?: string[];
  readings: Record<string, Reading>;
}
/** A row's first step is the clean state. */
export type RowResult = StepResult[];

const library = readFileSync(new URL('on-host.sh', import.meta.url), 'utf8');

/** Once per host: the key to log in to itself with, and the kernel's settings to come back to. */
export async function prepare(host: LabHost): Promise<void> {
  await host.writeFiles({ '/run/lab-activation/key': readFileSync(host.ssh.identityFile) });
  await host.exec(
    'chmod 600 /run/lab-activation/key; for key in kernel.pid_max kernel.threads-max; do sysctl -n $key >/run/lab-activation/$key; done',
  );
}

/** Runs one row once, from the clean state. */
export async function trial(host: LabHost, row: Row): Promise<RowResult> {
  const script = [library, `start ${row.units.join(' ')}`, 'fact base "$(base)"'];
  if (row.userUnits) script.push('start_user_unit', `user_reading_of='${row.userUnits.join(' ')}'`);
  script.push(`reading start`);
  for (const [name, run] of row.steps) script.push(run, `reading '${name}'`);
  const { stdout, stderr } = await host.exec(`${script.join('\n')}\n`, { timeoutMs: 600_000, check: false });
  const steps = parse(stdout.toString(), row);
  if (steps.length !== row.steps.length + 1) throw new Error(`${row.id} broke off:\n${stdout}\n${stderr}`);
  return steps;
}

function parse(output: string, row: Row): RowResult {
  const steps: RowResult = [];
  const starts: Record<string, string> = {};
  let base = 0;
  let facts: string[] = [];
  let block: Record<string, string> = {};
  const literal = new Set(`${row.wanted} ${row.steps.map(([, run]) => run).join(' ')}`.match(/\d+/g));
  /** 'old': as in the clean state; 'new': as wanted; 'infinity'; a number the row names; or percent of the base. */
  const symbol = (unit: string, value: string): string => {
    const text = value === 'max' ? 'infinity' : value;
    if (text === '') return 'none';
    if (text === row.wanted) return 'new';
    if (text === starts[unit]) return 'old';
    if (literal.has(text) || !/^\d+$/.test(text)) return text;
    return `${((Number(text) / base) * 100).toFixed(1)}%`;
  };
  const close = () => {
    const unit = block['Id'];
    if (unit === undefined) return;
    const step = steps.at(-1);
    if (!step) throw new Error(`a reading before the first step: ${unit}`);
    const live = block['live'] === 'max' ? 'infinity' : (block['live'] ?? '');
    if (step.step === 'start') starts[unit] = live;
    const effective = block['EffectiveTasksMax'];
    step.readings[unit] = {
      live: symbol(unit, live),
      show: symbol(unit, block['TasksMax'] ?? ''),
      ...(effective !== undefined && { effective: symbol(unit, effective) }),
      ...(block['NeedDaemonReload'] === 'yes' && { needDaemonReload: true }),
    };
    block = {};
  };
  for (const line of output.split('\n')) {
    const [, word, rest = ''] = /^(step|fact) (.*)$/.exec(line) ?? [];
    if (word === 'fact' && rest.startsWith('base ') && steps.length === 0) {
      base = Number(rest.slice(5));
    } else if (word === 'fact') {
      // The manager's default is a share of what the machine has memory for.
      facts.push(
        rest.trim().replace(/^(manager-default )(.*)/, (_, name, value) => name + symbol('', value)),
      );
    } else if (word === 'step') {
      steps.push({ step: rest, ...(facts.length > 0 && { facts }), readings: {} });
      facts = [];
    } else if (line === '' || line === '=') {
      close();
    } else {
      const [key = '', value = ''] = line.split(/=(.*)/s);
      block[key] = value;
    }
  }
  return steps;
}

/** What systemd takes percentages of. */
export interface HostFacts {
  systemd: string;
  cgroup: 'v1' | 'v2';
  kernel: string;
  kind: LabHost['kind'];
}

export async function hostFacts(host: LabHost): Promise<HostFacts> {
  const { stdout } = await host.exec(
    "systemctl --version | sed -n '1s/.*(\\(.*\\)).*/\\1/p'; uname -r | cut -d . -f 1,2; [ -d /sys/fs/cgroup/pids ] && echo v1 || echo v2",
  );
  const [systemd = '', kernel = '', cgroup] = stdout.toString().trim().split('\n');
  return { systemd, cgroup: cgroup === 'v1' ? 'v1' : 'v2', kernel, kind: host.kind };
}
