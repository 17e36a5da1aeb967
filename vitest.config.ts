import { defineConfig } from 'vitest/config';

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
      {
        // Real systemd hosts: one file at a time (they share the machine's cgroup tree), and time to boot.
        test: {
          name: 'hosts',
          include: ['test/hosts/**/*.test.ts', 'test/vm/**/*.test.ts', 'test/lab/**/*.test.ts'],
          runner: './test/lab-runner.ts',
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
