import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory with package.json, templates/ and examples/: above src/ and above the bundle alike. */
export function packageRoot(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, 'package.json'))) {
    const parent = dirname(at);
    if (parent === at) throw new Error('tasksctl is not whole: there is no package.json above it');
    at = parent;
  }
  return at;
}
