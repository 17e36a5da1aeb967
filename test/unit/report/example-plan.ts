import { createHash } from 'node:crypto';
import type { Change, Plan } from '../../../src/plan/plan.ts';

/** A plan made by hand, for what renderers do with it. */

const content = '# Written by tasksctl\n[Slice]\nTasksMax=16384\n';
const path = '/etc/systemd/system/user-.slice.d/60-tasksctl.conf';

export const exampleChange: Change = {
  limit: { kind: 'user-default' },
  title: 'user-.slice (every user)',
  from: {
    text: '33%',
    count: '10230',
    provenance: {
      text: '/usr/lib/systemd/system/user-.slice.d/10-defaults.conf:16',
      file: '/usr/lib/systemd/system/user-.slice.d/10-defaults.conf',
      line: 16,
    },
  },
  to: { text: '16384', count: '16384' },
  reason: ['peak 9800 of alice, plus 50% headroom: 14700', 'rounded up to a friendly step: 16384'],
  files: [path],
  activation: {
    when: 'live',
    summary: 'Enforced at once for the 1 running user slice; new logins get it from the start.',
    steps: [
      {
        why: 'systemd reads the new file and writes pids.max of the running slices',
        command: { kind: 'argv', argv: ['systemctl', 'daemon-reload'] },
      },
      {
        why: 'the running slice gets the new limit now, not at the next login',
        command: {
          kind: 'argv',
          argv: ['systemctl', 'set-property', '--runtime', 'user-1000.slice', 'TasksMax=16384'],
        },
      },
    ],
    affected: [{ what: 'alice, session 7 (sshd from 192.0.2.7)', note: 'gets the new limit at once' }],
    reboot: { needed: false, note: 'a daemon-reload is enough.' },
    source: 'measured on systemd 252',
  },
  warnings: [
    {
      code: 'sibling-overcommit',
      severity: 'warning',
      message: 'the limits below user.slice add up to more than the kernel has',
    },
  ],
};

export const examplePlan: Plan = {
  schema: 'tasksctl/plan/1',
  target: 'admin@web1',
  host: {
    hostname: 'web1',
    machineId: null,
    os: 'Debian GNU/Linux 12 (bookworm)',
    kernel: '6.1.0-18-amd64',
    systemdVersion: 252,
    cgroupMode: 'v2',
  },
  policy: { name: 'default', sha256: '0'.repeat(64) },
  preconditions: { bootId: null, systemdVersion: 252 },
  files: [
    {
      path,
      before: null,
      after: {
        content: { text: content },
        sha256: createHash('sha256').update(content).digest('hex'),
        mode: 0o644,
      },
    },
  ],
  changes: [exampleChange],
  unchanged: Array.from({ length: 7 }, (_, i) => ({
    limit: { kind: 'unit', unit: `app-${i}.service` } as const,
    title: `app-${i}.service`,
    reason: '4650 is enough: 9 tasks, peak 12',
  })),
  refused: [
    {
      limit: { kind: 'unit', unit: 'ssh.service' },
      title: 'ssh.service',
      wanted: '10',
      diagnostic: {
        code: 'below-floor',
        severity: 'error',
        message: 'under the 64 tasks that keep the operator able to log in',
        file: 'web.yaml',
        line: 12,
        help: 'Take it out of the policy.',
      },
    },
  ],
  diagnostics: [],
};

export const exampleDiff = `--- /dev/null
+++ b${path}
@@ -0,0 +1,3 @@
+# Written by tasksctl
+[Slice]
+TasksMax=16384
`;
