import type { BaseAgent, SignCallback, SigningRequestOptions } from 'ssh2';
import type { UnlockedKey } from './ssh-keys.ts';

/** ssh2 takes keys that sign asynchronously only from an agent: this is one that holds a single key. */
export function oneKeyAgent(ssh2: typeof import('ssh2'), key: UnlockedKey): BaseAgent {
  class OneKeyAgent extends ssh2.BaseAgent<Buffer> {
    override getIdentities(callback: (error: undefined, keys: Buffer[]) => void): void {
      callback(undefined, [key.publicKey]);
    }

    override sign(
      _publicKey: Buffer,
      data: Buffer,
      options: SigningRequestOptions | SignCallback,
      callback?: SignCallback,
    ): void {
      const done = typeof options === 'function' ? options : callback;
      const hash = typeof options === 'function' ? undefined : options.hash;
      key.sign(data, hash).then(
        (signature) => done?.(undefined, signature),
        (error: Error) => done?.(error),
      );
    }
  }
  return new OneKeyAgent();
}
