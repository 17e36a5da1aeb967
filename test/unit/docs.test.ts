import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/plan/policy.ts';

const root = join(import.meta.dirname, '../..');
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'test/lab/README.md'].concat(
  readdir(join(root, 'docs')).map((page) => join('docs', page)),
);

function readdir(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
}

describe('the documentation', () => {
  it.each(pages)('%s links to what is there', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
    const dead = links
      .filter((link) => !/^(?:https?:|mailto:|#)/.test(link))
      .filter((link) => !existsSync(join(root, dirname(page), link.replace(/#.*/, ''))));
    expect(dead).toEqual([]);
  });

  it('has policies that can be used as they are', () => {
    const text = readFileSync(join(root, 'docs/policy.md'), 'utf8');
    const examples = [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, example = '']) => example);
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      expect(parsePolicy(example, 'docs/policy.md')).toMatchObject({ ok: true });
    }
  });
});
