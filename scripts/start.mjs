// npm start: builds, then plans this machine by the default policy. Nothing is written. Where systemd does not run
// this machine, the saved snapshot of a real host is planned instead.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const example = 'examples/snapshots/debian-12-systemd-252.json';

await import('../build.mjs');

const args = ['plan', ...process.argv.slice(2)];
const init = processOne();
if (init !== 'systemd') {
  console.log(`Process 1 of this machine is ${init}, not systemd: planning the saved host ${example}.\n`);
  args.push('--snapshot', join(root, example));
}
const { status } = spawnSync(process.execPath, [join(root, 'dist/tasksctl.js'), ...args], {
  stdio: 'inherit',
});
process.exitCode = status ?? 1;

function processOne() {
  try {
    return readFileSync('/proc/1/comm', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
