// How long tasksctl takes to start, against the least a Node program can: node -e 0. The two are run in turn, so that
// whatever else the machine does falls on both.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const AIM = 2;
const RUNS = Number(process.argv[2] ?? 40);
const program = join(import.meta.dirname, '../dist/tasksctl.js');
const commands = {
  'node -e 0': ['-e', '0'],
  'tasksctl --version': [program, '--version'],
};

const times = Object.fromEntries(Object.keys(commands).map((name) => [name, []]));
for (let run = 0; run < RUNS + 2; run++) {
  for (const [name, args] of Object.entries(commands)) {
    const started = performance.now();
    const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
    const took = performance.now() - started;
    if (status !== 0) throw new Error(`${name} failed: run npm run build first`);
    // The first two runs read the files into the page cache.
    if (run >= 2) times[name].push(took);
  }
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const base = median(times['node -e 0']);
console.log(
  `${'command'.padEnd(20)} ${'median ms'.padStart(9)} ${'ratio'.padStart(6)}   (${RUNS} runs each, in turn)`,
);
for (const [name, list] of Object.entries(times)) {
  const time = median(list);
  console.log(`${name.padEnd(20)} ${time.toFixed(1).padStart(9)} ${(time / base).toFixed(2).padStart(6)}`);
}
console.log(`aim: tasksctl --version under ${AIM.toFixed(1)}`);
