import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Plan } from '../../../src/plan/plan.ts';
import { displayWidth } from '../../../src/report/layout.ts';
import { planSummary, planText } from '../../../src/report/plan-text.ts';
import { createStyle, PLAIN } from '../../../src/report/style.ts';
import type { SafeText } from '../../../src/report/terminal-escape.ts';
import { exampleChange, exampleDiff, examplePlan } from './example-plan.ts';

const show = (plan: Plan, verbose = false) => planText(plan, { diffs: [exampleDiff], verbose }, PLAIN);

describe('planText', () => {
  it('shows each change with source, arithmetic, timing, commands and people, the diff, and what was refused', () => {
    expect(show(examplePlan)).toMatchInlineSnapshot(`
      "Plan for admin@web1 by policy default
      Debian GNU/Linux 12 (bookworm), systemd 252, Linux 6.1.0-18-amd64, cgroup v2

      ~ user-.slice (every user): 33% (10230) -> 16384
          now     33%, /usr/lib/systemd/system/user-.slice.d/10-defaults.conf:16
          why     peak 9800 of alice, plus 50% headroom: 14700
                  rounded up to a friendly step: 16384
          when    Enforced at once for the 1 running user slice; new logins get it from the start.
          reboot  not needed: a daemon-reload is enough.
          affects alice, session 7 (sshd from 192.0.2.7): gets the new limit at once
          file    /etc/systemd/system/user-.slice.d/60-tasksctl.conf
          after the files are in place, as root:
            # systemd reads the new file and writes pids.max of the running slices
            systemctl daemon-reload
            # the running slice gets the new limit now, not at the next login
            systemctl set-property --runtime user-1000.slice TasksMax=16384
          warning: the limits below user.slice add up to more than the kernel has [sibling-overcommit]

      --- /dev/null
      +++ b/etc/systemd/system/user-.slice.d/60-tasksctl.conf
      @@ -0,0 +1,3 @@
      +# Written by tasksctl
      +[Slice]
      +TasksMax=16384

      ! ssh.service: 10 refused
          web.yaml:12: error: under the 64 tasks that keep the operator able to log in [below-floor]
              help: Take it out of the policy.

      = app-0.service: 4650 is enough: 9 tasks, peak 12
      = app-1.service: 4650 is enough: 9 tasks, peak 12
      = app-2.service: 4650 is enough: 9 tasks, peak 12
      = app-3.service: 4650 is enough: 9 tasks, peak 12
      = app-4.service: 4650 is enough: 9 tasks, peak 12
      = and 2 more (--verbose names them)

      Plan: 1 change, 1 refused, 7 unchanged. Nothing was written.
      "
    `);
  });

  it('names every unchanged limit when asked to', () => {
    const text = show(examplePlan, true);
    for (const { title } of examplePlan.unchanged) expect(text).toContain(title);
    expect(text).not.toContain('more (--verbose');
  });

  it('fits 80 columns but for commands, which stay on one line', () => {
    const style = createStyle({ color: false, unicode: true, width: 80 });
    const argv = ['systemctl', 'set-property', '--runtime', `${'x'.repeat(80)}.slice`, 'TasksMax=1'];
    const long = 'words that go on and on '.repeat(20).trim();
    const change = {
      ...exampleChange,
      reason: [long],
      activation: {
        ...exampleChange.activation,
        summary: long,
        steps: [{ why: long, command: { kind: 'argv' as const, argv } }],
      },
      warnings: [{ code: 'c', severity: 'warning' as const, message: long, help: long }],
    };
    const lines = planText({ ...examplePlan, changes: [change] }, { diffs: [], verbose: true }, style).split(
      '\n',
    );
    const tooLong = lines.filter((line) => displayWidth(line as SafeText) > 80);
    expect(tooLong).toEqual([`      ${argv.join(' ')}`]);
    // What is pasted with the command is a comment.
    const block = lines.slice(lines.indexOf('    after the files are in place, as root:') + 1);
    const command = block.indexOf(tooLong[0] ?? '');
    expect(command).toBeGreaterThan(1);
    for (const line of block.slice(0, command)) expect(line).toMatch(/^ {6}# /);
  });

  it('colours a removed line that begins with dashes as one', () => {
    const style = createStyle({ color: true, unicode: true, width: null });
    const diff = '--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- old\n+++ new\n';
    const text = planText({ ...examplePlan, changes: [] }, { diffs: [diff], verbose: false }, style);
    expect(text).toContain('\x1b[1m--- a/x\x1b[22m\n');
    expect(text).toContain('\x1b[31m--- old\x1b[39m\n\x1b[32m+++ new\x1b[39m\n');
  });

  it('lets no byte of a host reach the terminal raw, and draws only its own colours', () => {
    const hostile = fc.string({ unit: 'binary' }).map((text) => `${text}\x1b[2J\n\u202e`);
    fc.assert(
      fc.property(hostile, fc.boolean(), (text, color) => {
        const plan: Plan = {
          ...examplePlan,
          target: text,
          host: { ...examplePlan.host, hostname: text, os: text, kernel: text },
          policy: { ...examplePlan.policy, name: text },
          changes: [
            {
              ...exampleChange,
              title: text,
              from: { text, count: text, provenance: { text } },
              reason: [text],
              activation: {
                ...exampleChange.activation,
                summary: text,
                steps: [
                  { why: text, command: { kind: 'argv', argv: [text, text] } },
                  { why: text, command: { kind: 'write', path: text, value: text } },
                ],
                affected: [{ what: text, note: text }],
                reboot: { needed: true, note: text },
              },
              warnings: [{ code: text, severity: 'note', message: text, file: text, help: text }],
            },
          ],
          unchanged: [{ limit: { kind: 'unit', unit: text }, title: text, reason: text }],
          diagnostics: [{ code: text, severity: 'error', message: text, unit: text }],
        };
        const style = createStyle({ color, unicode: true, width: 80 });
        const shown = planText(plan, { diffs: [text], verbose: true }, style);
        const own = color ? /\x1b\[(?:1|2|22|3[1236]|39)m/g : /(?!)/g;
        expect(shown.replace(own, '')).toMatch(/^(?:[^\p{Cc}\p{Cf}\p{Cs}]|\n)*$/u);
      }),
      { numRuns: 40 },
    );
  });
});

describe('planSummary', () => {
  it.each([
    ['all kinds', {}, 'Plan: 1 change, 1 refused, 7 unchanged. Nothing was written.'],
    ['none refused', { refused: [] }, 'Plan: 1 change, 7 unchanged. Nothing was written.'],
    [
      'two changes',
      { changes: [exampleChange, exampleChange], refused: [] },
      'Plan: 2 changes, 7 unchanged. Nothing was written.',
    ],
    ['no change', { changes: [] }, 'No changes: 1 refused (see above), 7 unchanged.'],
    [
      'all as wanted',
      { changes: [], refused: [] },
      'No changes: all 7 limits the policy names are as it wants them.',
    ],
    [
      'nothing named',
      { changes: [], refused: [], unchanged: [] },
      'No changes: the policy names no limit of this host.',
    ],
  ])('of %s', (_what, over, summary) => {
    expect(planSummary({ ...examplePlan, ...over })).toBe(summary);
  });
});
