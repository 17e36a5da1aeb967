import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HostReport, hostReport, type UnitRow } from '../../../src/report/host-report.ts';
import type { HostUse, UnitUse } from '../../../src/report/host-use.ts';
import type { Report } from '../../../src/report/report.ts';
import type { RunEvent } from '../../../src/report/run-events.ts';
import { hostLimits } from '../../../src/snapshot/limits.ts';
import { parseSnapshot } from '../../../src/snapshot/load-snapshot.ts';
import { exampleLimits, exampleSnapshot } from './example-host.ts';
import { exampleChange, exampleDiff, examplePlan } from './example-plan.ts';

/** Reports made by hand or from saved hosts, for what each format does with them. */

const examples = join(import.meta.dirname, '../../../examples/snapshots');

/** The saved hosts of examples/, as a report has them. */
export function savedHosts(): HostReport[] {
  return readdirSync(examples)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => {
      const loaded = parseSnapshot(readFileSync(join(examples, name), 'utf8'));
      if (!loaded.ok) throw new Error(`${name}: ${loaded.message}`);
      return hostReport(loaded.snapshot, hostLimits(loaded.snapshot));
    });
}

/** What a host may call things, to end up as more than text. */
export const HOSTILE = [
  '<img src=x onerror=alert(1)>',
  '</script><script>alert(1)</script>',
  '"><svg onload=alert(1)>',
  "'; DROP TABLE hosts; --",
  ']]><x>&amp;&#0;',
  'a|b` [click](https://evil.example) @admin ![i](//evil.example/i.png)',
  'two\nlines\r\n# heading\n```\n- item',
  'esc\x1b[2Jnul\x00bel\x07c1\x9b31m',
  'bidi\u202egnp.exe\u2066\u200b\ufeff',
  'lone\ud800half',
  'not a character \ufffe\uffff',
  '{0} {{1}} $' + '{x} %s \\ back\\',
  '../../../etc/passwd',
] as const;

/** What no output may hold: other controls than line breaks and tabs, what turns the direction, half characters. */
export const UNSEEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Cs}/u;

export const exampleHost: HostReport = { ...hostReport(exampleSnapshot, exampleLimits), rejections: 17 };

/** A host all of whose texts are hostile. */
export function hostileHost(): HostReport {
  const all = HOSTILE.join(' ');
  const row = (text: string, i: number): UnitRow => ({
    name: `${text}.service`,
    type: 'service',
    depth: i % 3,
    current: 90 + i,
    peak: 95 + i,
    rejections: i,
    limit: 100n + BigInt(i),
    by: text,
    left: 10n,
    leftAt: text,
    used: 0.9 - i / 100,
    own: text,
    source: text,
    assignments: [text, `${text} again`],
  });
  return {
    hostname: HOSTILE[0],
    machineId: null,
    target: HOSTILE[1],
    takenAt: '2025-06-01T03:00:00Z',
    os: all,
    kernel: HOSTILE[5],
    systemdVersion: 252,
    cgroupMode: 'v2',
    tasks: 812,
    rejections: 78,
    threadsMax: 31000,
    pidMax: 4194304,
    userDefault: HOSTILE[6],
    serviceDefault: HOSTILE[7],
    rows: HOSTILE.map(row),
    hidden: 3,
    diagnostics: HOSTILE.map((text, i) => ({
      code: 'value-ignored',
      severity: (['error', 'warning', 'note'] as const)[i % 3] ?? 'note',
      message: text,
      file: `/etc/${text}`,
      line: i + 1,
      unit: text,
      help: text,
    })),
    problems: [...HOSTILE],
  };
}

function hostileRuns(): RunEvent[] {
  return HOSTILE.map((text, i) => ({
    target: text,
    run: text,
    at: i % 2 === 0 ? null : text,
    tone: 'bad',
    state: text,
    details: [text, text],
  }));
}

/** A report all of whose texts are hostile, of a host, a plan, runs and use. */
export function hostileReport(): Report {
  const text = HOSTILE.join(' ');
  const fault = { code: 'below-floor', severity: 'error', message: text, file: `/${text}`, line: 7 } as const;
  return {
    version: '1.2.3',
    hosts: [hostileHost()],
    use: [{ ...exampleUse(HOSTILE[0]), units: HOSTILE.map((unit) => unitUse(unit, 100, 90, true)) }],
    plans: [
      {
        hosts: [HOSTILE[2]],
        plan: {
          ...examplePlan,
          target: `root@${HOSTILE[6]}`,
          host: { ...examplePlan.host, hostname: HOSTILE[2], os: text, kernel: text },
          policy: { ...examplePlan.policy, name: text },
          changes: HOSTILE.map((one) => ({
            ...exampleChange,
            title: one,
            from: { ...exampleChange.from, text: one, provenance: { text: one } },
            to: { text: one, count: one },
            reason: [one],
            activation: {
              ...exampleChange.activation,
              summary: one,
              affected: [{ what: one, note: one }],
              reboot: { needed: true, note: one },
              steps: [{ why: one, command: { kind: 'argv', argv: ['echo', one] } }],
            },
            warnings: [{ code: 'sibling-overcommit', severity: 'warning', message: one }],
          })),
          refused: [
            { limit: { kind: 'user-default' }, title: HOSTILE[0], wanted: HOSTILE[5], diagnostic: fault },
          ],
          diagnostics: [fault],
        },
        diffs: [`--- a\n+++ b\n@@ -1 +1 @@\n-${HOSTILE[7]}\n+\`\`\`\`${text.replaceAll('\n', ' ')}\n`],
      },
    ],
    runs: [...hostileRuns(), ...hostileRuns().map((run) => ({ ...run, rollout: run.run, since: run.run }))],
  };
}

/** Use that rises and falls, nearest to the limit at about a third of the time. */
export function unitUse(unit: string, limit: number | null, peak: number, ordered: boolean): UnitUse {
  const from = Date.parse('2025-06-01T00:00:00Z');
  const series = Array.from({ length: 240 }, (_, i): readonly [number, number] => {
    const wave = 0.55 + 0.45 * Math.sin(i / 12) * Math.sin(i / 90);
    return [from + i * 360_000, Math.round(peak * Math.max(0.1, wave))];
  });
  const shares = new Map<number, number>();
  for (const [, tasks] of series) shares.set(tasks, (shares.get(tasks) ?? 0) + 360_000);
  return {
    unit,
    peak,
    rejections: limit !== null && peak >= limit ? 3 : 0,
    limit,
    histogram: [...shares].sort(([a], [b]) => a - b),
    series: ordered ? series : [],
  };
}

export function exampleUse(hostname: string): HostUse {
  return {
    hostname,
    from: '2025-06-01T00:00:00.000Z',
    to: '2025-06-02T00:00:00.000Z',
    units: [
      unitUse('user-.slice', 500, 500, true),
      unitUse('nginx.service', 4650, 60, true),
      unitUse('backup.service', null, 12, false),
    ],
  };
}

export const exampleRuns: readonly RunEvent[] = [
  {
    target: 'admin@web1',
    run: '20250601T031500Z-0a1b',
    at: '2025-06-01T03:15:00.000Z',
    tone: 'good',
    state: 'applied, verified',
    details: ['by alice', 'user-.slice (every user): 500 -> 16384'],
  },
  {
    target: 'admin@web2',
    run: '20250601T032000Z-4e5f',
    at: null,
    tone: 'bad',
    state: 'verify: lost',
    details: ['user-.slice (every user) 16384: lost: 500'],
  },
];

/** What a rollout of two waves comes to, as events. */
export const exampleRollout: readonly RunEvent[] = (() => {
  const rollout = '20250601T040000Z-77aa';
  const of = (at: string, target: string | null, state: string, over: Partial<RunEvent> = {}): RunEvent => ({
    ...{ target, run: rollout, rollout, at: `2025-06-01T${at}.000Z`, tone: 'good', state, details: [] },
    ...over,
  });
  const since = (at: string) => ({ since: `2025-06-01T${at}.000Z` });
  return [
    of('04:00:00', null, 'rollout: begun', { details: ['by alice', 'policy default, 2 hosts in 2 waves'] }),
    of('04:00:10', 'web1', 'rollout, wave 1 of 2: applied', since('04:00:00')),
    of('04:01:00', null, 'rollout, wave 1 of 2: every check passed'),
    of('04:01:40', 'web2', 'rollout, wave 2 of 2: failed', {
      ...since('04:01:10'),
      ...{ tone: 'bad', details: ['disk full'] },
    }),
  ];
})();

/** Two hosts, use, a plan and runs. */
export const exampleReport: Report = {
  version: '1.2.3',
  hosts: [exampleHost, { ...exampleHost, hostname: 'web2', rows: exampleHost.rows.slice(0, 3) }],
  use: [exampleUse('web1')],
  plans: [{ hosts: ['web1'], plan: examplePlan, diffs: [exampleDiff] }],
  runs: exampleRuns,
};

/** Numbers that look like chance and are the same every time. */
function numbers(seed: number): () => number {
  let state = seed + 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * A fleet of so many hosts: saved ones under names of their own, each with units, files and use that no other has. With
 * `measured`, each was sampled for a day, too.
 */
export function fleet(count: number, measured = false): Report {
  const saved = savedHosts();
  const hosts = Array.from({ length: count }, (_, i): HostReport => {
    const base = saved[i % saved.length];
    if (base === undefined) throw new Error('there is no saved host');
    const next = numbers(i);
    const hostname = `web-${String(i).padStart(4, '0')}.example.net`;
    const rows = base.rows.map((row): UnitRow => {
      if (row.limit === 'infinity' || row.current === null) return row;
      const limit = Number(row.limit);
      const current = Math.floor(limit * next() ** 4);
      const own = row.type === 'service' && next() < 0.2;
      return {
        ...row,
        name: own ? `app-${i}-${row.name}` : row.name,
        source: own ? `/etc/systemd/system/app-${i}-${row.name}.d/limits.conf:3` : row.source,
        current,
        peak: Math.min(limit, current + Math.floor(limit * next() * 0.1)),
        left: BigInt(limit - current),
        rejections: next() < 0.02 ? Math.ceil(next() * 50) : 0,
        used: current / limit,
      };
    });
    const rejections = rows.reduce((sum, row) => sum + (row.rejections ?? 0), 0);
    return { ...base, hostname, machineId: null, target: `admin@${hostname}`, rejections, rows };
  });
  const use = hosts.map(
    ({ hostname, rows }, i): HostUse => ({
      ...exampleUse(hostname),
      units: rows
        .filter(({ limit }) => limit !== 'infinity')
        .slice(0, 10)
        .map(({ name, limit, peak }) => unitUse(name, Number(limit), (peak ?? 1) + (i % 7), true)),
    }),
  );
  return { version: '1.2.3', hosts, use: measured ? use : [], plans: [], runs: [] };
}
