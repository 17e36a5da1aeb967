import { describe, expect, it } from 'vitest';
import { rebootHost } from '../../../src/apply/reboot.ts';
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

describe('rebootHost', () => {
  it('waits for a new boot id and the end of the boot', async () => {
    const connect = connectTo(
      old,
      (script) => (script.includes('is-system-running') ? 'old-boot\nstopping\n' : ''),
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

  it('does not wait for a host that refuses', async () => {
    const connect = connectTo((script) =>
      script.includes('reboot') ? 'Call to Reboot failed: inhibited\nrefused\n' : 'old-boot\n',
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
