// npm test: types, lint, unit tests, then the tests on real hosts. The last line says how many tests there were.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules/.bin');
const reports = mkdtempSync(join(tmpdir(), 'tasksctl-test-'));
const totals = { passed: 0, failed: 0, skipped: 0 };
let ok = true;

/** Runs a command with its output in sight; false if it failed. */
function run(name, command, args) {
  console.log(`\n== ${name}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined) console.error(String(error));
  if (status !== 0) ok = false;
  return status === 0;
}

/** Runs a project of vitest.config.ts and adds up its tests. Its output is in sight as it comes, or all at the end. */
async function tests(project, { prefix = [], options = [], inSight = true } = {}) {
  if (inSight) console.log(`\n== tests: ${project}`);
  const vitest = [join(bin, 'vitest'), 'run', '--project', project, ...options];
  const report = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportOf(project)}`];
  const [command, ...args] = [...prefix, ...vitest, ...report];
  const to = inSight ? 'inherit' : 'pipe';
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', to, to] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => output.push(data));
  const passed = await new Promise((resolve) => {
    child.on('error', (error) => {
      output.push(Buffer.from(String(error)));
      resolve(false);
    });
    child.on('close', (code) => resolve(code === 0));
  });
  if (output.length > 0) console.log(`\n== tests: ${project}\n${Buffer.concat(output)}`);
  if (!passed) ok = false;
  addUp(project, passed);
}

function reportOf(project) {
  return join(reports, `${project}.json`);
}

function addUp(project, passed) {
  const failedBefore = totals.failed;
  try {
    for (const file of JSON.parse(readFileSync(reportOf(project), 'utf8')).testResults) count(file);
  } catch (error) {
    console.error(`no report of the ${project} tests: ${error}`);
  }
  // A run can fail outside of any test; it must not look like a good one.
  if (!passed && totals.failed === failedBefore) totals.failed += 1;
}

function count({ status, assertionResults }) {
  const failed = assertionResults.filter((test) => test.status === 'failed').length;
  const passed = assertionResults.filter((test) => test.status === 'passed').length;
  totals.passed += passed;
  // A file that could not even be loaded is one failure.
  totals.failed += status === 'failed' && failed === 0 ? 1 : failed;
  totals.skipped += assertionResults.length - passed - failed;
}

run('types', join(bin, 'tsc'), ['-p', '.']);
run('types of the page', join(bin, 'tsc'), ['-p', 'src/report/html/page']);
run('lint', join(bin, 'biome'), ['check', '.']);
await tests('unit', { options: ['--maxWorkers=100%'] });
// Real hosts need root and a network of their own; without them the tests say so and are skipped.
const prefix = process.getuid?.() === 0 ? [join(root, 'test/lab/in-lab')] : [];
// Virtual machines share nothing with containers. The fleet takes all the inotify instances there are, so it is alone.
const vms = tests('vms', { prefix, inSight: false });
await tests('fleet', { prefix });
await tests('hosts', { prefix });
await vms;

rmSync(reports, { recursive: true, force: true });
console.log(`\n== ${ok ? 'all good' : 'FAILED, see above'}`);
console.log(`Tests: ${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = ok ? 0 : 1;
