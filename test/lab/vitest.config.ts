import { defineConfig } from 'vitest/config';

/** For working on the lab itself: test/lab/in-lab npx vitest run --config test/lab/vitest.config.ts */
export default defineConfig({
  test: {
    dir: import.meta.dirname,
    include: ['**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
});
