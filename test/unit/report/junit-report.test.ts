import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { junitReport } from '../../../src/report/junit-report.ts';
import type { Report } from '../../../src/report/report.ts';
import type { Diagnostic } from '../../../src/systemd/diagnostic.ts';
import { exampleHost, exampleReport, HOSTILE, hostileReport, UNSEEN } from './a-report.ts';

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  text: string;
}

/** Reads the part of XML 1.0 that the report is written in, and throws at whatever is not well-formed. */
function parseXml(xml: string): Element {
  // Production 2 of the specification; of the C0 controls these three are allowed.
  if (/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(xml))
    throw new Error('a character XML does not have');
  const head = '<?xml version="1.0" encoding="UTF-8"?>\n';
  if (!xml.startsWith(head)) throw new Error('no declaration');
  const root: Element = { name: '', attributes: {}, children: [], text: '' };
  const open = [root];
  const decode = (raw: string): string => {
    if (/[<>]|&(?!(?:amp|lt|gt|quot);)/.test(raw)) throw new Error(`not escaped: ${raw}`);
    return raw
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&quot;', '"')
      .replaceAll('&amp;', '&');
  };
  const pieces = /<(\/?)([a-z-]+)((?: [a-z]+="[^"]*")*)(\/?)>|([^<]+)|(.)/gsy;
  for (const [whole, close, name = '', attributes = '', empty, text, wrong] of xml
    .slice(head.length)
    .matchAll(pieces)) {
    const top = open.at(-1) ?? root;
    if (wrong !== undefined) throw new Error(`stray ${wrong}`);
    if (text !== undefined) top.text += decode(text);
    else if (close === '/') {
      if (open.length < 2 || open.pop()?.name !== name) throw new Error(`${whole} closes something else`);
    } else {
      const pairs = [...attributes.matchAll(/ ([a-z]+)="([^"]*)"/g)].map(([, key = '', raw = '']) => [
        key,
        decode(raw),
      ]);
      const element = { name, attributes: Object.fromEntries(pairs), children: [], text: '' };
      if (Object.keys(element.attributes).length !== pairs.length) throw new Error('an attribute twice');
      top.children.push(element);
      if (empty === '') open.push(element);
    }
  }
  const [suites] = root.children;
  if (open.length !== 1 || root.children.length !== 1 || suites === undefined)
    throw new Error('not one element');
  return suites;
}

const withFindings = (...diagnostics: Diagnostic[]): Report => ({
  version: '1.2.3',
  hosts: [{ ...exampleHost, diagnostics }],
  use: [],
  plans: [],
  runs: [],
});

describe('junitReport', () => {
  it('has a suite for each host and a case for each finding; errors fail', () => {
    expect(junitReport(exampleReport)).toMatchInlineSnapshot(`
      "<?xml version="1.0" encoding="UTF-8"?>
      <testsuites name="tasksctl" tests="3" failures="1" errors="0">
        <testsuite name="web1" tests="2" failures="1" errors="0" skipped="0">
          <testcase classname="web1" name="below-floor web.yaml:12" file="web.yaml" line="12"><failure type="below-floor" message="ssh.service: 10 refused: under the 64 tasks that keep the operator able to log in">error: ssh.service: 10 refused: under the 64 tasks that keep the operator able to log in
      Take it out of the policy.</failure></testcase>
          <testcase classname="web1" name="sibling-overcommit"><system-out>warning: the limits below user.slice add up to more than the kernel has</system-out></testcase>
        </testsuite>
        <testsuite name="web2" tests="1" failures="0" errors="0" skipped="0">
          <testcase classname="web2" name="no findings"/>
        </testsuite>
      </testsuites>
      "
    `);
  });

  it('has a case for a host without findings: an empty suite looks as if it had not run', () => {
    const suites = parseXml(junitReport(withFindings()));
    expect(suites.children[0]?.children.map(({ attributes }) => attributes)).toEqual([
      { classname: 'web1', name: 'no findings' },
    ]);
  });

  it('is well-formed without any host', () => {
    expect(parseXml(junitReport({ ...exampleReport, hosts: [], plans: [] })).children).toEqual([]);
  });

  it('counts what it holds', () => {
    const suites = parseXml(junitReport(hostileReport()));
    const count = (name: string) =>
      suites.children
        .flatMap(({ children }) => children)
        .filter(({ children }) => children.some((one) => one.name === name));
    expect(Number(suites.attributes['failures'])).toBe(count('failure').length);
    expect(Number(suites.attributes['tests'])).toBe(
      suites.children.flatMap(({ children }) => children).length,
    );
    for (const { attributes, children } of suites.children) {
      expect(Number(attributes['tests'])).toBe(children.length);
    }
  });

  it('keeps hostile text as text', () => {
    const xml = junitReport(hostileReport());
    expect(UNSEEN.exec(xml)).toBeNull();
    const [host, plan] = parseXml(xml).children;
    expect(host?.attributes['name']).toBe(HOSTILE[0]);
    expect(plan?.attributes['name']).toBe(HOSTILE[2]);
    expect(host?.children.map(({ attributes }) => attributes['file'])).toContain(`/etc/${HOSTILE[4]}`);
    expect(host?.children[1]?.children[0]?.text).toBe(`warning: ${HOSTILE[1]}\n${HOSTILE[1]}`);
  });

  it('is well-formed whatever is in the texts', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(...HOSTILE),
    );
    const finding = fc.record({
      code: text,
      severity: fc.constantFrom('error', 'warning', 'note'),
      message: text,
      file: text,
      unit: text,
      help: text,
    });
    fc.assert(
      fc.property(finding, (found) => {
        const [suite] = parseXml(junitReport(withFindings(found as Diagnostic))).children;
        expect(suite?.children).toHaveLength(1);
      }),
    );
  });
});
