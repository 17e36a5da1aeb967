// Runs a benchmark of src/ as the program is built: node bench/run.mjs plan-throughput [ARGUMENT]...
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { build } from 'esbuild';

const [name, ...args] = process.argv.slice(2);
const outfile = join(import.meta.dirname, '../node_modules/.cache', `bench-${name}.mjs`);
await build({
  entryPoints: [join(import.meta.dirname, `${name}.ts`)],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.17',
  define: { 'import.meta.dirname': JSON.stringify(import.meta.dirname) },
  banner: {
    js: "import { createRequire as createBundleRequire } from 'node:module';\nconst require = createBundleRequire(import.meta.url);",
  },
});
const { status } = spawnSync(process.execPath, [outfile, ...args], { stdio: 'inherit' });
process.exitCode = status ?? 1;
