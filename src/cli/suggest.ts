import { nearestName } from '../plan/nearest-name.ts';

/**
 * The units an operator may have meant: those whose name contains what was typed, shorter ones first (`ssh` means
 * ssh.service before user-ssh-agent.service); else the one a few typos away.
 */
export function suggestUnits(wrong: string, names: readonly string[], most = 3): string[] {
  const containing = wrong === '' ? [] : names.filter((name) => name.includes(wrong));
  if (containing.length === 0) {
    const near = nearestName(wrong, names);
    return near === null ? [] : [near];
  }
  return containing.sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).slice(0, most);
}
