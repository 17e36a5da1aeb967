import { gunzipSync } from 'node:zlib';
import type { HostError, RunResult, Transport } from '../host/transport.ts';
import { parseProfile } from './load-profile.ts';
import { EMPTY_PROFILE, mergeProfiles } from './merge-profiles.ts';
import type { Profile } from './profile.ts';

/** Where templates/recorder/record.sh writes. */
const DIRECTORY = '/var/lib/tasksctl-recorder';
const NAME = /^[0-9TZ]{1,32}\.samples(?:\.gz)?$/;
/** The largest file taken, bytes: the recorder's own limit, and what that may be when it is uncompressed. */
const MAX_FILE = 64 * 1024 * 1024;
const MAX_TEXT = 256 * 1024 * 1024;

export type Collected =
  | {
      readonly kind: 'ok';
      readonly profile: Profile;
      /** Files that could not be used, one sentence each. */
      readonly problems: readonly string[];
    }
  | { readonly kind: 'failed'; readonly error: HostError };

/**
 * Fetches what the recorder has written on a host and makes one profile of it. A file at a time, so that one that was cut
 * off ends where it ends. Needs no root.
 */
export async function collectSamples(
  transport: Transport,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Collected> {
  const { target } = transport;
  const run = (script: string): Promise<RunResult> =>
    transport.run({ script, asRoot: false, maxOutputBytes: MAX_FILE + 4096, ...options });
  const listed = await run(`cd ${DIRECTORY} && ls`);
  if (listed.kind === 'failed') return listed;
  const names = listed.stdout
    .toString()
    .split('\n')
    .filter((name) => NAME.test(name));
  if (names.length === 0) {
    const message = `${target}: there are no samples in ${DIRECTORY}; tasksctl apply --policy recorder has the host record by itself.`;
    return { kind: 'failed', error: { kind: 'unsupported', target, message } };
  }
  let profile = EMPTY_PROFILE;
  const problems: string[] = [];
  for (const name of names) {
    const file = await run(`cat ${DIRECTORY}/${name}`);
    if (file.kind === 'failed') {
      // What can be read of the others counts, but for a connection that is gone.
      if (file.error.kind !== 'output-limit') return file;
      problems.push(file.error.message);
      continue;
    }
    const loaded = textOf(file.stdout);
    const parsed = loaded === null ? null : parseProfile(loaded);
    if (parsed?.ok) profile = mergeProfiles(profile, parsed.profile);
    else problems.push(`${target}: ${DIRECTORY}/${name} ${parsed?.message ?? 'cannot be uncompressed'}`);
  }
  return { kind: 'ok', profile, problems };
}

function textOf(bytes: Buffer): string | null {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString();
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_TEXT }).toString();
  } catch {
    return null;
  }
}
