/**
 * `tasksctl status` on a busy host against `systemctl show '*'`, which reads less: no file, no cgroup. The host is a
 * container of the lab with 300 units of ours and 2,000 cgroups. It has no Node, so both commands are run from here
 * over SSH with the same key and key exchange, each in a connection of its own, in turn. The login alone, and
 * `systemctl show '*'` on the host without any connection, are shown beside them.
 *
 *   npm run build && test/lab/in-lab npx tsx bench/status-vs-systemctl.ts [RUNS]
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startContainer } from '../test/lab/lab.ts';

const AIM = 2;
const UNITS = 300;
const CGROUPS = 2000;
const runs = Number(process.argv[2] ?? 15);
const program = join(import.meta.dirname, '../dist/tasksctl.js');

const host = await startContainer({ suite: 'bookworm' });
const dir = mkdtempSync(join(tmpdir(), 'tasksctl-bench-'));
try {
  const unit = '[Service]\nExecStart=/bin/sleep infinity\nTasksMax=64\nDelegate=yes\n';
  const names = Array.from({ length: UNITS }, (_, i) => `bench-${i}.service`);
  await host.writeFiles(Object.fromEntries(names.map((name) => [`/etc/systemd/system/${name}`, unit])));
  await host.exec(`systemctl daemon-reload && systemctl start ${names.join(' ')}`, { timeoutMs: 300_000 });
  const { stdout } = await host.exec(`
    cd /sys/fs/cgroup/pids
    have=$(find . -type d | wc -l)
    i=$have
    while [ "$i" -lt ${CGROUPS} ]; do mkdir "system.slice/bench-$((i % ${UNITS})).service/box-$i"; i=$((i + 1)); done
    echo "$(find . -type d | wc -l) $(systemctl list-units --all --no-legend | wc -l)"`);
  const [cgroups, units] = stdout.toString().trim().split(' ');

  const { ssh } = host;
  const config = join(dir, 'ssh_config');
  writeFileSync(
    config,
    `Host bench\n  HostName ${ssh.host}\n  Port ${ssh.port}\n  User root\n  IdentityFile ${ssh.identityFile}\n  IdentitiesOnly yes\n  UserKnownHostsFile ${ssh.knownHostsFile}\n  StrictHostKeyChecking yes\n  KexAlgorithms curve25519-sha256\n`,
  );
  const commands: Record<string, readonly [string, readonly string[]]> = {
    "ssh HOST systemctl show '*'": ['ssh', ['-F', config, 'bench', "systemctl show '*'"]],
    'tasksctl status -t HOST': [process.execPath, [program, 'status', '--ssh-config', config, '-t', 'bench']],
    'ssh HOST true': ['ssh', ['-F', config, 'bench', 'true']],
  };
  const times: Record<string, number[]> = {};
  const onHost: number[] = [];
  for (let run = 0; run <= runs; run++) {
    for (const [name, [command, args]] of Object.entries(commands)) {
      const started = performance.now();
      const { status, stderr } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      if (status !== 0) throw new Error(`${name}: ${stderr}`);
      const list = times[name] ?? [];
      times[name] = list;
      // The first run of each fills caches.
      if (run > 0) list.push(performance.now() - started);
    }
    const { stdout: took } = await host.exec(
      "a=$(date +%s%N); systemctl show '*' >/dev/null; b=$(date +%s%N); echo $(((b - a) / 1000000))",
    );
    if (run > 0) onHost.push(Number(took.toString()));
  }

  const base = median(Object.values(times)[0] ?? []);
  console.log(
    `${units} units, ${cgroups} cgroups, systemd ${host.systemdVersion}, ${runs} runs each, in turn`,
  );
  console.log(`${'command'.padEnd(30)} ${'median ms'.padStart(9)} ${'ratio'.padStart(6)}`);
  for (const [name, list] of Object.entries({ ...times, "systemctl show '*' on the host": onHost })) {
    const time = median(list);
    console.log(`${name.padEnd(30)} ${time.toFixed(0).padStart(9)} ${(time / base).toFixed(2).padStart(6)}`);
  }
  console.log(`aim: tasksctl status under ${AIM.toFixed(1)}`);
} finally {
  rmSync(dir, { recursive: true });
  await host.stop();
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;
}
