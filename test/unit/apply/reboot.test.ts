import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as reboot from '../../../src/apply/reboot.ts';
import type { Connect } from '../../../src/apply/saved-run.ts';
import type { Transport } from '../../../src/host/transport.ts';

/** A host of which each connection in turn is refused (null) or answers each question with a text; the last one stays. */
function connectTo(...connections: (null | ((script: string) => string))[]): Connect & { scripts: string[] } {
  const scripts: string[] = [];
  let opened = 0;
  const connect: Connect = async () => {
    const answer = connections[Math.min(opened++, connections.length - 1)];
    if (answer == null) {
      return { ok: false, error: { kind: 'refused', target: 'web1', message: 'web1 refuses connections.' } };
    }
    const transport: Transport = {
      target: 'web1',
      run: async ({ script }) => {
        scripts.push(script);
        const stdout = Buffer.from(answer(script));
        return { kind: 'exit', code: 0, signal: null, stdout, stderr: Buffer.alloc(0) };
      },
      close: async () => {},
    };
    return { ok: true, transport };
  };
  return Object.assign(connect, { scripts });
}

const old = (script: string) => (script.includes('is-system-running') ? 'old-boot\nrunning\n' : 'old-boot\n');

/** The seconds of waiting pass at once. */
async function rebootHost(options: reboot.RebootOptions): Promise<reboot.RebootResult> {
  let ended = false;
  const result = reboot.rebootHost(options).finally(() => {
    ended = true;
  });
  while (!ended) await vi.advanceTimersByTimeAsync(1_000);
  return result;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('rebootHost', () => {
  it('waits for a new boot id and the end of the boot', async () => {
    const connect = connectTo(
      old,
      () => 'old-boot\nstopping\n',
      null,
      () => 'new-boot\nstarting\n',
      () => 'new-boot\ndegraded\n',
    );
    const result = await rebootHost({ connect, timeoutMs: 60_000 });
    expect(result).toMatchObject({ kind: 'back', bootId: 'new-boot' });
    expect(connect.scripts.filter((script) => script.includes('systemctl --no-block reboot'))).toHaveLength(
      1,
    );
  });

  it('goes on where somebody has asked for the reboot before', async () => {
    const asked = (connect: ReturnType<typeof connectTo>) =>
      connect.scripts.filter((script) => script.includes('systemctl --no-block reboot')).length;
    // On its way down, down, and up again.
    const stopping = connectTo(
      () => 'old-boot\nstopping\n',
      null,
      () => 'new-boot\nrunning\n',
    );
    const options = { timeoutMs: 60_000, before: 'old-boot' };
    expect(await rebootHost({ connect: stopping, ...options })).toMatchObject({ bootId: 'new-boot' });
    expect(asked(stopping)).toBe(0);
    const down = connectTo(null, () => 'new-boot\nrunning\n');
    expect(await rebootHost({ connect: down, ...options })).toMatchObject({ bootId: 'new-boot' });
    expect(asked(down)).toBe(0);
    const late = connectTo(
      (script) =>
        script.includes('is-system-running') ? 'old-boot\nrunning\n' : 'already in progress\nrefused\n',
      () => 'new-boot\nrunning\n',
    );
    expect(await rebootHost({ connect: late, ...options })).toMatchObject({ bootId: 'new-boot' });
    // Nobody had.
    const up = connectTo(old, () => 'new-boot\nrunning\n');
    expect(await rebootHost({ connect: up, ...options })).toMatchObject({ bootId: 'new-boot' });
    expect(asked(up)).toBe(1);
  });

  it('does not wait for a host that refuses', async () => {
    const connect = connectTo((script) =>
      script.includes('reboot') ? 'Call to Reboot failed: inhibited\nrefused\n' : 'old-boot\nrunning\n',
    );
    const result = await rebootHost({ connect, timeoutMs: 60_000 });
    expect(result).toMatchObject({
      kind: 'failed',
      error: { message: 'web1: it would not reboot: Call to Reboot failed: inhibited.' },
    });
  });

  it.each([
    ['did not go down', old, 'web1: it did not go down.'],
    [
      'does not end its boot',
      () => 'new-boot\nstarting\n',
      'web1: it rebooted, but its boot does not end (starting).',
    ],
    ['does not come back', null, 'web1 refuses connections.'],
  ])('tells of a host that %s', async (_, later, message) => {
    const result = await rebootHost({ connect: connectTo(old, later), timeoutMs: 500 });
    expect(result).toMatchObject({ kind: 'failed', error: { message } });
  });
});
