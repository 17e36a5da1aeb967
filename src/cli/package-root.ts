import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory with package.json, templates/ and examples/: above src/ and above the bundle alike. */
export function packageRoot(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, 'package.json')) && at !== dirname(at)) at = dirname(at);
  return at;
}
