import type { Socket } from 'node:net';

/**
 * Has a connected socket send in one system call what is written to it in one turn of the event loop. ssh2 writes a packet
 * in three parts, and several packets in a row; each would wake the host for a few bytes.
 */
export function gatherWrites(socket: Socket): void {
  const write: (...args: Parameters<Socket['write']>) => boolean = socket.write.bind(socket);
  let gathers = false;
  // In place of the method, and not in a subclass: connect() would put the plain one back.
  socket.write = (...args: unknown[]) => {
    if (!gathers) {
      gathers = true;
      socket.cork();
      process.nextTick(() => {
        gathers = false;
        socket.uncork();
      });
    }
    return write(...(args as Parameters<Socket['write']>));
  };
}
