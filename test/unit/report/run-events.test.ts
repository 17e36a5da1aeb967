import { describe, expect, it } from 'vitest';
import { type RunDocument, runEvents, tookText } from '../../../src/report/run-events.ts';

const report = {
  step: 'done',
  changes: [
    {
      title: 'api.service',
      from: '128',
      to: '320',
      state: 'enforced',
      until: null,
      waiting: [],
      readings: [],
    },
  ],
  before: {},
  now: [],
  drift: [],
  unfinished: [],
  left: [],
  problems: [],
  notes: [],
} as const;
const run = '20260601T031500Z-0a1b';

const told = (...documents: unknown[]) =>
  runEvents(documents as RunDocument[]).map(({ target, tone, state, details }) => [
    target,
    tone,
    state,
    ...details,
  ]);

const verify = (holds: boolean, kind: string) => ({
  schema: 'tasksctl/verify/1',
  target: 'web1',
  run,
  holds,
  rebooted: true,
  changes: [
    {
      title: 'api.service',
      wanted: '320',
      standing: { kind, ...(kind === 'pending' ? { until: 'a restart' } : { found: ['128'] }) },
    },
  ],
});

describe('runEvents', () => {
  const at = (second: number) => new Date(Date.UTC(2026, 5, 1, 3, 15, second)).toISOString();
  const own = (n: number) => `20260601T03150${n}Z-0000`;
  const named = (name: string) => ({ name, target: name, policy: 'default', stage: null });
  const rollout = {
    schema: 'tasksctl/rollout/1',
    run,
    verdict: 'stopped',
    why: 'the gate after wave 2 failed',
    startedAt: at(0),
    operator: 'alice@desk',
    hosts: [
      { ...named('web1'), wave: 1, state: 'applied', run: own(1), detail: '' },
      { ...named('web2'), wave: 2, state: 'failed', run: null, detail: 'disk full' },
      { ...named('web3'), wave: 2, state: 'applied', run: own(5), detail: '' },
    ],
    nothingToDo: [],
    lost: [{ name: 'web4', target: 'web4', error: { kind: 'timeout', message: 'no answer' } }],
    timeline: [
      { what: 'apply', at: at(1), host: 'web1', run: own(1) },
      { what: 'applied', at: at(3), host: 'web1', run: own(1), outcome: 'applied', detail: 'a' },
      { what: 'reboot', at: at(3), host: 'web1' },
      { what: 'rebooted', at: at(68), host: 'web1', ok: true, detail: '' },
      { what: 'gate', at: at(69), wave: 0, found: [] },
      { what: 'apply', at: at(70), host: 'web2', run: own(4) },
      { what: 'apply', at: at(70), host: 'web3', run: own(5) },
      { what: 'applied', at: at(71), host: 'web2', run: own(4), outcome: 'failed', detail: 'disk full' },
      { what: 'applied', at: at(72), host: 'web3', run: own(5), outcome: 'applied', detail: '' },
      {
        what: 'gate',
        at: at(73),
        wave: 1,
        found: [
          { host: 'web3', detail: '2 forks rejected' },
          { host: null, detail: 'smoke test' },
        ],
      },
      { what: 'stopped', at: at(73), wave: 1, why: 'the gate after wave 2 failed' },
      { what: 'rollback', at: at(74), host: 'web3', run: own(5) },
    ],
  };

  it('tells of the waves, hosts, reboots and gates of a rollout, in order', () => {
    const wave2 = 'rollout, wave 2 of 2';
    expect(told(rollout)).toEqual([
      [null, 'good', 'rollout: begun', 'by alice@desk', 'policy default: 3 hosts in 2 waves'],
      ['web4', 'bad', 'rollout: not read', 'no answer'],
      [null, 'good', 'rollout, wave 1 of 2: begun', '1 host'],
      ['web1', 'good', 'rollout, wave 1 of 2: applied', 'a'],
      ['web1', 'good', 'rollout, wave 1 of 2: rebooted'],
      [null, 'good', 'rollout, wave 1 of 2: every check passed'],
      [null, 'good', `${wave2}: begun`, '2 hosts'],
      ['web2', 'bad', `${wave2}: failed`, 'disk full'],
      ['web3', 'good', `${wave2}: applied`],
      [null, 'bad', `${wave2}: gate failed`, 'web3: 2 forks rejected', 'smoke test'],
      [null, 'bad', `${wave2}: stopped`, 'the gate after wave 2 failed'],
      ['web3', 'bad', `${wave2}: no end is recorded`],
    ]);
    const events = runEvents([rollout] as unknown as RunDocument[]);
    expect(events.map(({ since, at, run }) => [since, at, run]).slice(3, 5)).toEqual([
      [at(1), at(3), own(1)],
      [at(3), at(68), ''],
    ]);
    expect(new Set(events.map((event) => event.rollout))).toEqual(new Set([run]));
  });

  it('tells the same of a journal, and once what both say', () => {
    const { timeline, hosts } = rollout;
    const head = {
      ...{ schema: 'tasksctl/rollout-journal/1', run, startedAt: at(0), operator: 'alice@desk' },
      hosts: hosts.map((host) => ({ ...host, wave: host.wave - 1 })),
    };
    const journal = { schema: 'tasksctl/rollout-journal/1', head, records: timeline };
    expect(told(journal)).toEqual(told({ ...rollout, lost: [] }));
    expect(told(journal, rollout)).toEqual(told(rollout));
  });

  it('tells how a rollout ended that is to be gone on with, and nothing of one that did not begin', () => {
    const short = { ...rollout, lost: [], timeline: [{ what: 'resumed', at: at(9) }] };
    expect(told({ ...short, verdict: 'paused', why: null }).slice(1)).toEqual([
      [null, 'warn', 'rollout: resumed'],
      [null, 'warn', 'rollout: paused'],
    ]);
    const back = { what: 'rolled-back', at: at(9), host: 'web1', run: own(1), ok: true, detail: '' };
    const end = { what: 'end', at: at(9), verdict: 'rolled-back' };
    expect(told({ ...short, verdict: 'rolled-back', timeline: [back, end] }).slice(1)).toEqual([
      ['web1', 'warn', 'rollout, wave 1 of 2: rolled back'],
      [null, 'warn', 'rollout: rolled back'],
    ]);
    expect(told({ ...short, run: null, timeline: [] })).toEqual([]);
    const canary = rollout.hosts.map((host) => ({ ...host, stage: host.wave === 1 ? 'canary' : null }));
    expect(told({ ...rollout, hosts: canary })[3]?.[2]).toBe('rollout, wave 1 of 2 (canary): applied');
  });

  it.each([
    [0, 12, '12 s'],
    [0, 185, '3 min 5 s'],
    [5, 0, null],
  ])('says how long it was from %i s to %i s', (from, to, text) => {
    expect(tookText(at(from), at(to))).toBe(text);
    expect(tookText('x', at(to))).toBeNull();
  });

  it('tells what apply did, and what was found after the reboot it asked for', () => {
    const apply = {
      schema: 'tasksctl/apply/1',
      target: 'web1',
      result: { kind: 'applied', run, proof: 'new-login', report },
      refused: [],
      verified: null,
    };
    expect(told(apply)).toEqual([['web1', 'good', 'apply: applied', 'api.service: 128 -> 320, enforced']]);
    expect(told({ ...apply, verified: verify(false, 'lost') })).toEqual([
      ['web1', 'good', 'apply: applied', 'api.service: 128 -> 320, enforced'],
      ['web1', 'bad', 'verify: lost', 'api.service 320: lost: 128'],
    ]);
  });

  it('tells apart what holds, what is pending and what is lost', () => {
    expect(told(verify(false, 'pending'))).toEqual([
      ['web1', 'warn', 'verify: pending', 'api.service 320: pending until a restart'],
    ]);
    expect(told({ ...verify(true, ''), changes: [] })).toEqual([
      ['web1', 'good', 'verify: everything holds'],
    ]);
  });

  it('tells of a rollback with its reason', () => {
    const rollback = {
      schema: 'tasksctl/rollback/1',
      target: 'web1',
      run,
      problems: ['a file was left'],
      now: [],
    };
    expect(told({ ...rollback, kind: 'rolled-back', reason: null, detail: null })).toEqual([
      ['web1', 'warn', 'rollback: rolled back', 'a file was left'],
    ]);
    expect(
      told({ ...rollback, run: null, kind: 'refused', reason: 'changed-since', detail: '/etc/x' }),
    ).toEqual([['web1', 'bad', 'rollback: refused', 'changed-since: /etc/x', 'a file was left']]);
  });

  it('puts runs in the order of time, those without one last', () => {
    const id = (hour: number) => `202606${String(hour).padStart(2, '0')}T031500Z-0a1b`;
    const one = (name: string, state: string, pending = 0, verified = false) => ({
      id: name,
      state,
      pending,
      verified,
      record: null,
    });
    const runs = [
      one(id(9), 'applied', 2),
      one('20269999T031500Z-0a1b', 'unfinished'),
      one(id(1), 'rolled-back'),
      one(id(3), 'applied', 2, true),
    ];
    expect(told({ schema: 'tasksctl/runs/1', target: 'web1', runs })).toEqual([
      ['web1', 'warn', 'rolled back'],
      ['web1', 'good', 'applied, verified'],
      ['web1', 'warn', 'applied, 2 pending'],
      ['web1', 'bad', 'unfinished'],
    ]);
  });
});
