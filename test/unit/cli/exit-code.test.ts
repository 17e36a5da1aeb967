import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT, FAILURE_EXIT } from '../../../src/cli/exit-code.ts';

const docs = readFileSync(new URL('../../../docs/exit-codes.md', import.meta.url), 'utf8');

describe('docs/exit-codes.md', () => {
  it('lists every code', () => {
    const listed = [...docs.matchAll(/^\| ([0-9]+) \| /gm)].map((match) => Number(match[1]));
    expect(listed).toEqual(Object.values(EXIT));
  });

  it('lists every kind of failure with the code it has', () => {
    const listed = [...docs.matchAll(/^\| `([a-z-]+)` \| ([0-9]+) \| /gm)].map(([, kind, code]) => [
      kind,
      Number(code),
    ]);
    expect(listed).toEqual(Object.entries(FAILURE_EXIT));
  });
});
