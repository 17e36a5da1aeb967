import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eachHost } from '../../../src/fleet/each-host.ts';
import { type Amount, amountOf, parseAmount, wavesOf, wavesUntil } from '../../../src/fleet/waves.ts';

const amount = fc.oneof(
  fc.record({ kind: fc.constant('count' as const), count: fc.nat(200) }),
  fc.record({ kind: fc.constant('percent' as const), percent: fc.integer({ min: 0, max: 100 }) }),
);

describe('waves', () => {
  it('are a canary, a tenth, half, all by default', () => {
    const hosts = Array.from({ length: 100 }, (_, i) => i);
    const until = ['1', '10%', '50%', '100%'].map((text) => parseAmount(text) as Amount);
    expect(wavesUntil(hosts, until).map((wave) => wave.length)).toEqual([1, 9, 40, 50]);
  });

  it('have every host once, in order, and none is empty', () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.array(amount, { maxLength: 5 }), amount, (hosts, until, size) => {
        for (const waves of [wavesUntil(hosts, until), wavesOf(hosts, size)]) {
          expect(waves.flat()).toEqual(hosts);
          expect(waves.every((wave) => wave.length > 0)).toBe(true);
        }
      }),
    );
  });

  it('of a share have at least one host', () => {
    expect(amountOf({ kind: 'percent', percent: 1 }, 20)).toBe(1);
    expect(['10%', '3', '0'].map(parseAmount)).toEqual([
      { kind: 'percent', percent: 10 },
      { kind: 'count', count: 3 },
      { kind: 'count', count: 0 },
    ]);
    for (const text of ['', '101%', '-1', '1.5', 'all', '1e3', '١'])
      expect(parseAmount(text), text).toBeNull();
  });
});

describe('eachHost', () => {
  it('keeps to the bounds, and does each host once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.subarray(['a', 'b', 'c']), { maxLength: 30 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 3 }),
        async (groupsOf, forks, most) => {
          const hosts = groupsOf.map((groups, id) => ({ id, groups }));
          const busy = new Set<(typeof hosts)[number]>();
          const done: number[] = [];
          await eachHost(hosts, { forks, maxUnavailable: new Map([['a', most]]) }, async (host) => {
            busy.add(host);
            expect(busy.size).toBeLessThanOrEqual(forks);
            expect([...busy].filter(({ groups }) => groups.includes('a')).length).toBeLessThanOrEqual(most);
            await Promise.resolve();
            if (host.id % 3 === 0) await new Promise(setImmediate);
            busy.delete(host);
            done.push(host.id);
          });
          expect(done.sort((a, b) => a - b)).toEqual(hosts.map(({ id }) => id));
        },
      ),
    );
  });

  it('starts no more once it is to stop, and ends after what it started', async () => {
    const hosts = Array.from({ length: 20 }, (_, id) => ({ id, groups: [] }));
    const done: number[] = [];
    await eachHost(hosts, { forks: 4, stop: () => done.length >= 3 }, async ({ id }) => {
      await new Promise(setImmediate);
      done.push(id);
    });
    expect(done.length).toBeGreaterThanOrEqual(3);
    expect(done.length).toBeLessThanOrEqual(7);
  });

  it('throws what a task throws, after the others', async () => {
    const hosts = [1, 2].map((id) => ({ id, groups: [] }));
    let ended = false;
    const all = eachHost(hosts, { forks: 2 }, async ({ id }) => {
      if (id === 1) throw new Error('a fault');
      await new Promise(setImmediate);
      ended = true;
    });
    await expect(all).rejects.toThrow('a fault');
    expect(ended).toBe(true);
  });
});
