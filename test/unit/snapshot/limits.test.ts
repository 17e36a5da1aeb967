import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HostLimits, hostLimits, type UnitLimit } from '../../../src/snapshot/limits.ts';
import { parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import { aHost, cgroupPath } from './a-host.ts';

function row(limits: HostLimits, name: string): UnitLimit {
  const found = limits.units.find((unit) => unit.name === name);
  if (found === undefined) throw new Error(`no row ${name}`);
  return found;
}

const codes = (limits: HostLimits) => limits.diagnostics.map(({ code }) => code);

describe('configured limit and where it comes from', () => {
  it('names file and line of a drop-in', () => {
    const limits = hostLimits(
      aHost({
        files: { '/etc/systemd/system/x.service.d/50-more.conf': '# more\n[Service]\nTasksMax=700\n' },
        units: [{ id: 'x.service', use: { current: 3 } }],
      }),
    );
    expect(row(limits, 'x.service').configured).toMatchObject({
      count: 700n,
      provenance: { kind: 'file', file: '/etc/systemd/system/x.service.d/50-more.conf', line: 3, raw: '700' },
    });
  });

  it("follows DefaultTasksMax= of a service without a limit to that setting's own place", () => {
    const limits = hostLimits(
      aHost({
        files: { '/etc/systemd/system.conf.d/9.conf': '[Manager]\nDefaultTasksMax=900\n' },
        units: [{ id: 'x.service', use: { current: 3 } }],
      }),
    );
    expect(limits.managerDefault).toMatchObject({ count: 900n, provenance: { kind: 'file', line: 2 } });
    expect(row(limits, 'x.service').configured).toMatchObject({
      count: 900n,
      provenance: { kind: 'default', text: 'DefaultTasksMax=, /etc/systemd/system.conf.d/9.conf:2' },
    });
  });

  it('takes percentages of what the version takes them of', () => {
    const at = (version: number, kernel: Partial<Snapshot['kernel']>) =>
      hostLimits(aHost({ version, kernel })).managerDefault.count;
    expect(at(252, { pidMax: 32_768, threadsMax: 60_000 })).toBe(4915n);
    expect(at(252, { pidMax: 4_194_304, threadsMax: 10_000 })).toBe(1500n);
    // Up to 236 threads-max was not looked at.
    expect(at(232, { pidMax: 32_768, threadsMax: 10_000 })).toBe(4915n);
  });

  it('knows that slices have no limit by default, but with an empty value the manager default', () => {
    const files = { '/etc/systemd/system/user.slice.d/a.conf': '[Slice]\nTasksMax=\n' };
    const limits = hostLimits(aHost({ files }));
    expect(row(limits, 'system.slice').configured?.count).toBe('infinity');
    expect(row(limits, 'user.slice').configured).toMatchObject({
      count: 4915n,
      provenance: { kind: 'default', text: expect.stringContaining('user.slice.d/a.conf:2') },
    });
  });

  it('calls a limit that a program set on its transient unit live, not drifted', () => {
    const limits = hostLimits(
      aHost({
        units: [
          {
            id: 'run-1.service',
            use: { current: 1 },
            live: 77,
            manager: '77',
            unit: { transient: true },
          },
        ],
      }),
    );
    expect(row(limits, 'run-1.service').configured).toMatchObject({
      count: 77n,
      provenance: { kind: 'live' },
    });
    expect(codes(limits)).not.toContain('live-differs');
  });

  it.each([
    { version: 237, where: 'logind', count: 10_813n },
    { version: 228, where: 'logind', count: 4096n },
    { version: 252, where: 'user-slice-drop-in', count: 10_813n },
  ])('finds the limit of every user of systemd $version', ({ version, where, count }) => {
    const { userDefault } = hostLimits(aHost({ version }));
    expect(userDefault).toMatchObject({ where, count });
  });

  it('is not misled by the files of one user when asked for every user', () => {
    const files = {
      '/etc/systemd/system/user-2147483000.slice.d/a.conf': '[Slice]\nTasksMax=5\n',
      '/etc/systemd/system/user-1000.slice.d/a.conf': '[Slice]\nTasksMax=6\n',
    };
    expect(hostLimits(aHost({ files })).userDefault.count).toBe(10_813n);
  });
});

describe('effective limit and headroom', () => {
  const files = {
    '/etc/systemd/system/user.slice.d/a.conf': '[Slice]\nTasksMax=1000\n',
    '/etc/systemd/system/user-.slice.d/50-a.conf': '[Slice]\nTasksMax=800\n',
  };
  const snapshot = aHost({
    files,
    units: [
      { id: 'user.slice', use: { current: 900 } },
      { id: 'user-1000.slice', use: { current: 100, peak: 120 } },
      { id: 'user-1001.slice', use: { current: 800, peak: 800 } },
      { id: 'user@1000.service', use: { current: 4 } },
      { id: 'user-1002.slice', use: null },
    ],
  });
  const limits = hostLimits(snapshot);

  it('is the least of all levels above, by name', () => {
    expect(row(limits, 'user@1000.service').effective).toEqual({
      count: 800n,
      by: { kind: 'unit', unit: 'user-1000.slice' },
    });
    expect(row(limits, 'system.slice').effective).toEqual({
      count: 32_767n,
      by: { kind: 'sysctl', name: 'kernel.pid_max' },
    });
  });

  it('is what siblings leave of the budget they share, not what is left of the lowest limit', () => {
    // 800 - 100 would be 700; user.slice has but 100 left.
    expect(row(limits, 'user-1000.slice').headroom).toEqual({
      tasks: 100n,
      at: { kind: 'unit', unit: 'user.slice' },
    });
    expect(row(limits, 'user@1000.service').utilization).toBeCloseTo(0.9);
    expect(row(limits, 'user-1001.slice').headroom).toEqual({
      tasks: 0n,
      at: { kind: 'unit', unit: 'user-1001.slice' },
    });
  });

  it('holds for a unit that does not run as its files and its slice say', () => {
    expect(row(limits, 'user-1002.slice')).toMatchObject({
      active: false,
      live: null,
      current: null,
      parent: 'user.slice',
      effective: { count: 800n },
      headroom: { tasks: 100n },
    });
  });

  it('takes the kernel at its word, not the manager', () => {
    const off = hostLimits(
      aHost({ units: [{ id: 'x.service', use: { current: 5 }, manager: '9000', live: 50 }] }),
    );
    expect(row(off, 'x.service').effective.count).toBe(50n);
  });

  it('has no limit where the controller is off for a cgroup, whatever files say', () => {
    const on = aHost({ units: [{ id: 'x.service', use: { current: 5 } }] });
    const tree = on.cgroups.tree.map(({ path, max, ...rest }) =>
      path === cgroupPath('x.service') || max === undefined ? { path } : { path, max, ...rest },
    );
    const unit = row(hostLimits({ ...on, cgroups: { ...on.cgroups, tree } }), 'x.service');
    expect(unit.live).toBeNull();
    expect(unit.current).toBeNull();
    expect(unit.effective.by).toMatchObject({ kind: 'sysctl' });
  });

  it('counts the ceilings of the kernel over all tasks there are', () => {
    const full = hostLimits(aHost({ kernel: { tasks: 32_000 } }));
    expect(row(full, 'system.slice').headroom).toEqual({
      tasks: 767n,
      at: { kind: 'sysctl', name: 'kernel.pid_max' },
    });
  });

  it('never leaves more than any level above does', () => {
    const use = fc.record({ current: fc.nat(3000), limit: fc.option(fc.integer({ min: 1, max: 3000 })) });
    fc.assert(
      fc.property(use, use, use, (user, slice, manager) => {
        const levels = { 'user.slice': user, 'user-7.slice': slice, 'user@7.service': manager };
        const made = hostLimits(
          aHost({
            units: Object.entries(levels).map(([id, { current, limit }]) => ({
              id,
              use: { current },
              live: limit ?? 'max',
            })),
          }),
        );
        const finite = Object.values(levels).flatMap(({ current, limit }) =>
          limit === null ? [] : [{ limit, left: Math.max(0, limit - current) }],
        );
        const leaf = row(made, 'user@7.service');
        expect(leaf.effective.count).toBe(BigInt(Math.min(32_767, ...finite.map(({ limit }) => limit))));
        expect(leaf.headroom?.tasks).toBe(BigInt(Math.min(32_767 - 300, ...finite.map(({ left }) => left))));
      }),
    );
  });
});

describe('rows', () => {
  it('come in the order of the tree, what does not run last, cgroups with a limit below units among them', () => {
    const limits = hostLimits(
      aHost({
        units: [
          { id: 'b.service', use: { current: 1 } },
          { id: 'a-off.service', use: null },
          { id: 'a.service', use: { current: 1 } },
        ],
        cgroups: [
          { path: '/system.slice/a.service/inner', max: 5, current: 1 },
          { path: '/system.slice/a.service/sorting', max: 'max', current: 1, events: 0 },
          { path: '/system.slice/tmp.mount', max: 4915, current: 0 },
        ],
      }),
    );
    expect(limits.units.map(({ name }) => name)).toEqual([
      '-.slice',
      'system.slice',
      'a.service',
      'inner',
      'b.service',
      'tmp.mount',
      'user.slice',
      'a-off.service',
    ]);
    expect(row(limits, 'inner')).toMatchObject({ type: 'cgroup', parent: 'a.service', configured: null });
    expect(row(limits, 'tmp.mount')).toMatchObject({ type: 'mount', configured: { count: 4915n } });
  });

  it('leave out units that do not run and that systemd could not load', () => {
    const units = [{ id: 'gone.service', use: null, unit: { load: 'not-found' } }];
    expect(hostLimits(aHost({ units })).units.map(({ name }) => name)).not.toContain('gone.service');
  });
});

describe('disagreements', () => {
  const files = { '/etc/systemd/system/x.service.d/a.conf': '[Service]\nTasksMax=700\n' };

  it('are of the manager where it has not read the files', () => {
    const units = [{ id: 'x.service', use: { current: 1 }, manager: '4915', live: 4915 }];
    const found = hostLimits(aHost({ files, units })).diagnostics;
    expect(found).toMatchObject([{ code: 'manager-differs', unit: 'x.service', line: 2 }]);
  });

  it('are of the kernel where the manager has them but did not apply them (257 after daemon-reload)', () => {
    const units = [{ id: 'x.service', use: { current: 1 }, manager: '700', live: 4915 }];
    const found = hostLimits(aHost({ version: 257, files, units })).diagnostics;
    expect(found).toMatchObject([{ code: 'live-differs', unit: 'x.service' }]);
  });

  it('are one finding where many units lag behind one default', () => {
    const units = Array.from({ length: 40 }, (_, i) => ({
      id: `s${i}.service`,
      use: { current: 1 },
      live: 512,
    }));
    const found = hostLimits(aHost({ units })).diagnostics;
    expect(found).toHaveLength(1);
    expect(found[0]?.message).toMatch(/^40 units .* and 35 more$/);
  });

  it('name the number that pids.max takes no more than', () => {
    const over = { '/etc/systemd/system/x.service.d/a.conf': '[Service]\nTasksMax=5000000\n' };
    const units = [{ id: 'x.service', use: { current: 1 }, live: 4915 }];
    expect(hostLimits(aHost({ files: over, units })).diagnostics[0]?.message).toContain('4194304');
  });

  it('are none on a host where everything is applied', () => {
    expect(hostLimits(aHost({ units: [{ id: 'x.service', use: { current: 1 } }] })).diagnostics).toEqual([]);
  });
});

describe('hosts that lack things', () => {
  it('without systemd have their cgroups and ceilings', () => {
    const { systemd: _, ...rest } = aHost({ cgroups: [{ path: '/docker/abc', max: 100, current: 4 }] });
    const limits = hostLimits({ ...rest, systemd: null, units: [], files: [] });
    expect(row(limits, 'abc')).toMatchObject({ effective: { count: 100n }, headroom: { tasks: 96n } });
    expect(limits.userDefault.where).toBe('none');
  });

  it('without known ceilings say what percentages are taken of', () => {
    const limits = hostLimits(aHost({ kernel: { pidMax: null, threadsMax: null } }));
    expect(codes(limits)).toContain('kernel-limits-unknown');
    expect(limits.kernel.systemTasksMax).toBeNull();
  });

  it('with a hostile tree of slices do not hang', () => {
    const snapshot = aHost();
    const units = ['a.slice', 'b.slice'].map((id, i) => ({
      id,
      load: 'loaded',
      active: 'inactive',
      slice: i === 0 ? 'b.slice' : 'a.slice',
    }));
    expect(hostLimits({ ...snapshot, units }).units).toHaveLength(2);
  });
});

describe('snapshots of real hosts', () => {
  const directory = join(import.meta.dirname, '../../../examples/snapshots');
  const names = readdirSync(directory).filter((name) => name.endsWith('.json'));

  it.each(names)('%s: files explain what systemd and kernel have, and EffectiveTasksMax is ours', (name) => {
    const parsed = parseSnapshot(readFileSync(join(directory, name), 'utf8'));
    if (!parsed.ok) throw new Error(parsed.message);
    const { snapshot } = parsed;
    const limits = hostLimits(snapshot);
    let compared = 0;
    for (const { id, tasksMax, effectiveTasksMax, cgroup } of snapshot.units) {
      const unit = limits.units.find((found) => found.name === id);
      if (unit === undefined || tasksMax === undefined) continue;
      expect([id, String(unit.configured?.count)]).toEqual([id, tasksMax]);
      if (unit.live !== null) expect([id, String(unit.live)]).toEqual([id, tasksMax]);
      if (effectiveTasksMax !== undefined && cgroup !== undefined) {
        expect([id, String(unit.effective.count)]).toEqual([id, effectiveTasksMax]);
      }
      compared += 1;
    }
    expect(compared).toBeGreaterThan(10);
    expect(String(limits.managerDefault.count)).toBe(snapshot.systemd?.defaultTasksMax);
  });
});
