import { parseProbe } from '../snapshot/parse-probe.ts';
import type { Snapshot, SnapshotCgroup, SnapshotProblem } from '../snapshot/snapshot.ts';
import { compareBytes } from '../systemd/file-tree.ts';

/** A directory that somebody collected on a host: its files as text, by path below it, without a slash in front. */
export interface Collection {
  readonly name: string;
  /** When it was collected, ISO 8601 in UTC. */
  readonly takenAt: string;
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Files of a collected directory that are read: copies of a host's own as sosreport lays them out (its plugins kernel,
 * process, cgroups, systemd, logs, pam_u: the tree of the host, and outputs of commands in sos_commands/PLUGIN/), the
 * text files of supportconfig, and logs by their usual names.
 */
export function isWanted(path: string): boolean {
  return WANTED.test(path);
}

const WANTED = new RegExp(
  [
    '^proc/(?:[0-9]+/(?:status|limits|cgroup)|loadavg|meminfo|uptime|sys/kernel/(?:pid_max|threads-max|hostname|osrelease|random/boot_id)|sys/vm/overcommit_memory)$',
    '^sys/fs/cgroup/(?:.*/)?pids\\.[a-z.]+$',
    '^(?:etc|run|usr/lib|usr/local/lib|lib)/systemd/(?:(?:system|user|logind)\\.conf(?:\\.d/[^/]+)?|(?:system|user|transient|generator|generator\\.late|generator\\.early|system\\.control|system\\.attached)/.*)$',
    '^run/systemd/(?:sessions|users)/[^/]+$',
    '^(?:etc|run|usr/lib|usr/local/lib|lib)/sysctl\\.d/[^/]+$',
    '^etc/(?:sysctl\\.conf|security/limits\\.(?:conf|d/[^/]+)|os-release|machine-id|hostname)$',
    '^usr/lib/os-release$',
    '^sos_commands/(?:kernel/(?:dmesg|sysctl_-a|uname_-a)|systemd/systemctl_show|logs/journalctl|host/hostname|general/hostname)[^/]*$',
    '^var/log/(?:messages|syslog|kern\\.log|dmesg)$',
    '^(?:installed-rpms|installed-debs|uname|hostname|dmesg(?:\\.txt)?|messages|syslog|kern\\.log|journalctl\\.(?:txt|log))$',
    '^(?:basic-environment|boot|messages|proc|systemd|memory|env|pam|rpm|sysctl)\\.txt$',
  ].join('|'),
);

/**
 * What a collected directory says of its host, as a snapshot: what is not there is in `problems`. Nothing of a
 * collection is trusted to be whole. Null where there is nothing in it that concerns task limits.
 */
export function snapshotOfCollection(collection: Collection): Snapshot | null {
  const found = unpack(collection.files);
  const log = kernelLog(found);
  const frames = framesOf(found, collection.takenAt, log);
  const result = parseProbe(frames, collection.name);
  if (result.kind !== 'ok') throw new Error('the frames made here are frames');
  const { snapshot } = result;
  const problems: SnapshotProblem[] = [];
  const missing = (part: string, detail: string): void => {
    problems.push({ part, reason: 'not-available', detail });
  };
  snapshot.files = filesOf(found.files);
  if (snapshot.cgroups.tree.length === 0) {
    snapshot.cgroups.tree = treeOfUnits(snapshot);
    if (snapshot.cgroups.tree.length > 0) snapshot.cgroups.pidsRoot = '/sys/fs/cgroup';
    missing(
      'cgroups',
      snapshot.cgroups.tree.length > 0
        ? 'no pids.* files: what systemd says of its units stands for them, and rejected forks are not counted'
        : 'neither pids.* files nor what systemctl show prints',
    );
  }
  if (snapshot.units.length === 0) missing('units', 'no output of systemctl show with units');
  if (log === null) missing('kernel-log', 'no dmesg, journal, messages, syslog or kern.log');
  if (snapshot.systemd === null) missing('systemd', 'the version of systemd is not to be found');
  if (snapshot.kernel.pidMax === null || snapshot.kernel.threadsMax === null) {
    missing('kernel', 'no kernel.pid_max and kernel.threads-max (sysctl -a)');
  }
  if (snapshot.files.length === 0) missing('files', 'none of the files that set task limits');
  const partial = partialTasks(snapshot);
  if (partial !== null) {
    delete snapshot.uids;
    missing('processes', partial);
  }
  snapshot.problems = [...problems, ...snapshot.problems];
  const anything =
    snapshot.cgroups.tree.length > 0 ||
    snapshot.files.length > 0 ||
    snapshot.uids !== undefined ||
    log !== null;
  return anything ? snapshot : null;
}

interface Found {
  /** By absolute path, as on the host. */
  readonly files: Map<string, string>;
  /** Output by command line, the program without its directory. */
  readonly commands: Map<string, string>;
}

function unpack(files: ReadonlyMap<string, string>): Found {
  const found: Found = { files: new Map(), commands: new Map() };
  for (const [path, text] of files) {
    const command = /^sos_commands\/[^/]+\/([^/]+)$/.exec(path)?.[1];
    // sosreport turns the characters of a command line that are bad in a file name into underscores.
    if (command !== undefined) found.commands.set(command.replaceAll('_', ' '), text);
    else if (/^[^/]+\.txt$/.test(path) && text.includes('#==[ ')) unpackSections(text, found);
    else if (/^[^/]+$/.test(path)) found.commands.set(path.replace(/\.(?:txt|log)$/, ''), text);
    else found.files.set(`/${path}`, text);
  }
  return found;
}

/** A text file of supportconfig: sections `#==[ Command ]===#`, then `# COMMAND` or `# PATH`, then what it is. */
function unpackSections(text: string, { files, commands }: Found): void {
  for (const section of text.split(/^#==\[ /m).slice(1)) {
    const [, kind, subject = '', body = ''] =
      /^([A-Za-z ]+?) \]=+#?[^\n]*\n# ?([^\n]*)\n?(.*)$/s.exec(section) ?? [];
    if (kind === 'Command') {
      const command = subject
        .replace(/^\/\S*\//, '')
        .replaceAll("'", '')
        .trim();
      // A later run of the same, or the next unit.
      const earlier = commands.get(command);
      commands.set(command, earlier === undefined ? body : `${earlier}\n${body}`);
    } else if (kind !== undefined && subject.startsWith('/') && !/ - (?:File )?not found/i.test(subject)) {
      // `# /var/log/messages - Last 500 Lines`
      files.set(subject.replace(/ - .*/, '').trim(), body);
    }
  }
}

const LOG_FILES = ['/var/log/dmesg', '/var/log/kern.log', '/var/log/messages', '/var/log/syslog'];

/** Lines of rejected forks, of the first log that has any for a cgroup; null: there is no log. */
function kernelLog({ files, commands }: Found): string[] | null {
  const texts: string[] = [];
  // The ones with seconds since boot in front first: their time can be told.
  for (const [command, text] of commands) if (command === 'dmesg') texts.push(text);
  for (const [command, text] of commands) {
    if (/^(?:dmesg .*|journalctl\b.*|messages|syslog|kern\.log)$/.test(command)) texts.push(text);
  }
  for (const path of LOG_FILES) texts.push(...(files.has(path) ? [files.get(path) ?? ''] : []));
  if (texts.length === 0) return null;
  const seen = new Set<string>();
  const lines: string[] = [];
  for (const text of texts) {
    const ofText = new Set<string>();
    for (const line of text.split('\n')) {
      const cgroup = /fork rejected by pids controller in (\S+)/.exec(line)?.[1];
      if (cgroup === undefined || seen.has(cgroup)) continue;
      ofText.add(cgroup);
      lines.push(line);
    }
    for (const cgroup of ofText) seen.add(cgroup);
  }
  return lines.slice(-200);
}

/** The same in the form of templates/probe.sh, so that one parser reads both. */
function framesOf(found: Found, takenAt: string, log: readonly string[] | null): Buffer {
  const { files, commands } = found;
  const [, nodename = '', release = ''] = (commands.get('uname -a') ?? commands.get('uname') ?? '').split(
    /\s+/,
  );
  const sysctl = (name: string): string =>
    new RegExp(`^${name.replaceAll('.', '\\.')}\\s*=\\s*(\\S+)`, 'm').exec(
      commands.get('sysctl -a') ?? '',
    )?.[1] ?? '';
  const facts: string[] = [];
  const fact = (path: string, fallback: string): void => {
    for (const line of (files.get(path) ?? fallback).split('\n'))
      if (line !== '') facts.push(`${path}:${line}`);
  };
  fact(
    '/proc/sys/kernel/hostname',
    (files.get('/etc/hostname') ?? commands.get('hostname') ?? nodename).trim(),
  );
  fact('/proc/sys/kernel/osrelease', release);
  fact('/proc/sys/kernel/random/boot_id', sysctl('kernel.random.boot_id'));
  fact('/proc/sys/kernel/pid_max', sysctl('kernel.pid_max'));
  fact('/proc/sys/kernel/threads-max', sysctl('kernel.threads-max'));
  fact('/proc/sys/vm/overcommit_memory', sysctl('vm.overcommit_memory'));
  for (const path of [
    '/proc/loadavg',
    '/proc/uptime',
    '/proc/meminfo',
    '/etc/machine-id',
    '/etc/os-release',
    '/usr/lib/os-release',
  ]) {
    fact(path, '');
  }
  facts.push('/proc/self/status:Uid:\t0\t0\t0\t0');
  const manager = [...commands].find(
    ([name, text]) => /^systemctl (?:--no-pager )?show(?: --all)?$/.test(name) && !/^Id=/m.test(text),
  );
  const units = [...commands].flatMap(([name, text]) =>
    /^systemctl .*show/.test(name) && /^Id=/m.test(text) ? [text.trim()] : [],
  );
  const { root, mount, pids } = cgroupsOf(files);
  const version = systemdVersion(found);
  const processes = [...files].filter(([path]) => /^\/proc\/[0-9]+\//.test(path));
  const lines = (entries: readonly (readonly [string, string])[]): string =>
    entries
      .flatMap(([path, text]) => text.split('\n').flatMap((line) => (line === '' ? [] : [`${path}:${line}`])))
      .join('\n');
  const sessions = [...files].filter(([path]) => /^\/run\/systemd\/(?:sessions|users)\//.test(path));
  const leaders = new Set([
    '1',
    ...sessions.flatMap(([, text]) => /^LEADER=([0-9]+)$/m.exec(text)?.[1] ?? []),
  ]);
  const frames: (readonly [string, string])[] = [
    ['facts', facts.join('\n')],
    ['clock', takenAt],
    ['user', 'root'],
    ['flags', version === null ? '' : ' etc-writable systemd'],
    ['mounts', mount],
    ['manager', manager?.[1] ?? ''],
    ['systemd-version', version === null ? '' : `systemd ${version}`],
    ['pids-root', root],
    ['pids', pids.join('\n')],
    ['sessions', lines(sessions)],
    ['processes', lines(processes.filter(([path]) => leaders.has(path.split('/')[2] ?? '')))],
    ['tasks', lines(processes.map(([path, text]) => [path, relevant(text)]))],
    ['units', units.join('\n\n')],
    ['kernel-log', (log ?? []).join('\n')],
  ];
  const encoded = frames.map(([name, text]) => `@${name} ${Buffer.byteLength(text)}\n${text}\n`);
  return Buffer.from(`tasksctl-probe 1\n${encoded.join('')}@end 0\n\n`);
}

function relevant(text: string): string {
  return text
    .split('\n')
    .filter((line) =>
      /^(?:(?:Name|Uid|Threads|CapEff):|Max processes|[0-9]+:(?:[^:]*,)?pids(?:,[^:]*)?:|0::)/.test(line),
    )
    .join('\n');
}

/** The counters of the pids controller, in whichever hierarchy was copied, and a line of mountinfo that says which. */
function cgroupsOf(files: ReadonlyMap<string, string>): {
  readonly root: string;
  readonly mount: string;
  readonly pids: readonly string[];
} {
  const v1 = '/sys/fs/cgroup/pids';
  const paths = [...files.keys()].filter((path) => /^\/sys\/fs\/cgroup\/.*\/?pids\.[a-z.]+$/.test(path));
  if (paths.length === 0) return { root: '', mount: '', pids: [] };
  const isV1 = paths.some((path) => path.startsWith(`${v1}/`));
  const root = isV1 ? v1 : '/sys/fs/cgroup';
  const type = isV1 ? 'cgroup cgroup rw,pids' : 'cgroup2 cgroup2 rw';
  const pids = paths
    .filter((path) => path.startsWith(`${root}/`))
    .flatMap((path) =>
      (files.get(path) ?? '')
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [`.${path.slice(root.length)}:${line}`])),
    );
  return { root, mount: `1 1 0:1 / ${root} rw - ${type}`, pids };
}

/** From systemctl's own words, or the package's version. */
function systemdVersion({ commands }: Found): string | null {
  for (const text of commands.values()) {
    const version = /^Version=(?:systemd )?([0-9]{3})\b/m.exec(text)?.[1];
    if (version !== undefined) return version;
  }
  const packages = ['installed-rpms', 'installed-debs', 'rpm -qa --last', 'rpm'];
  for (const [name, text] of commands) {
    if (!packages.includes(name) && !name.startsWith('rpm ') && !name.startsWith('systemctl --version'))
      continue;
    const version = /^(?:ii +)?systemd[- ]+([0-9]{3})\b/m.exec(text)?.[1];
    if (version !== undefined) return version;
  }
  return null;
}

const CONFIGURATION =
  /^\/(?:etc|run|usr\/lib|usr\/local\/lib|lib)\/(?:systemd\/(?!sessions\/|users\/)|sysctl\.d\/|sysctl\.conf$|security\/limits\.)/;

function filesOf(files: ReadonlyMap<string, string>): Snapshot['files'] {
  const entries: Snapshot['files'] = [];
  for (const [path, text] of files) {
    if (!CONFIGURATION.test(path)) continue;
    // Modes and owners are of whoever unpacked it.
    entries.push({ path, type: 'file', mode: 0o644, uid: 0, gid: 0, size: Buffer.byteLength(text), text });
  }
  return entries.sort((a, b) => compareBytes(a.path, b.path));
}

/** Limits and tasks as systemd tells them, where no counters were copied. */
function treeOfUnits({ units }: Snapshot): SnapshotCgroup[] {
  return units
    .flatMap(({ cgroup, tasksMax, tasksCurrent }): SnapshotCgroup[] => {
      if (cgroup === undefined || tasksMax === undefined || Number(tasksMax) > 2 ** 40) return [];
      const max = tasksMax === 'infinity' ? 'max' : Number(tasksMax);
      return [
        { path: cgroup, max, ...(tasksCurrent === undefined ? {} : { current: Number(tasksCurrent) }) },
      ];
    })
    .sort((a, b) => compareBytes(a.path, b.path));
}

/** Why the tasks of users cannot be told; null: they can. sosreport copies 2,048 processes and no more. */
function partialTasks({ uids, kernel: { tasks } }: Snapshot): string | null {
  if (uids === undefined) return 'no status and limits of processes';
  const sum = uids.reduce((total, entry) => total + entry.tasks, 0);
  return tasks !== null && sum < tasks * 0.9
    ? `only ${sum} of ${tasks} tasks are among the processes copied`
    : null;
}
