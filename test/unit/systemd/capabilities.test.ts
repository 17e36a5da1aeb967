import { describe, expect, it } from 'vitest';
import { capabilitiesOf, defaultUnitPath } from '../../../src/systemd/capabilities.ts';
import { formatTasksMax } from '../../../src/systemd/tasks-max.ts';
import { capabilities } from './support.ts';

function defaults(version: number, osRelease = {}): string {
  const { defaultTasksMax, userTasksMax, perUserLimit } = capabilities(version, osRelease);
  const text = (value: typeof userTasksMax) => (value === null ? '-' : formatTasksMax(value));
  return `${text(defaultTasksMax)} ${text(userTasksMax)} ${perUserLimit}`;
}

describe('capabilitiesOf', () => {
  it.each([
    [219, {}, '- - none'],
    [219, { ID: 'centos', ID_LIKE: 'rhel fedora', VERSION_ID: '7' }, 'infinity infinity logind'],
    [228, {}, '512 4096 logind'],
    [228, { ID: 'sles', ID_LIKE: 'suse', VERSION_ID: '12.5' }, '512 12288 logind'],
    [229, {}, '512 12288 logind'],
    [231, {}, '15% 33% logind'],
    [237, { ID: 'ubuntu' }, '15% 33% logind'],
    [239, {}, '15% - user-slice-drop-in'],
    [239, { ID: 'rhel', ID_LIKE: 'fedora', VERSION_ID: '8.9' }, '80% - user-slice-drop-in'],
    [252, { ID: 'debian' }, '15% - user-slice-drop-in'],
    [252, { ID: 'rocky', ID_LIKE: 'rhel centos fedora' }, '80% - user-slice-drop-in'],
    [255, { ID: 'flatcar' }, '100% - user-slice-drop-in'],
    [262, {}, '15% - user-slice-drop-in'],
  ])('gives the defaults of %i on %j', (version, osRelease, expected) => {
    expect(defaults(version, osRelease)).toBe(expected);
  });

  it("reads where the per-user limit lives from the host's files, not from the version alone", () => {
    const evidence = {
      osRelease: { ID: 'sles' },
      compatGenerator: true,
      vendorUserSliceDropIn: true,
      splitUsr: false,
    };
    const suse = capabilitiesOf(234, evidence);
    expect(suse).toMatchObject({ perUserLimit: 'suse-generator', prefixDropIns: true, userTasksMax: null });
    expect(suse.syntax.UserTasksMax).toEqual(suse.syntax.TasksMax);
    expect(capabilitiesOf(252, evidence).syntax.UserTasksMax).not.toBeNull();
    const backport = capabilitiesOf(234, { ...evidence, compatGenerator: false });
    expect(backport.perUserLimit).toBe('user-slice-drop-in');
  });

  it('knows the versions in which behaviour changed', () => {
    const changed = (read: (c: ReturnType<typeof capabilities>) => unknown) =>
      Array.from({ length: 262 - 219 }, (_, i) => 220 + i).filter(
        (v) => JSON.stringify(read(capabilities(v))) !== JSON.stringify(read(capabilities(v - 1))),
      );
    expect(changed((c) => c.reloadRereadsManagerConf)).toEqual([223]);
    expect(changed((c) => c.systemControl)).toEqual([230]);
    expect(changed((c) => c.fractionBase)).toEqual([237]);
    expect(changed((c) => c.prefixDropIns)).toEqual([239]);
    expect(changed((c) => c.typeDropIns)).toEqual([244]);
    expect(changed((c) => c.fractionResolved)).toEqual([244]);
    expect(changed((c) => c.setPropertyCorruptsFractions)).toEqual([244, 260]);
    expect(changed((c) => c.mainFileFallback)).toEqual([256]);
    expect(changed((c) => c.effectiveTasksMax)).toEqual([256]);
  });
});

describe('defaultUnitPath', () => {
  it('is that of the version', () => {
    expect(defaultUnitPath(capabilities(252), 'system')).toEqual([
      '/etc/systemd/system.control',
      '/run/systemd/system.control',
      '/run/systemd/transient',
      '/run/systemd/generator.early',
      '/etc/systemd/system',
      '/etc/systemd/system.attached',
      '/run/systemd/system',
      '/run/systemd/system.attached',
      '/run/systemd/generator',
      '/usr/local/lib/systemd/system',
      '/usr/lib/systemd/system',
      '/run/systemd/generator.late',
    ]);
    expect(defaultUnitPath(capabilities(219), 'system')).not.toContain('/etc/systemd/system.control');
  });

  it("has Debian's /lib before 255", () => {
    const path = (version: number) => defaultUnitPath(capabilities(version, { ID: 'debian' }), 'system');
    expect(path(252).filter((dir) => dir.includes('lib/'))).toEqual([
      '/usr/local/lib/systemd/system',
      '/lib/systemd/system',
      '/usr/lib/systemd/system',
    ]);
    expect(path(257)).not.toContain('/lib/systemd/system');
  });
});
