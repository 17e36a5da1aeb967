import { describe, expect, it } from 'vitest';
import { hostReport, tightestRow } from '../../../src/report/host-report.ts';
import { hostLimits } from '../../../src/snapshot/limits.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import { exampleHost, savedHosts } from './a-report.ts';
import { exampleLimits, exampleSnapshot } from './example-host.ts';

describe('hostReport', () => {
  it('has each unit with what binds it, where its own limit is set, and what sets it', () => {
    expect(exampleHost.rows.find(({ name }) => name === 'user-1000.slice')).toEqual({
      name: 'user-1000.slice',
      type: 'slice',
      depth: 2,
      current: 490,
      peak: 500,
      rejections: 17,
      limit: 500n,
      by: 'itself',
      left: 10n,
      leftAt: null,
      used: 0.98,
      own: '500',
      source: '/etc/systemd/system/user-.slice.d/50-limits.conf:2',
      assignments: [
        '/usr/lib/systemd/system/user-.slice.d/10-defaults.conf:15 [Slice] TasksMax=33%: overridden',
        '/etc/systemd/system/user-.slice.d/50-limits.conf:2 [Slice] TasksMax=500: wins',
        '/etc/systemd/system/user-1000.slice.d/60-more.conf:2 [Slice] TasksMax=4K: ignored, size suffix',
      ],
    });
    expect(tightestRow(exampleHost.rows)?.name).toBe('user-1000.slice');
    expect(tightestRow([])).toBeNull();
  });

  it.each([
    // Linux 6.11: what is rejected at a limit counts at every cgroup above it, too.
    ['limiting', 5],
    ['forking', 11],
  ] as const)('counts each rejected fork once where pids.events is of the %s cgroup', (eventsScope, sum) => {
    const tree = [
      { path: '/', events: 5, eventsLocal: 0 },
      { path: '/user.slice', events: 5, eventsLocal: 4 },
      { path: '/user.slice/user-1000.slice', events: 1, eventsLocal: 1 },
    ];
    const snapshot: Snapshot = {
      ...exampleSnapshot,
      cgroups: { ...exampleSnapshot.cgroups, eventsScope, tree },
    };
    expect(hostReport(snapshot, exampleLimits).rejections).toBe(sum);
  });

  it('says what could not be read', () => {
    const problems = [{ part: 'files', reason: 'permission-denied', detail: '/etc/systemd' }] as const;
    const snapshot = { ...exampleSnapshot, problems } as unknown as Snapshot;
    expect(hostReport(snapshot, hostLimits(snapshot)).problems).toEqual([
      'files: permission denied: /etc/systemd',
    ]);
  });

  it('of every saved host has a tightest unit and sources', () => {
    for (const host of savedHosts()) {
      expect(tightestRow(host.rows)?.used).toBeGreaterThan(0);
      expect(host.rows.some(({ source }) => source?.startsWith('/') === true)).toBe(true);
    }
  });
});
