/**
 * Real workloads, measured, limited by what `recommend` says, and run again with more load than before: forks rejected
 * then, and how much of the limit was not needed. The host is a container of the lab with Debian's packages; measuring,
 * recommending and applying are the program's commands, over SSH. Writes docs/workloads.md.
 *
 *   test/lab/in-lab npx tsx bench/workloads.ts
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { recommendSchema } from '../src/report/recommend-json.ts';
import { Program, until } from '../test/hosts/program.ts';
import { startContainer } from '../test/lab/lab.ts';

interface Workload {
  readonly name: string;
  readonly unit: string;
  /** How the unit is called in a profile: instances of a template are kept together. */
  readonly profiled?: string;
  readonly setUp: string;
  /** Runs until the load is over. */
  readonly load: string;
  /** What is different the second time, in words and in the load. */
  readonly first: string;
  readonly second: string;
  readonly more: string;
}

const JAVA = `import java.util.concurrent.*;
public class App {
  public static void main(String[] args) throws Exception {
    ThreadPoolExecutor pool = new ThreadPoolExecutor(0, 1000, 5, TimeUnit.MINUTES, new SynchronousQueue<>());
    int most = Integer.parseInt(System.getenv("REQUESTS"));
    for (int i = 0; i < most; i++) {
      pool.execute(() -> { try { Thread.sleep(600_000); } catch (InterruptedException e) { } });
      Thread.sleep(60);
    }
    System.out.println("all " + most + " at once");
    Thread.sleep(600_000);
  }
}
`;

const workloads: readonly Workload[] = [
  {
    name: 'Apache prefork, `wrk`',
    unit: 'apache2.service',
    setUp: `a2dismod -q mpm_event; a2enmod -q mpm_prefork
      printf '%s\\n' 'ServerName lab' '<IfModule mpm_prefork_module>' 'ServerLimit 600' 'MaxRequestWorkers 600' '</IfModule>' >/etc/apache2/conf-enabled/lab.conf
      systemctl restart apache2`,
    load: 'wrk -t 2 -c $CLIENTS -d $SECONDS http://127.0.0.1/ >/dev/null',
    first: 'CLIENTS=80 SECONDS=25',
    second: 'CLIENTS=100 SECONDS=15',
    more: '80 connections, then 100 for a shorter time',
  },
  {
    name: 'PostgreSQL, `pgbench` with a ramp of connections',
    unit: 'postgresql@17-main.service',
    profiled: 'postgresql@.service',
    setUp: 'systemctl restart postgresql@17-main; runuser -u postgres -- pgbench -q -i -s 2 2>/dev/null',
    load: 'for clients in $RAMP; do runuser -u postgres -- pgbench -n $KIND -c $clients -j 2 -T 4 >/dev/null 2>&1; done',
    first: 'RAMP="5 10 20 40" KIND=-S',
    second: 'RAMP="15 30 60" KIND=',
    more: 'up to 40 clients that read, then up to 60 that write',
  },
  {
    name: '`make -j` of C files',
    unit: 'build.service',
    setUp: `mkdir -p /srv/build; cd /srv/build
      for i in $(seq 1500); do { echo '#include <stdio.h>'; echo '#include <stdlib.h>'; echo "int f$i(int x) { printf(\\"%d\\", x); return abs(x) + $i; }"; } >f$i.c; done
      printf 'all: $(patsubst %%.c,%%.o,$(wildcard f*.c))\\n%%.o: %%.c\\n\\tgcc $(FLAGS) -c $< -o $@\\n' >Makefile
      printf '[Service]\\nType=oneshot\\nEnvironmentFile=/etc/default/build\\nWorkingDirectory=/srv/build\\nExecStart=/usr/bin/make -s -B $JOBS FLAGS=\${FLAGS}\\n' >/etc/systemd/system/build.service
      systemctl daemon-reload`,
    load: 'echo "JOBS=$JOBS\nFLAGS=$FLAGS" >/etc/default/build; systemctl start build.service',
    first: 'JOBS=-j16 FLAGS=-O0',
    second: 'JOBS=-j20 FLAGS=-O2',
    more: '16 jobs, then 20 with optimisation',
  },
  {
    name: 'JVM with a growing thread pool',
    unit: 'app.service',
    setUp: `cat >/srv/App.java <<'END'
${JAVA}END
      printf '[Service]\\nEnvironmentFile=/etc/default/app\\nExecStart=/usr/bin/java /srv/App.java\\n' >/etc/systemd/system/app.service
      systemctl daemon-reload`,
    load: `echo "REQUESTS=$REQUESTS" >/etc/default/app; systemctl restart app.service
      until journalctl -q -b -u app.service _SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value app.service) | grep -q 'at once\\|OutOfMemory'; do sleep 1; done`,
    first: 'REQUESTS=150',
    second: 'REQUESTS=190',
    more: '150 requests at once, then 190 in a new process',
  },
];

/** The highest peak and all rejected forks of the unit's cgroup while the load runs: a stopped unit has no cgroup. */
function watched({ unit, load }: Workload, variables: string): string {
  return `${variables}
( ${load}
) & load=$!
peak=0 rejected=0 before=
while kill -0 $load 2>/dev/null; do
  dir=/sys/fs/cgroup/pids$(systemctl show -p ControlGroup --value ${unit})
  if [ "$dir" != /sys/fs/cgroup/pids ] && read -r now <$dir/pids.peak && read -r _ events <$dir/pids.events; then
    [ $now -le $peak ] || peak=$now
    [ -n "$before" ] || before=$events
    # A new cgroup counts from 0.
    [ $events -ge $before ] || before=0
    rejected=$((events - before))
  fi 2>/dev/null
  sleep 0.2
done
wait $load || exit
echo "$peak $rejected"`;
}

const program = Program.build();
const host = await startContainer({
  suite: 'trixie',
  packages: ['apache2', 'wrk', 'postgresql', 'gcc', 'libc6-dev', 'make', 'openjdk-21-jdk-headless'],
});
const rows: string[] = [];
try {
  const target = ['--ssh-config', program.sshConfig({ lab: host }), '-t', 'root@lab'];
  const must = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await program.run(...argv);
    if (code !== 0) throw new Error(`tasksctl ${argv.join(' ')}: ${code}\n${stderr}${stdout}`);
    return stdout;
  };
  for (const workload of workloads) {
    const { name, unit, more } = workload;
    await host.exec(workload.setUp, { timeoutMs: 120_000 });
    const run = async (variables: string): Promise<[peak: number, rejected: number]> => {
      const { stdout } = await host.exec(watched(workload, variables), { timeoutMs: 300_000 });
      const [peak = 0, rejected = 0] = stdout.toString().trim().split(' ').map(Number);
      return [peak, rejected];
    };
    const profile = join(program.dir, `${unit}.json`);
    const measuring = program.start('measure', ...target, '-d', '10m', '-o', profile);
    await until('it measures', async () => (await host.exec('pgrep -x sleep', { check: false })).code === 0);
    const [firstPeak] = await run(workload.first);
    measuring.child.kill('SIGINT');
    await measuring.ended;
    const recommended = recommendSchema.parse(JSON.parse(await must('recommend', profile, '--json')));
    const limit = recommended.units.find((one) => one.unit === (workload.profiled ?? unit))?.limit;
    if (limit === undefined) throw new Error(`${unit} was not measured`);
    const policy = join(program.dir, `${unit}.yaml`);
    writeFileSync(
      policy,
      `schema: tasksctl/policy/1\nname: measured\nunits: { "${unit}": { value: ${limit} } }\n`,
    );
    await must('apply', ...target, '--policy', policy, '--yes');
    const [peak, rejected] = await run(workload.second);
    const times = Number(limit) / peak;
    const row = [name, more, firstPeak, limit, peak, rejected, times.toFixed(2)].join(' | ');
    console.log(row);
    rows.push(`| ${row} |`);
    await host.exec(`systemctl stop ${unit}`);
  }
} finally {
  await host.stop();
  program.remove();
}
writeFileSync(
  join(import.meta.dirname, '../docs/workloads.md'),
  `# Workloads with the limits that were recommended

Written by \`bench/workloads.ts\`: each workload was measured with \`tasksctl measure\`, got the limit of \`tasksctl
recommend\` with the default policy, and was then run again with more load. Debian 13 in a container of the lab; peaks are
the kernel's (\`pids.peak\`).

| workload | first run, then second | peak of the first | limit | peak of the second | forks rejected | limit / peak |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
${rows.join('\n')}
`,
);
