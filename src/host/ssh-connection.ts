import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import type { Shared } from './connect-memory.ts';
import { printable } from './printable.ts';
import { type ConnectionFault, connectionLost } from './ssh-error.ts';
import type { HostError } from './transport.ts';

/** An open login. `closed` and `lost` tell what became of it. */
export class SshConnection implements Shared {
  readonly client: Client;
  /** Resolves when the connection is gone. */
  readonly ended: Promise<void>;
  closed = false;
  readonly #stream: Duplex;
  readonly #where: string;
  readonly #release: () => void;
  #fault: string | undefined;

  /** `release` gives back what the connection goes through. */
  constructor(client: Client, stream: Duplex, where: string, release: () => void) {
    this.client = client;
    this.#stream = stream;
    this.#where = where;
    this.#release = release;
    client.on('error', (fault: Error & ConnectionFault) => {
      if (fault.level !== 'agent') this.#fault ??= fault.message;
    });
    this.ended = new Promise((resolve) => {
      client.on('close', () => {
        this.#leave();
        resolve();
      });
    });
  }

  close(): void {
    if (!this.#leave()) return;
    this.client.end();
    // A dead link never answers, and ssh2's destroy() leaves a socket alone that it has ended.
    const timer = setTimeout(() => this.#stream.destroy(), 1_000);
    this.client.once('close', () => clearTimeout(timer));
  }

  #leave(): boolean {
    if (this.closed) return false;
    this.closed = true;
    this.#release();
    return true;
  }

  /** The error of something that needed this connection. */
  lost(label: string): HostError {
    const why =
      this.#fault === 'Keepalive timeout'
        ? 'it no longer answers'
        : printable(this.#fault ?? 'it was closed from there').slice(0, 200);
    return connectionLost(label, this.#where, why);
  }
}
