import { parseUnitName } from '../../../src/systemd/unit-name.ts';
import { FileSet, type GeneratedFile } from './file-set.ts';
import type { Random } from './random.ts';

export interface GeneratedUnits {
  readonly files: Record<string, GeneratedFile>;
  /** Names to ask systemd for. */
  readonly names: readonly string[];
}

/** Where the files of generators wait for the lab's generator to copy them, by the directory it copies them to. */
const GENERATED = '/var/lib/differential';

const DIRECTORIES = [
  '/etc/systemd/system.control',
  '/run/systemd/system.control',
  '/run/systemd/transient',
  `${GENERATED}/early`,
  '/etc/systemd/system',
  '/etc/systemd/system',
  '/etc/systemd/system.attached',
  '/run/systemd/system',
  '/run/systemd/system.attached',
  `${GENERATED}/normal`,
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  `${GENERATED}/late`,
];

/** Not searched for units, so that a link from a unit directory leads out of the search path. */
const OUTSIDE = '/opt/differential';

const TYPES = [
  'service',
  'service',
  'service',
  'service',
  'slice',
  'slice',
  'socket',
  'swap',
  'timer',
  'target',
];

const BASENAMES = [
  '10-defaults.conf',
  '40-a.conf',
  '50-TasksMax.conf',
  '50-limits.conf',
  '50-limits.conf',
  '60-b.conf',
  'override.conf',
  'Zz.conf',
  'zz.conf',
  '~tilde.conf',
  'a.conf.conf',
  'ünïcode.conf',
  '\u{1f600}.conf',
  '\uffee.conf',
  '.hidden.conf',
  'no-suffix',
  '50-limits.conf.bak',
  '50-limits.CONF',
];

/** Everything anyone might write as a value, and more. */
const VALUES = [
  '4096',
  '12288',
  '+5',
  '0x1000',
  '0X1f',
  '010',
  '0b101',
  '0B11',
  '0o17',
  '08',
  '1',
  '4194303',
  '4194304',
  '4194305',
  '99999999999',
  '18446744073709551614',
  '18446744073709551615',
  '18446744073709551616',
  '0',
  '-1',
  '-0',
  '\v7',
  '\v-7',
  '7\v',
  '33%',
  '15%',
  '100%',
  '101%',
  '0%',
  '0.0%',
  '1%',
  '33.3%',
  '33.33%',
  '33.333%',
  '0.5%',
  '-0.5%',
  '.5%',
  '5.%',
  '100.0%',
  '100.1%',
  '010%',
  '0x10%',
  '0b11%',
  '+7%',
  '33 %',
  '12‰',
  '12.5‰',
  '12.55‰',
  '1000‰',
  '1001‰',
  '1234‱',
  '12.5‱',
  '10000‱',
  '10001‱',
  '%',
  '‰',
  'infinity',
  'INFINITY',
  'Infinity',
  'max',
  'unlimited',
  '',
  '',
  '4K',
  '4k',
  '1.5',
  '1e3',
  '"100"',
  "'100'",
  '8 # comment',
  '8;',
  'banana',
  '5 0',
  '0x',
  '0b',
  '0b2',
  '0o8',
  '%i',
  '١٢',
];

const KEYS = [
  'TasksMax',
  'TasksMax',
  'TasksMax',
  'TasksMax',
  'TasksMax',
  'TasksMax',
  'TaskMax',
  'tasksmax',
  'TasksMAX',
];

/** Trees of units with every rule of precedence systemd has, in `clusters` groups of related names. */
export function generateUnits(random: Random, clusters: number): GeneratedUnits {
  const files = new FileSet();
  files.put(
    '/etc/systemd/system-generators/differential',
    `#!/bin/sh
cp -a ${GENERATED}/normal/. "$1/" && cp -a ${GENERATED}/early/. "$2/" && cp -a ${GENERATED}/late/. "$3/"
`,
  );
  for (const place of ['normal', 'early', 'late']) files.put(`${GENERATED}/${place}/README`, '');
  const names = new Set<string>();
  for (let n = 0; n < clusters; n++) new Cluster(random, n, files, names).generate();
  typeLevelDropIns(random, files);
  return { files: files.files, names: [...names] };
}

/**
 * Values that no running service of the host can reach. The root slice is a slice too: systemd would write its limit to
 * kernel.threads-max, a percentage of that very number, so that each reload would shrink it.
 */
function typeLevelDropIns(random: Random, files: FileSet): void {
  files.put('/etc/systemd/system/-.slice.d/zzz.conf', '[Slice]\nTasksMax=infinity\n');
  for (const directory of random.some(DIRECTORIES.slice(4), 0.3)) {
    for (const name of random.some(['02-type.conf', '45-type.conf', '55-type.conf'], 0.4)) {
      const type = random.pick(['service', 'slice', 'socket']);
      const section = `[${type.charAt(0).toUpperCase()}${type.slice(1)}]`;
      const body = `${section}\nTasksMax=${random.pick(['20000', '90%', 'banana', '21000'])}\n`;
      files.put(`${directory}/${type}.d/${name}`, random.chance(0.2) ? { symlink: '/dev/null' } : body);
    }
  }
}

class Cluster {
  readonly #random: Random;
  readonly #files: FileSet;
  readonly #names: Set<string>;
  readonly #number: number;
  readonly #type: string;
  #aliases = 0;
  #dropIns = 0;

  constructor(random: Random, number: number, files: FileSet, names: Set<string>) {
    this.#random = random;
    this.#number = number;
    this.#files = files;
    this.#names = names;
    this.#type = random.pick(TYPES);
  }

  generate(): void {
    const random = this.#random;
    // systemd applies drop-ins of several aliases with one file name in the order of a hash table.
    this.#aliases = random.chance(0.5) ? 0 : random.pick([1, 1, 2, 3]);
    const stems = this.#stems();
    const plain = stems.map((stem) => `${stem}.${this.#type}`);
    const template = `${random.pick(stems)}@`;
    const instances = ['', 'one', 'a-b', 'x@y', '\\x2d', '0.5'].map((i) => `${template}${i}.${this.#type}`);
    const withTemplates = !['slice', 'swap'].includes(this.#type) && random.chance(0.6);
    const all = withTemplates ? [...plain, ...instances] : plain;
    for (const name of all) this.#fragments(name);
    for (const name of all) this.#dropInDirectories(name, 0.25);
    for (const stem of stems) {
      for (const prefix of prefixes(stem)) {
        this.#dropInDirectories(`${prefix}.${this.#type}`, 0.4);
        if (withTemplates) this.#dropInDirectories(`${prefix}@.${this.#type}`, 0.15);
        if (withTemplates) this.#dropInDirectories(`${prefix}@one.${this.#type}`, 0.1);
      }
    }
    for (let n = 0; n < this.#aliases; n++) this.#alias(random.pick(all), n);
    for (const name of all) {
      const unit = parseUnitName(name);
      if (unit !== null && unit.instance !== '') this.#ask(name);
    }
  }

  /** systemd has no instances of slices and swaps, and answers no question about them. */
  #ask(name: string): void {
    if (!name.includes('@') || !['slice', 'swap'].includes(this.#type)) this.#names.add(name);
  }

  /** Names with dashes in all places, dots, colons, escapes. */
  #stems(): string[] {
    const random = this.#random;
    const root = `d${this.#number}`;
    const stems = [root, `${root}-a`, `${root}-a-b`, `${root}-a-b-c`, `${root}-z`];
    if (this.#type === 'slice') {
      if (random.chance(0.1)) stems.push(random.pick([`${root}--a`, `${root}-a-`, `-${root}`]));
    } else {
      stems.push(
        ...random.some(
          [`${root}--a`, `${root}-a-`, `-${root}-a`, `${root}.x-y`, `${root}:x`, `${root}\\x2da`],
          0.3,
        ),
      );
    }
    const some = random.some(stems, 0.8);
    return some.length > 0 ? some : [root];
  }

  #fragments(name: string): void {
    const random = this.#random;
    const probability = this.#type === 'slice' ? 0.15 : 0.12;
    for (const directory of random.some(DIRECTORIES, probability))
      this.#fragment(`${directory}/${name}`, name);
    // Most types need a file for the unit to be there at all.
    if (this.#type === 'swap' || (this.#type !== 'slice' && random.chance(0.6)))
      this.#fragment(`/etc/systemd/system/${name}`, name);
  }

  #fragment(path: string, name: string): void {
    const random = this.#random;
    const roll = random.next();
    if (roll < 0.04) this.#files.put(path, { symlink: '/dev/null' });
    else if (roll < 0.07) this.#files.put(path, '');
    else if (roll < 0.09) this.#files.put(path, { symlink: `${OUTSIDE}/dangling` });
    else if (roll < 0.1) this.#files.put(path, { symlink: name });
    else if (roll < 0.11) this.#files.put(`${path}/keep`, '');
    else if (roll < 0.16) {
      const target = `${OUTSIDE}/${random.pick([name, `other-${name}`, `unit${this.#number}.txt`])}`;
      this.#files.put(target, this.#content(true));
      this.#files.put(path, { symlink: random.chance(0.5) ? target : `../../..${target}` });
    } else this.#files.put(path, this.#content(true));
  }

  #alias(target: string, n: number): void {
    const random = this.#random;
    const at = target.indexOf('@');
    const dot = target.lastIndexOf('.');
    const root = `d${this.#number}alias${n}${random.pick(['', '-x'])}`;
    const suffix = at < 0 ? target.slice(dot) : target.slice(at);
    const instance = at < 0 ? null : target.slice(at + 1, dot);
    // Also ones systemd refuses: other instances, other types, an instance for a plain name.
    const names = [`${root}${suffix}`, `${root}${suffix}`, `${root}${suffix}`, `${root}@one.${this.#type}`];
    const name = random.chance(0.05) ? `${root}.service` : random.pick(names);
    const directory = random.pick(DIRECTORIES.slice(4, 9));
    const places = [
      target,
      target,
      `${directory}/${target}`,
      `/usr/lib/systemd/system/${target}`,
      `sub/${target}`,
    ];
    this.#files.put(`${directory}/${name}`, { symlink: random.pick(places) });
    this.#dropInDirectories(name, 0.2);
    const asked = parseUnitName(name);
    if (asked?.instance !== '') this.#ask(name);
    else {
      this.#ask(`${root}@one.${this.#type}`);
      if (instance === '') this.#ask(target.replace('@.', '@one.'));
    }
  }

  #dropInDirectories(name: string, probability: number): void {
    const random = this.#random;
    for (const directory of random.some(DIRECTORIES, probability / 8)) {
      const path = `${directory}/${name}.d`;
      const roll = random.next();
      if (roll < 0.06) {
        // A link to a directory elsewhere, absolute or relative.
        const target = `${OUTSIDE}/dir${this.#number}-${random.integer(0, 3)}`;
        this.#dropInFiles(target);
        const up = '../'.repeat(directory.split('/').length - 1);
        this.#files.put(path, { symlink: random.chance(0.5) ? target : `${up}${target.slice(1)}` });
      } else if (roll < 0.09) {
        const to = random.pick([`${name}.d`, `d${this.#number}.${this.#type}.d`, '/dev/null']);
        this.#files.put(path, { symlink: to });
      } else if (roll < 0.1) this.#files.put(path, 'not a directory\n');
      else this.#dropInFiles(path);
    }
  }

  #dropInFiles(directory: string): void {
    const random = this.#random;
    for (let n = random.integer(1, 3); n > 0; n--) {
      const unique = this.#aliases > 1 ? `${this.#dropIns++}` : '';
      const path = `${directory}/${unique}${random.pick(BASENAMES)}`;
      const roll = random.next();
      if (roll < 0.05) this.#files.put(path, { symlink: '/dev/null' });
      else if (roll < 0.1) this.#files.put(path, '');
      else if (roll < 0.12) this.#files.put(path, { symlink: 'nowhere' });
      else if (roll < 0.13) this.#files.put(path, { symlink: path });
      else if (roll < 0.15) this.#files.put(`${path}/inside.conf`, '[Service]\nTasksMax=3\n');
      else if (roll < 0.19) {
        const target = `${OUTSIDE}/file${this.#number}-${random.integer(0, 2)}`;
        this.#files.put(target, this.#content(false));
        this.#files.put(path, { symlink: target });
      } else this.#files.put(path, this.#content(false));
    }
  }

  #content(isFragment: boolean): Uint8Array {
    const random = this.#random;
    const own = this.#type.charAt(0).toUpperCase() + this.#type.slice(1);
    const lines: string[] = [];
    if (random.chance(0.2)) lines.push('# a comment', '; another');
    if (random.chance(0.03)) lines.push('TasksMax=77');
    if (isFragment) lines.push(...this.#whatTheTypeNeeds());
    for (let n = random.integer(isFragment ? 0 : 1, 2); n > 0; n--) {
      const wrong = [
        'Unit',
        'Install',
        'Service',
        'Slice',
        'Manager',
        own.toLowerCase(),
        ` ${own} `,
        'X-Mine',
        `X-${own}`,
      ];
      lines.push(
        `${random.pick(['', '', '', ' ', '\t'])}[${random.chance(0.12) ? random.pick(wrong) : own}]`,
      );
      for (let m = random.integer(1, 3); m > 0; m--) lines.push(...this.#line());
    }
    if (random.chance(0.015))
      lines.push(random.pick(['[Service', '[', '[]', '[a"b]', '[a*b]', '[a\\b]', '[Ser\tvice]']));
    if (random.chance(0.05)) lines.push(`[${own}]`, `TasksMax=${random.pick(VALUES)}`);
    const end = random.pick(['\n', '\n', '\n', '\n', '\n', '\n', '\n', '\r\n', '\r', '\0', '\n\r', '\r\n\0']);
    let text = lines.join(end) + random.pick([end, end, end, '', '\\', '\\\n']);
    if (random.chance(0.03)) text = `\ufeff${text}`;
    if (random.chance(0.01)) text = `\ufeff\ufeff${text}`;
    const bytes = Buffer.from(text);
    if (random.chance(0.015)) return this.#spoil(bytes);
    if (random.chance(0.001))
      return Buffer.concat([bytes, Buffer.alloc(random.integer(1_048_574, 1_048_577), '#')]);
    return bytes;
  }

  #whatTheTypeNeeds(): string[] {
    switch (this.#type) {
      case 'service':
        return ['[Service]', 'Type=oneshot', 'ExecStart=/bin/true'];
      case 'socket':
        return ['[Socket]', 'ListenStream=/run/differential.socket', 'Accept=yes'];
      case 'timer':
        return ['[Timer]', 'OnBootSec=1w'];
      case 'swap':
        return ['[Swap]', 'What=/dev/null'];
      default:
        return [];
    }
  }

  #line(): string[] {
    const random = this.#random;
    const key = random.pick(KEYS);
    const value = random.chance(0.5) ? String(random.integer(2, 9999)) : random.pick(VALUES);
    const before = random.pick(['', '', '', '', ' ', '\t']);
    const equals = random.pick(['=', '=', '=', '=', ' = ', '\t=', '= ']);
    const assignment = `${before}${key}${equals}${value}${random.pick(['', '', '', ' ', '\t'])}`;
    const roll = random.next();
    if (roll < 0.6) return [assignment];
    if (roll < 0.64) return [`${key}=\\`, value];
    if (roll < 0.67) return [`${key}=\\`, '# between', value];
    if (roll < 0.69) return [`${key}=\\`, '  ; between \\', value];
    if (roll < 0.71) return [`${key}=${value}\\`, ''];
    if (roll < 0.73) return [`${key}=\\\\`, assignment];
    if (roll < 0.75) return [`# ${assignment} \\`, assignment];
    if (roll < 0.77) return ['Description=\\', assignment];
    if (roll < 0.8) return ['no equals sign', assignment];
    if (roll < 0.82) return ['=value without key', assignment];
    if (roll < 0.84) return [`#${assignment}`, `;${assignment}`];
    if (roll < 0.86) return ['TasksAccounting=yes', assignment, '', '   '];
    if (roll < 0.88) return [`${key}=${value}`, `${key}=${random.pick(VALUES)}`];
    if (roll < 0.9) return [`${key}${value}`];
    if (roll < 0.91) return ['.include /etc/systemd/system/other.conf', assignment];
    if (roll < 0.92) return [`Description=${'long '.repeat(2000)}`, assignment];
    if (roll < 0.94) return ['Description=\u2028 ünïcode \u{1f600}', assignment];
    return [assignment];
  }

  /** Bytes that are no UTF-8, or not in systemd's eyes, or a NUL, somewhere. */
  #spoil(bytes: Buffer): Buffer {
    const at = this.#random.integer(0, bytes.length);
    const what = this.#random.pick([
      'ff',
      'c3',
      'eda080',
      'efbfbf',
      'efb790',
      'f4908080',
      'c080',
      '00',
      '0000',
      'f0',
    ]);
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(what, 'hex'), bytes.subarray(at)]);
  }
}

/** `a-b-c` to `a-b-`, `a-`. */
function prefixes(stem: string): string[] {
  const dashes = [...stem.matchAll(/-/g)].map((match) => match.index);
  return dashes.filter((index) => index > 0).map((index) => stem.slice(0, index + 1));
}
