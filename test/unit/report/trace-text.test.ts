import { describe, expect, it } from 'vitest';
import type { FailedFork } from '../../../src/diagnose/parse-trace.ts';
import { PLAIN } from '../../../src/report/style.ts';
import { TraceSummary, traceJson, traceSchema } from '../../../src/report/trace-json.ts';
import { absentText, failedForkLine, traceSummaryText } from '../../../src/report/trace-text.ts';

const fork: FailedFork = {
  at: '2026-01-02T03:04:05.678Z',
  pid: 812,
  comm: 'bash',
  uid: 1000,
  cgroup: '/user.slice/x.scope',
  errno: 'EAGAIN',
  refusedBy: 'pids-controller',
};

function summaryOf(...forks: readonly FailedFork[]): TraceSummary {
  const summary = new TraceSummary();
  for (const one of forks) summary.add(one);
  return summary;
}

describe('failedForkLine', () => {
  it('has everything that is known', () => {
    expect(failedForkLine(fork, PLAIN)).toBe(
      '03:04:05.678  EAGAIN  pids controller  pid 812 (bash)  uid 1000  /user.slice/x.scope\n',
    );
    const gone = { ...fork, at: null, comm: '', uid: null, cgroup: null, refusedBy: 'unknown' as const };
    expect(failedForkLine(gone, PLAIN)).toBe('-  EAGAIN  cannot be told  pid 812  uid -  -\n');
  });

  it('keeps names off the terminal', () => {
    const line = failedForkLine({ ...fork, comm: '\x1b[2J\u202e', cgroup: '/a\nb' }, PLAIN);
    expect(line).toContain('(\\x1b[2J\\u202e)');
    expect(line).toContain('/a\\nb');
  });
});

describe('traceSummaryText', () => {
  it('counts by who was refused by what, the most first', () => {
    const other = { ...fork, uid: 0, refusedBy: 'threads-max' as const };
    expect(traceSummaryText(summaryOf(other, fork, fork), 30, PLAIN).split('\n')).toEqual([
      '3 forks failed in 30 s.',
      '',
      'FORKS  REFUSED BY        UID  CGROUP',
      '    2  pids controller  1000  /user.slice/x.scope',
      '    1  threads-max         0  /user.slice/x.scope',
      '',
      'Which limit, where it is set and what raises it: tasksctl diagnose',
      '',
    ]);
  });

  it('says that none failed, and what was lost', () => {
    const summary = summaryOf();
    expect(traceSummaryText(summary, 30, PLAIN)).toBe('No fork failed in 30 s.\n');
    summary.lost = 2;
    expect(traceSummaryText(summary, 30, PLAIN)).toContain('2 events came too fast');
  });
});

describe('the rest', () => {
  it('names what cannot be watched', () => {
    expect(absentText([])).toBeNull();
    expect(absentText(['nproc', 'x\x1b'])).toContain('RLIMIT_NPROC, x\\x1b:');
  });

  it('is JSON by the schema', () => {
    const json = traceJson('local', summaryOf(fork, fork), true);
    expect(traceSchema.parse(json)).toMatchObject({
      total: 2,
      counts: [{ count: 2, refusedBy: 'pids-controller', uid: 1000 }],
    });
  });
});
