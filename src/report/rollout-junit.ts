import type { z } from 'zod';
import { attribute, element } from './junit-report.ts';
import type { rolloutSchema } from './rollout-json.ts';

/** A rollout as JUnit XML: a case for each host; what is not as it should be is a failure. */
export function rolloutJunit({ run, why, hosts, nothingToDo, lost }: z.infer<typeof rolloutSchema>): string {
  const testCase = (name: string, fault: string | null): string =>
    fault === null
      ? `    <testcase classname="hosts" name="${attribute(name)}"/>`
      : `    <testcase classname="hosts" name="${attribute(name)}"><failure message="${attribute(fault)}">${element(fault)}</failure></testcase>`;
  const cases = [
    ...hosts.map(({ name, state, detail }) => {
      const good = state === 'applied' || state === 'unchanged';
      return { name, fault: good ? null : [state, detail].filter((part) => part !== '').join(': ') };
    }),
    ...nothingToDo.map((name) => ({ name, fault: null })),
    ...lost.map(({ name, error }) => ({ name, fault: error.message })),
    ...(why === null ? [] : [{ name: 'the rollout', fault: why }]),
  ];
  const failures = cases.filter(({ fault }) => fault !== null).length;
  const counts = `tests="${cases.length}" failures="${failures}" errors="0"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="tasksctl" ${counts}>`,
    `  <testsuite name="rollout ${attribute(run ?? '')}" ${counts} skipped="0">`,
    ...cases.map(({ name, fault }) => testCase(name, fault)),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}
