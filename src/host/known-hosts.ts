import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/**
 * OpenSSH's known_hosts, read as OpenSSH reads it (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; hostfile.c
 * hostkeys_foreach(), match.c match_pattern_list()).
 */

export interface KnownHostsLine {
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

export interface KnownHostsEntry extends KnownHostsLine {
  readonly marker: 'revoked' | 'cert-authority' | null;
  /** The names field as written: a comma list of patterns, or one `|1|salt|hash`. */
  readonly names: string;
  /** `ssh-ed25519`, `ssh-rsa` … */
  readonly keyType: string;
  /** The key in SSH wire format. */
  readonly key: Buffer;
}

export interface KnownHostsProblem extends KnownHostsLine {
  readonly reason: 'unknown-marker' | 'truncated' | 'bad-key' | 'ssh1-key' | 'bad-hash';
}

export interface KnownHosts {
  readonly entries: readonly KnownHostsEntry[];
  /** Lines that were skipped, as OpenSSH skips them. */
  readonly problems: readonly KnownHostsProblem[];
}

/** Reads one file. Any text is fine; what is no entry becomes a problem. */
export function parseKnownHosts(file: string, text: string): KnownHosts {
  const entries: KnownHostsEntry[] = [];
  const problems: KnownHostsProblem[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const at = { file, line: index + 1 };
    const parsed = parseLine(line);
    if (parsed === null) continue;
    if (typeof parsed === 'string') problems.push({ ...at, reason: parsed });
    else entries.push({ ...at, ...parsed });
  }
  return { entries, problems };
}

function parseLine(
  text: string,
): Pick<KnownHostsEntry, 'marker' | 'names' | 'keyType' | 'key'> | KnownHostsProblem['reason'] | null {
  // Fields are parted by spaces and tabs; a CR at the end is part of the last field and no part of base64.
  let rest = text.replace(/^[ \t]+/, '').replace(/[ \t\r]+$/, '');
  if (rest === '' || rest.startsWith('#')) return null;

  let marker: KnownHostsEntry['marker'] = null;
  if (rest.startsWith('@')) {
    const [word = '', after] = splitField(rest);
    if (word === '@revoked') marker = 'revoked';
    else if (word === '@cert-authority') marker = 'cert-authority';
    else return 'unknown-marker';
    rest = after;
  }

  const [names, afterNames] = splitField(rest);
  const [keyType, afterType] = splitField(afterNames);
  const [encoded] = splitField(afterType);
  if (keyType === '' || encoded === '' || encoded.startsWith('#')) return 'truncated';
  if (/^[0-9]{1,7}$/.test(keyType)) return 'ssh1-key';
  if (names.startsWith('|') && parseHashedName(names) === null) return 'bad-hash';

  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return 'bad-key';
  const key = Buffer.from(encoded, 'base64');
  if (hostKeyType(key) !== keyType) return 'bad-key';
  return { marker, names, keyType, key };
}

function splitField(text: string): readonly [string, string] {
  const end = text.search(/[ \t]/);
  return end < 0 ? [text, ''] : [text.slice(0, end), text.slice(end).replace(/^[ \t]+/, '')];
}

/** The type a key in SSH wire format names first, or null where the bytes are no key. */
export function hostKeyType(key: Buffer): string | null {
  if (key.length < 4) return null;
  const length = key.readUInt32BE(0);
  if (length === 0 || length > 64 || key.length <= 4 + length) return null;
  return key.toString('latin1', 4, 4 + length);
}

/** `SHA256:` and unpadded base64, as ssh-keygen -l prints it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/**
 * The name a host's key is filed under: HostKeyAlias as it is, else the host name, with its port where that is not 22
 * (sshconnect.c get_hostfile_hostname_ipaddr()).
 */
export function knownHostsName(host: string, port: number, hostKeyAlias?: string): string {
  if (hostKeyAlias !== undefined) return hostKeyAlias.toLowerCase();
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

export type HostKeyVerdict =
  | ({ readonly kind: 'known' } & KnownHostsLine)
  /** Nothing is filed for this host. `certAuthority`: a CA line matches it, which this program cannot use. */
  | { readonly kind: 'unknown'; readonly certAuthority?: KnownHostsLine }
  /** Other keys are filed for this host, and not this one: the line of one of them. */
  | ({ readonly kind: 'changed'; readonly keyType: string } & KnownHostsLine)
  /** This very key is marked @revoked. */
  | ({ readonly kind: 'revoked' } & KnownHostsLine);

/** The lines of all files that are for one host. */
export interface HostLines {
  readonly lines: readonly KnownHostsEntry[];
  /** For a host on another port than 22: the lines of its bare name. */
  readonly bareLines: readonly KnownHostsEntry[];
}

/** Picks the lines of one host from files in the order they are searched. */
export function linesOfHost(
  files: readonly KnownHosts[],
  host: string,
  port: number,
  hostKeyAlias?: string,
): HostLines {
  const linesOf = (name: string): KnownHostsEntry[] => files.flatMap((file) => indexOf(file).linesOf(name));
  return {
    lines: linesOf(knownHostsName(host, port, hostKeyAlias)),
    bareLines: hostKeyAlias === undefined && port !== 22 ? linesOf(knownHostsName(host, 22)) : [],
  };
}

const indexes = new WeakMap<KnownHosts, KnownHostsIndex>();

function indexOf(file: KnownHosts): KnownHostsIndex {
  const before = indexes.get(file);
  if (before !== undefined) return before;
  const index = new KnownHostsIndex(file);
  indexes.set(file, index);
  return index;
}

/**
 * Finds lines by name without a look at all of them: with a thousand hosts, each logged in to several times, that would
 * take longer than the logins. Hashed names and patterns have to be tried one by one, and once for each host.
 */
class KnownHostsIndex {
  readonly #plain = new Map<string, KnownHostsEntry[]>();
  readonly #others: KnownHostsEntry[] = [];
  readonly #found = new Map<string, readonly KnownHostsEntry[]>();

  constructor({ entries }: KnownHosts) {
    for (const entry of entries) {
      if (/[*?!|]/.test(entry.names)) {
        this.#others.push(entry);
        continue;
      }
      for (const name of new Set(entry.names.toLowerCase().split(','))) {
        const lines = this.#plain.get(name);
        if (lines === undefined) this.#plain.set(name, [entry]);
        else lines.push(entry);
      }
    }
  }

  /** In the order of the file. */
  linesOf(name: string): readonly KnownHostsEntry[] {
    const before = this.#found.get(name);
    if (before !== undefined) return before;
    const others = this.#others.filter((entry) => matchesNames(name, entry.names));
    const found = [...(this.#plain.get(name) ?? []), ...others].sort((a, b) => a.line - b.line);
    this.#found.set(name, found);
    return found;
  }
}

/**
 * Judges a host's key, as sshconnect.c check_host_key() does: revoked beats known, and any other key filed for the
 * name makes it changed, whatever its type. The bare name of a host on another port counts only where its own name
 * is not filed at all, and there only a matching key counts. Stricter than OpenSSH in one place: a key revoked under
 * the bare name is revoked.
 */
export function checkHostKey({ lines, bareLines }: HostLines, key: Buffer): HostKeyVerdict {
  const verdict = checkLines(lines, key);
  if (verdict.kind !== 'unknown') return verdict;
  const bare = checkLines(bareLines, key);
  return bare.kind === 'known' || bare.kind === 'revoked' ? bare : verdict;
}

function checkLines(lines: readonly KnownHostsEntry[], key: Buffer): HostKeyVerdict {
  const revoked = lines.find((entry) => entry.marker === 'revoked' && entry.key.equals(key));
  if (revoked !== undefined) return { kind: 'revoked', file: revoked.file, line: revoked.line };
  const plain = lines.filter((entry) => entry.marker === null);
  const same = plain.find((entry) => entry.key.equals(key));
  if (same !== undefined) return { kind: 'known', file: same.file, line: same.line };
  // The line of the same type says most to the operator; else the last, as OpenSSH does.
  const other = plain.find((entry) => entry.keyType === hostKeyType(key)) ?? plain.at(-1);
  if (other !== undefined) {
    return { kind: 'changed', file: other.file, line: other.line, keyType: other.keyType };
  }
  const ca = lines.find((entry) => entry.marker === 'cert-authority');
  if (ca !== undefined) return { kind: 'unknown', certAuthority: { file: ca.file, line: ca.line } };
  return { kind: 'unknown' };
}

/**
 * The key types filed for a host: these are asked for first when the host key is negotiated, so that a host known by
 * its ed25519 key does not answer with its RSA key (sshconnect2.c order_hostkeyalgs()).
 */
export function knownKeyTypes({ lines, bareLines }: HostLines): readonly string[] {
  const typesOf = (entries: readonly KnownHostsEntry[]): string[] =>
    entries.filter((entry) => entry.marker === null).map((entry) => entry.keyType);
  const own = typesOf(lines);
  return [...new Set(own.length > 0 ? own : typesOf(bareLines))];
}

/** True where a names field (patterns with `*`, `?`, `!`, or one hashed name) is for the lower-case `name`. */
function matchesNames(name: string, names: string): boolean {
  if (names.startsWith('|')) {
    const hashed = parseHashedName(names);
    return hashed !== null && timingSafeEqual(hashName(hashed.salt, name), hashed.hash);
  }
  let matched = false;
  for (const pattern of names.split(',')) {
    const negated = pattern.startsWith('!');
    if (!matchesPattern(name, (negated ? pattern.slice(1) : pattern).toLowerCase())) continue;
    if (negated) return false;
    matched = true;
  }
  return matched;
}

/** match.c match_pattern(): `*` is any run of characters, `?` any one. Only the last star is tried again, so no pattern takes exponential time. */
function matchesPattern(text: string, pattern: string): boolean {
  let t = 0;
  let p = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

function parseHashedName(names: string): { salt: Buffer; hash: Buffer } | null {
  const match = /^\|1\|([A-Za-z0-9+/]+=*)\|([A-Za-z0-9+/]+=*)$/.exec(names);
  if (match === null) return null;
  const salt = Buffer.from(match[1] ?? '', 'base64');
  const hash = Buffer.from(match[2] ?? '', 'base64');
  return salt.length === 20 && hash.length === 20 ? { salt, hash } : null;
}

function hashName(salt: Buffer, name: string): Buffer {
  return createHmac('sha1', salt).update(name).digest();
}

/** A line to add for a host (without a newline); hashed with `salt` (20 random bytes) where HashKnownHosts asks so. */
export function knownHostsLine(name: string, key: Buffer, salt: Buffer | null): string {
  const names =
    salt === null ? name : `|1|${salt.toString('base64')}|${hashName(salt, name).toString('base64')}`;
  return `${names} ${hostKeyType(key) ?? ''} ${key.toString('base64')}`;
}
