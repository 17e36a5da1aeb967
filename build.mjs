// Bundles the program into dist/: start-up time is mostly the finding and reading of files, so few are better than
// many, and what only some commands need stays in files of its own that are read when such a command is run.
import { chmod, readFile, rm } from 'node:fs/promises';
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

/** The page of a report is bundled for browsers first, and is text in the program. */
const withReportPage = {
  name: 'with-report-page',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/cli\/report-page\.ts$/ }, async () => {
      const options = JSON.parse(await readFile(join(root, 'src/report/html/page/esbuild.json'), 'utf8'));
      const { outputFiles } = await build({ ...options, absWorkingDir: root });
      const text = (end) => outputFiles.find(({ path }) => path.endsWith(`main.${end}`)).text;
      const assets = { script: text('js'), style: text('css') };
      return { contents: `export const reportPage = async () => (${JSON.stringify(assets)});`, loader: 'js' };
    });
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
  // Node 20 has the v flag; as calls of RegExp() they would all be compiled at the start.
  supported: { 'regexp-set-notation': true },
  chunkNames: 'chunks/[name]-[hash]',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'linked',
  logLevel: 'warning',
  plugins: [withoutNative, withoutLocales, withReportPage],
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
