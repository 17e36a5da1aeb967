/**
 * tasksctl against what else changes many hosts over SSH, on a simulated fleet: an sshd for each host, on a loopback
 * address and in namespaces of its own (fleet/start-hosts). systemd is a stub there: what is compared is the way to the
 * hosts and the work of the tools, not systemd. All tools log in as root with the same key, key exchange and cipher, and
 * all hosts share this machine's processors with them.
 *
 *   apt-get install openssh-server ansible-core ansible-mitogen clustershell pssh
 *   npm run build && npx tsx bench/fleet.ts HOSTS [ACTION,...] [TOOL,...]
 *   npx tsx bench/fleet.ts --report
 *
 * Actions are read, check, apply and again. Figures go to bench/fleet/results.json, which the report
 * (docs/fleet-benchmark.md) is made of; TASKSCTL_FLEET_NODE has options of Node's for tasksctl, such as --cpu-prof; tasksctl is measured in every run, and ratios are within a run.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Figures, type Result, readResults, saveReport, saveResult } from './fleet/report.ts';

const here = import.meta.dirname;
const program = join(here, '../dist/tasksctl.js');
const PORT = 2222;
const NAME = 'tasksctl-fleet-';
/** A tool that takes longer is ended, and not tried with more hosts. */
const MOST_SECONDS = 300;
/** What limits are before, and what each tool is to make of them. */
const LIMIT = { before: '10813', after: '5000' };

const ACTIONS = ['read', 'check', 'apply', 'again'] as const;
type Action = (typeof ACTIONS)[number];

interface Tool {
  readonly name: string;
  /** A program that has to be there, and where it is from. */
  readonly needs: { readonly path: string; readonly debian: string } | null;
  readonly env?: Readonly<Record<string, string>>;
  /** The command line; null: the tool has nothing like it. */
  command(action: Action): { readonly argv: readonly string[]; readonly stdin?: string } | null;
}

const [first = '', actionList = ACTIONS.join(','), toolList = ''] = process.argv.slice(2);
/** Runs the rest in namespaces that go away with it, whatever happens, and removes what is outside of them. */
async function outside(): Promise<void> {
  const accounts = existsSync('/sys/fs/cgroup/cpuacct') ? '/sys/fs/cgroup/cpuacct' : '/sys/fs/cgroup';
  const cgroup = join(accounts, `${NAME}${process.pid}`);
  sweep(accounts);
  const dir = mkdtempSync(join(tmpdir(), `${NAME}${process.pid}-`));
  // Not in memory: the journal of a rollout is to be brought to a disk.
  const state = mkdtempSync(`/var/tmp/${NAME}${process.pid}-`);
  for (const name of ['', 'hosts', 'client']) mkdirSync(join(cgroup, name));
  const script = 'ip link set lo up; mount -t tmpfs -o mode=0755 fleet "$1"; shift; "$@"; exit $?';
  const child = spawn(
    'setpriv',
    [
      '--pdeathsig',
      'KILL',
      'unshare',
      '--mount',
      '--net',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
    ].concat(
      ['--propagation', 'private', 'sh', '-c', script, 'sh', dir],
      process.execPath,
      process.execArgv,
      process.argv.slice(1),
    ),
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        TASKSCTL_FLEET: dir,
        TASKSCTL_FLEET_CGROUP: cgroup,
        TASKSCTL_FLEET_STATE: state,
      },
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill('SIGKILL'));
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
  await untilEmpty(cgroup);
  for (const name of ['hosts', 'client', '']) rmdirSync(join(cgroup, name));
  for (const left of [dir, state]) rmSync(left, { recursive: true });
}

/** What is left of one that was killed itself: empty directories. */
function sweep(accounts: string): void {
  for (const dir of [accounts, tmpdir(), '/var/tmp']) {
    for (const name of readdirSync(dir)) {
      const [, pid] = new RegExp(`^${NAME}([0-9]+)(?:-|$)`).exec(name) ?? [];
      if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
      const path = join(dir, name);
      if (dir !== accounts) rmSync(path, { recursive: true });
      else for (const part of ['hosts', 'client', '']) rmdirSync(join(path, part));
    }
  }
}

/** The last processes of a namespace that is gone may still be on their way out. */
async function untilEmpty(cgroup: string): Promise<void> {
  for (const name of ['hosts', 'client']) while (processes(join(cgroup, name)).length > 0) await sleep(50);
}

async function inside(dir: string, cgroup: string, state: string): Promise<void> {
  const hosts = Number(first);
  const actions = actionList.split(',').map((name) => {
    const action = ACTIONS.find((one) => one === name);
    if (action === undefined) throw new Error(`no such action: ${name}`);
    return action;
  });
  if (!(hosts >= 1 && hosts <= 5000)) throw new Error('how many hosts?');
  const addresses = Array.from(
    { length: hosts },
    (_, i) => `127.0.${1 + Math.floor(i / 250)}.${1 + (i % 250)}`,
  );
  const all = toolsOf(dir, state, addresses);
  const wanted = toolList === '' ? all.map(({ name }) => name) : ['tasksctl', ...toolList.split(',')];
  const missing = all.filter(({ needs }) => needs !== null && !existsSync(needs.path));
  for (const { name, needs } of missing) console.log(`${name} is missing: apt-get install ${needs?.debian}`);
  const tools = all.filter((tool) => wanted.includes(tool.name) && !missing.includes(tool));
  await startFleet(dir, cgroup, addresses);
  const bench = new Bench(dir, cgroup, addresses);
  const run = new Date().toISOString().slice(0, 16);
  console.log(
    `${hosts} hosts, ${cpus()[0]?.model}, ${availableParallelism()} processors, node ${process.version}`,
  );
  console.log(
    'action tool               wall s  client CPU s  hosts CPU s  MB at most  logins a host  times tasksctl',
  );
  for (const action of actions) {
    let base = Number.NaN;
    for (const tool of tools) {
      const name = tool.name;
      const result = await bench.measure(tool, action, run);
      if (result === null) continue;
      saveResult(result);
      const { figures } = result;
      if (name === 'tasksctl') base = figures?.wall ?? Number.NaN;
      console.log(
        figures === null
          ? `${action.padEnd(6)} ${name.padEnd(18)} ${result.note}`
          : [
              action.padEnd(6),
              name.padEnd(17),
              figures.wall.toFixed(2).padStart(7),
              figures.clientCpu.toFixed(2).padStart(13),
              figures.hostsCpu.toFixed(2).padStart(12),
              figures.memory.toFixed(0).padStart(11),
              figures.logins.toFixed(2).padStart(14),
              (figures.wall / base).toFixed(2).padStart(15),
            ].join(' '),
      );
    }
  }
}

async function startFleet(dir: string, cgroup: string, addresses: readonly string[]): Promise<void> {
  for (const name of ['host', 'user'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(dir, `${name}_key`)]);
  const write = (name: string, lines: readonly string[]): void =>
    writeFileSync(join(dir, name), `${lines.join('\n')}\n`);
  // Nothing that takes time and that a fleet would not have to do for each client alike.
  write('sshd_config', [
    `HostKey ${dir}/host_key`,
    `AuthorizedKeysFile ${dir}/user_key.pub`,
    'MaxStartups 1000',
    'UsePAM no',
    'UseDNS no',
    'StrictModes no',
    'PermitRootLogin prohibit-password',
    'PidFile none',
    'Subsystem sftp internal-sftp',
  ]);
  write('ssh_config', [
    'Host 127.0.*',
    `  Port ${PORT}`,
    '  User root',
    `  IdentityFile ${dir}/user_key`,
    '  IdentitiesOnly yes',
    '  IdentityAgent none',
    `  UserKnownHostsFile ${dir}/known_hosts`,
    '  GlobalKnownHostsFile none',
    '  StrictHostKeyChecking yes',
    '  UpdateHostKeys no',
    '  KexAlgorithms curve25519-sha256',
    '  Ciphers aes128-gcm@openssh.com',
    '  LogLevel ERROR',
  ]);
  const [type, key] = readFileSync(join(dir, 'host_key.pub'), 'utf8').split(' ');
  write(
    'known_hosts',
    addresses.map((address) => `[${address}]:${PORT} ${type} ${key?.trim()}`),
  );
  write('hosts', addresses);
  spawnSync(join(here, 'fleet/start-hosts'), [dir, join(cgroup, 'hosts'), String(PORT)], {
    input: `${addresses.join('\n')}\n`,
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  for (const address of addresses) {
    for (let tries = 0; !(await answers(address)); tries++) {
      if (tries > 200)
        throw new Error(`${address} does not answer: ${readFileSync(join(dir, 'sshd.log'), 'utf8')}`);
      await sleep(50);
    }
  }
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(PORT, address);
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
}

function toolsOf(dir: string, state: string, addresses: readonly string[]): readonly Tool[] {
  const file = (name: string, ...lines: string[]): string => {
    const path = join(dir, name);
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  };
  const config = join(dir, 'ssh_config');
  const hosts = join(dir, 'hosts');
  const probe = join(here, '../templates/probe.sh');
  const policy = file(
    'policy.yaml',
    'schema: tasksctl/policy/1',
    'name: bench',
    'user-default:',
    `  value: ${LIMIT.after}`,
  );
  const directory = '/etc/systemd/system/user-.slice.d';
  const content = `[Slice]\\nTasksMax=${LIMIT.after}\\n`;
  const change = file(
    'change.sh',
    'set -e',
    `wanted=$(printf '${content}')`,
    `[ "$(cat ${directory}/90-bench.conf 2>/dev/null)" != "$wanted" ] || exit 0`,
    `mkdir -p ${directory}`,
    `printf '${content}' >${directory}/.90-bench.new`,
    `mv ${directory}/.90-bench.new ${directory}/90-bench.conf`,
    'systemctl daemon-reload',
  );
  file(
    'ansible.cfg',
    '[defaults]',
    `inventory = ${dir}/hosts.ini`,
    'gathering = explicit',
    'forks = 50',
    'interpreter_python = /usr/bin/python3',
    'stdout_callback = minimal',
    `local_tmp = ${state}/ansible`,
    '[ssh_connection]',
    'pipelining = True',
    `ssh_args = -F ${config} -o ControlMaster=auto -o ControlPersist=60s`,
    `control_path_dir = ${dir}/cp`,
  );
  file('hosts.ini', ...addresses);
  const play = (name: string, ...tasks: string[]): string =>
    file(
      name,
      '- hosts: all',
      '  gather_facts: false',
      '  tasks:',
      ...tasks,
      '  handlers:',
      '    - name: reload',
      '      command: systemctl daemon-reload',
    );
  const readPlay = play(
    'read.yaml',
    `    - command: {argv: [sh, -s], stdin: "{{ lookup('file', '${probe}') }}"}`,
  );
  const changePlay = play(
    'change.yaml',
    `    - file: {path: ${directory}, state: directory, mode: "0755"}`,
    `    - copy: {dest: ${directory}/90-bench.conf, content: "${content}", mode: "0644"}`,
    '      notify: reload',
  );
  const node = process.env['TASKSCTL_FLEET_NODE']?.split(' ') ?? [];
  const fleet = ['-i', hosts, '--ssh-config', config];
  const by = ['-p', policy, '--no-diff'];
  const ansible = (action: Action) => ({
    argv: [
      'ansible-playbook',
      action === 'read' ? readPlay : changePlay,
      ...(action === 'check' ? ['--check'] : []),
    ],
  });
  const shell = (argv: readonly string[]) => (action: Action) =>
    action === 'check' ? null : { argv, stdin: action === 'read' ? probe : change };
  return [
    {
      name: 'tasksctl',
      needs: null,
      env: { XDG_STATE_HOME: state },
      command: (action) => {
        const argv = (...args: string[]) => ({
          argv: [process.execPath, ...node, program, ...args, ...fleet],
        });
        switch (action) {
          case 'read':
            return argv('plan', ...by);
          case 'check':
            return argv('rollout', '--check', ...by);
          case 'apply':
          case 'again':
            return argv('rollout', '--yes', '--waves', '100%', ...by);
        }
      },
    },
    {
      name: 'xargs ssh',
      needs: null,
      command: (action) => {
        if (action === 'check') return null;
        const script = action === 'read' ? probe : change;
        const each = `exec ssh -F ${config} "$0" sh -s <${script} >${state}/out-"$0"`;
        return { argv: ['xargs', '-a', hosts, '-P64', '-n1', 'sh', '-c', each] };
      },
    },
    {
      name: 'clush',
      needs: { path: '/usr/bin/clush', debian: 'clustershell' },
      command: shell(['clush', '-S', '-f', '64', '--hostfile', hosts, '-o', `-F ${config}`, 'sh -s']),
    },
    {
      name: 'parallel-ssh',
      needs: { path: '/usr/bin/parallel-ssh', debian: 'pssh' },
      command: shell(
        ['parallel-ssh', '-h', hosts, '-p', '64', '-t', '0', '-o', join(state, 'pssh')].concat([
          '-x',
          `-F ${config}`,
          '-I',
          'sh -s',
        ]),
      ),
    },
    {
      name: 'ansible',
      needs: { path: '/usr/bin/ansible-playbook', debian: 'ansible-core' },
      command: ansible,
    },
    {
      name: 'ansible, mitogen',
      needs: {
        path: '/usr/lib/python3/dist-packages/ansible_mitogen/plugins/strategy/mitogen_linear.py',
        debian: 'ansible-mitogen',
      },
      env: {
        ANSIBLE_STRATEGY: 'mitogen_linear',
        ANSIBLE_STRATEGY_PLUGINS: '/usr/lib/python3/dist-packages/ansible_mitogen/plugins/strategy',
      },
      command: ansible,
    },
  ];
}

class Bench {
  readonly #dir: string;
  readonly #cgroup: string;
  readonly #addresses: readonly string[];
  readonly #log: string;

  constructor(dir: string, cgroup: string, addresses: readonly string[]) {
    this.#dir = dir;
    this.#cgroup = cgroup;
    this.#addresses = addresses;
    this.#log = join(dir, 'output');
  }

  /** Of several runs (of few hosts, and not of what takes long) the one with the median wall time; null: the tool has no such action. */
  async measure(tool: Tool, action: Action, run: string): Promise<Omit<Result, 'cores'> | null> {
    const command = tool.command(action);
    if (command === null) return null;
    const hosts = this.#addresses.length;
    const result = { hosts, action, tool: tool.name, run };
    for (const before of readResults()) {
      if (before.tool !== tool.name || before.action !== action || before.hosts >= hosts) continue;
      const wall = before.figures === null ? MOST_SECONDS : (before.figures.wall * hosts) / before.hosts;
      if (wall > MOST_SECONDS * 1.1)
        return { ...result, figures: null, note: `not run: ${before.hosts} hosts take it long enough` };
    }
    const runs: Figures[] = [];
    const times = hosts <= 10 && !tool.name.startsWith('ansible') ? 3 : 1;
    for (let n = 0; n < times; n++) {
      if (action === 'again') {
        if (n === 0) {
          this.#reset();
          const applied = await this.#run(tool, tool.command('apply') ?? command);
          if (typeof applied === 'string') return { ...result, figures: null, note: applied };
        }
      } else this.#reset();
      const figures = await this.#run(tool, command);
      if (typeof figures === 'string') return { ...result, figures: null, note: figures };
      this.#look(tool, action);
      runs.push(figures);
    }
    runs.sort((a, b) => a.wall - b.wall);
    return { ...result, figures: runs[Math.floor(runs.length / 2)] ?? null, note: null };
  }

  /** Text: it took too long. */
  async #run(
    tool: Tool,
    command: { readonly argv: readonly string[]; readonly stdin?: string },
  ): Promise<Figures | string> {
    const client = join(this.#cgroup, 'client');
    const before = {
      client: usage(client),
      hosts: usage(join(this.#cgroup, 'hosts')),
      logins: this.#logins(),
    };
    const output = openSync(this.#log, 'w');
    const started = performance.now();
    const child = spawn(
      'sh',
      ['-c', 'echo 0 >"$0"; exec "$@"', join(client, 'cgroup.procs'), ...command.argv],
      {
        cwd: this.#dir,
        env: { ...process.env, ...tool.env, TASKSCTL_FLEET: undefined },
        stdio: [command.stdin === undefined ? 'ignore' : openSync(command.stdin, 'r'), output, output],
      },
    );
    let ended = false;
    const end = new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => {
        ended = true;
        resolve(code);
      });
    });
    const sampling = this.#sampleMemory(client, () => ended);
    const late = setTimeout(() => killAll(client), MOST_SECONDS * 1000);
    const code = await end;
    clearTimeout(late);
    const wall = (performance.now() - started) / 1000;
    const memory = await sampling;
    const clientCpu = usage(client) - before.client;
    // A master connection that stays would be another start for the next one.
    killAll(client);
    await this.#settled();
    if (wall > MOST_SECONDS) return `ended after ${MOST_SECONDS} s`;
    // 2: changes are pending, which is what a check is to find.
    if (code !== 0 && !(code === 2 && tool.name === 'tasksctl')) {
      const said = readFileSync(this.#log, 'utf8').slice(-2000);
      throw new Error(`${tool.name}: exit status ${code}: ${said}`);
    }
    return {
      wall,
      clientCpu,
      hostsCpu: usage(join(this.#cgroup, 'hosts')) - before.hosts,
      memory,
      logins: (this.#logins() - before.logins) / this.#addresses.length,
    };
  }

  /** The most that the processes of a cgroup had in memory at a time, in MB; what they share counts once. */
  async #sampleMemory(cgroup: string, ended: () => boolean): Promise<number> {
    let most = 0;
    while (!ended()) {
      const started = performance.now();
      let sum = 0;
      for (const pid of processes(cgroup)) {
        try {
          sum += Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
        } catch {
          // It has ended.
        }
      }
      most = Math.max(most, sum);
      // It is to take a thirtieth of a processor at most.
      await sleep(Math.max(20, (performance.now() - started) * 30));
    }
    return (most * 1024) / 1e6;
  }

  #logins(): number {
    return readFileSync(join(this.#dir, 'sshd.log'), 'latin1').split('Accepted publickey').length - 1;
  }

  /** Waits until no host has more than its sshd. */
  async #settled(): Promise<void> {
    const most = this.#addresses.length * 2;
    for (let tries = 0; processes(join(this.#cgroup, 'hosts')).length > most; tries++) {
      if (tries > 600) throw new Error('hosts do not come to rest');
      await sleep(50);
    }
  }

  /** As if nothing had ever been changed. */
  #reset(): void {
    writeFileSync(join(this.#dir, 'sshd.log'), '');
    for (const address of this.#addresses) {
      const host = join(this.#dir, address);
      for (const left of ['etc/system/user-.slice.d', 'lib/tasksctl', 'run/tasksctl', 'root/.ansible'])
        rmSync(join(host, left), { recursive: true, force: true });
      for (const unit of ['user-0.slice', 'user-1000.slice']) {
        writeFileSync(join(host, 'pids/user.slice', unit, 'pids.max'), `${LIMIT.before}\n`);
        setLimit(join(host, 'run/fleet/units', unit));
      }
      setLimit(join(host, 'run/fleet/nobody'));
    }
  }

  /** Whether the tool has done what it was to do, on every host. */
  #look(tool: Tool, action: Action): void {
    const wanted = action === 'apply' || action === 'again' ? LIMIT.after : LIMIT.before;
    for (const address of this.#addresses) {
      const found = readFileSync(
        join(this.#dir, address, 'pids/user.slice/user-1000.slice/pids.max'),
        'utf8',
      ).trim();
      if (found !== wanted) throw new Error(`${tool.name} ${action}: ${address} has ${found}, not ${wanted}`);
    }
  }
}

function processes(cgroup: string): readonly string[] {
  return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')
    .split('\n')
    .filter((pid) => pid !== '');
}

function killAll(cgroup: string): void {
  for (const pid of processes(cgroup)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
}

/** Seconds of processor time that a cgroup has used. */
function usage(cgroup: string): number {
  const v1 = join(cgroup, 'cpuacct.usage');
  if (existsSync(v1)) return Number(readFileSync(v1, 'utf8')) / 1e9;
  return Number(/usage_usec (\d+)/.exec(readFileSync(join(cgroup, 'cpu.stat'), 'utf8'))?.[1]) / 1e6;
}

function setLimit(file: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^TasksMax=.*/m, `TasksMax=${LIMIT.before}`));
}

if (first === '--report') saveReport();
else {
  const { TASKSCTL_FLEET: dir, TASKSCTL_FLEET_CGROUP: cgroup, TASKSCTL_FLEET_STATE: state } = process.env;
  if (dir === undefined || cgroup === undefined || state === undefined) await outside();
  else await inside(dir, cgroup, state);
}
