import { createHash } from 'node:crypto';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { findingsByHost } from './findings.ts';
import type { Report } from './report.ts';
import { escapeJson } from './terminal-escape.ts';

const DOCUMENTATION = 'docs/diagnostics.md';

/**
 * A report as SARIF 2.1.0 (OASIS), for code scanning: a result for each finding. A file on a host is a path relative to
 * `ROOT`, the root directory of that host, so that a checkout of configuration can be put there; the host is the
 * logical location.
 */
export function sarifReport(report: Report): string {
  const all = findingsByHost(report);
  const codes = [...new Set(all.flatMap(({ findings }) => findings.map(({ code }) => code)))].sort();
  const document = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'tasksctl',
            version: report.version,
            rules: codes.map((id) => ({
              id,
              shortDescription: { text: id.replaceAll('-', ' ') },
              help: { text: `See ${id} in ${DOCUMENTATION} of tasksctl.` },
            })),
          },
        },
        columnKind: 'unicodeCodePoints',
        originalUriBaseIds: { ROOT: { description: { text: 'The root directory of the host' } } },
        results: all.flatMap(({ host, findings }) =>
          findings.map((finding) => result(host, finding, codes.indexOf(finding.code))),
        ),
      },
    ],
  };
  return escapeJson(`${JSON.stringify(document, null, 2)}\n`);
}

function result(host: string, finding: Diagnostic, ruleIndex: number) {
  const { code, severity, message, file, line, unit, help } = finding;
  const logical = { name: unit ?? host, fullyQualifiedName: unit === undefined ? host : `${host}/${unit}` };
  // GitHub refuses the whole document for one result without a file: that of a finding without any is named after what
  // it is about. A file that is not the host's, such as the policy, is as the operator named it.
  const artifactLocation =
    file?.startsWith('/') === true
      ? { uri: uriOf(file), uriBaseId: 'ROOT' }
      : { uri: uriOf(file ?? logical.fullyQualifiedName) };
  // What tells a finding from others must not change when lines are added above it.
  const print = createHash('sha256')
    .update(JSON.stringify([host, code, file, unit, message]))
    .digest('hex');
  return {
    ruleId: code,
    ruleIndex,
    level: severity,
    message: { text: plainMessage(`${host}: ${message}${help === undefined ? '' : `. ${help}`}`) },
    locations: [
      {
        physicalLocation: { artifactLocation, region: { startLine: line ?? 1 } },
        logicalLocations: [logical],
      },
    ],
    partialFingerprints: { 'tasksctl/1': print },
  };
}

/** Braces are placeholders in a message (3.11.5), and `[text](address)` is a link (3.11.6). */
function plainMessage(raw: string): string {
  return raw.replaceAll('{', '{{').replaceAll('}', '}}').replaceAll('](', '] (');
}

/** A path as a relative URI reference: every byte that means something in one is escaped. */
function uriOf(path: string): string {
  const segments: string[] = [];
  for (const segment of path.replace(/\p{Cs}/gu, '\ufffd').split('/')) {
    // The parent of a root is the root: no path leads out of where the files are looked for.
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(encodeURIComponent(segment));
  }
  return segments.join('/') || 'unnamed';
}
