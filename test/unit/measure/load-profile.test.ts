import { describe, expect, it } from 'vitest';
import { parseProfile } from '../../../src/measure/load-profile.ts';

const START = 1_767_225_600;
const answer = (...result: readonly object[]): string =>
  JSON.stringify({ status: 'success', data: { resultType: 'matrix', result } });
const series = (metric: object, values: readonly (number | string | null)[], step = 60): object => ({
  metric,
  values: values.flatMap((value, i) => (value === null ? [] : [[START + i * step, String(value)]])),
});

describe('parseProfile', () => {
  it('reads what systemd_exporter and node_exporter tell Prometheus', () => {
    const name = { __name__: 'systemd_unit_tasks_current', instance: 'web1.example.org:9558' };
    const loaded = parseProfile(
      answer(
        series({ ...name, name: 'nginx.service' }, [4, 4, 9, 4]),
        series({ ...name, name: 'user-1000.slice' }, [null, 5, 'NaN', 7]),
        series({ ...name, instance: 'web2:9558', name: 'nginx.service' }, [1, 1]),
        series({ __name__: 'up', instance: 'web1:9558' }, [1, 1]),
      ),
    );
    if (!loaded.ok) throw new Error(loaded.message);
    expect(loaded.profile.hosts.map(({ hostname }) => hostname)).toEqual(['web1.example.org', 'web2']);
    expect(loaded.profile.hosts[0]).toMatchObject({
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-01-01T00:03:00.000Z',
      measuredMs: 240_000,
      intervalMs: 60_000,
      units: [
        {
          unit: 'nginx.service',
          histogram: [
            [4, 180_000],
            [9, 60_000],
          ],
          peak: 9,
          rejections: null,
          peakByKernel: false,
        },
        {
          unit: 'user-.slice',
          histogram: [
            [5, 60_000],
            [7, 60_000],
          ],
          peak: 7,
          members: [['user-1000.slice', 7]],
        },
      ],
    });
    expect(loaded.traces).toHaveLength(2);
  });

  it('takes threads and not processes of cAdvisor, and no time for a gap', () => {
    const id = { id: '/system.slice/docker.service', instance: 'web1:8080' };
    const loaded = parseProfile(
      answer(
        series({ __name__: 'container_processes', ...id }, [2, 2, 2]),
        series({ __name__: 'container_threads', ...id }, [20, 25, ...Array(30).fill(null), 30]),
        series({ __name__: 'container_processes', ...id, id: '/system.slice/a.service' }, [3, 3, 3]),
        series({ __name__: 'container_threads', ...id, id: '/kubepods/besteffort/x' }, [9]),
      ),
    );
    if (!loaded.ok) throw new Error(loaded.message);
    expect(loaded.profile.hosts[0]).toMatchObject({
      measuredMs: 4 * 60_000,
      units: [
        { unit: 'a.service', peak: 3 },
        {
          unit: 'docker.service',
          histogram: [
            [20, 60_000],
            [25, 60_000],
            [30, 60_000],
          ],
          peak: 30,
        },
      ],
    });
  });

  it.each([
    ['', 'is neither JSON nor samples of the recorder'],
    ['{}', 'is no profile: schema: must be tasksctl/profile/1'],
    ['tasksctl-sampler 1\n@facts 9', 'has no sample in it'],
    ['{"schema":"tasksctl/profile/1","hosts":[{}]}', 'is no profile: hosts.0.hostname'],
    [answer(series({ __name__: 'up' }, [1])), 'has no series that counts tasks of units'],
    [answer(), 'has no series that counts tasks of units'],
  ])('says what is wrong with %s', (text, message) => {
    const loaded = parseProfile(text);
    expect(loaded.ok ? '' : loaded.message).toContain(message);
  });
});
