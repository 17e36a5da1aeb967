import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { ApplyResult } from '../../../src/apply/apply-plan.ts';
import { changedFiles } from '../../../src/apply/changed-files.ts';
import { type Drift, parseTransaction } from '../../../src/apply/parse-transaction.ts';
import { applyText } from '../../../src/report/apply-text.ts';
import { PLAIN } from '../../../src/report/style.ts';
import { makePlan, plannedFile } from '../apply/plans.ts';
import { RUN } from '../apply/scenario.ts';

const ours = '/etc/systemd/system/user-.slice.d/90-tasksctl.conf';
const theirs = '/etc/systemd/system/a.service.d/10-x.conf';
const odd = '/etc/systemd/system/b.service.d/10-x.conf';
const gone = '/etc/systemd/system/c.service.d/10-x.conf';
const limit = (tasks: number | string) => `[Slice]\nTasksMax=${tasks}\n`;

const plan = makePlan(
  [
    plannedFile(ours, null, limit(500)),
    plannedFile(theirs, limit(1), limit(2)),
    plannedFile(odd, limit(3), limit(4)),
    plannedFile(gone, limit(5), limit(6)),
  ],
  [],
);

/** What the host found in the place of one of the plan's files. */
function drift(path: string, content: string | Uint8Array | null, stat = '644:0:0'): Drift {
  const file = changedFiles(plan).findIndex((planned) => planned.path === path) + 1;
  if (content === null) return { file, found: 'absent', content: null };
  const bytes = Buffer.from(content);
  return { file, found: `${createHash('sha256').update(bytes).digest('hex')}:${stat}`, content: bytes };
}

it('drift is told with the difference between what the plan saw and what is there', () => {
  const drifts = [
    drift(ours, limit(450)),
    drift(theirs, `${limit(1)}# \x1b[31m\n`),
    drift(odd, limit(3), '600:1000:0'),
    drift(gone, null),
  ];
  const report = { ...parseTransaction(Buffer.alloc(0), RUN), drifts };
  const result: ApplyResult = { kind: 'refused', reason: 'drift', detail: '4 of 4 files', report };
  expect(applyText(plan, result, PLAIN)).toMatchInlineSnapshot(`
    "/etc/systemd/system/user-.slice.d/90-tasksctl.conf: it is there now
    --- /dev/null
    +++ b/etc/systemd/system/user-.slice.d/90-tasksctl.conf
    @@ -0,0 +1,2 @@
    +[Slice]
    +TasksMax=450
    /etc/systemd/system/a.service.d/10-x.conf: its content has changed
    --- a/etc/systemd/system/a.service.d/10-x.conf
    +++ b/etc/systemd/system/a.service.d/10-x.conf
    @@ -1,2 +1,3 @@
     [Slice]
     TasksMax=1
    +# \\x1b[31m
    /etc/systemd/system/b.service.d/10-x.conf: its mode and owner are 600 1000:0 now
    /etc/systemd/system/c.service.d/10-x.conf: it is absent now
    Refused by host: The files are not as the plan found them: 4 of 4 files. Nothing was changed.
    help: Make the plan anew; what was changed is shown above.
    "
  `);
});

it('of a file that is no UTF-8 only that it differs', () => {
  const drifts = [drift(theirs, Buffer.from([0xff, 0x1b]))];
  const report = { ...parseTransaction(Buffer.alloc(0), RUN), drifts };
  const result: ApplyResult = { kind: 'refused', reason: 'drift', detail: '1 of 4 files', report };
  expect(applyText(plan, result, PLAIN)).toContain(`Binary files a${theirs} and b${theirs} differ\n`);
});
