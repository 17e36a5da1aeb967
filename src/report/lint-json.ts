import { z } from 'zod';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { diagnosticSchema } from './status-json.ts';

/** What `tasksctl lint --json` prints. Fields may be added under `tasksctl/lint/1`. */
export const lintSchema = z.strictObject({
  schema: z.literal('tasksctl/lint/1'),
  target: z.string(),
  diagnostics: z.array(diagnosticSchema),
});

/** The findings about a host as a document. */
export function lintJson(target: string, diagnostics: readonly Diagnostic[]): z.infer<typeof lintSchema> {
  return { schema: 'tasksctl/lint/1', target, diagnostics: [...diagnostics] };
}
