import type { RunnerTestFile } from 'vitest';
import { TestRunner } from 'vitest';
import { labUnavailable } from './lab/lab.ts';

/**
 * Runs the tests on real hosts where the lab can; elsewhere each one is skipped, and counted as that. With
 * TASKSCTL_LAB=require it is an error not to have the lab.
 */
export default class LabRunner extends TestRunner {
  override onCollectStart(file: RunnerTestFile): void {
    super.onCollectStart(file);
    const reason = labUnavailable();
    if (reason === null) return;
    if (process.env['TASKSCTL_LAB'] === 'require') throw new Error(`TASKSCTL_LAB=require, but ${reason}`);
    console.warn(`${file.name}: skipped, ${reason}`);
    // No test has such a name, so all are skipped, and none of their hooks run.
    this.config.testNamePattern = /(?!)/;
  }
}
