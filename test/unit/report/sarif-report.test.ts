import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { sarifReport } from '../../../src/report/sarif-report.ts';
import type { Diagnostic } from '../../../src/systemd/diagnostic.ts';
import { exampleHost, exampleReport, HOSTILE, hostileReport, UNSEEN } from './a-report.ts';

/** RFC 3986 without a scheme, an authority or a way out of the base. */
const relativePath = z
  .string()
  .regex(/^(?:[\w.~!$&'()*+,;=-]|%[0-9A-F]{2})+(?:\/(?:[\w.~!$&'()*+,;=-]|%[0-9A-F]{2})*)*$/)
  .refine((uri) => !uri.split('/').includes('..'));

/** 3.11.5: a brace that is no placeholder is doubled; 3.11.6: no link. */
const message = z.strictObject({
  text: z
    .string()
    .min(1)
    .refine((text) => !/[{}]/.test(text.replaceAll('{{', '').replaceAll('}}', '')))
    .refine((text) => !/\[[^\]]*\]\(/.test(text)),
});

/** The part of SARIF 2.1.0 that the report is written in, by the sections of the specification. */
const sarif = z.strictObject({
  $schema: z.url(),
  version: z.literal('2.1.0'),
  runs: z.tuple([
    z.strictObject({
      tool: z.strictObject({
        driver: z.strictObject({
          name: z.literal('tasksctl'),
          version: z.string(),
          rules: z.array(z.strictObject({ id: z.string().min(1), shortDescription: message, help: message })),
        }),
      }),
      columnKind: z.literal('unicodeCodePoints'),
      originalUriBaseIds: z.strictObject({ ROOT: z.strictObject({ description: message }) }),
      results: z.array(
        z.strictObject({
          ruleId: z.string().min(1),
          ruleIndex: z.number().int().min(0),
          level: z.enum(['error', 'warning', 'note']),
          message,
          locations: z.tuple([
            z.strictObject({
              // GitHub refuses a document in which one of these is missing (its rules GH1001 and GH1003).
              physicalLocation: z.strictObject({
                artifactLocation: z.strictObject({
                  uri: relativePath,
                  uriBaseId: z.literal('ROOT').optional(),
                }),
                region: z.strictObject({ startLine: z.number().int().min(1) }),
              }),
              logicalLocations: z.tuple([
                z.strictObject({ name: z.string(), fullyQualifiedName: z.string() }),
              ]),
            }),
          ]),
          partialFingerprints: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
        }),
      ),
    }),
  ]),
});

function resultsOf(...diagnostics: Diagnostic[]) {
  const host = { ...exampleHost, diagnostics };
  const [run] = sarif.parse(JSON.parse(sarifReport({ ...exampleReport, hosts: [host], plans: [] }))).runs;
  return run.results;
}

const ignored: Diagnostic = {
  code: 'value-ignored',
  severity: 'warning',
  message: 'systemd ignores TasksMax=4K',
  file: '/etc/systemd/system/dev-disk-by\\x2duuid.swap.d/a b%.conf',
  line: 2,
};

const pending: Diagnostic = { code: 'live-differs', severity: 'warning', message: 'not in force' };

describe('sarifReport', () => {
  it('is SARIF, with the rule of each result', () => {
    const [run] = sarif.parse(JSON.parse(sarifReport(exampleReport))).runs;
    expect(run.tool.driver.rules.map(({ id }) => id)).toEqual(['below-floor', 'sibling-overcommit']);
    for (const { ruleId, ruleIndex } of run.results)
      expect(run.tool.driver.rules[ruleIndex]?.id).toBe(ruleId);
    expect(run.results.map(({ level, locations }) => [level, locations[0].logicalLocations[0].name])).toEqual(
      [
        ['error', 'web1'],
        ['warning', 'web1'],
      ],
    );
  });

  it('is SARIF without any finding', () => {
    expect(resultsOf()).toEqual([]);
  });

  it('gives a file of the host as a path below its root, escaped', () => {
    const [found] = resultsOf(ignored);
    expect(found?.locations[0].physicalLocation).toEqual({
      artifactLocation: {
        uri: 'etc/systemd/system/dev-disk-by%5Cx2duuid.swap.d/a%20b%25.conf',
        uriBaseId: 'ROOT',
      },
      region: { startLine: 2 },
    });
  });

  it('lets no path lead out of that root', () => {
    const [found] = resultsOf({ ...ignored, file: '/etc/.//../../../home/./x' });
    expect(found?.locations[0].physicalLocation?.artifactLocation.uri).toBe('home/x');
  });

  it.each([
    [
      "a file that is not the host's, such as the policy",
      { ...ignored, file: 'policies/web.yaml' },
      'policies/web.yaml',
      2,
    ],
    ['what a finding without a file is about', { ...pending, unit: 'a b.service' }, 'web1/a%20b.service', 1],
    ['the host where it is about no unit', pending, 'web1', 1],
  ])('gives no place below that root for %s', (_what, finding, uri, startLine) => {
    const [found] = resultsOf(finding);
    expect(found?.locations[0].physicalLocation).toEqual({
      artifactLocation: { uri },
      region: { startLine },
    });
  });

  it('knows a finding again on another line, and not on another host', () => {
    const print = (found: Diagnostic) => resultsOf(found)[0]?.partialFingerprints['tasksctl/1'];
    expect(print({ ...ignored, line: 9 })).toBe(print(ignored));
    expect(print({ ...ignored, unit: 'api.service' })).not.toBe(print(ignored));
  });

  it('keeps hostile text as text, also on a terminal', () => {
    const text = sarifReport(hostileReport());
    expect(UNSEEN.exec(text)).toBeNull();
    const [run] = sarif.parse(JSON.parse(text)).runs;
    expect(run.results[3]?.message.text).toBe(`${HOSTILE[0]}: ${HOSTILE[3]}. ${HOSTILE[3]}`);
    expect(run.results[11]?.message.text).toContain('{{0}} {{{{1}}}}');
    expect(run.results[7]?.message.text).toContain('\x1b[2J');
  });
});
