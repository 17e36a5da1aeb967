import { existsSync } from 'node:fs';

/**
 * Why a program that some tests drive is not here, or null. Such tests are skipped then and counted as that; with
 * TASKSCTL_LAB=require, which is for a machine that has everything, it is an error.
 */
export function toolMissing(path: string): string | null {
  if (existsSync(path)) return null;
  const reason = `${path} is missing: run test/lab/install-packages`;
  if (process.env['TASKSCTL_LAB'] === 'require') throw new Error(`TASKSCTL_LAB=require, but ${reason}`);
  console.warn(`skipped, ${reason}`);
  return reason;
}

/** The first path that is there, else the last. */
function oneOf(...paths: readonly string[]): string {
  return paths.find((path) => existsSync(path)) ?? paths.at(-1) ?? '';
}

export const SHELLCHECK = '/usr/bin/shellcheck';
/** Not in /usr/sbin where test/lab/install-packages brought it. */
export const SSHD = oneOf('/usr/sbin/sshd', '/usr/local/sbin/sshd');
export const TMUX = '/usr/bin/tmux';
export const CHROMIUM = '/usr/bin/chromium';
export const SETFATTR = '/usr/bin/setfattr';
export const LESS = '/usr/bin/less';
/** Debian has it in /usr/bin. */
export const PROMTOOL = oneOf('/usr/local/bin/promtool', '/usr/bin/promtool');
