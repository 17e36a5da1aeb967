// Bundles the program into dist/: start-up time is mostly the finding and reading of files, so few are better than
// many, and what only some commands need stays in files of its own that are read when such a command is run.
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = import.meta.dirname;
/** dist/, or another directory for a test. */
const outdir = process.env.TASKSCTL_OUTDIR ?? join(root, 'dist');

/** ssh2 works without its native parts (cpu-features, its own crypto binding): they are left out. */
const withoutNative = {
  name: 'without-native',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^cpu-features$|\.node$/ }, ({ path }) => ({ path, namespace: 'absent' }));
    onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
      // ssh2 tries to require them and goes on where that throws.
      contents: `throw new Error(${JSON.stringify(`${path} is not part of the bundle`)});`,
      loader: 'js',
    }));
  },
};

/** Half of zod is its messages in fifty languages; ours are English. */
const withoutLocales = {
  name: 'without-locales',
  setup({ onLoad }) {
    onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({ contents: '' }));
  },
};

await rm(outdir, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: { tasksctl: 'src/cli/tasksctl.ts' },
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.17',
  chunkNames: 'chunks/[name]-[hash]',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'linked',
  logLevel: 'warning',
  plugins: [withoutNative, withoutLocales],
  banner: {
    // CommonJS packages in the bundle call require() for Node's own modules, and one wants to know where it is.
    js: [
      '#!/usr/bin/env node',
      "import { createRequire as createBundleRequire } from 'node:module';",
      'const require = createBundleRequire(import.meta.url), __dirname = import.meta.dirname;',
    ].join('\n'),
  },
});
await chmod(join(outdir, 'tasksctl.js'), 0o755);
