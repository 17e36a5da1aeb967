import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';

const texts = new Map<string, string>();

/** Text of a file of templates/, such as `probe.sh`; read once, so that all hosts of a fleet get the same. */
export function readTemplate(name: string): string {
  const before = texts.get(name);
  if (before !== undefined) return before;
  const text = readFileSync(join(packageRoot(), 'templates', name), 'utf8');
  texts.set(name, text);
  return text;
}
