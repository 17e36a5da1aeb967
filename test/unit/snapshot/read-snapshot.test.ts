import { describe, expect, it } from 'vitest';
import type { HostError, RunRequest, RunResult, Transport } from '../../../src/host/transport.ts';
import { readSnapshot } from '../../../src/snapshot/read-snapshot.ts';

const nothing = Buffer.alloc(0);

function exit(stdout: string): RunResult {
  return { kind: 'exit', code: 0, signal: null, stdout: Buffer.from(stdout), stderr: nothing };
}

function failed(kind: HostError['kind']): RunResult {
  return {
    kind: 'failed',
    error: { kind, target: 'db1', message: `db1: ${kind}` },
    stdout: nothing,
    stderr: nothing,
  };
}

function transport(answer: (request: RunRequest) => RunResult): Transport & { requests: RunRequest[] } {
  const requests: RunRequest[] = [];
  return {
    target: 'db1',
    requests,
    run: async (request) => {
      requests.push(request);
      return answer(request);
    },
    close: async () => {},
  };
}

const output = 'tasksctl-probe 1\n@clock 20\n2026-01-02T03:04:05Z\n@end 0\n\n';

describe('readSnapshot', () => {
  it('takes one round trip, as root', async () => {
    const host = transport(() => exit(output));
    const result = await readSnapshot(host, { timeoutMs: 10_000 });
    expect(result).toMatchObject({
      kind: 'ok',
      snapshot: { target: 'db1', takenAt: '2026-01-02T03:04:05Z', problems: [] },
    });
    expect(host.requests).toMatchObject([{ asRoot: true, timeoutMs: 10_000 }]);
    // The probe stops by itself before the transport stops it.
    expect(host.requests[0]?.script).toMatch(/^TASKSCTL_PROBE_SECONDS=7\n#!\/bin\/sh\n/);
  });

  it.each([
    'sudo-missing',
    'sudo-denied',
    'sudo-password-needed',
    'sudo-password-wrong',
  ] as const)('reads as the login user after %s, and says so', async (kind) => {
    const host = transport(({ asRoot }) => (asRoot ? failed(kind) : exit(output)));
    const result = await readSnapshot(host);
    expect(result).toMatchObject({
      kind: 'ok',
      snapshot: { problems: [{ part: 'probe', reason: 'no-permission', detail: `db1: ${kind}` }] },
    });
    expect(host.requests.map(({ asRoot }) => asRoot)).toEqual([true, false]);
  });

  it.each([
    'timeout',
    'output-limit',
    'connection-lost',
    'auth-failed',
  ] as const)('fails with %s', async (kind) => {
    const host = transport(() => failed(kind));
    expect(await readSnapshot(host)).toMatchObject({ kind: 'failed', error: { kind } });
    expect(host.requests).toHaveLength(1);
  });

  it.each([
    '',
    'sh: syntax error\n',
    'tasksctl-probe 1\n',
  ])('fails where the probe did not run: %j', async (text) => {
    const result = await readSnapshot(transport(() => exit(text)));
    expect(result).toMatchObject({ kind: 'failed', error: { kind: 'unsupported', target: 'db1' } });
  });
});
