import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planSchema } from '../../../src/plan/plan.ts';
import { planHost } from '../../../src/plan/plan-host.ts';
import { simulatePlan } from '../../../src/plan/simulate-plan.ts';
import { resolveSysctl, sysctlNumber } from '../../../src/plan/sysctl-conf.ts';
import { fileTreeOf } from '../../../src/snapshot/file-tree.ts';
import { hostLimits } from '../../../src/snapshot/limits.ts';
import { type Snapshot, snapshotSchema } from '../../../src/snapshot/snapshot.ts';
import { compareTaskCount } from '../../../src/systemd/tasks-max.ts';
import { anyHost, anyPolicy } from './arbitrary-host.ts';

/** More for a search that has the time: PLAN_RUNS=1000. */
const RUNS = { numRuns: Number(process.env['PLAN_RUNS'] ?? 40) };

const countOf = (text: string): bigint | 'infinity' => (text === 'infinity' ? text : BigInt(text));
const atLeast = (count: bigint | 'infinity' | undefined, tasks: number) =>
  count === undefined || count === 'infinity' || count >= BigInt(tasks);

describe('a plan for any host by any policy', { timeout: 600_000 }, () => {
  it('is proven before it is shown: with its files in place every limit resolves to what the plan says', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy }) => {
        const plan = planHost(snapshot, policy);
        const after = simulatePlan(snapshot, plan);
        const limits = hostLimits(after);
        const rows = new Map(limits.units.map((row) => [row.name, row]));
        for (const { limit, to, files } of plan.changes) {
          if (files.length === 0) continue;
          const wanted = countOf(to.count);
          if (limit.kind === 'user-default') expect(limits.userDefault.count).toBe(wanted);
          if (limit.kind === 'manager-default') expect(limits.managerDefault.count).toBe(wanted);
          if (limit.kind === 'unit') {
            const row = rows.get(limit.unit);
            if (row !== undefined) expect([limit.unit, row.configured?.count]).toEqual([limit.unit, wanted]);
          }
          if (limit.kind === 'sysctl') {
            const { atBoot, byProcps } = resolveSysctl(fileTreeOf(after), limit.name);
            expect([atBoot, byProcps].map((found) => found && sysctlNumber(found))).toEqual([
              Number(wanted),
              Number(wanted),
            ]);
          }
        }
      }),
      RUNS,
    );
  });

  it('leaves the kernel enforcing it once its steps have run', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy }) => {
        const plan = planHost(snapshot, policy);
        const live = new Map(
          hostLimits(simulatePlan(snapshot, plan)).units.map((row) => [row.name, row.live]),
        );
        for (const { limit, to, reason } of plan.changes) {
          if (limit.kind !== 'unit') continue;
          const enforced = live.get(limit.unit);
          if (enforced !== null && enforced !== undefined) {
            const fixed = reason.some((line) => line.startsWith('fixed'));
            const enough = fixed
              ? enforced === countOf(to.count)
              : compareTaskCount(enforced, countOf(to.count)) >= 0;
            expect([limit.unit, enforced, to.count, enough]).toEqual([limit.unit, enforced, to.count, true]);
          }
        }
      }),
      RUNS,
    );
  });

  it('sets no limit below use, unless forced by exact name', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy, forced }) => {
        const plan = planHost(snapshot, policy);
        const before = new Map(hostLimits(snapshot).units.map((row) => [row.name, row]));
        for (const row of hostLimits(simulatePlan(snapshot, plan)).units) {
          const was = before.get(row.name)?.configured?.count;
          const is = row.configured?.count;
          if (was === is || forced.has(row.name)) continue;
          const used = Math.max(row.current ?? 0, row.peak ?? 0);
          expect([row.name, used, is, atLeast(is, used)]).toEqual([row.name, used, is, true]);
        }
      }),
      RUNS,
    );
  });

  it('keeps room to log in under every limit a login depends on', () => {
    const login = /^(?:(?:user|system)\.slice|user-0\.slice|user@.*|ssh\.service)$/;
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy, forced }) => {
        for (const { limit, to } of planHost(snapshot, policy).changes) {
          if (limit.kind !== 'unit' || !login.test(limit.unit) || forced.has(limit.unit)) continue;
          const cgroup = snapshot.units.find(({ id }) => id === limit.unit)?.cgroup;
          const use = snapshot.cgroups.tree.find(({ path }) => path === cgroup);
          const used = Math.max(use?.current ?? 0, use?.peak ?? 0);
          expect([limit.unit, to.count, atLeast(countOf(to.count), used + 64)]).toEqual([
            limit.unit,
            to.count,
            true,
          ]);
        }
      }),
      RUNS,
    );
  });

  it('sets no limit above what the kernel will have', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy }) => {
        const plan = planHost(snapshot, policy);
        const { pidMax, threadsMax } = simulatePlan(snapshot, plan).kernel;
        const capacity = Math.min((pidMax ?? 0) - 1, threadsMax ?? 0);
        for (const { limit, from, to, files } of plan.changes) {
          if (limit.kind === 'sysctl' || to.count === 'infinity' || files.length === 0) continue;
          // Written down as it was, see decideByNeed().
          if (to.count === from.count) continue;
          // What stands for infinity where systemd has no word for it.
          if (to.count === '4194304') continue;
          expect(Number(to.count)).toBeLessThanOrEqual(capacity);
        }
      }),
      RUNS,
    );
  });

  it('is idempotent: planning what it leads to gives no changes', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy }) => {
        const plan = planHost(snapshot, policy);
        const after = simulatePlan(snapshot, plan);
        expect(snapshotSchema.safeParse(after).error).toBeUndefined();
        const again = planHost(after, policy);
        expect(again.changes.map(({ title, from, to, reason }) => ({ title, from, to, reason }))).toEqual([]);
        expect(again.files).toEqual([]);
      }),
      RUNS,
    );
  });

  it('never touches a file that is not ours', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy }) => {
        const plan = planHost(snapshot, policy);
        const before = fileTreeOf(snapshot);
        const changed = new Set(plan.files.map(({ path }) => path));
        for (const { path, before: was } of plan.files) {
          expect(path).toMatch(/[-.]tasksctl(?:-[a-z-]+)?\.conf$/);
          if (was !== null)
            expect(was.content).toEqual({ text: expect.stringMatching(/^# Written by tasksctl/) });
          else expect(before.get(path)).toBeUndefined();
        }
        const after = fileTreeOf(simulatePlan(snapshot, { ...plan, changes: [] }));
        for (const entry of before.entries()) {
          if (!changed.has(entry.path)) expect(after.get(entry.path)).toEqual(entry);
        }
      }),
      RUNS,
    );
  });

  it('writes short ASCII with a header that says what, why and how to undo it', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy }) => {
        for (const { after } of planHost(snapshot, policy).files) {
          if (after === null) continue;
          const text = 'text' in after.content ? after.content.text : '';
          expect(text).toMatch(
            /^# Written by tasksctl.*\n# Policy any, .*\n(?:# Why: [ -~]+\n)+# Undo: .*\n[ -~\n]*$/,
          );
          expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThan(512);
        }
      }),
      RUNS,
    );
  });

  it('is the same byte for byte from the same input, in whatever order the host listed it', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, fc.nat(), (snapshot, { policy }, seed) => {
        const turn = <T>(list: readonly T[]): T[] => {
          const at = list.length === 0 ? 0 : seed % list.length;
          return [...list.slice(at), ...list.slice(0, at)].reverse();
        };
        const turned: Snapshot = {
          ...snapshot,
          files: turn(snapshot.files),
          units: turn(snapshot.units),
          cgroups: { ...snapshot.cgroups, tree: turn(snapshot.cgroups.tree) },
        };
        const plan = JSON.stringify(planHost(snapshot, policy));
        expect(JSON.stringify(planHost(structuredClone(snapshot), policy))).toBe(plan);
        expect(JSON.stringify(planHost(turned, policy))).toBe(plan);
      }),
      RUNS,
    );
  });

  it('is what the published schema says, and names each changed file once', () => {
    fc.assert(
      fc.property(anyHost, anyPolicy, (snapshot, { policy }) => {
        const plan = planHost(snapshot, policy);
        expect(planSchema.safeParse(plan).error).toBeUndefined();
        const paths = plan.files.map(({ path }) => path);
        expect([...new Set(paths)]).toEqual(paths);
        expect(new Set(plan.changes.flatMap(({ files }) => files))).toEqual(new Set(paths));
      }),
      RUNS,
    );
  });
});
