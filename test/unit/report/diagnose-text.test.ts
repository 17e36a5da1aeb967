import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { Diagnosis } from '../../../src/diagnose/diagnose.ts';
import type { Verdict } from '../../../src/diagnose/verdict.ts';
import { diagnoseText, planCommand } from '../../../src/report/diagnose-text.ts';
import { createStyle, PLAIN } from '../../../src/report/style.ts';
import { aHost } from '../snapshot/a-host.ts';

const full: Verdict = {
  cause: 'pids-controller',
  confidence: 'certain',
  standing: 'full',
  limit: { kind: 'unit', unit: 'app.service' },
  name: 'app.service',
  value: 7n,
  used: 7,
  rejected: 4,
  set: { kind: 'file', file: '/etc/a.conf', line: 3, section: 'Service', key: 'TasksMax', raw: '7' },
  evidence: ['7 of 7 tasks: no room', '4 forks rejected'],
  remedy: {
    count: 64,
    notes: ['half as much again'],
    policy: { schema: 'tasksctl/policy/1', name: 'diagnose', units: { 'app.service': { value: 64 } } },
    commands: [],
  },
};
const clear: Diagnosis['checks'] = [{ what: 'pids-counters', result: 'clear', text: '3 cgroups' }];

const text = (diagnosis: Diagnosis, source: readonly string[] = [], style = PLAIN) =>
  diagnoseText(aHost(), null, diagnosis, source, style);

describe('diagnoseText', () => {
  it('says what is full, why, what it takes, and the command', () => {
    const lines = text({ verdicts: [full], checks: clear }, ['--target', 'web1']).split('\n');
    expect(lines.slice(3, 9)).toEqual([
      '1. app.service is full: forks fail (pids controller; certain)',
      '   Limit    7, 7 in use, set by /etc/a.conf:3',
      '   Because  7 of 7 tasks: no room',
      '            4 forks rejected',
      '   It takes a limit of 64',
      '            half as much again',
    ]);
    expect(lines[9]).toBe(
      `   Do       echo '{"schema":"tasksctl/policy/1","name":"diagnose","units":{"app.service":{"value":64}}}' | tasksctl plan --target web1 --policy -`,
    );
  });

  it('says that there is no evidence, and whether all could be read', () => {
    expect(text({ verdicts: [], checks: clear })).toContain('\nNo evidence of a rejected fork.\n');
    expect(text({ verdicts: [], checks: clear })).toContain('tasksctl trace\n');
    expect(text({ verdicts: [], checks: clear }, ['--snapshot', 'x'])).not.toContain('tasksctl trace');
    const unknown = { what: 'memory', result: 'unknown', text: 'not read' } as const;
    expect(text({ verdicts: [], checks: [...clear, unknown] })).toContain('in what could be read');
  });

  it('tells the first few in full, and counts the rest', () => {
    const many = [...'abcdefgh'].map((letter) => ({ ...full, name: `${letter}.service` }));
    const shown = text({ verdicts: many, checks: [] });
    expect(shown).toContain('\n5. e.service');
    expect(shown).not.toContain('\n6. ');
    expect(shown).toContain(
      '\n3 more, less likely or less pressing (all with --json): f.service, g.service, h.service\n',
    );
  });

  it('keeps text of the host off the terminal', () => {
    const evil = { ...full, name: 'x\x1b]0;y\x07.service', evidence: ['in /a\x1b[2J\nroot ok'], set: null };
    const shown = text({ verdicts: [evil], checks: [] });
    expect(shown).toContain('x\\x1b]0;y\\x07.service is full');
    expect(shown).toContain('/a\\x1b[2J\\nroot ok');
    expect(shown).not.toContain('\x1b');
  });

  it('fits a terminal, and does not break what is to be copied', () => {
    const style = createStyle({ color: true, unicode: true, width: 60 });
    const long = { ...full, evidence: ['word '.repeat(40).trim()] };
    const lines = text({ verdicts: [long], checks: clear }, [], style).split('\n');
    const plain = lines.map((line) => line.replace(/\x1b\[[0-9;]*m/g, ''));
    const wide = plain.filter((line) => line.length > 60);
    expect(wide).toHaveLength(1);
    expect(wide[0]).toMatch(/^ {3}Do .*--policy -$/);
  });
});

describe('planCommand', () => {
  it('is what a shell takes apart again', () => {
    const policy = { units: { "dev-a\\x2db'$(id)`.service": { value: 1 } } };
    const command = planCommand(policy, ['--target', 'a b']).replace(/ \| .*/, '');
    const echoed = execFileSync('bash', ['-c', command], { encoding: 'utf8' });
    expect(JSON.parse(echoed)).toEqual(policy);
    expect(planCommand(policy, ['--target', 'a b'])).toMatch(/tasksctl plan --target 'a b' --policy -$/);
  });
});
