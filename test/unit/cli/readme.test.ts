import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runCli } from './run-cli.ts';

const root = join(import.meta.dirname, '../../..');

/** A block of a command and what it prints. */
const BLOCK = /```console\n\$ tasksctl ([^\n]*)\n[^`]*```/g;

it('README.md shows what the commands in it print (npm run docs writes it)', async () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  let shown = readme;
  for (const [block, command = ''] of readme.matchAll(BLOCK)) {
    const argv = command.split(' ').map((word) => (word.startsWith('examples/') ? join(root, word) : word));
    // As on a terminal of 80 columns; pages show no colour.
    const { code, stdout, stderr } = await runCli(argv, {
      terminal: 80,
      env: { LANG: 'C.UTF-8', NO_COLOR: '1' },
    });
    expect(code).toBe(0);
    shown = shown.replace(block, () => `\`\`\`console\n$ tasksctl ${command}\n${stderr}${stdout}\`\`\``);
  }
  await expect(shown).toMatchFileSnapshot('../../../README.md');
});
