import type { Connect } from '../../../src/apply/saved-run.ts';
import type { HostError, RunRequest, RunResult, Transport } from '../../../src/host/transport.ts';
import type { PrivateHost } from './private-host.ts';

/** What the network between the controller and the private host does to one connection after another. */
export type Link =
  | 'up'
  /** No connection comes about. */
  | 'down'
  /** The connection is lost once this was seen in the output; the script goes on. */
  | { readonly cutAt: RegExp }
  /** The login works and its shell cannot start a process. */
  | 'no-forks';

const lost = (target: string): HostError => ({
  kind: 'connection-lost',
  target,
  message: `${target}: the connection was lost.`,
});

/** Connections to a private host, each over the next link; the last link serves all further ones. */
export function connectVia(
  host: PrivateHost,
  links: readonly Link[],
): { connect: Connect; opened: () => number } {
  let opened = 0;
  const running: Promise<unknown>[] = [];
  const connect: Connect = async () => {
    const link = links[Math.min(opened++, links.length - 1)] ?? 'up';
    const target = 'private';
    if (link === 'down') {
      return { ok: false, error: { kind: 'unreachable', target, message: `${target}: no route to host.` } };
    }
    const transport: Transport = {
      target,
      run: (request) => (link === 'up' ? whole(host, request) : broken(host, request, link, running)),
      close: async () => {},
    };
    return { ok: true, transport };
  };
  return { connect, opened: () => opened };
}

async function whole(host: PrivateHost, request: RunRequest): Promise<RunResult> {
  const { onStdout } = request;
  const { code, signal, stdout, stderr } = await host.run(
    request.script,
    onStdout === undefined ? {} : { onStdout: (text) => onStdout(Buffer.from(text, 'latin1')) },
  );
  return { kind: 'exit', code, signal, stdout, stderr: Buffer.from(stderr) };
}

async function broken(
  host: PrivateHost,
  request: RunRequest,
  link: Exclude<Link, 'up' | 'down'>,
  running: Promise<unknown>[],
): Promise<RunResult> {
  if (link === 'no-forks') {
    const stderr = Buffer.from('sh: 3: Cannot fork\n');
    return { kind: 'exit', code: 2, signal: null, stdout: Buffer.alloc(0), stderr };
  }
  return new Promise((resolve) => {
    let seen = '';
    const cut = (): void =>
      resolve({ kind: 'failed', error: lost('private'), stdout: Buffer.from(seen), stderr: Buffer.alloc(0) });
    running.push(
      host
        .run(request.script, {
          onStdout: (text) => {
            seen += text;
            if (link.cutAt.test(seen)) cut();
          },
        })
        .then(cut),
    );
  });
}
