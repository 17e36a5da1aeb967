import { AskedSecret } from './asked-secret.ts';
import { printable } from './printable.ts';
import type { AskSecret, HostError } from './transport.ts';

/**
 * How a script on standard input becomes a root shell's script.
 *
 * The remote command is one of three constants. Each prints `readyLine` on standard output and on standard error once
 * the shell that will read the script runs; what came before it is noise (sudo's lecture and prompt, messages of the
 * login shell's start-up files) and never part of a result.
 *
 * The password travels on standard input and only after sudo has printed `passwordPrompt`. Where sudo wants none
 * (NOPASSWD, credentials still cached, login already root) it is not sent at all, so it can reach neither the shell
 * as a command nor a sudoers `log_input` file. A second prompt means the first answer was refused: sudo is killed
 * there, so that one wrong password is one failure in pam_faillock and not `passwd_tries` of them. It must be SIGKILL,
 * which the user may send (at the prompt sudo's real uid is still the user's): after any other signal, and at the end
 * of its input, sudo lets PAM count a second failure.
 */

/** Printed on both streams by the shell that is about to read the script. */
export const readyLine = 'tasksctl: shell ready';

/** What `sudo -p` prints when it wants the password (sudo-rs wraps it in words of its own). */
export const passwordPrompt = '[tasksctl: sudo password]';

/** Printed on standard error before sudo is started: without it the login shell ran something else. */
export const beforeSudoLine = 'tasksctl: sudo next';

const noSudoLine = 'tasksctl: no sudo';

// Programs for `sh -c`. They pass through the login shell of an ssh user in single quotes, which may be csh or fish:
// no single quote, backslash, exclamation mark or newline in them.
const ready = `echo ${readyLine}; echo ${readyLine} >&2; exec sh -s`;
const asRootOrElse =
  `if [ "$(id -u)" = 0 ]; then ${ready}; fi; ` +
  `echo ${beforeSudoLine} >&2; ` +
  `command -v sudo >/dev/null 2>&1 || { echo ${noSudoLine} >&2; exit 127; }; ` +
  // sudo's messages are told apart by their text, so they must be untranslated.
  'LC_ALL=C; export LC_ALL; ';

/** Runs the script as the login user. Standard input: the script, at once. */
export const plainProgram = ready;

/** Runs the script as root without a password or fails. `sudo -n` reads no input, so the script is sent at once. */
export const sudoProgram = `${asRootOrElse}exec sudo -n -H -- sh -c "${ready}"`;

/**
 * Runs the script as root, with a password if sudo wants one. Standard input: nothing until `passwordPrompt` on
 * standard error (then the password and a newline) or `readyLine` on standard output (then the script).
 */
export const sudoPasswordProgram = `${asRootOrElse}exec sudo -S -H -p "${passwordPrompt}" -- sh -c "${ready}"`;

/** Where in the talk with sudo the process ended. */
export interface SudoEnd {
  readonly target: string;
  /** Exit status of the process; null where a signal (ours included) ended it. */
  readonly code: number | null;
  /** Standard error up to the end; `readyLine` never came. */
  readonly stderr: string;
  /** How often `passwordPrompt` was seen. */
  readonly prompts: number;
}

/**
 * Names the failure of a sudo that ended (or was ended) before its shell was ready. The texts are those of sudo 1.8
 * and 1.9 (plugins/sudoers/{logging,check,sudoers}.c, auth/sudo_auth.c) and sudo-rs.
 */
export function sudoFailure(end: SudoEnd): HostError {
  const { target, stderr } = end;
  const make = (kind: HostError['kind'], message: string): HostError => ({ kind, target, message });

  if (stderr.includes(noSudoLine)) {
    return make(
      'sudo-missing',
      `${target}: root is needed and sudo is not installed; log in as root instead.`,
    );
  }
  if (/must have a tty|no tty present/.test(stderr) && !/askpass/.test(stderr)) {
    return make(
      'sudo-denied',
      `${target}: sudoers demands a terminal (requiretty); add "Defaults:USER !requiretty" for this user or log in as root.`,
    );
  }
  if (
    /a password is required|no password was provided|interactive authentication is required/i.test(stderr)
  ) {
    return make(
      'sudo-password-needed',
      `${target}: sudo wants a password and nobody can be asked; run tasksctl on a terminal or allow NOPASSWD in sudoers.`,
    );
  }
  if (
    end.prompts > 1 ||
    /incorrect password attempt|incorrect authentication attempt|authentication failure|try again/i.test(
      stderr,
    )
  ) {
    return make(
      'sudo-password-wrong',
      `${target}: sudo refused the password (a second factor is not supported); it was tried once, run the command again to retry.`,
    );
  }
  if (/not in the sudoers file|is not allowed to|may not run sudo|I'm afraid I can't do that/i.test(stderr)) {
    return make(
      'sudo-denied',
      `${target}: sudoers does not let this user run sh as root; log in as a user who may.`,
    );
  }
  const words = printable(stderr.replaceAll(passwordPrompt, '').replaceAll(beforeSudoLine, '')).trim();
  const last = words.split('\n').at(-1)?.slice(0, 300) ?? '';
  return make(
    'sudo-denied',
    `${target}: sudo did not start a shell${end.code === null ? '' : ` (exit status ${end.code})`}: ${last || 'it gave no reason'}; check "sudo -l" there.`,
  );
}

/** The sudo password of one host, or of all. */
export class SudoPassword extends AskedSecret {
  constructor(host: string, ask: AskSecret | undefined) {
    super(`sudo password for ${host}: `, ask);
  }
}
