import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFrames } from '../../../src/apply/frames.ts';
import { parseTransaction } from '../../../src/apply/parse-transaction.ts';

const RUN = '20261122T201530Z-3f9a';

function frame(kind: string, args: string[], payload: string | Uint8Array, run = RUN): Buffer {
  const bytes = Buffer.from(payload);
  const header = `%tasksctl ${[run, kind, ...args].join(' ')} ${bytes.length}\n`;
  return Buffer.concat([Buffer.from(header), bytes, Buffer.from('\n')]);
}

describe('readFrames', () => {
  it('takes frames out of other output, payloads of any bytes', () => {
    const output = Buffer.concat([
      Buffer.from('Last login: today\n%tasksctl other end applied 0\n\n'),
      frame('step', ['lock'], ''),
      Buffer.from('sh: 1: something\n'),
      frame('content', ['2'], Buffer.from([0, 255, 10, 37])),
      frame('end', ['applied'], `%tasksctl ${RUN} end refused lock busy 0\n\n`),
    ]);
    expect(
      readFrames(output, RUN).map(({ kind, args, payload }) => [kind, args, payload.toString('hex')]),
    ).toEqual([
      ['step', ['lock'], ''],
      ['content', ['2'], '00ff0a25'],
      ['end', ['applied'], expect.any(String)],
    ]);
  });

  it('gives no frame that was cut, and none that lies about its length', () => {
    const whole = Buffer.concat([frame('step', ['lock'], ''), frame('end', ['applied'], 'text')]);
    for (let cut = 0; cut < whole.length; cut++) {
      expect(readFrames(whole.subarray(0, cut), RUN).length).toBeLessThan(2);
    }
    expect(readFrames(whole, RUN)).toHaveLength(2);
    expect(readFrames(Buffer.from(`%tasksctl ${RUN} end applied 99999999\nx\n`), RUN)).toEqual([]);
    expect(readFrames(Buffer.from(`%tasksctl ${RUN} end applied -1\nx\n`), RUN)).toEqual([]);
    expect(readFrames(Buffer.from(`x%tasksctl ${RUN} end applied 0\n\n`), RUN)).toEqual([]);
  });

  it('never throws, whatever a host says', () => {
    const kinds = [
      'step',
      'end',
      'verdict',
      'reading',
      'drift',
      'content',
      'unfinished',
      'left',
      'note',
      'x',
    ];
    const words = fc.array(fc.stringMatching(/^[a-z0-9-]{0,8}$/), { maxLength: 5 });
    const some = fc
      .tuple(fc.constantFrom(...kinds), words, fc.uint8Array({ maxLength: 20 }))
      .map(([kind, args, payload]) => frame(kind, args, payload));
    const anything = fc.array(
      fc.oneof(
        some,
        fc.uint8Array({ maxLength: 40 }).map((data) => Buffer.from(data)),
      ),
    );
    fc.assert(
      fc.property(anything, (parts) => {
        const report = parseTransaction(Buffer.concat(parts), RUN);
        expect(report.verdicts.every(({ state }) => state === 'enforced' || state === 'pending')).toBe(true);
      }),
    );
  });
});

describe('parseTransaction', () => {
  it('reads verdicts with their readings', () => {
    const output = Buffer.concat([
      frame('before', ['10813'], 'user-1000.slice'),
      frame('reading', ['1', '20000', '10813'], 'user-1000.slice'),
      frame('reading', ['1', '20000', '-'], 'user-2.slice'),
      frame('verdict', ['1', 'pending', 'next-login'], 'user-1000.slice\nuser-7.slice'),
      frame('reading', ['2', '-', '99999'], '/proc/sys/kernel/pid_max'),
      frame('verdict', ['2', 'enforced', 'now'], '1'),
      frame('end', ['awaiting', '57'], ''),
    ]);
    const report = parseTransaction(output, RUN);
    expect(report.end).toEqual({ kind: 'awaiting', seconds: 57 });
    expect(report.before).toEqual(new Map([['user-1000.slice', '10813']]));
    expect(report.verdicts).toEqual([
      {
        change: 1,
        state: 'pending',
        until: 'next-login',
        waiting: ['user-1000.slice', 'user-7.slice'],
        enforced: 0,
        readings: [
          { unit: 'user-1000.slice', manager: '20000', live: '10813' },
          { unit: 'user-2.slice', manager: '20000', live: null },
        ],
      },
      {
        change: 2,
        state: 'enforced',
        until: null,
        waiting: [],
        enforced: 1,
        readings: [{ unit: '/proc/sys/kernel/pid_max', manager: null, live: '99999' }],
      },
    ]);
  });

  it('takes a refusal it does not know for a failure, and no end for none', () => {
    const end = frame('end', ['refused', 'lock', 'of-another-version'], 'why');
    expect(parseTransaction(end, RUN).end).toEqual({
      kind: 'refused',
      step: 'lock',
      reason: 'failed',
      detail: 'why',
    });
    expect(parseTransaction(frame('step', ['stage'], ''), RUN)).toMatchObject({ end: null, step: 'stage' });
  });
});
