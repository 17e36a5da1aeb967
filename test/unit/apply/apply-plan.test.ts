import { afterEach, describe, expect, it } from 'vitest';
import { type ApplyOptions, applyPlan } from '../../../src/apply/apply-plan.ts';
import { rollbackRun } from '../../../src/apply/rollback.ts';
import { latestApplied, listRuns, noteVerification, showRun } from '../../../src/apply/runs.ts';
import { makeChange, makePlan } from './plans.ts';
import type { PrivateHost } from './private-host.ts';
import { connectVia, type Link } from './private-transport.ts';
import { atStep, makeHost, NGINX, RUN, RUN_DIR, standardPlan, timerFires } from './scenario.ts';

/** Mounts of its own are for root alone. */
const root = process.getuid?.() === 0;

const hosts: PrivateHost[] = [];
afterEach(() => {
  for (const made of hosts.splice(0)) made.dispose();
});

function setUp(...links: Link[]) {
  const host = makeHost();
  hosts.push(host);
  const { connect, opened } = connectVia(host, links.length === 0 ? ['up'] : links);
  const apply = (more: Partial<ApplyOptions> = {}, plan = standardPlan()) =>
    applyPlan(plan, {
      connect,
      run: { id: RUN, startedAt: new Date('2026-11-22T20:15:30Z'), operator: 'ada@control' },
      keepSince: '20260101T000000Z-0000',
      check: false,
      deadMan: true,
      deadManSeconds: 60,
      ...more,
    });
  return { host, connect, opened, apply, old: host.tree('/etc') };
}

/** Has something done to the first script that the host runs. */
function onFirstScript(host: PrivateHost, change: (script: string) => string): void {
  const run = host.run.bind(host);
  let scripts = 0;
  host.run = (script, options) => run(scripts++ === 0 ? change(script) : script, options);
}

const SLOW = { timeout: 30_000 };

describe.skipIf(!root)('applying over a connection', () => {
  it('proves a login over a second connection', async () => {
    const { host, apply, opened } = setUp();
    const steps: string[] = [];
    const result = await apply({ onStep: (step) => steps.push(step) });
    expect(result).toMatchObject({ kind: 'applied', run: RUN, proof: 'new-login' });
    expect(result).toHaveProperty('report.verdicts.length', 3);
    expect(opened()).toBe(2);
    expect(steps.slice(0, 3)).toEqual(['lock', 'unfinished', 'preconditions']);
    expect(steps.at(-1)).toBe('commit');
    expect(host.read(NGINX)).toContain('9000');
  });

  it('needs one connection where nobody can be locked out, or nobody asks', async () => {
    const one = setUp();
    expect(await one.apply({ deadMan: false })).toMatchObject({ kind: 'applied', proof: 'not-wanted' });
    expect(one.opened()).toBe(1);
    const two = setUp();
    const { files, changes } = standardPlan();
    const plan = makePlan(files.slice(1), changes.slice(1));
    expect(await two.apply({}, plan)).toMatchObject({ kind: 'applied', proof: 'not-needed' });
    expect(two.opened()).toBe(1);
  });

  it('checks, refuses, and leaves out what has no changes', async () => {
    const { host, apply, old, opened } = setUp();
    expect(await apply({}, makePlan([], []))).toEqual({ kind: 'nothing' });
    expect(opened()).toBe(0);
    expect(await apply({ check: true })).toMatchObject({ kind: 'checked' });
    host.setBootId('33333333-3333-4333-8333-333333333333');
    expect(await apply()).toMatchObject({ kind: 'refused', reason: 'rebooted' });
    expect(host.tree('/etc')).toEqual(old);
  });

  it('refuses a plan that asks for anything else than limits, without a connection', async () => {
    const { apply, opened } = setUp();
    const rm = { why: '', command: { kind: 'argv' as const, argv: ['rm', '-rf', '/'] } };
    const plan = makePlan([], [makeChange({ kind: 'user-default' }, '1', { steps: [rm] })]);
    expect(await apply({}, plan)).toEqual({
      kind: 'refused',
      reason: 'plan-unsafe',
      detail: 'it runs rm -rf /',
      report: null,
    });
    expect(opened()).toBe(0);
  });

  it('says when the host cannot be reached', async () => {
    const { apply } = setUp('down');
    expect(await apply()).toMatchObject({ kind: 'unreachable', error: { kind: 'unreachable' } });
  });
});

describe.skipIf(!root)('a connection that is cut', () => {
  it.each(['lock', 'backup', 'stage', 'replace', 'activate', 'read-back'])(
    'at step %s: the host goes on, is asked again and confirmed',
    SLOW,
    async (step) => {
      const { host, apply } = setUp({ cutAt: new RegExp(` step ${step} `) }, 'up');
      expect(await apply()).toMatchObject({ kind: 'applied', proof: 'new-login' });
      expect(host.read(`${RUN_DIR}/state`)).toMatch(/applied\nclosed\n$/);
    },
  );

  it('is survived without a dead man, too', SLOW, async () => {
    const { apply } = setUp({ cutAt: / step activate / }, 'down', 'down', 'up');
    const result = await apply({ deadMan: false });
    expect(result).toMatchObject({ kind: 'applied', proof: 'not-wanted' });
    expect(result).toHaveProperty('report.verdicts.length', 3);
  });

  it('before the script began: nothing was done', SLOW, async () => {
    const { host, apply, old } = setUp();
    onFirstScript(host, () => 'exit 0');
    expect(await apply()).toMatchObject({ kind: 'unreachable' });
    expect(host.tree('/etc')).toEqual(old);
  });

  it('for good: the host restores itself, and that is what is said', SLOW, async () => {
    const { host, apply, old } = setUp({ cutAt: / end awaiting / }, 'down');
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 1500);
    const result = await apply({ signal: controller.signal });
    expect(result).toMatchObject({ kind: 'unknown', run: RUN, seconds: 60 });
    await timerFires(host);
    expect(host.tree('/etc')).toEqual(old);
  });
});

describe.skipIf(!root)('a script that is killed', () => {
  it.each(['backup', 'replace', 'activate'])('at step %s is taken back', SLOW, async (step) => {
    const { host, apply, old } = setUp();
    onFirstScript(host, (script) => atStep(script, step, 'kill -9 $$'));
    const result = await apply();
    expect(host.tree('/etc')).toEqual(old);
    if (step === 'backup') expect(result).toMatchObject({ kind: 'unreachable' });
    else expect(result).toMatchObject({ kind: 'restored', run: RUN, step, reason: 'cut' });
  });
});

describe.skipIf(!root)('a login that does not work any more', () => {
  it('takes the host back over the connection that is still open', SLOW, async () => {
    const { host, apply, old } = setUp('up', 'no-forks');
    const result = await apply();
    expect(result).toMatchObject({
      kind: 'restored',
      step: 'commit',
      reason: 'not-confirmed',
      detail: 'a new login could not start processes',
    });
    expect(host.tree('/etc')).toEqual(old);
  });

  it('is tried for as long as there is time', SLOW, async () => {
    const { host, apply, old } = setUp('up', 'down');
    const result = await apply({ deadManSeconds: 8 });
    expect(result).toMatchObject({
      kind: 'restored',
      reason: 'not-confirmed',
      detail: 'private: no route to host.',
    });
    expect(host.tree('/etc')).toEqual(old);
  });

  it('may come back in time', SLOW, async () => {
    const { apply } = setUp('up', 'down', 'down', 'up');
    expect(await apply()).toMatchObject({ kind: 'applied', proof: 'new-login' });
  });

  it('an interrupt instead of the confirmation takes the host back', SLOW, async () => {
    const { host, apply, old } = setUp('up', 'down');
    const controller = new AbortController();
    const result = await apply({
      signal: controller.signal,
      onStep: (step) => (step === 'commit' ? setTimeout(() => controller.abort(), 300) : undefined),
    });
    expect(result).toMatchObject({ kind: 'restored', reason: 'not-confirmed' });
    expect(host.tree('/etc')).toEqual(old);
  });
});

describe.skipIf(!root)('rollback and the list of runs', () => {
  it('lists, shows, rolls back, and does so once', SLOW, async () => {
    const { host, apply, connect, old } = setUp();
    await apply();
    const connected = await connect();
    if (!connected.ok) throw new Error('no connection');
    const { transport } = connected;
    const listed = await listRuns(transport);
    if (listed.kind === 'failed') throw new Error(listed.error.message);
    expect(listed.value).toMatchObject([
      {
        id: RUN,
        state: 'applied',
        bootId: '11111111-1111-4111-8111-111111111111',
        pending: 0,
        verified: false,
        record: {
          operator: 'ada@control',
          changes: [{ title: 'user-default', from: '10813', to: '20000' }, {}, {}],
        },
      },
    ]);
    expect(latestApplied(listed.value)?.id).toBe(RUN);
    const verification = { schema: 'tasksctl/verified/1' as const, at: "it's", bootId: null };
    expect(await noteVerification(transport, RUN, verification)).toEqual({ kind: 'ok', value: null });
    expect(await showRun(transport, RUN)).toMatchObject({
      kind: 'ok',
      value: {
        id: RUN,
        verified: true,
        verification,
        plan: standardPlan(),
        report: { end: { kind: 'applied' } },
      },
    });
    expect(await showRun(transport, '20261122T201530Z-0000')).toEqual({ kind: 'ok', value: null });

    expect(await rollbackRun(RUN, { connect })).toMatchObject({ kind: 'rolled-back', run: RUN });
    expect(host.tree('/etc')).toEqual(old);
    expect(await rollbackRun(RUN, { connect })).toEqual({ kind: 'unchanged', run: RUN });
    const after = await listRuns(transport);
    expect(after).toMatchObject({ value: [{ state: 'rolled-back' }] });
    if (after.kind === 'ok') expect(latestApplied(after.value)).toBe(null);
  });

  it('goes on with a rollback whose connection was cut', SLOW, async () => {
    const { host, apply, old } = setUp();
    await apply();
    const { connect } = connectVia(host, [{ cutAt: / step restore / }, 'up']);
    expect((await rollbackRun(RUN, { connect })).kind).toMatch(/^(rolled-back|unchanged)$/);
    expect(host.tree('/etc')).toEqual(old);
  });

  it('knows no run that is not there', SLOW, async () => {
    const { connect } = setUp();
    expect(await rollbackRun(RUN, { connect })).toEqual({ kind: 'no-such-run', run: RUN });
  });

  it('passes on why it was refused', SLOW, async () => {
    const { host, apply, connect } = setUp();
    await apply();
    host.write(NGINX, 'theirs\n', 0o640);
    expect(await rollbackRun(RUN, { connect })).toMatchObject({
      kind: 'refused',
      reason: 'drift',
      report: { drifts: [{ file: 2, content: Buffer.from('theirs\n') }] },
    });
  });
});
