import type { Diagnostic } from '../systemd/diagnostic.ts';
import { findingsByHost } from './findings.ts';
import type { Report } from './report.ts';
import { escapeText } from './terminal-escape.ts';

/**
 * A report as JUnit XML, which most CI systems show: a suite for each host, a case for each finding. Errors are
 * failures, as for the exit code of lint; warnings and notes pass, with their text as output.
 */
export function junitReport(report: Report): string {
  const suites = findingsByHost(report).map(({ host, findings }) => suite(host, findings));
  const tests = suites.reduce((sum, one) => sum + one.tests, 0);
  const failures = suites.reduce((sum, one) => sum + one.failures, 0);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="tasksctl" tests="${tests}" failures="${failures}" errors="0">`,
    ...suites.map(({ xml }) => xml),
    '</testsuites>',
    '',
  ].join('\n');
}

function suite(host: string, findings: readonly Diagnostic[]) {
  const failures = findings.filter(({ severity }) => severity === 'error').length;
  // A suite without a case is taken for one that did not run.
  const cases =
    findings.length === 0
      ? [`    <testcase classname="${attribute(host)}" name="no findings"/>`]
      : findings.map((finding) => testCase(host, finding));
  const head = `  <testsuite name="${attribute(host)}" tests="${cases.length}" failures="${failures}" errors="0" skipped="0">`;
  return { tests: cases.length, failures, xml: [head, ...cases, '  </testsuite>'].join('\n') };
}

function testCase(host: string, { code, severity, message, file, line, unit, help }: Diagnostic): string {
  const place = file === undefined ? (unit ?? '') : line === undefined ? file : `${file}:${line}`;
  const name = place === '' ? code : `${code} ${place}`;
  const where =
    file === undefined ? '' : ` file="${attribute(file)}"${line === undefined ? '' : ` line="${line}"`}`;
  const body = element(`${severity}: ${message}${help === undefined ? '' : `\n${help}`}`);
  const inner =
    severity === 'error'
      ? `<failure type="${attribute(code)}" message="${attribute(message)}">${body}</failure>`
      : `<system-out>${body}</system-out>`;
  return `    <testcase classname="${attribute(host)}" name="${attribute(name)}"${where}>${inner}</testcase>`;
}

/** XML 1.0 has no way at all to write most controls: they are shown as everywhere else. */
export function element(raw: string): string {
  return raw
    .split('\n')
    .map(escapeText)
    .join('\n')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[\ufffe\uffff]/g, '?');
}

export function attribute(raw: string): string {
  return element(raw.replaceAll('\n', ' ')).replaceAll('"', '&quot;');
}
