import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { parseTransaction, type TransactionReport } from '../../../src/apply/parse-transaction.ts';
import { runRecord } from '../../../src/apply/run-record.ts';
import { transactionScript } from '../../../src/apply/transaction.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { makeChange, makePlan, plannedFile } from './plans.ts';
import { PrivateHost } from './private-host.ts';

export const template = readFileSync(join(import.meta.dirname, '../../../templates/transaction.sh'), 'utf8');

export const RUN = '20261122T201530Z-3f9a';
export const RUN_DIR = `/var/lib/tasksctl/runs/${RUN}`;

export const USERS = '/etc/systemd/system/user-.slice.d/60-tasksctl.conf';
export const NGINX = '/etc/systemd/system/nginx.service.d/10-limits.conf';
export const CI = '/etc/systemd/system/ci.service.d/90-old.conf';
const nginxOld = '# by hand, keep\r\n[Service]\nTasksMax=4915\n\xff';
const ciOld = '[Service]\nTasksMax=100\n';

/** A host with a user logged in and two services, one file with a mode of its own, one that the plan removes. */
export function makeHost(shell: readonly string[] = ['sh', '-s']): PrivateHost {
  const host = new PrivateHost(shell);
  host.addUnit('user-1000.slice', '10813', '/user.slice/user-1000.slice', 'user-.slice.d');
  host.addUnit('nginx.service', '4915', '/system.slice/nginx.service');
  host.addUnit('ci.service', '4915', '/system.slice/ci.service');
  host.write(NGINX, Buffer.from(nginxOld, 'latin1'), 0o640);
  host.write(CI, ciOld);
  // What the fake systemd read when it "started".
  host.write('/run/fake/units/ci.service/max', '100\n');
  host.write('/sys/fs/cgroup/pids/system.slice/ci.service/pids.max', '100\n');
  return host;
}

/** A new file in a new directory, a changed file, and a removed one. */
export function standardPlan(more: Partial<Plan> = {}): Plan {
  const files = [
    plannedFile(USERS, null, "# tasksctl's\n[Slice]\nTasksMax=20000\n"),
    plannedFile(
      NGINX,
      Buffer.from(nginxOld, 'latin1'),
      Buffer.from(nginxOld.replace('4915', '9000'), 'latin1'),
      0o640,
    ),
    plannedFile(CI, ciOld, null),
  ];
  const changes = [
    makeChange({ kind: 'user-default' }, '20000', { files: [USERS] }),
    makeChange({ kind: 'unit', unit: 'nginx.service' }, '9000', { from: '4915', files: [NGINX] }),
    makeChange({ kind: 'unit', unit: 'ci.service' }, '4915', { from: '100', files: [CI] }),
  ];
  return makePlan(files, changes, more);
}

export interface ScriptOptions {
  readonly run?: string;
  readonly mode?: 'apply' | 'check';
  /** By default no login has to be proven, so that one script comes to an end by itself. */
  readonly deadMan?: boolean;
  readonly deadManSeconds?: number;
  readonly keepSince?: string;
}

export function applyScript(plan: Plan, options: ScriptOptions = {}): string {
  const startedAt = new Date('2026-11-22T20:15:30Z');
  const transaction = transactionScript(
    plan,
    {
      record: runRecord(plan, { id: options.run ?? RUN, startedAt, operator: 'ada@control' }),
      keepSince: options.keepSince ?? '20260101T000000Z-0000',
      deadMan: options.deadMan ?? false,
      deadManSeconds: options.deadManSeconds ?? 60,
      mode: options.mode ?? 'apply',
    },
    template,
  );
  if (transaction.kind === 'refused') throw new Error(`${transaction.reason}: ${transaction.detail}`);
  return transaction.script;
}

/** The script with `command` run as the step begins; the copy it saves on the host stays as it is. */
export function atStep(script: string, step: string, command: string): string {
  const line = `\n  step ${step}\n`;
  const at = script.indexOf(line, script.indexOf('\napply() {'));
  if (at < 0) throw new Error(`no step ${step}`);
  return `${script.slice(0, at + line.length)}  ${command}\n${script.slice(at + line.length)}`;
}

/** The script killed at its n-th simple command; for bash, which can count them. */
export function killedAt(script: string, n: number): string {
  return `n=0; trap 'n=$((n+1)); if [ $n = ${n} ]; then kill -9 $$; fi' DEBUG; set -T\n${script}`;
}

/** Runs a script on the private host and reads what it says of `run`. */
export async function runOn(
  host: PrivateHost,
  script: string,
  options: { run?: string; before?: string } = {},
): Promise<TransactionReport & { code: number | null; signal: string | null; stderr: string }> {
  const { before } = options;
  const result = await host.run(script, before === undefined ? {} : { before });
  const { code, signal, stderr } = result;
  return { ...parseTransaction(result.stdout, options.run ?? RUN), code, signal, stderr };
}

/** Has the saved program of a run do something. */
export function saved(mode: string, run: string = RUN): string {
  return `sh /var/lib/tasksctl/runs/${run}/transaction.sh ${mode}`;
}

/** What a power cut leaves: files, and nothing of /run. The boot runs generators, and what they make it start. */
export async function powerCut(host: PrivateHost): Promise<void> {
  host.setBootId('22222222-2222-4222-8222-222222222222');
  host.remove('/run/tasksctl');
  host.remove('/run/fake/timer');
  // The fake systemd reads its files, as a booting one does.
  await host.run('systemctl daemon-reload');
  const generator = '/etc/systemd/system-generators/tasksctl-recover';
  if (!host.exists(generator)) return;
  await host.run(`mkdir -p /run/generator; ${generator} /run/generator`);
  expect(host.list('/run/generator/sysinit.target.wants')).toEqual(['tasksctl-recover.service']);
  const unit = host.read('/run/generator/tasksctl-recover.service');
  host.remove('/run/generator');
  await host.run(/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? 'false');
}

/** The timer's moment has come. */
export async function timerFires(host: PrivateHost): Promise<void> {
  if (!host.exists('/run/fake/timer')) return;
  const command = host.read('/run/fake/timer').trim().split(' ').slice(1).join(' ');
  host.remove('/run/fake/timer');
  await host.run(command);
}
