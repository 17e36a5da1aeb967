import { describe, expect, it } from 'vitest';
import { type RunDocument, runEvents } from '../../../src/report/run-events.ts';

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
  it('tells what became of each host of a rollout', () => {
    const rollout = {
      schema: 'tasksctl/rollout/1',
      run,
      verdict: 'stopped',
      why: '1 host failed',
      hosts: [
        {
          name: 'web1',
          target: 'web1',
          wave: 1,
          state: 'applied',
          run: '20260601T031501Z-0000',
          detail: 'a',
        },
        { name: 'web2', target: 'web2', wave: 2, state: 'failed', run: null, detail: 'disk full' },
        { name: 'web3', target: 'web3', wave: 2, state: 'waiting', run: null, detail: '' },
      ],
      nothingToDo: [],
      lost: [{ name: 'web4', target: 'web4', error: { kind: 'timeout', message: 'no answer' } }],
    };
    expect(told(rollout)).toEqual([
      ['web2', 'bad', 'rollout, wave 2: failed', 'disk full'],
      ['web3', 'warn', 'rollout, wave 2: waiting'],
      ['web4', 'bad', 'rollout: not read', 'no answer'],
      ['web1', 'good', 'rollout, wave 1: applied', 'a'],
    ]);
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
