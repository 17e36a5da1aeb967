import type { Connect } from '../apply/saved-run.ts';
import { connect } from '../host/connect.ts';
import { escapeText } from '../report/terminal-escape.ts';
import { terminalAsker } from './ask-secret.ts';
import type { Console } from './console.ts';
import type { HostOptions } from './options.ts';
import type { Progress } from './progress.ts';

/**
 * Opens connections to the host the options name, each a login of its own; secrets are asked for once. Without a signal
 * a connection outlives an interrupt: an interrupted apply still has to bring its host to an end.
 */
export function connector(
  console: Console,
  options: HostOptions,
  progress: Progress,
  signal?: AbortSignal,
): Connect {
  const ask = terminalAsker();
  const lendTerminal = async <T>(use: () => Promise<T>): Promise<T> => {
    progress.pause();
    try {
      return await use();
    } finally {
      progress.resume();
    }
  };
  return () =>
    connect(options.target, {
      client: options.transport,
      connectTimeoutMs: options.timeout * 1000,
      acceptNew: options.acceptNew === true,
      oneSudoPassword: options.askBecomePass === true,
      warn: (message) => void console.notice('warning', escapeText(message)),
      ...(signal === undefined ? {} : { signal }),
      ...(options.sshConfig === undefined ? {} : { configFile: options.sshConfig }),
      ...(ask === undefined
        ? {}
        : {
            askSecret: (prompt) => lendTerminal(() => ask(prompt)),
            lendTerminal,
          }),
    });
}
