import { FileSet, type GeneratedFile } from './file-set.ts';
import type { Random } from './random.ts';

const DIRECTORIES = ['/etc/systemd', '/run/systemd', '/usr/local/lib/systemd', '/usr/lib/systemd'];

const BASENAMES = [
  '10-a.conf',
  '50-limits.conf',
  '50-limits.conf',
  '90-z.conf',
  'Z.conf',
  '.hidden.conf',
  'x',
  'ü.conf',
];

/** None small enough to hurt the services that run on the host. */
const VALUES = [
  '4096',
  '5000',
  '0x2000',
  '010000',
  '50%',
  '66.6%',
  '77.77%',
  '999‰',
  'infinity',
  '',
  '4K',
  '101%',
  'max',
];

/**
 * Main files and drop-ins of one configuration file of a manager, by chance; with `traps` ones that systemd stumbles
 * over too.
 */
export function generateManagerConf(
  random: Random,
  name: string,
  section: string,
  traps: boolean,
): Record<string, GeneratedFile> {
  const files = new FileSet();
  for (const directory of DIRECTORIES) {
    if (random.chance(0.4)) files.put(`${directory}/${name}`, content(random, section, traps));
    for (const basename of random.some(BASENAMES, 0.25)) {
      const path = `${directory}/${name}.d/${basename}`;
      const roll = random.next();
      if (roll < 0.08) files.put(path, '');
      else if (traps && roll < 0.16) files.put(path, { symlink: '/dev/null' });
      else if (traps && roll < 0.2) files.put(path, { symlink: 'nowhere' });
      else if (traps && roll < 0.22) files.put(path, { symlink: basename });
      else if (traps && roll < 0.24) files.put(`${path}/inside`, '');
      else if (traps && roll < 0.28) files.put(path, { symlink: `../${name}` });
      else files.put(path, content(random, section, traps));
    }
  }
  return files.files;
}

function content(random: Random, section: string, traps: boolean): string {
  const lines = [`[${random.chance(0.1) ? 'Other' : section}]`];
  for (let n = random.integer(0, 2); n > 0; n--) lines.push(`DefaultTasksMax=${random.pick(VALUES)}`);
  if (random.chance(0.1)) lines.push('nonsense', `DefaultTasksMax=${random.pick(VALUES)}`);
  if (traps && random.chance(0.06))
    lines.push('[broken', `[${section}]`, `DefaultTasksMax=${random.pick(VALUES)}`);
  return `${lines.join('\n')}\n`;
}
