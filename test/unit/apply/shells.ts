import { existsSync } from 'node:fs';

/** The program is on this machine: `npm test` needs no more than Node and a shell. */
export function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((dir) => existsSync(`${dir}/${program}`));
}

/** The shells that hosts have as `sh`, as far as they are here. */
export const SHELLS = [['dash'], ['bash'], ['bash', '--posix'], ['busybox', 'ash']]
  .filter(([program = '']) => isInstalled(program))
  .map((shell) => ({ shell }));
