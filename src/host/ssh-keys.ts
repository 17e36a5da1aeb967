import { readFile, stat } from 'node:fs/promises';
import type { BaseAgent, ParsedKey } from 'ssh2';
import { hostKeyType } from './known-hosts.ts';
import type { SshSettings } from './ssh-config.ts';

/** A key a user may log in with, held by an agent or a file. */
export interface UserKey {
  /** For messages: the file, or the agent's comment. */
  readonly name: string;
  /** The public key in SSH wire format; null where it cannot be known before the passphrase is given. */
  readonly publicKey: Buffer | null;
  /** Makes the key ready to sign, asking for a passphrase if need be; null where that fails (noted). */
  unlock(): Promise<UnlockedKey | null>;
}

export interface UnlockedKey {
  readonly publicKey: Buffer;
  /** `hash`: for RSA, the digest the host wants. Rejects where the agent refuses. */
  sign(data: Buffer, hash: string | undefined): Promise<Buffer>;
}

/** The two parts of ssh2 that keys need; handed in, since ssh2 is loaded late. */
export interface KeyTools {
  readonly parseKey: (data: Buffer | string, passphrase?: string) => ParsedKey | ParsedKey[] | Error;
  readonly createAgent: (socket: string) => BaseAgent;
}

/** A key file as it was read; one is read once per process. */
export type KeyFile =
  | { readonly kind: 'absent' }
  | { readonly kind: 'unusable'; readonly why: string }
  | { readonly kind: 'public'; readonly publicKey: Buffer }
  | { readonly kind: 'plain'; readonly publicKey: Buffer; readonly key: ParsedKey }
  | { readonly kind: 'encrypted'; readonly publicKey: Buffer | null; readonly text: Buffer };

/** Keys by how they are tried: agent first, then files in the clear, then files that need a passphrase. */
export interface UserKeys {
  readonly keys: readonly UserKey[];
  /** What was left out and why, one clause each. */
  readonly notes: readonly string[];
}

/**
 * Collects the keys for one host in the order of ssh_config(5): keys of the agent that an IdentityFile names, other
 * keys of the agent (unless IdentitiesOnly), then key files. `unlockFile` asks for a passphrase.
 */
export async function collectUserKeys(
  settings: SshSettings,
  tools: KeyTools,
  readKeyFile: (path: string) => Promise<KeyFile>,
  unlockFile: (path: string, text: Buffer) => Promise<ParsedKey | null>,
): Promise<UserKeys> {
  const notes: string[] = [];
  const files = await Promise.all(
    settings.identityFiles.map(async (path) => ({ path, file: await readKeyFile(path) })),
  );
  const named = files.flatMap(({ file }) =>
    'publicKey' in file && file.publicKey !== null ? [file.publicKey] : [],
  );

  const agentKeys = await listAgentKeys(settings.identityAgent, tools, notes);
  const rank = (key: UserKey): number => {
    const at = named.findIndex((publicKey) => key.publicKey?.equals(publicKey));
    return at < 0 ? named.length : at;
  };
  const fromAgent = agentKeys
    .filter((key) => !settings.identitiesOnly || rank(key) < named.length)
    .sort((a, b) => rank(a) - rank(b));

  const inAgent = (publicKey: Buffer | null): boolean =>
    publicKey !== null && fromAgent.some((key) => key.publicKey?.equals(publicKey));
  const plain: UserKey[] = [];
  const encrypted: UserKey[] = [];
  for (const { path, file } of files) {
    switch (file.kind) {
      case 'absent':
        break;
      case 'unusable':
        notes.push(`${path} ${file.why}`);
        break;
      case 'public':
        if (!inAgent(file.publicKey))
          notes.push(`${path} is a public key and no agent holds its private key`);
        break;
      case 'plain':
        if (!inAgent(file.publicKey)) {
          const unlocked = unlockedFile(file.key);
          plain.push({ name: path, publicKey: file.publicKey, unlock: async () => unlocked });
        }
        break;
      case 'encrypted':
        if (!inAgent(file.publicKey)) {
          encrypted.push({
            name: path,
            publicKey: file.publicKey,
            unlock: async () => {
              const key = await unlockFile(path, file.text);
              return key === null ? null : unlockedFile(key);
            },
          });
        }
        break;
    }
  }
  return { keys: [...fromAgent, ...plain, ...encrypted], notes };
}

function unlockedFile(key: ParsedKey): UnlockedKey {
  return {
    publicKey: key.getPublicSSH(),
    sign: async (data, hash) => {
      const signature: Buffer | Error = key.sign(data, hash);
      if (signature instanceof Error) throw signature;
      return signature;
    },
  };
}

/** For the list of keys, which no person has to allow. */
const agentTimeoutMs = 5_000;

function listAgentKeys(socket: string | undefined, tools: KeyTools, notes: string[]): Promise<UserKey[]> {
  if (socket === undefined) return Promise.resolve([]);
  return new Promise((resolve) => {
    const agent = tools.createAgent(socket);
    const none = (): void => {
      notes.push(`the agent at ${socket} did not answer`);
      resolve([]);
    };
    // A forwarded agent whose far end is gone accepts and says nothing.
    const timer = setTimeout(none, agentTimeoutMs);
    agent.getIdentities((error, found) => {
      clearTimeout(timer);
      if (error) {
        none();
        return;
      }
      resolve(
        (found ?? []).flatMap((entry) => {
          const key = typeof entry === 'object' && 'pubKey' in entry ? entry.pubKey : entry;
          const parsed = first(tools.parseKey(key as Buffer));
          return parsed instanceof Error ? [] : [agentKey(agent, parsed)];
        }),
      );
    });
  });
}

function agentKey(agent: BaseAgent, key: ParsedKey): UserKey {
  const publicKey = key.getPublicSSH();
  return {
    name: `agent key ${key.comment || key.type}`,
    publicKey,
    unlock: async () => ({
      publicKey,
      sign: (data, hash) =>
        new Promise((resolve, reject) => {
          const options = hash === undefined ? {} : { hash: hash as 'sha1' | 'sha256' | 'sha512' };
          agent.sign(key, data, options, (error, signature) => {
            if (signature !== undefined) resolve(signature);
            else reject(error ?? new Error('the agent gave no signature'));
          });
        }),
    }),
  };
}

/** ssh2 gives a list for some formats; OpenSSH's stores one key only. */
function first(parsed: ParsedKey | ParsedKey[] | Error): ParsedKey | Error {
  return Array.isArray(parsed) ? (parsed[0] ?? new Error('no key in it')) : parsed;
}

/** Reads an IdentityFile. A private key others may read is not used, as ssh does not (authfile.c sshkey_perm_ok()). */
export async function readKeyFile(path: string, tools: KeyTools): Promise<KeyFile> {
  let text: Buffer;
  try {
    const { mode, uid } = await stat(path);
    text = await readFile(path);
    const key = first(tools.parseKey(text));
    if (!(key instanceof Error) && !key.isPrivateKey())
      return { kind: 'public', publicKey: key.getPublicSSH() };
    if (uid === process.getuid?.() && (mode & 0o077) !== 0) {
      return {
        kind: 'unusable',
        why: `can be read by others (mode ${(mode & 0o777).toString(8)}), chmod 600 it`,
      };
    }
    if (!(key instanceof Error)) return { kind: 'plain', publicKey: key.getPublicSSH(), key };
    if (!/encrypted/i.test(key.message))
      return { kind: 'unusable', why: 'is in a format or of a type not supported' };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'absent' };
    return { kind: 'unusable', why: `cannot be read (${code})` };
  }
  return { kind: 'encrypted', publicKey: publicPart(text) ?? (await publicFile(`${path}.pub`, tools)), text };
}

async function publicFile(path: string, tools: KeyTools): Promise<Buffer | null> {
  const text = await readFile(path).catch(() => null);
  if (text === null) return null;
  const key = first(tools.parseKey(text));
  return key instanceof Error ? null : key.getPublicSSH();
}

/** Decrypts a key file; null where the passphrase is wrong. */
export function decryptKey(text: Buffer, passphrase: string, tools: KeyTools): ParsedKey | null {
  const key = first(tools.parseKey(text, passphrase));
  return key instanceof Error ? null : key;
}

/**
 * The public key of an encrypted OpenSSH key file, which stands in the clear before the encrypted part (PROTOCOL.key:
 * magic, cipher, kdf, kdf options, number of keys, public key). With it the host can be asked whether it takes the
 * key before the operator is asked for the passphrase.
 */
export function publicPart(text: Buffer): Buffer | null {
  const match = /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END/.exec(
    text.toString('latin1'),
  );
  const data = Buffer.from(match?.[1] ?? '', 'base64');
  const magic = 'openssh-key-v1\0';
  if (data.toString('latin1', 0, magic.length) !== magic) return null;
  let at = magic.length;
  const string = (): Buffer | null => {
    if (at + 4 > data.length) return null;
    const end = at + 4 + data.readUInt32BE(at);
    if (end > data.length) return null;
    const value = data.subarray(at + 4, end);
    at = end;
    return value;
  };
  for (const _field of ['cipher', 'kdf', 'kdf options']) if (string() === null) return null;
  at += 4;
  const key = string();
  return key !== null && hostKeyType(key) !== null ? key : null;
}
