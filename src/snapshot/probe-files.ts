import { isUtf8 } from 'node:buffer';
import { compareBytes } from '../systemd/file-tree.ts';
import type { SnapshotFile, SnapshotProblem } from './snapshot.ts';

/** What templates/probe.sh prints about files. */
export interface ProbeFiles {
  /** Lines `MODE UID GID SIZE NAME//LINK`, see `parseRow`. */
  readonly rows: readonly string[];
  /** Lines `SIZE NAME`, an empty line, and the bytes of these files one after the other in hexadecimal. */
  readonly contents: readonly Buffer[];
  /** Names of regular files that could not be opened. */
  readonly unreadable: readonly string[];
}

/** As `max_file` of templates/probe.sh, bytes. */
const maxFile = 1024 * 1024;

/** The files of a snapshot in the order of their paths, and what is missing of them. Takes anything a host prints. */
export function filesOf(probe: ProbeFiles): { files: SnapshotFile[]; problems: SnapshotProblem[] } {
  const problems: SnapshotProblem[] = [];
  const problem = (reason: SnapshotProblem['reason'], detail: string): void => {
    problems.push({ part: 'files', reason, detail });
  };
  const files = parseRows(probe.rows, problem);
  const links = new Set([...files.values()].filter(({ type }) => type === 'symlink').map(({ path }) => path));
  for (const path of files.keys()) {
    // A pattern that went through a link to a directory names the files by a path that is not theirs.
    if (links.size > 0 && liesBelow(path, links)) files.delete(path);
  }
  for (const payload of probe.contents) readContents(payload, files, problem);
  for (const path of probe.unreadable) {
    const file = files.get(path);
    if (file?.type !== 'file') continue;
    file.problem = 'unreadable';
    problem('no-permission', `${path} cannot be read`);
  }
  for (const file of files.values()) {
    if (file.type !== 'file' || file.size <= maxFile || !mayMatter(file.path)) continue;
    file.problem = 'too-large';
    problem('too-large', `${file.path} has ${file.size} bytes and was not read`);
  }
  const kept = [...files.values()].filter(isOfInterest);
  kept.sort((a, b) => compareBytes(a.path, b.path));
  return { files: kept, problems };
}

type Report = (reason: SnapshotProblem['reason'], detail: string) => void;

function parseRows(rows: readonly string[], problem: Report): Map<string, SnapshotFile> {
  // Old GNU stat quotes and escapes all names of %N whatever it is told; newer ones quote none, busybox those of
  // links, and these escape nothing.
  const escaped = rows.some((row) => !row.startsWith('a') && /\/\/'\//.test(row));
  const files = new Map<string, SnapshotFile>();
  for (const row of rows) {
    // `@timeout`, `@newline`: the probe makes problems of these itself.
    if (row.startsWith('@')) continue;
    const file = parseRow(row, escaped);
    if (file === null || file.path.includes('\ufffd')) {
      problem('malformed', `a file whose name has unusual bytes was listed as ${row}`);
    }
    if (file !== null) files.set(file.path, file);
  }
  return files;
}

/**
 * A row is what `stat -c '%f %u %g %s %n//%N'` prints: NAME stands in it twice, the second time with the target of a
 * link.
 */
function parseRow(row: string, escaped: boolean): SnapshotFile | null {
  const match = /^([0-9a-f]{1,8}) ([0-9]{1,10}) ([0-9]{1,10}) ([0-9]{1,15}) (\/.*?)\/\/(.*)$/s.exec(row);
  if (match === null) return null;
  const [, hexMode = '', uid = '', gid = '', size = '', path = '', again = ''] = match;
  const mode = Number.parseInt(hexMode, 16);
  const type = typeOf(mode);
  const common = { path, type, mode: mode & 0o7777, uid: Number(uid), gid: Number(gid), size: Number(size) };
  if (type !== 'symlink') return common;
  const quoted = again.startsWith("'");
  const shown = quoted ? `'${escaped ? escapeName(path) : path}'` : path;
  if (!again.startsWith(`${shown} -> `)) return null;
  const rest = again.slice(shown.length + ' -> '.length);
  const target = quoted ? rest.slice(1, -1) : rest;
  return { ...common, target: escaped ? unescapeName(target) : target };
}

function typeOf(mode: number): SnapshotFile['type'] {
  switch (mode & 0o170000) {
    case 0o100000:
      return 'file';
    case 0o120000:
      return 'symlink';
    case 0o040000:
      return 'directory';
    default:
      return 'other';
  }
}

function escapeName(name: string): string {
  return name.replace(/[\\']/g, '\\$&');
}

function unescapeName(name: string): string {
  return name.replace(/\\([\\'])/g, '$1');
}

function liesBelow(path: string, links: ReadonlySet<string>): boolean {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    if (links.has(path.slice(0, slash))) return true;
  }
  return false;
}

function readContents(payload: Buffer, files: Map<string, SnapshotFile>, problem: Report): void {
  const split = payload.indexOf('\n\n');
  const head = payload.toString('utf8', 0, split < 0 ? payload.length : split);
  const sizes = head.split('\n').map((line) => {
    const [, size = '', path = ''] = /^([0-9]{1,9}) (\/.*)$/s.exec(line) ?? [];
    return { size: Number(size), path };
  });
  const { bytes, isHex } = fromHex(payload.subarray(split < 0 ? payload.length : split));
  const wanted = sizes.reduce((sum, { size }) => sum + size, 0);
  // Where one file has changed between its size and its bytes, the places of those after it are unknown.
  const whole = isHex && bytes.length === wanted;
  if (!whole)
    problem('malformed', `of ${sizes.length} files ${wanted} bytes were due and ${bytes.length} came`);
  let start = 0;
  for (const { size, path } of sizes) {
    const file = files.get(path);
    const content = bytes.subarray(start, start + size);
    start += size;
    if (file?.type !== 'file') continue;
    if (!whole) {
      file.problem = 'unreadable';
      continue;
    }
    file.size = size;
    if (isUtf8(content)) file.text = content.toString('utf8');
    else file.base64 = content.toString('base64');
  }
}

/** The bytes of what `od -An -v -tx1` prints, as far as it is that: pairs of digits, with spaces and newlines between them. */
function fromHex(text: Buffer): { readonly bytes: Buffer; readonly isHex: boolean } {
  const digits = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (const code of text) if (code !== 0x20 && code !== 0x0a) digits[length++] = code;
  const bytes = Buffer.from(digits.toString('latin1', 0, length), 'hex');
  return { bytes, isHex: length === 2 * bytes.length };
}

/** A file that systemd, sysctl or PAM would read there. */
function mayMatter(path: string): boolean {
  return /\.(?:conf|service|slice|scope|socket|mount|swap)$/.test(path);
}

/**
 * Left out are entries without content that can neither set a task limit nor keep another file from doing so: units of
 * types without a cgroup, directories of dependencies, and units of user managers that the distribution ships.
 */
function isOfInterest(file: SnapshotFile): boolean {
  if (file.text !== undefined || file.base64 !== undefined || file.problem !== undefined) return true;
  if (/\/systemd\/(?:system|user|generator[^/]*|transient)\//.test(file.path)) {
    if (/\.(?:wants|requires|upholds)$/.test(file.path)) return false;
    if (/\.(?:target|timer|path|device|automount)(?:\.d)?$/.test(file.path)) return false;
  }
  return !/^(?:\/usr)?\/lib\/systemd\/user\//.test(file.path);
}
