/**
 * Processor time of sampling a host with 1,000 cgroups once a second: templates/sampler.sh, against systemd-cgtop and
 * against a loop of cat. The host is a container of the lab; of what it runs some services change all the time. All
 * run at the same time, so that what else the machine does is the same for each; the processor time of each (and of all it
 * starts) is what the kernel says when it has ended.
 *
 *   test/lab/in-lab npx tsx bench/sampler-cost.ts [SECONDS [BUSY]]
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startContainer } from '../test/lab/lab.ts';

const CGROUPS = 1000;
/** Services whose count changes about once a second. */
const busy = Number(process.argv[3] ?? 20);
const AIM_PERCENT = 0.5;
const AIM_TIMES = 10;
/** The loop is what it is after a few seconds already. */
const CATS_SECONDS = 20;
const seconds = Number(process.argv[2] ?? 180);

const host = await startContainer({ suite: 'bookworm' });
try {
  await host.writeFiles({
    '/root/sampler.sh': readFileSync(join(import.meta.dirname, '../templates/sampler.sh')),
    '/etc/systemd/system/busy@.service':
      "[Service]\nExecStart=/bin/sh -c 'while :; do sleep 0.9 & sleep 1.1; wait; done'\nTasksMax=64\n",
    // Processor time of the children of this shell, in hundredths of a second: cutime and cstime of stat(5).
    '/root/cost':
      '#!/bin/sh\n"$@" >/dev/null 2>&1\nread -r line </proc/$$/stat\nset -- ${line##*) }\necho $((${14} + ${15}))\n',
    '/root/cats':
      '#!/bin/sh\nend=$(($(date +%s) + $1))\nwhile [ "$(date +%s)" -lt "$end" ]; do for f in /sys/fs/cgroup/pids/system.slice/*/pids.current; do cat "$f"; done; sleep 1; done\n',
  });
  const { stdout } = await host.exec(
    `systemctl daemon-reload
    i=0; while [ $i -lt ${busy} ]; do i=$((i + 1)); systemctl start --no-block busy@$i.service; done
    cd /sys/fs/cgroup/pids
    have=$(find . -type d | wc -l)
    i=$have; while [ "$i" -lt ${CGROUPS} ]; do mkdir "system.slice/idle-$i.service"; i=$((i + 1)); done
    find . -type d | wc -l`,
    { timeoutMs: 300_000 },
  );
  console.log(`${stdout.toString().trim()} cgroups, ${busy} of them busy, ${seconds} s at 1 Hz each`);
  const commands: Record<string, string> = {
    'templates/sampler.sh (dash)': `TASKSCTL_SAMPLE_SECONDS=${seconds} /root/cost dash /root/sampler.sh`,
    'templates/sampler.sh (bash)': `TASKSCTL_SAMPLE_SECONDS=${seconds} /root/cost bash /root/sampler.sh`,
    'systemd-cgtop -b -d 1': `/root/cost systemd-cgtop -b -d 1 -n ${seconds}`,
    'loop of cat': `/root/cost sh /root/cats ${CATS_SECONDS}`,
  };
  const costs: Record<string, number> = {};
  await Promise.all(
    Object.entries(commands).map(async ([name, command]) => {
      const { stdout: ticks } = await host.exec(command, { timeoutMs: (seconds + 120) * 1000 });
      const time = name === 'loop of cat' ? CATS_SECONDS : seconds;
      // 100 ticks are a second on every Linux.
      costs[name] = Number(ticks.toString()) / time;
    }),
  );
  const ours = costs['templates/sampler.sh (dash)'] ?? Number.NaN;
  console.log(`${'command'.padEnd(30)} ${'% of a core'.padStart(12)} ${'times'.padStart(8)}`);
  for (const name of Object.keys(commands)) {
    const percent = costs[name] ?? Number.NaN;
    console.log(
      `${name.padEnd(30)} ${percent.toFixed(2).padStart(12)} ${(percent / ours).toFixed(1).padStart(8)}`,
    );
  }
  console.log(`aim: under ${AIM_PERCENT} %, and systemd-cgtop at least ${AIM_TIMES} times as much`);
} finally {
  await host.stop();
}
