import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FailedFork, TraceParser } from '../../../src/diagnose/parse-trace.ts';

/** Lines as Linux 6.1 wrote them through templates/trace.sh. */
const event = (name: string, ret: number, pid = 422, who = '1001\t/user.slice'): string =>
  `event\t${who}\tsh-${pid}     [000] .N...   188.103977: ${name}: (kernel_clone+0xbf/0x430 <- f) ret=${ret} comm="sh"\n`;

function forks(text: string): FailedFork[] {
  return new TraceParser().push(text).flatMap((message) => (message.kind === 'fork' ? [message.fork] : []));
}

const failing = (...seen: string[]): string => `${seen.join('')}${event('forkret', -11)}full 75 4000\n`;
const refusedBy = (text: string) => forks(text).map((fork) => fork.refusedBy);

describe('TraceParser', () => {
  it('tells the time, the process and the check', () => {
    const text = `trace 1\nclock 1795393971 182.71\nprobe pids pids_can_fork\nready\ntick\n${failing(event('pids', -11))}end\n`;
    const messages = new TraceParser().push(text);
    expect(messages).toEqual([
      { kind: 'ready', absent: [] },
      {
        kind: 'fork',
        fork: {
          at: '2026-11-23T00:32:56.393Z',
          pid: 422,
          comm: 'sh',
          uid: 1001,
          cgroup: '/user.slice',
          errno: 'EAGAIN',
          refusedBy: 'pids-controller',
        },
      },
      { kind: 'end' },
    ]);
  });

  it('goes by what was seen in the same process before', () => {
    expect(refusedBy(failing(event('nproc', 1)))).toEqual(['rlimit-nproc']);
    expect(refusedBy(failing(event('ids', -11)))).toEqual(['pid-max']);
    expect(refusedBy(failing(event('security', -11)))).toEqual(['security-module']);
    expect(refusedBy(failing(event('sched', -11)))).toEqual(['sched-deadline']);
    // Of another process.
    expect(refusedBy(failing(event('pids', -11, 423)))).toEqual(['threads-max']);
    // Checked in this order, so what comes later refused it.
    expect(refusedBy(failing(event('nproc', 1), event('pids', -11)))).toEqual(['pids-controller']);
    // And forgotten with the fork it was of.
    expect(refusedBy(failing(event('pids', -11)) + failing())).toEqual(['pids-controller', 'threads-max']);
  });

  it('does not blame a limit that root is not held to', () => {
    const root = (name: string, ret: number) => event(name, ret, 5, '0\t/');
    expect(refusedBy(`${root('nproc', 1)}${root('forkret', -11)}full 3990 4000\n`)).toEqual(['threads-max']);
  });

  it('says what it cannot tell on kernels that lack a function', () => {
    expect(refusedBy(`absent nproc\n${failing()}`)).toEqual(['rlimit-nproc']);
    expect(refusedBy(`absent nproc\n${event('forkret', -11)}full 3990 4000\n`)).toEqual(['threads-max']);
    expect(refusedBy(`absent pids\nabsent nproc\n${failing()}`)).toEqual(['unknown']);
  });

  it('tells memory, and leaves out forks that a signal interrupted', () => {
    expect(forks(`${event('forkret', -12)}full 5 4000\n`)).toMatchObject([
      { errno: 'ENOMEM', refusedBy: 'memory' },
    ]);
    expect(forks(`${event('forkret', -513)}full 5 4000\n`)).toEqual([]);
  });

  it('knows a process that was gone, names of any kind, and kernels without the name', () => {
    const [fork] = forks(
      'event\t-\t-\ta-1 [0] b-77   (     12) [001] d..2.  1.5: forkret: (a <- b) ret=-11\nfull 1 9\n',
    );
    expect(fork).toMatchObject({ pid: 77, uid: null, cgroup: null, comm: '', at: null });
    const evil = 'event\t0\t/x\tx-9 [001] . 1.5: forkret: (a <- b) ret=-11 comm="\x1b[2J"\nfull 1 9\n';
    expect(forks(evil)[0]?.comm).toBe('\x1b[2J');
  });

  it('tells why it cannot work, and what was lost', () => {
    const push = (text: string) => new TraceParser().push(text);
    expect(push('problem no-permission only root can trace\n')).toEqual([
      { kind: 'problem', reason: 'no-permission', detail: 'only root can trace' },
    ]);
    expect(push('lost 17\nlost x\n')).toEqual([
      { kind: 'lost', count: 17 },
      { kind: 'lost', count: 0 },
    ]);
  });

  it('reads the same in whatever pieces it comes', () => {
    const text = `clock 10 5\nready\n${failing(event('pids', -11))}${failing(event('nproc', 1))}lost 3\nend\n`;
    const whole = new TraceParser().push(text);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const parser = new TraceParser();
        const ends = [...new Set([...cuts, text.length])].sort((a, b) => a - b);
        let from = 0;
        const messages = ends.flatMap((to) => {
          const piece = text.slice(from, to);
          from = to;
          return parser.push(piece);
        });
        expect(messages).toEqual(whole);
      }),
    );
  });

  it('takes anything', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('event', 'full', '\t', '\n', ' ', '-', '1', 'ret=', ':', 'x')),
        (words) => {
          expect(forks(words.join(''))).toEqual([]);
        },
      ),
    );
  });
});
