// With TASKSCTL_SEED the tests by chance take the same way every time; without it each run takes a new one.
const seed = process.env['TASKSCTL_SEED'];
if (seed !== undefined) {
  const { default: fc } = await import('fast-check');
  fc.configureGlobal({ seed: Number(seed) });
}
