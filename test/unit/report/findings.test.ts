import { describe, expect, it } from 'vitest';
import { findingsByHost } from '../../../src/report/findings.ts';
import type { Report } from '../../../src/report/report.ts';
import type { Diagnostic } from '../../../src/systemd/diagnostic.ts';
import { exampleHost } from './a-report.ts';
import { examplePlan } from './example-plan.ts';

const ignored: Diagnostic = {
  code: 'value-ignored',
  severity: 'warning',
  message: 'systemd ignores TasksMax=4K',
  file: '/etc/systemd/system/api.service.d/limits.conf',
  line: 2,
};

const report = (over: Partial<Report>): Report => ({
  version: '1.2.3',
  hosts: [],
  use: [],
  plans: [],
  runs: [],
  ...over,
});

describe('findingsByHost', () => {
  it('has a host without any finding, too', () => {
    expect(findingsByHost(report({ hosts: [exampleHost] }))).toEqual([{ host: 'web1', findings: [] }]);
    expect(findingsByHost(report({}))).toEqual([]);
  });

  it('has what a plan refused as an error, with what was wanted, and what it warns of', () => {
    const [host] = findingsByHost(report({ plans: [{ hosts: ['web1'], plan: examplePlan, diffs: [] }] }));
    expect(host).toEqual({
      host: 'web1',
      findings: [
        {
          code: 'below-floor',
          severity: 'error',
          message: 'ssh.service: 10 refused: under the 64 tasks that keep the operator able to log in',
          file: 'web.yaml',
          line: 12,
          help: 'Take it out of the policy.',
        },
        {
          code: 'sibling-overcommit',
          severity: 'warning',
          message: 'the limits below user.slice add up to more than the kernel has',
        },
      ],
    });
  });

  it('tells once what the snapshot and the plan of a host both say, and apart what two hosts do', () => {
    const host = { ...exampleHost, diagnostics: [ignored, ignored] };
    const found = findingsByHost(
      report({
        hosts: [host, { ...host, hostname: 'web2' }],
        plans: [
          {
            hosts: ['web1', 'web3'],
            plan: { ...examplePlan, changes: [], refused: [], diagnostics: [{ ...ignored }] },
            diffs: [],
          },
        ],
      }),
    );
    expect(found).toEqual([
      { host: 'web1', findings: [ignored] },
      { host: 'web2', findings: [ignored] },
      // A host of a fleet's plan that was not read for this report.
      { host: 'web3', findings: [ignored] },
    ]);
  });

  it('keeps findings of two lines apart, and of two severities', () => {
    const diagnostics = [ignored, { ...ignored, line: 3 }, { ...ignored, severity: 'error' as const }];
    const [host] = findingsByHost(report({ hosts: [{ ...exampleHost, diagnostics }] }));
    expect(host?.findings).toEqual(diagnostics);
  });
});
