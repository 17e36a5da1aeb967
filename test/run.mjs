// npm test: types, lint, unit tests, then the tests on real hosts. The last line says how many tests there were.
import { spawnSync } from 'node:child_process';
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

/** Runs one project of vitest.config.ts and adds up its tests. */
function tests(project, prefix = []) {
  const report = join(reports, `${project}.json`);
  const [command, ...args] = [
    ...prefix,
    join(bin, 'vitest'),
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ];
  const passed = run(`tests: ${project}`, command, args);
  const failedBefore = totals.failed;
  try {
    for (const file of JSON.parse(readFileSync(report, 'utf8')).testResults) count(file);
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
tests('unit');
// Real hosts need root and a network of their own; without them the tests say so and are skipped.
tests('hosts', process.getuid?.() === 0 ? [join(root, 'test/lab/in-lab')] : []);

rmSync(reports, { recursive: true, force: true });
console.log(`\n== ${ok ? 'all good' : 'FAILED, see above'}`);
console.log(`Tests: ${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = ok ? 0 : 1;
