import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApplyOptions, type ApplyResult, applyPlan } from '../../src/apply/apply-plan.ts';
import { makeRunId, type RunId } from '../../src/apply/run-id.ts';
import type { Connect } from '../../src/apply/saved-run.ts';
import { ConnectMemory } from '../../src/host/connect-memory.ts';
import { connectSsh } from '../../src/host/ssh.ts';
import type { Transport } from '../../src/host/transport.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { planHost } from '../../src/plan/plan-host.ts';
import { parsePolicy } from '../../src/plan/policy.ts';
import { hostLimits } from '../../src/snapshot/limits.ts';
import { readSnapshot } from '../../src/snapshot/read-snapshot.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import type { LabHost } from '../lab/lab.ts';
import { pidsMax } from './program.ts';

/** What the tests of applying do with a lab host, over real SSH logins. */
export class Operator {
  readonly host: LabHost;
  readonly user: string;
  readonly memory = new ConnectMemory();
  readonly #dir: string;
  readonly #secret: string | undefined;
  readonly #lines: readonly string[];
  #config: string | undefined;
  #runs = 0;

  /** `dir` is for files of the test; `secret` answers sudo; `lines` are more of ssh_config. */
  constructor(host: LabHost, dir: string, user = 'bob', secret?: string, lines: readonly string[] = []) {
    this.host = host;
    this.user = user;
    this.#dir = dir;
    this.#secret = secret;
    this.#lines = lines;
  }

  /** ssh_config for this host. */
  get configFile(): string {
    if (this.#config === undefined) {
      const { knownHostsFile, identityFile } = this.host.ssh;
      this.#config = join(mkdtempSync(join(this.#dir, `${this.host.name}-${this.user}-`)), 'config');
      writeFileSync(
        this.#config,
        [
          'Host *',
          'IdentityAgent none',
          `UserKnownHostsFile ${knownHostsFile}`,
          'GlobalKnownHostsFile none',
          `IdentityFile ${identityFile}`,
          ...this.#lines,
          '',
        ].join('\n'),
        { mode: 0o600 },
      );
    }
    return this.#config;
  }

  connect: Connect = () => {
    const { host, port } = this.host.ssh;
    return connectSsh({
      destination: { kind: 'ssh', host, user: this.user, port },
      target: `${this.user}@${this.host.name}`,
      memory: this.memory,
      configFile: this.configFile,
      connectTimeoutMs: 10_000,
      ...(this.#secret === undefined ? {} : { askSecret: async () => this.#secret ?? null }),
    });
  };

  async login(): Promise<Transport> {
    const connected = await this.connect();
    if (!connected.ok) throw new Error(connected.error.message);
    return connected.transport;
  }

  async snapshot(): Promise<Snapshot> {
    const transport = await this.login();
    try {
      const read = await readSnapshot(transport);
      if (read.kind === 'failed') throw new Error(read.error.message);
      return read.snapshot;
    } finally {
      await transport.close();
    }
  }

  async limits() {
    return hostLimits(await this.snapshot());
  }

  /** A plan for the host as it is now, by a policy of these lines. */
  async plan(...lines: string[]): Promise<Plan> {
    return this.planFor(await this.snapshot(), ...lines);
  }

  planFor(snapshot: Snapshot, ...lines: string[]): Plan {
    const text = ['schema: tasksctl/policy/1', 'name: test', ...lines, ''].join('\n');
    const parsed = parsePolicy(text, 'policy.yaml');
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const plan = planHost(snapshot, parsed.policy);
    if (plan.refused.length > 0) throw new Error(JSON.stringify(plan.refused));
    return plan;
  }

  nextRun(): RunId {
    return makeRunId(new Date(), this.#runs++);
  }

  apply(plan: Plan, more: Partial<ApplyOptions> = {}): Promise<ApplyResult> {
    return applyPlan(plan, {
      connect: this.connect,
      run: { id: this.nextRun(), startedAt: new Date(), operator: 'test' },
      keepSince: '20200101T000000Z-0000',
      check: false,
      deadMan: true,
      // Emulated machines take their time.
      deadManSeconds: this.host.kind === 'vm' ? 300 : 60,
      ...more,
    });
  }

  /** The same after it went well. */
  async applied(plan: Plan, more: Partial<ApplyOptions> = {}): Promise<ApplyResult & { kind: 'applied' }> {
    const result = await this.apply(plan, more);
    if (result.kind !== 'applied') throw new Error(JSON.stringify(result));
    return result;
  }

  /**
   * Everything that a run could leave behind: configuration files with bytes, mode, owner and time of change, what is
   * in /run/systemd and which units of ours systemd knows.
   */
  async state(): Promise<string[]> {
    const { stdout } = await this.host.exec(`cd /
find etc/systemd etc/sysctl.d run/systemd/system.control run/systemd/transient run/systemd/system -printf '%p %y %m %U:%G %l' \\
  \\( ! -type d -printf ' %s %T@\\n' -o -printf '\\n' \\) 2>/dev/null | grep -Ev 'systemd/transient( d|/session-|/user-)' | sort
find etc/systemd etc/sysctl.d -type f -exec sha256sum {} + 2>/dev/null | sort
systemctl list-units --all --no-legend --plain 'tasksctl*'
find /run/tasksctl -mindepth 1 ! -path /run/tasksctl/lock 2>/dev/null || :`);
    return stdout.toString().split('\n');
  }

  /** Configuration files with type, mode, owner, link target and bytes; temporary files of a run would show up. */
  async files(): Promise<string[]> {
    const { stdout } = await this.host.exec(`cd /
find etc/systemd etc/sysctl.d -printf '%p %y %m %U:%G %l\\n' | sort
find etc/systemd etc/sysctl.d -type f -exec sha256sum {} + | sort`);
    return stdout.toString().split('\n');
  }

  pidsMax(unit: string): Promise<string> {
    return pidsMax(this.host, unit);
  }

  async runState(run: RunId): Promise<string[]> {
    const { stdout } = await this.host.exec(`cat /var/lib/tasksctl/runs/${run}/state`, { check: false });
    return stdout.toString().trim().split('\n');
  }
}

/** A person at work: one real SSH login that stays. */
export class Session {
  readonly #child: ChildProcess;
  #output = '';
  #waiting: (() => void)[] = [];
  #done = 0;

  constructor(operator: Operator) {
    const { host, port } = operator.host.ssh;
    const destination = `${operator.user}@${host}`;
    this.#child = spawn('ssh', ['-T', '-F', operator.configFile, '-p', String(port), destination, 'bash'], {
      stdio: 'pipe',
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk;
        for (const wake of this.#waiting.splice(0)) wake();
      });
    }
  }

  /** Types a line, and gives what was printed until it was done. */
  async type(line: string, timeoutMs = 60_000): Promise<string> {
    const mark = `done-${++this.#done}.`;
    this.#output = '';
    this.#child.stdin?.write(`${line}\necho "done"-${this.#done}.\n`);
    const until = Date.now() + timeoutMs;
    while (!this.#output.includes(mark)) {
      if (Date.now() > until) throw new Error(`no end of ${line}: ${this.#output}`);
      if (this.#child.exitCode !== null) throw new Error(`the session ended: ${this.#output}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 500);
      });
    }
    return this.#output.replace(mark, '').trim();
  }

  /** Starts so many processes that stay, tells how many there are, and ends them. */
  async load(processes: number): Promise<{ started: number; output: string }> {
    // Not by the shell itself: one that cannot fork gives up what it was told to do next.
    const output = await this.type(
      `perl -e 'for (1..${processes}) { my $p = fork; if (!defined $p) { print "fork: $!\\n"; last } if (!$p) { sleep 600; exit } push @p, $p } print "started=" . @p . "\\n"; kill 9, @p; 1 while wait > 0'`,
    );
    return { started: Number(/started=([0-9]+)/.exec(output)?.[1] ?? -1), output };
  }

  end(): void {
    this.#child.kill();
  }
}
