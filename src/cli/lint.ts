import { lintText } from '../report/diagnostic-text.ts';
import { lintJson } from '../report/lint-json.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import type { Outcome } from './failure.ts';
import type { OutputOptions, SourceOptions } from './options.ts';
import { notePartialData, readSource } from './read-source.ts';

export type LintOptions = SourceOptions & OutputOptions;

/** `tasksctl lint` */
export async function lintHost(console: Console, options: LintOptions): Promise<Outcome> {
  const source = await readSource(console, options);
  if (source.kind === 'failed') return source;
  const { snapshot } = source;
  await notePartialData(console, snapshot);
  const { diagnostics } = hostLimits(snapshot);
  const code = diagnostics.some(({ severity }) => severity === 'error') ? EXIT.error : EXIT.done;
  if (!console.json) return console.result(lintText(diagnostics, console.style), code);
  return console.document(lintJson(snapshot.target, diagnostics), code);
}
