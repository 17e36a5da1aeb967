import { describe, expect, it } from 'vitest';
import { fileFault, stepClass } from '../../../src/apply/allowed.ts';
import { recorderFiles } from '../../../src/measure/recorder-files.ts';
import { stepsInOrder } from '../../../src/plan/activation.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { planHost } from '../../../src/plan/plan-host.ts';
import { simulatePlan } from '../../../src/plan/simulate-plan.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import { aHost } from '../snapshot/a-host.ts';
import { aPolicy } from './a-policy.ts';

const files = recorderFiles();
const on = (host: Snapshot): Plan => planHost(host, aPolicy('recorder: true'), null, files);
const off = (host: Snapshot): Plan => planHost(host, aPolicy('recorder: false'), null, files);
const outcome = ({ changes }: Plan): string[] =>
  changes.map(({ title, from, to }) => `${title}: ${from.text} -> ${to.text}`);
const commands = (plan: Plan): string[] =>
  stepsInOrder(plan.changes.map(({ activation }) => activation)).map(({ command }) =>
    command.kind === 'argv' ? command.argv.slice(1).join(' ') : command.path,
  );

describe('a policy with a recorder', () => {
  it('installs it once, brings it up to date, and takes it away whole', () => {
    const bare = aHost();
    const install = on(bare);
    expect(outcome(install)).toEqual(['recorder of task counts: off -> on']);
    expect(install.files.map(({ path }) => path)).toEqual(files.map(({ path }) => path).sort());
    expect(commands(install)).toEqual(['daemon-reload', 'restart tasksctl-recorder.timer']);

    const installed = simulatePlan(bare, install);
    expect(on(installed)).toMatchObject({
      changes: [],
      files: [],
      unchanged: [{ limit: { kind: 'recorder' } }],
    });

    const older = installed.files.map((file) =>
      file.path.endsWith('record.sh') ? { ...file, text: `${file.text}# older\n` } : file,
    );
    const update = on({ ...installed, files: older });
    expect(outcome(update)).toEqual(['recorder of task counts: on -> on']);
    expect(update.files.map(({ path }) => path)).toEqual(['/etc/tasksctl/record.sh']);

    const remove = off(installed);
    expect(outcome(remove)).toEqual(['recorder of task counts: on -> off']);
    expect(commands(remove)).toEqual([
      'stop tasksctl-recorder.timer tasksctl-recorder.service',
      'daemon-reload',
    ]);
    expect(simulatePlan(installed, remove).files).toEqual(bare.files);
    expect(off(bare).changes).toEqual([]);
  });

  it('leaves what is not its own, and systemd that cannot run it', () => {
    const foreign = {
      ...aHost(),
      files: [
        ...aHost().files,
        {
          path: '/etc/tasksctl/record.sh',
          type: 'file' as const,
          mode: 0o644,
          uid: 0,
          gid: 0,
          size: 3,
          text: 'rm\n',
        },
      ],
    };
    for (const plan of [on(foreign), off(foreign)]) {
      expect(plan).toMatchObject({ changes: [], refused: [{ diagnostic: { code: 'recorder-foreign' } }] });
    }
    expect(on(aHost({ version: 234 })).refused).toMatchObject([
      { diagnostic: { code: 'recorder-unsupported' } },
    ]);
  });

  it('may be carried out, and nothing else of its kind', () => {
    const plan = on(aHost());
    for (const file of plan.files) {
      const { after } = file;
      expect(fileFault(file, files)).toBeNull();
      expect(fileFault(file, [])).not.toBeNull();
      if (after === null) throw new Error('it is written');
      const text = 'text' in after.content ? after.content.text : '';
      const evil = { ...file, after: { ...after, content: { text: text.replace('/bin/sh', '/tmp/sh') } } };
      if (text.includes('/bin/sh')) expect(fileFault(evil, files)).toContain('not of this version');
      expect(fileFault({ ...file, after: { ...after, mode: 0o755 } }, files)).toContain('the mode 755');
    }
    for (const { activation } of plan.changes) {
      for (const { command } of activation.steps) expect(stepClass(command)).not.toBeNull();
    }
    for (const argv of [
      ['systemctl', 'restart', 'other.timer'],
      ['systemctl', 'stop', 'tasksctl-recorder.timer', 'sshd.service'],
      ['systemctl', 'stop', 'sshd.service'],
      ['systemctl', 'start', 'tasksctl-recorder.timer'],
    ]) {
      expect(stepClass({ kind: 'argv', argv })).toBeNull();
    }
  });
});

describe('a file of a plan', () => {
  const at = (path: string, before: string | null, after: string, mode = 0o644): string | null => {
    const side = (text: string) => ({ content: { text }, sha256: '', mode: 0o644 });
    const was = before === null ? null : { ...side(before), uid: 0, gid: 0 };
    return fileFault({ path, before: was, after: { ...side(after), mode } }, files);
  };
  const DROP_IN = '/etc/systemd/system/ssh.service.d/90-x.conf';

  it.each([
    [DROP_IN, '[Service]\nExecStartPre=/tmp/evil\n'],
    [DROP_IN, '[Service]\nTasksMax=5\\\n'],
    [DROP_IN, '# one \\\n'],
    ['/etc/systemd/system/evil.service', '[Service]\nExecStart=/tmp/evil\n'],
    ['/etc/systemd/system-generators/evil', '#!/bin/sh\n/tmp/evil\n'],
    ['/etc/sysctl.d/x.conf', 'kernel.core_pattern = |/tmp/evil\n'],
    ['/etc/tasksctl/other.sh', '# x\n'],
  ])('may set no more than task limits: %s %j', (path, text) => {
    expect(at(path, null, text)).not.toBeNull();
  });

  it('may keep what is there, and is not made to be executed', () => {
    const there = '[Service]\nExecStart=/usr/bin/thing\n';
    expect(at(DROP_IN, there, `${there}TasksMax=100\n`)).toBeNull();
    expect(at('/etc/sysctl.d/x.conf', null, '# x\nkernel.pid_max = 99999\n')).toBeNull();
    expect(at(DROP_IN, null, '# x\n', 0o755)).not.toBeNull();
  });
});
