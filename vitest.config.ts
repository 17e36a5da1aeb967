import { defineConfig } from 'vitest/config';

const lab = {
  runner: './test/lab-runner.ts',
  pool: 'forks',
  fileParallelism: false,
  testTimeout: 300_000,
  hookTimeout: 300_000,
} as const;

const FLEET = ['test/hosts/rollout.test.ts'];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          setupFiles: ['./test/seed.ts'],
          // For a busy machine; no test needs a second on an idle one.
          testTimeout: 30_000,
        },
      },
      // Real systemd hosts, which take their time to boot. Two files at once: they wait more than they work.
      {
        test: {
          name: 'hosts',
          include: ['test/hosts/**/*.test.ts', 'test/lab/**/*.test.ts'],
          exclude: FLEET,
          ...lab,
          fileParallelism: true,
          maxWorkers: 2,
        },
      },
      // Twenty of them.
      { test: { name: 'fleet', include: FLEET, ...lab } },
      { test: { name: 'vms', include: ['test/vm/**/*.test.ts'], ...lab } },
    ],
  },
});
