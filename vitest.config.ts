import { defineConfig } from 'vitest/config';

const lab = {
  runner: './test/lab-runner.ts',
  pool: 'forks',
  fileParallelism: false,
  testTimeout: 300_000,
  hookTimeout: 300_000,
} as const;

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
      // Real systemd hosts: one file at a time (they share the machine's cgroup tree), and time to boot.
      { test: { name: 'hosts', include: ['test/hosts/**/*.test.ts', 'test/lab/**/*.test.ts'], ...lab } },
      // Virtual machines: these share nothing with the others, so both can run at once.
      { test: { name: 'vms', include: ['test/vm/**/*.test.ts'], ...lab } },
    ],
  },
});
