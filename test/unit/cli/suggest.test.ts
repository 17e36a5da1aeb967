import { describe, expect, it } from 'vitest';
import { suggestUnits } from '../../../src/cli/suggest.ts';

const NAMES = [
  'user-ssh-agent.service',
  'ssh.service',
  'nginx.service',
  'user-1000.slice',
  'user-1001.slice',
  'user-1002.slice',
  'systemd-logind.service',
];

describe('suggestUnits', () => {
  it.each([
    ['ngnix.service', ['nginx.service']],
    ['logind', ['systemd-logind.service']],
    ['ssh', ['ssh.service', 'user-ssh-agent.service']],
    ['user-1', ['user-1000.slice', 'user-1001.slice', 'user-1002.slice']],
    ['.s', ['ssh.service', 'nginx.service', 'user-1000.slice']],
    ['something-else-altogether', []],
    ['', []],
  ])('%s: %j', (wrong, names) => {
    expect(suggestUnits(wrong, NAMES)).toEqual(names);
  });
});
