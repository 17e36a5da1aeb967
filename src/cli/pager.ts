import { spawn } from 'node:child_process';
import { type Io, wantsPager } from './terminal.ts';

/** What the shell says of a command that it cannot find, or not run. */
const NOT_RUN = [126, 127];

/**
 * Shows a text by the operator's pager and returns once they have left it, however they did; false where there is no
 * pager, and so nothing was shown.
 */
export function showByPager(text: string, env: Io['env']): Promise<boolean> {
  const command = wantsPager(env);
  if (command === null) return Promise.resolve(false);
  // Whoever has set it may have written options and a pipe. Of the default nobody needs to hear that it is not there.
  const [program, argv]: [string, string[]] =
    command === 'less' ? ['less', []] : ['/bin/sh', ['-c', command]];
  return new Promise((resolve) => {
    const pager = spawn(program, argv, {
      stdio: ['pipe', 'inherit', 'inherit'],
      env: {
        // As git has it: colours as they are, and no paging of what fits on the screen.
        LESS: 'FRX',
        LV: '-c',
        // Whom sudo lets run only tasksctl must not get a shell from less.
        ...(env['SUDO_UID'] === undefined ? {} : { LESSSECURE: '1' }),
        ...env,
      },
    });
    pager.on('error', () => resolve(false));
    pager.on('close', (code) => resolve(code === null || !NOT_RUN.includes(code)));
    // It was left before its end.
    pager.stdin.on('error', () => {});
    pager.stdin.end(text);
  });
}
