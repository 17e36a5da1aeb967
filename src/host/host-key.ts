import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  checkHostKey,
  fingerprint,
  type HostKeyVerdict,
  type HostLines,
  hostKeyType,
  type KnownHosts,
  knownHostsLine,
  knownHostsName,
  linesOfHost,
  parseKnownHosts,
} from './known-hosts.ts';
import type { SshSettings } from './ssh-config.ts';
import type { HostError } from './transport.ts';

/** known_hosts files as last read; parsed anew only when a file has changed. One per process. */
export class KnownHostsFiles {
  readonly #files = new Map<string, { readonly stamp: string; readonly parsed: KnownHosts }>();
  #adding: Promise<unknown> = Promise.resolve();

  /** The lines for one host, of the user's files first. Bad lines are reported once each time a file is read. */
  async linesOf(settings: SshSettings, warn: (message: string) => void): Promise<HostLines> {
    const files: KnownHosts[] = [];
    for (const path of [...settings.userKnownHostsFiles, ...settings.globalKnownHostsFiles]) {
      const parsed = await this.#read(path, warn);
      if (parsed !== null) files.push(parsed);
    }
    return linesOfHost(files, settings.hostname, settings.port, settings.hostKeyAlias);
  }

  async #read(path: string, warn: (message: string) => void): Promise<KnownHosts | null> {
    try {
      const info = await stat(path);
      if (!info.isFile()) return null;
      const stamp = `${info.ino} ${info.size} ${info.mtimeMs}`;
      const before = this.#files.get(path);
      if (before?.stamp === stamp) return before.parsed;
      const parsed = parseKnownHosts(path, await readFile(path, 'latin1'));
      for (const problem of parsed.problems) {
        warn(`${problem.file}:${problem.line}: not a known_hosts line (${problem.reason}), skipped.`);
      }
      this.#files.set(path, { stamp, parsed });
      return parsed;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOENT' && code !== 'ENOTDIR') warn(`${path}: cannot be read (${code}), skipped.`);
      return null;
    }
  }

  /**
   * Files a key for a host, unless a key of it has been filed since it was looked up. One at a time, so that lines
   * stay whole and of two connections to a new host the second meets what the first has filed. Gives what holds then.
   */
  add(settings: SshSettings, key: Buffer, warn: (message: string) => void): Promise<HostKeyVerdict> {
    const added = this.#adding.then(async (): Promise<HostKeyVerdict> => {
      const verdict = checkHostKey(await this.linesOf(settings, warn), key);
      if (verdict.kind !== 'unknown') return verdict;
      const file = settings.userKnownHostsFiles[0];
      if (file === undefined) return verdict;
      const name = knownHostsName(settings.hostname, settings.port, settings.hostKeyAlias);
      const shown = `${name}: the host key ${hostKeyType(key)} ${fingerprint(key)}`;
      try {
        await appendLine(file, knownHostsLine(name, key, settings.hashKnownHosts ? randomBytes(20) : null));
        warn(`${shown} was unknown and is now in ${file}.`);
      } catch (error) {
        // As ssh: the key is accepted, only the record of it failed.
        warn(
          `${shown} is accepted and could not be added to ${file} (${(error as NodeJS.ErrnoException).code}).`,
        );
      }
      return verdict;
    });
    this.#adding = added.catch(() => {});
    return added;
  }
}

async function appendLine(path: string, line: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, 'a+', 0o600);
  try {
    const { size } = await file.stat();
    const last =
      size === 0 ? '\n' : (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer.toString('latin1');
    await file.appendFile(`${last === '\n' ? '' : '\n'}${line}\n`);
    // /dev/null, which people name here to keep no record, cannot be synced.
    if ((await file.stat()).isFile()) await file.sync();
  } finally {
    await file.close();
  }
}

export interface HostKeyCheck {
  readonly target: string;
  readonly settings: SshSettings;
  readonly lines: HostLines;
  readonly files: KnownHostsFiles;
  /** The operator said that keys of new hosts are to be added. */
  readonly acceptNew: boolean;
  readonly warn: (message: string) => void;
}

/** Decides about the key a host has proven to hold. Null: go on. A changed or revoked key is never accepted. */
export async function judgeHostKey(check: HostKeyCheck, key: Buffer): Promise<HostError | null> {
  const { target, settings, files, warn } = check;
  const revokedBy = await revokedIn(settings.revokedHostKeys, key);
  if (revokedBy !== null) return { ...revokedBy, target, message: `${target}: ${revokedBy.message}` };
  const found = checkHostKey(check.lines, key);
  if (found.kind !== 'unknown') return refusal(check, key, found);
  if (!check.acceptNew && settings.strictHostKeyChecking === 'strict') return refusal(check, key, found);
  const filed = await files.add(settings, key, warn);
  return filed.kind === 'unknown' ? null : refusal(check, key, filed);
}

function refusal({ target, settings }: HostKeyCheck, key: Buffer, verdict: HostKeyVerdict): HostError | null {
  const shown = `the host key ${hostKeyType(key)} ${fingerprint(key)}`;
  switch (verdict.kind) {
    case 'known':
      return null;
    case 'revoked':
      return {
        kind: 'host-key-revoked',
        target,
        message: `${target}: ${shown} is marked @revoked at ${verdict.file}:${verdict.line}; do not connect until the host has a new key.`,
        file: verdict.file,
        line: verdict.line,
      };
    case 'changed': {
      const name = knownHostsName(settings.hostname, settings.port, settings.hostKeyAlias);
      return {
        kind: 'host-key-changed',
        target,
        message:
          `${target}: ${shown} is not the ${verdict.keyType} key at ${verdict.file}:${verdict.line}, so the host or something between has changed; ` +
          `find out which, and if all is well remove the old key with: ssh-keygen -R '${name}' -f '${verdict.file}'`,
        file: verdict.file,
        line: verdict.line,
      };
    }
    case 'unknown': {
      const ca = verdict.certAuthority;
      const but =
        ca === undefined
          ? ''
          : ` (${ca.file}:${ca.line} names a certificate authority: that needs --transport openssh)`;
      return {
        kind: 'host-key-unknown',
        target,
        message: `${target}: ${shown} is in no known_hosts file${but}; compare it with the host's own (ssh-keygen -lf there) and add it by connecting once with ssh.`,
        ...(ca === undefined ? {} : { file: ca.file, line: ca.line }),
      };
    }
  }
}

/** RevokedHostKeys=: a file of public keys, one a line. One that cannot be read revokes every key, as in ssh. */
async function revokedIn(
  file: string | undefined,
  key: Buffer,
): Promise<Pick<HostError, 'kind' | 'message' | 'file' | 'line'> | null> {
  if (file === undefined) return null;
  let text: string;
  try {
    text = await readFile(file, 'latin1');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return {
      kind: 'config-invalid',
      message: `RevokedHostKeys ${file} cannot be read (${code}), so no host key can be trusted; correct the ssh configuration.`,
      file,
    };
  }
  if (text.startsWith('SSHKRL\n\0')) {
    return {
      kind: 'config-invalid',
      message: `RevokedHostKeys ${file} is a binary key revocation list, which is not supported; list the public keys in a text file.`,
      file,
    };
  }
  const encoded = key.toString('base64');
  const at = text.split('\n').findIndex((line) => line.split(/[ \t\r]+/).includes(encoded));
  if (at < 0) return null;
  return {
    kind: 'host-key-revoked',
    message: `the host key ${fingerprint(key)} is listed at ${file}:${at + 1} (RevokedHostKeys); do not connect until the host has a new key.`,
    file,
    line: at + 1,
  };
}
