import { hostname, userInfo } from 'node:os';

/** Who runs tasksctl, as `user@machine`. */
export function operatorName(): string {
  return `${userName()}@${hostname()}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without an account, as in containers.
    return String(process.getuid?.() ?? 'unknown');
  }
}
