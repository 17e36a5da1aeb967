import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { HostReport, UnitRow } from '../../../src/report/host-report.ts';
import { prometheusReport } from '../../../src/report/prometheus-report.ts';
import { PROMTOOL, toolMissing } from '../../tools.ts';
import { exampleHost, fleet, HOSTILE, hostileHost, savedHosts, UNSEEN } from './a-report.ts';

const root = join(import.meta.dirname, '../../..');

const slice = exampleHost.rows.find(({ name }) => name === 'user-1000.slice') as UnitRow;

/** A host with such units. */
function hostOf(rows: readonly Partial<UnitRow>[]): HostReport {
  return { ...exampleHost, rows: rows.map((row) => ({ ...slice, ...row })) };
}

/** The value of each series. */
function seriesOf(text: string): Map<string, number> {
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    series.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

describe('prometheusReport', () => {
  it('has the units, the kernel, what is pending, the findings and the time', () => {
    const series = seriesOf(prometheusReport(exampleHost));
    expect(Object.fromEntries([...series].filter(([name]) => !/"(?!user-)[^"]*\.[^"]*"/.test(name)))).toEqual(
      {
        'tasksctl_unit_tasks{unit="user-.slice"}': 490,
        'tasksctl_unit_tasks_limit{unit="user-.slice"}': 500,
        'tasksctl_unit_headroom_ratio{unit="user-.slice"}': 0.02,
        'tasksctl_unit_rejected_forks{unit="user-.slice"}': 17,
        tasksctl_units_omitted: 0,
        tasksctl_kernel_tasks: 812,
        'tasksctl_kernel_tasks_limit{limit="threads-max"}': 31000,
        'tasksctl_kernel_tasks_limit{limit="pid_max"}': 4194304,
        tasksctl_pending_activations: 0,
        'tasksctl_findings{severity="error"}': 0,
        'tasksctl_findings{severity="warning"}': 0,
        'tasksctl_findings{severity="note"}': 0,
        tasksctl_read_timestamp_seconds: Date.parse('2025-06-01T03:00:00Z') / 1000,
      },
    );
  });

  it('leaves out what is not known, and the limit of what nothing limits', () => {
    const text = prometheusReport({
      ...hostOf([{ name: 'a.service', current: null, rejections: null, limit: 'infinity', used: null }]),
      tasks: null,
      threadsMax: null,
      takenAt: 'no time',
    });
    expect([...seriesOf(text).keys()]).toEqual([
      'tasksctl_units_omitted',
      'tasksctl_kernel_tasks_limit{limit="pid_max"}',
      'tasksctl_pending_activations',
      'tasksctl_findings{severity="error"}',
      'tasksctl_findings{severity="warning"}',
      'tasksctl_findings{severity="note"}',
    ]);
  });

  it('counts the limits that wait to be taken up', () => {
    const found = (code: string) => ({ code, severity: 'warning', message: 'x' }) as const;
    const diagnostics = ['live-differs', 'manager-differs', 'needs-daemon-reload', 'value-ignored'].map(
      found,
    );
    const series = seriesOf(prometheusReport({ ...exampleHost, diagnostics }));
    expect(series.get('tasksctl_pending_activations')).toBe(3);
    expect(series.get('tasksctl_findings{severity="warning"}')).toBe(4);
  });

  it('keeps units that come and go under one label: most tasks, least headroom, all rejected forks', () => {
    const series = seriesOf(
      prometheusReport(
        hostOf([
          { name: 'user-1000.slice', current: 10, limit: 20n, used: 0.5, rejections: 2 },
          { name: 'user-1001.slice', current: 90, limit: 900n, used: 0.1, rejections: null },
          { name: 'user-1002.slice', current: null, limit: 30n, used: null, rejections: 3 },
        ]),
      ),
    );
    expect(series.get('tasksctl_unit_tasks{unit="user-.slice"}')).toBe(90);
    expect(series.get('tasksctl_unit_tasks_limit{unit="user-.slice"}')).toBe(20);
    expect(series.get('tasksctl_unit_headroom_ratio{unit="user-.slice"}')).toBe(0.5);
    expect(series.get('tasksctl_unit_rejected_forks{unit="user-.slice"}')).toBe(5);
  });

  it('has few series however many units there are, and says how many it left out', () => {
    const rows = Array.from({ length: 5000 }, (_, i) => ({ name: `app-${i}x.service`, used: i / 5000 }));
    const users = Array.from({ length: 5000 }, (_, i) => ({ name: `user-${i}.slice`, used: 0.0001 }));
    const series = seriesOf(prometheusReport(hostOf([...rows, ...users])));
    expect(series.size).toBeLessThan(900);
    expect(series.get('tasksctl_units_omitted')).toBe(4801);
    expect(series.has('tasksctl_unit_tasks{unit="app-4999x.service"}')).toBe(true);
  });

  it('never has more than is used as headroom', () => {
    const series = seriesOf(prometheusReport(hostOf([{ used: 1.25 }])));
    expect(series.get('tasksctl_unit_headroom_ratio{unit="user-.slice"}')).toBe(0);
  });

  it('escapes labels', () => {
    const text = prometheusReport(hostOf([{ name: 'a\\x2db"c\nd.service' }]));
    expect(text).toContain('tasksctl_unit_tasks{unit="a\\\\x2db\\"c\\\\nd.service"} 490\n');
    const hostile = prometheusReport(hostileHost());
    expect(UNSEEN.exec(hostile)).toBeNull();
    const line =
      /^(?:# (?:HELP|TYPE) [a-z_]+ [^\n]+|[a-z_]+(?:\{[a-z]+="(?:[^"\\\n]|\\["\\])*"\})? [0-9.e+-]+)$/;
    for (const one of hostile.trimEnd().split('\n')) expect(one).toMatch(line);
  });

  it('tells no series twice, also of names that are shown alike', () => {
    const text = prometheusReport(hostOf([{ name: 'a\u200b.service' }, { name: 'a\\u200b.service' }]));
    const names = text.split('\n').filter((line) => line.startsWith('tasksctl_unit_tasks{'));
    expect(names).toHaveLength(1);
  });
});

const missing = toolMissing(PROMTOOL);

/** Runs promtool; its output if it fails. */
function promtool(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, args, { input, encoding: 'utf8' });
  return status === 0 ? '' : `${status}: ${stdout}${stderr}`;
}

describe.skipIf(missing !== null)('promtool', () => {
  it.each([
    ...savedHosts(),
    ...fleet(3).hosts,
    hostileHost(),
    hostOf(HOSTILE.map((text) => ({ name: `${text}.service` }))),
  ])('check metrics has nothing to say about those of $hostname', (host) => {
    const text = prometheusReport(host);
    expect(promtool(['check', 'metrics'], text)).toBe('');
    // It does say something where there is something.
    expect(promtool(['check', 'metrics'], `${text}x{ 1\n`)).not.toBe('');
  });

  const alerts = join(root, 'templates/prometheus/alerts.yml');
  const tests = join(root, 'test/fixtures/prometheus/alerts.test.yml');

  it('check rules accepts the alerts', () => {
    expect(promtool(['check', 'rules', alerts])).toBe('');
  });

  it('test rules: each alert begins and ends', () => {
    expect(promtool(['test', 'rules', tests])).toBe('');
  });

  it('each alert has a test in which it is not there, then is, and then is not again', () => {
    interface Expected {
      readonly eval_time: string;
      readonly alertname: string;
      readonly exp_alerts: readonly unknown[];
    }
    const rules = readFileSync(alerts, 'utf8');
    const all: readonly { readonly alert_rule_test: readonly Expected[] }[] = parse(
      readFileSync(tests, 'utf8'),
    ).tests;
    const names = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    expect(names).toHaveLength(7);
    for (const name of names) {
      const courses = all.map(({ alert_rule_test }) =>
        alert_rule_test
          .filter(({ alertname }) => alertname === name)
          .sort((a, b) => Number.parseInt(a.eval_time, 10) - Number.parseInt(b.eval_time, 10))
          .map(({ exp_alerts }) => (exp_alerts.length > 0 ? 'on' : 'off'))
          .join(' '),
      );
      expect(courses).toContainEqual(expect.stringMatching(/off (?:on )+off/));
    }
  });

  it('each alert looks at metrics there are', () => {
    const known = new Set(
      [...prometheusReport(exampleHost).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name),
    );
    const used = readFileSync(alerts, 'utf8').match(/(?<![\w./])tasksctl_\w+/g) ?? [];
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });
});
