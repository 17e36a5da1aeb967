import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { gatherWrites } from '../../../src/host/gather-writes.ts';

const open: { destroy(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.destroy();
});

/** Both ends of a connection. */
async function connection(): Promise<{ readonly near: Socket; readonly far: Socket }> {
  const server = createServer().listen(0, '127.0.0.1');
  open.push({ destroy: () => server.close() });
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [far] = (await accepted) as [Socket];
  open.push(near, far);
  if (near.connecting) await once(near, 'connect');
  return { near, far };
}

async function text(far: Socket): Promise<string> {
  let all = '';
  for await (const chunk of far) all += chunk;
  return all;
}

describe('writes to a socket', () => {
  it('of one turn go out together, in order', async () => {
    const { near, far } = await connection();
    gatherWrites(near);
    const calls: string[][] = [];
    const writev = near._writev?.bind(near);
    near._writev = (chunks, done) => {
      calls.push(chunks.map(({ chunk }) => String(chunk)));
      writev?.(chunks, done);
    };
    near.write('length ');
    near.write('packet ');
    near.write('tag ');
    expect(near.writableLength).toBe(18);
    await new Promise((resolve) => setImmediate(resolve));
    near.write('more ');
    near.write('of it');
    near.end();
    expect(await text(far)).toBe('length packet tag more of it');
    expect(calls).toEqual([
      ['length ', 'packet ', 'tag '],
      ['more ', 'of it'],
    ]);
  });

  it('goes out where the turn ends the connection, and one that is destroyed stays so', async () => {
    const { near, far } = await connection();
    gatherWrites(near);
    near.write('last ');
    near.end('words');
    expect(await text(far)).toBe('last words');

    const other = await connection();
    gatherWrites(other.near);
    other.near.write('lost');
    other.near.destroy();
    await once(other.near, 'close');
    expect(other.near.writable).toBe(false);
  });
});
