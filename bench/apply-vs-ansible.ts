/**
 * `tasksctl apply` over SSH against `ansible-playbook` (pipelining on, no facts gathered) bringing the same three files to
 * the same host and having systemd read them: once where they have to be changed, once where they are there already.
 * Both log in as the same user with the same key and use sudo. tasksctl also takes a lock, keeps a way back, reads
 * the kernel's limits back, and logs in a second time to prove that this still works; Ansible does none of that.
 * The floor is what those two logins take by themselves: `ssh HOST sudo true` two times, one where nothing is changed.
 *
 *   apt-get install ansible-core
 *   npm run build && test/lab/in-lab npx tsx bench/apply-vs-ansible.ts [RUNS]
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startContainer } from '../test/lab/lab.ts';

const AIM = 20;
const SUITE = 'bookworm';
const runs = Number(process.argv[2] ?? 10);
const program = join(import.meta.dirname, '../dist/tasksctl.js');

/** Limits by drop-in; every run that changes something goes from one set to the other. */
const LIMITS = [
  { 'user-.slice': 5000, 'one.service': 300, 'two.service': 400 },
  { 'user-.slice': 6000, 'one.service': 350, 'two.service': 450 },
];

const ansible = spawnSync('ansible-playbook', ['--version'], { encoding: 'utf8' });
if (ansible.status !== 0) throw new Error('ansible-playbook is missing: apt-get install ansible-core');

const host = await startContainer({ suite: SUITE });
const dir = mkdtempSync(join(tmpdir(), 'tasksctl-bench-'));
const write = (name: string, text: string): string => {
  const file = join(dir, name);
  writeFileSync(file, text);
  return file;
};
try {
  const { ssh } = host;
  const config = write(
    'ssh_config',
    `Host bench\n  HostName ${ssh.host}\n  Port ${ssh.port}\n  User bob\n  IdentityFile ${ssh.identityFile}\n  IdentitiesOnly yes\n  UserKnownHostsFile ${ssh.knownHostsFile}\n  StrictHostKeyChecking yes\n  KexAlgorithms curve25519-sha256\n`,
  );
  const service = '[Service]\nExecStart=/bin/sleep infinity\n';
  await host.writeFiles({
    '/etc/systemd/system/one.service': service,
    '/etc/systemd/system/two.service': service,
  });
  await host.exec('systemctl daemon-reload; systemctl start one two');
  await host.exec('tar -xC / 2>/dev/null; python3 -c "import json, ssl, ctypes"', {
    input: pythonOfThisMachine(),
  });

  write(
    'ansible.cfg',
    `[defaults]\ninventory = hosts\ngathering = explicit\n[ssh_connection]\npipelining = True\nssh_args = -F ${config} -o ControlMaster=auto -o ControlPersist=60s\n`,
  );
  write('hosts', 'bench ansible_python_interpreter=/usr/bin/python3\n');
  const commands = LIMITS.map((limits, i) => {
    const policy = write(
      `policy-${i}.yaml`,
      [
        'schema: tasksctl/policy/1',
        'name: bench',
        'user-default:',
        `  value: ${limits['user-.slice']}`,
        'units:',
        ...['one.service', 'two.service'].flatMap((unit) => [
          `  ${unit}:`,
          `    value: ${limits[unit as 'one.service' | 'two.service']}`,
        ]),
        '',
      ].join('\n'),
    );
    const playbook = write(`play-${i}.yaml`, playbookOf(limits));
    return {
      tasksctl: [
        process.execPath,
        program,
        'apply',
        '--yes',
        '--ssh-config',
        config,
        '-t',
        'bench',
        '-p',
        policy,
      ],
      ansible: ['ansible-playbook', playbook],
    };
  });

  const loadBefore = loadavg()[0] ?? 0;
  const times = {
    change: { tasksctl: [], ansible: [] },
    'no change': { tasksctl: [], ansible: [] },
  } as Record<'change' | 'no change', Record<'tasksctl' | 'ansible', number[]>>;
  const floor: number[] = [];
  for (let run = 0; run <= 2 * runs; run++) {
    const started = performance.now();
    if (spawnSync('ssh', ['-F', config, 'bench', 'sudo true']).status !== 0) throw new Error('ssh failed');
    if (run > 0) floor.push(performance.now() - started);
  }
  for (const tool of ['tasksctl', 'ansible'] as const) {
    for (let run = 0; run <= runs; run++) {
      const [file = '', ...args] = commands[run % 2]?.[tool] ?? [];
      for (const kind of ['change', 'no change'] as const) {
        // A master connection of an earlier run would be another start than tasksctl has.
        if (kind === 'change') spawnSync('ssh', ['-F', config, '-O', 'exit', 'bench'], { stdio: 'ignore' });
        const started = performance.now();
        const { status, stdout, stderr } = spawnSync(file, args, { cwd: dir, encoding: 'utf8' });
        const took = performance.now() - started;
        if (status !== 0) throw new Error(`${tool}: ${stdout}${stderr}`);
        // The first run of each fills caches and makes the directories.
        if (run > 0) times[kind][tool].push(took);
      }
      const wanted = LIMITS[run % 2]?.['one.service'];
      const { stdout } = await host.exec(
        'cat /sys/fs/cgroup/pids/system.slice/one.service/pids.max; cat /etc/systemd/system/user-.slice.d/90-*.conf',
      );
      if (!stdout.toString().startsWith(`${wanted}\n`)) throw new Error(`${tool} did not set ${wanted}`);
    }
    // Each begins on a host without the other's files.
    await host.exec(
      'rm -rf /etc/systemd/system/*.d/90-* /var/lib/tasksctl; rmdir /etc/systemd/system/*.d 2>/dev/null; systemctl daemon-reload',
    );
  }

  const [version = ''] = ansible.stdout.split('\n');
  console.log(
    `3 files, systemd ${host.systemdVersion}, ${version}, ${runs} runs each; load ${loadBefore.toFixed(1)} before, ${(loadavg()[0] ?? 0).toFixed(1)} after`,
  );
  console.log(
    `${'run'.padEnd(12)} ${'tasksctl ms'.padStart(12)} ${'ansible ms'.padStart(12)} ${'ratio'.padStart(6)} ${'floor ms'.padStart(9)} ${'its ratio'.padStart(9)}`,
  );
  for (const [kind, { tasksctl, ansible }] of Object.entries(times)) {
    const [ours, theirs] = [median(tasksctl), median(ansible)];
    const least = median(floor) * (kind === 'change' ? 2 : 1);
    console.log(
      `${kind.padEnd(12)} ${ours.toFixed(0).padStart(12)} ${theirs.toFixed(0).padStart(12)} ${(theirs / ours).toFixed(1).padStart(6)} ${least.toFixed(0).padStart(9)} ${(theirs / least).toFixed(1).padStart(9)}`,
    );
  }
  console.log(`medians; aim: a ratio of ${AIM}`);
} finally {
  rmSync(dir, { recursive: true });
  await host.stop();
}

/** Hosts of the lab have no Python, which Ansible needs there: the files of this machine's, which is of the same release. */
function pythonOfThisMachine(): Buffer {
  const python = '$(basename "$(readlink -f /usr/bin/python3)")';
  const packages = `python3-minimal ${python}-minimal lib${python}-minimal lib${python}-stdlib libexpat1 libffi8 libsqlite3-0`;
  const script = `. /etc/os-release; [ "$VERSION_CODENAME" = ${SUITE} ] || { echo "this needs Debian ${SUITE}" >&2; exit 1; }
dpkg -L ${packages} | while read -r path; do [ -d "$path" ] && [ ! -L "$path" ] || echo "$path"; done | tar -cT - 2>/dev/null`;
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script], { maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`the files of Python: ${stderr}`);
  return stdout;
}

/** The same with Ansible's own modules: directories, files, and a reload where a file has changed. */
function playbookOf(limits: Readonly<Record<string, number>>): string {
  const tasks = Object.entries(limits).flatMap(([unit, limit]) => {
    const section = unit.endsWith('.slice') ? 'Slice' : 'Service';
    const directory = `/etc/systemd/system/${unit}.d`;
    return [
      `    - file: {path: ${directory}, state: directory, mode: "0755"}`,
      `    - copy: {dest: ${directory}/90-bench.conf, content: "[${section}]\\nTasksMax=${limit}\\n", mode: "0644"}`,
      '      notify: reload',
    ];
  });
  return [
    '- hosts: bench',
    '  become: true',
    '  gather_facts: false',
    '  tasks:',
    ...tasks,
    '  handlers:',
    '    - name: reload',
    '      systemd: {daemon_reload: true}',
    '',
  ].join('\n');
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
}
