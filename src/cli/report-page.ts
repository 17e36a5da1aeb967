import { join } from 'node:path';
import { packageRoot } from '../host/package-root.ts';
import type { PageAssets } from '../report/html/html-report.ts';
import options from '../report/html/page/esbuild.json' with { type: 'json' };

/**
 * The script and the style of a report's page, bundled. This is for running from source: in the bundle, build.mjs has
 * put the result in its place.
 */
export async function reportPage(): Promise<PageAssets> {
  const { build } = await import('esbuild');
  const built = await build({ ...(options as object), absWorkingDir: packageRoot() });
  const text = (end: string): string =>
    built.outputFiles?.find(({ path }) => path.endsWith(join('page', `main.${end}`)))?.text ?? '';
  return { script: text('js'), style: text('css') };
}
