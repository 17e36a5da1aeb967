import { describe, expect, it } from 'vitest';
import { resolveSysctl, sysctlNumber, type TaskSysctl } from '../../../src/plan/sysctl-conf.ts';
import { fileTreeOf } from '../../../src/snapshot/file-tree.ts';
import { aHost } from '../snapshot/a-host.ts';

function resolve(files: Record<string, string>, name: TaskSysctl = 'kernel.pid_max') {
  const { atBoot, byProcps } = resolveSysctl(fileTreeOf(aHost({ files })), name);
  const text = (found: typeof atBoot) => (found === null ? null : `${found.file}:${found.line}=${found.raw}`);
  return { atBoot: text(atBoot), byProcps: text(byProcps) };
}

describe('resolveSysctl', () => {
  it('takes the last by base name, whatever the directory', () => {
    expect(
      resolve({
        '/usr/lib/sysctl.d/90-z.conf': 'kernel.pid_max=9\n',
        '/etc/sysctl.d/10-a.conf': 'kernel.pid_max=1\n',
      }).atBoot,
    ).toBe('/usr/lib/sysctl.d/90-z.conf:1=9');
  });

  it('takes of one base name the one in the highest directory, be it a mask', () => {
    const below = { '/usr/lib/sysctl.d/50-pid-max.conf': 'kernel.pid_max=9\n' };
    expect(
      resolve({ ...below, '/run/sysctl.d/50-pid-max.conf': '# mine\n\nkernel.pid_max = 7\n' }).atBoot,
    ).toBe('/run/sysctl.d/50-pid-max.conf:3=7');
    expect(resolve({ ...below, '/etc/sysctl.d/50-pid-max.conf': '-> /dev/null' }).atBoot).toBeNull();
  });

  it('reads /etc/sysctl.conf last for procps, and for systemd only by the link Debian has', () => {
    const files = {
      '/etc/sysctl.conf': 'kernel.pid_max = 5\n',
      '/etc/sysctl.d/99-zz.conf': 'kernel.pid_max = 6\n',
    };
    expect(resolve(files)).toEqual({
      atBoot: '/etc/sysctl.d/99-zz.conf:1=6',
      byProcps: '/etc/sysctl.conf:1=5',
    });
    const linked = { ...files, '/etc/sysctl.d/99-sysctl.conf': '-> ../sysctl.conf' };
    expect(resolve(linked).atBoot).toBe('/etc/sysctl.d/99-zz.conf:1=6');
    const { '/etc/sysctl.d/99-zz.conf': _, ...alone } = linked;
    expect(resolve(alone).atBoot).toBe('/etc/sysctl.d/99-sysctl.conf:1=5');
  });

  it.each([
    ['kernel/pid_max=3', '3'],
    ['-kernel.pid_max = 3', '3'],
    ['  kernel.pid_max   =   3  ', '3'],
    ['kernel.pid_max=1\nkernel.pid_max=3', '3'],
    ['# kernel.pid_max=3', null],
    ['; kernel.pid_max=3', null],
    ['kernel.pid_max_x=3', null],
    ['kernel.pid_max', null],
    ['-kernel.pid_max', null],
  ])('reads %j', (text, expected) => {
    const { atBoot } = resolve({ '/etc/sysctl.d/a.conf': `${text}\n` });
    expect(atBoot?.replace(/^.*=/, '') ?? null).toBe(expected);
  });

  it('ignores files of other endings', () => {
    expect(resolve({ '/etc/sysctl.d/a.conf.bak': 'kernel.pid_max=3\n' }).atBoot).toBeNull();
  });

  it('keeps the two apart', () => {
    const files = { '/etc/sysctl.d/a.conf': 'kernel.threads-max=3\n' };
    expect(resolve(files).atBoot).toBeNull();
    expect(resolve(files, 'kernel.threads-max').atBoot).toBe('/etc/sysctl.d/a.conf:1=3');
  });
});

describe('sysctlNumber', () => {
  it.each([
    ['4194304', 4_194_304],
    ['', null],
    ['0x10', null],
    ['4M', null],
    ['-1', null],
  ])('%j is %s', (raw, expected) => {
    expect(sysctlNumber({ file: 'f', line: 1, raw })).toBe(expected);
  });
});
