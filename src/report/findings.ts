import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { Report } from './report.ts';

/** What a report has to say about one host, for tools that judge: lint's findings, and what a plan met. */
export interface HostFindings {
  readonly host: string;
  readonly findings: readonly Diagnostic[];
}

/** Findings by host, each once; a host without any is there, too. */
export function findingsByHost({ hosts, plans }: Report): HostFindings[] {
  const byHost = new Map<string, Map<string, Diagnostic>>();
  const add = (host: string, diagnostics: readonly Diagnostic[]): void => {
    const known = byHost.get(host) ?? new Map<string, Diagnostic>();
    byHost.set(host, known);
    for (const found of diagnostics) {
      known.set(
        JSON.stringify([found.severity, found.code, found.file, found.line, found.unit, found.message]),
        found,
      );
    }
  };
  for (const { hostname, diagnostics } of hosts) add(hostname, diagnostics);
  for (const { plan, hosts: names } of plans) {
    const found = [
      ...plan.refused.map(({ title, wanted, diagnostic }) => ({
        ...ofPlan(diagnostic),
        severity: 'error' as const,
        message: `${title}: ${wanted} refused: ${diagnostic.message}`,
      })),
      ...plan.changes.flatMap(({ warnings }) => warnings.map(ofPlan)),
      ...plan.diagnostics.map(ofPlan),
    ];
    for (const name of names) add(name, found);
  }
  return [...byHost].map(([host, findings]) => ({ host, findings: [...findings.values()] }));
}

/** The schema has undefined where the type has nothing. */
function ofPlan(diagnostic: {
  readonly code: string;
  readonly severity: Diagnostic['severity'];
  readonly message: string;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly unit?: string | undefined;
  readonly help?: string | undefined;
}): Diagnostic {
  const { code, severity, message, file, line, unit, help } = diagnostic;
  return {
    code,
    severity,
    message,
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
    ...(unit === undefined ? {} : { unit }),
    ...(help === undefined ? {} : { help }),
  };
}
