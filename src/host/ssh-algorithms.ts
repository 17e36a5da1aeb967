import { getCiphers } from 'node:crypto';
import type { Algorithms, CipherAlgorithm, KexAlgorithm, MacAlgorithm, ServerHostKeyAlgorithm } from 'ssh2';
import type { SshSettings } from './ssh-config.ts';

// What ssh2 has and OpenSSH offers by default: nothing here signs or agrees on keys with SHA-1.
const kex: readonly KexAlgorithm[] = [
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp384',
  'ecdh-sha2-nistp521',
  'diffie-hellman-group-exchange-sha256',
  'diffie-hellman-group16-sha512',
  'diffie-hellman-group18-sha512',
  'diffie-hellman-group14-sha256',
];
const ciphers: readonly CipherAlgorithm[] = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes256-ctr',
  // Left out by an OpenSSL in FIPS mode.
  ...(getCiphers().includes('chacha20') ? (['chacha20-poly1305@openssh.com'] as const) : []),
];
const macs: readonly MacAlgorithm[] = [
  'hmac-sha2-256-etm@openssh.com',
  'hmac-sha2-512-etm@openssh.com',
  'hmac-sha2-256',
  'hmac-sha2-512',
  'hmac-sha1',
];
const hostKeys: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

/**
 * What ssh(1) prints where nobody has set Ciphers, up to 9.8 and since (myproposal.h). Its first choice is the one of which
 * ssh2 computes half in WebAssembly; nobody having chosen, AES by OpenSSL comes first, as above.
 */
const unsetCiphers: readonly string[] = [
  'chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com',
  'chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr',
];

export type AlgorithmsResult =
  | { readonly ok: true; readonly algorithms: Algorithms }
  /** The ssh_config keyword that allows nothing this transport has. */
  | { readonly ok: false; readonly keyword: string };

/**
 * The algorithms to offer: those the ssh configuration allows, in its order if it sets one. Host key algorithms of the types known
 * for this host come first (sshconnect2.c order_hostkeyalgs()), so that the key on file is the one that is proven.
 */
export function offeredAlgorithms(settings: SshSettings, knownTypes: readonly string[]): AlgorithmsResult {
  const chosen = {
    KexAlgorithms: allowed(kex, settings.kexAlgorithms),
    Ciphers: allowed(ciphers, unsetCiphers.includes(settings.ciphers.join(',')) ? [] : settings.ciphers),
    MACs: allowed(macs, settings.macs),
    HostKeyAlgorithms: allowed(hostKeys, settings.hostKeyAlgorithms),
  };
  for (const [keyword, list] of Object.entries(chosen)) if (list.length === 0) return { ok: false, keyword };
  const known = (name: ServerHostKeyAlgorithm): boolean =>
    knownTypes.includes(name.startsWith('rsa-sha2-') ? 'ssh-rsa' : name);
  return {
    ok: true,
    algorithms: {
      kex: chosen.KexAlgorithms,
      cipher: chosen.Ciphers,
      hmac: chosen.MACs,
      serverHostKey: [
        ...chosen.HostKeyAlgorithms.filter(known),
        ...chosen.HostKeyAlgorithms.filter((name) => !known(name)),
      ],
      compress: ['none'],
    },
  };
}

function allowed<T extends string>(supported: readonly T[], wanted: readonly string[]): T[] {
  if (wanted.length === 0) return [...supported];
  return wanted.flatMap((name) => supported.filter((other) => other === name));
}
