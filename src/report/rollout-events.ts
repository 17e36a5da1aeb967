import type { JournalHead, JournalRecord, RolloutHost } from '../fleet/journal.ts';
import { plural } from './diagnostic-text.ts';
import type { RunEvent } from './run-events.ts';

/** What of a rollout's head its events tell. */
export type RolloutHead = Pick<JournalHead, 'run' | 'startedAt' | 'operator'> & {
  readonly hosts: readonly Pick<RolloutHost, 'name' | 'policy' | 'wave' | 'stage'>[];
};

/** What happened in a rollout, in order: its waves, what became of each host, its gates, and how it ended. */
export function rolloutEvents(head: RolloutHead, records: readonly JournalRecord[]): RunEvent[] {
  const { run: rollout, startedAt, operator, hosts } = head;
  const policies = [...new Set(hosts.map(({ policy }) => policy))].sort();
  const waves = 1 + Math.max(-1, ...hosts.map(({ wave }) => wave));
  const waveOf = new Map(hosts.map(({ name, wave }) => [name, wave]));
  const of = (wave: number): string => {
    const stage = hosts.find((host) => host.wave === wave)?.stage ?? null;
    return `rollout, wave ${wave + 1} of ${waves}${stage === null ? '' : ` (${stage})`}`;
  };
  const whole = (
    at: string,
    tone: RunEvent['tone'],
    state: string,
    details: readonly string[] = [],
  ): RunEvent => ({ target: null, run: rollout, rollout, at, tone, state, details });
  const events = [
    whole(startedAt, 'good', 'rollout: begun', [
      `by ${operator}`,
      `policy ${policies.join(', ')}: ${plural(hosts.length, 'host')} in ${plural(waves, 'wave')}`,
    ]),
  ];
  const begunWaves = new Set<number>();
  /** When what is going on at a host was begun, and in which run. */
  const open = new Map<string, { readonly at: string; readonly run: string }>();
  const ended = (
    { at, host }: { readonly at: string; readonly host: string },
    tone: RunEvent['tone'],
    what: string,
    detail: string,
    run = open.get(host)?.run ?? '',
  ): void => {
    const since = open.get(host)?.at;
    open.delete(host);
    events.push({
      target: host,
      run,
      rollout,
      ...(since === undefined ? {} : { since }),
      at,
      tone,
      state: `${of(waveOf.get(host) ?? 0)}: ${what}`,
      details: detail === '' ? [] : [detail],
    });
  };
  for (const record of records) {
    switch (record.what) {
      case 'apply': {
        const wave = waveOf.get(record.host) ?? 0;
        if (!begunWaves.has(wave)) {
          const size = hosts.filter((host) => host.wave === wave).length;
          events.push(whole(record.at, 'good', `${of(wave)}: begun`, [plural(size, 'host')]));
        }
        begunWaves.add(wave);
        open.set(record.host, record);
        break;
      }
      case 'applied': {
        const { outcome, detail, run } = record;
        const good = outcome === 'applied' || outcome === 'unchanged';
        ended(record, good ? 'good' : 'bad', outcome.replace('-', ' '), detail, run);
        break;
      }
      case 'reboot':
        open.set(record.host, { at: record.at, run: '' });
        break;
      case 'rebooted':
        ended(record, record.ok ? 'good' : 'bad', record.ok ? 'rebooted' : 'reboot failed', record.detail);
        break;
      case 'rollback':
        open.set(record.host, record);
        break;
      case 'rolled-back':
        ended(
          record,
          record.ok ? 'warn' : 'bad',
          record.ok ? 'rolled back' : 'not rolled back',
          record.detail,
          record.run,
        );
        break;
      case 'gate': {
        const found = record.found.map(({ host, detail }) => (host === null ? detail : `${host}: ${detail}`));
        const passed = found.length === 0;
        const state = `${of(record.wave)}: ${passed ? 'every check passed' : 'gate failed'}`;
        events.push(whole(record.at, passed ? 'good' : 'bad', state, found));
        break;
      }
      case 'stopped':
        events.push(whole(record.at, 'bad', `${of(record.wave)}: stopped`, [record.why]));
        break;
      case 'resumed':
        events.push(whole(record.at, 'warn', 'rollout: resumed'));
        break;
      case 'end': {
        const done = record.verdict === 'done';
        events.push(whole(record.at, done ? 'good' : 'warn', `rollout: ${done ? 'done' : 'rolled back'}`));
      }
    }
  }
  // Whoever worked on it went away, or is still at it.
  for (const [host, { at }] of open) ended({ at, host }, 'bad', 'no end is recorded', '');
  return events;
}
