import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parsePolicy } from '../../../src/plan/policy.ts';
import type { YamlProblem } from '../../../src/plan/read-yaml.ts';
import { aPolicy } from './a-policy.ts';

const HEAD = 'schema: tasksctl/policy/1\nname: test\n';

function problemsOf(text: string): readonly YamlProblem[] {
  const parsed = parsePolicy(text, 'p.yaml');
  return parsed.ok ? [] : parsed.problems;
}

const places = (text: string) => problemsOf(text).map(({ code, line, column }) => [code, line, column]);

describe('a policy', () => {
  it('is read into rules', () => {
    const policy = aPolicy(`
headroom: 25.5%
user-default: { floor: 4096, ceiling: 80% }
service-default: { value: 33.5% }
users:
  1000: { value: infinity, force: true }
  jenkins: { floor: 20000, headroom: 0% }
units:
  "pg*.service": { floor: 4000 }
  a.service: {}
  "*.service": {}
kernel:
  pid_max: { floor: 4194304 }`);
    expect(policy.userDefault).toEqual({
      label: 'user-default',
      value: null,
      floor: { kind: 'count', count: 4096n },
      ceiling: { kind: 'fraction', numerator: 80n, denominator: 100n },
      headroom: 2550n,
      force: false,
    });
    expect(policy.serviceDefault?.value).toEqual({
      kind: 'fraction',
      numerator: 3350n,
      denominator: 10_000n,
    });
    expect(policy.users.get('1000')).toMatchObject({ value: { kind: 'infinity' }, force: true });
    expect(policy.users.get('jenkins')).toMatchObject({ headroom: 0n });
    expect([...policy.exactUnits.keys()]).toEqual(['a.service']);
    expect(policy.unitPatterns.map(({ pattern }) => pattern)).toEqual(['pg*.service', '*.service']);
    expect(policy.kernel).toMatchObject({
      'kernel.pid_max': { floor: 4_194_304, value: null },
      'kernel.threads-max': null,
    });
    expect(policy.growth).toBe(5000n);
  });

  it('is known by the hash of its text', () => {
    const hash = (text: string) => {
      const parsed = parsePolicy(text, 'p.yaml');
      return parsed.ok ? parsed.policy.sha256 : null;
    };
    expect(hash(HEAD)).toMatch(/^[0-9a-f]{64}$/);
    expect(hash(HEAD)).not.toBe(hash(`${HEAD}# a comment\n`));
  });
});

describe('problems', () => {
  it('are all found at once, each with its place, in the order of the text', () => {
    const text = `${HEAD}headroom: 50
user-defualt: {}
user-default:
  floor: 4096
  ceiling: 80 %
users:
  jenkins: { flor: 1 }
  "a b": {}
units:
  "x.timer": {}
  b.service: 5
  a.service: {}
  a.service: {}
`;
    expect(places(text)).toEqual([
      ['policy-value', 3, 11],
      ['policy-unknown-key', 4, 1],
      ['policy-value', 7, 12],
      ['policy-unknown-key', 9, 14],
      ['policy-name', 10, 3],
      ['policy-name', 12, 3],
      ['policy-value', 13, 14],
      ['policy-duplicate-key', 15, 3],
    ]);
  });

  it.each([
    ['user-defualt: {}', 'user-default'],
    ['users: { a: { ceilling: 1 } }', 'ceiling'],
    ['kernel: { pid-max: {} }', 'pid_max'],
    ['kernel: { threads_max: {} }', 'threads-max'],
    ['kernel: { pid_max: { flour: 1 } }', 'floor'],
    ['Units: {}', 'units'],
  ])('of a misspelt key suggest the right one: %s', (line, wanted) => {
    expect(problemsOf(HEAD + line)[0]?.help).toBe(`Did you mean "${wanted}"?`);
  });

  it('of a key like no other name all there are', () => {
    expect(problemsOf(`${HEAD}xyzzy: 1`)[0]?.help).toMatch(/^There are: schema, name, .*kernel, recorder\.$/);
  });

  it.each([
    [
      'a value of no kind',
      'user-default: { value: 12K }',
      /must be a number of tasks from 1 to 4194304, a perc/,
    ],
    ['zero', 'user-default: { floor: 0 }', /floor/],
    ['zero percent', 'user-default: { value: 0% }', /percentage/],
    ['over all', 'user-default: { value: 101% }', /percentage/],
    ['more than Linux has', 'user-default: { value: 4194305 }', /4194304/],
    ['infinity as a floor', 'user-default: { floor: infinity }', /percentage/],
    ['a fraction of a task', 'user-default: { floor: 1.5 }', /floor/],
    ['force for everybody', 'user-default: { force: true }', /is no key/],
    ['force for a pattern', 'units: { "a*.service": { force: true } }', /exact name/],
    ['value and floor', 'user-default: { value: 5, floor: 4 }', /beside value/],
    ['a floor above the ceiling', 'user-default: { floor: 5, ceiling: 4 }', /above ceiling/],
    ['a floor above the ceiling, in percent', 'user-default: { floor: 50%, ceiling: 4.5% }', /above ceiling/],
    ['one slice twice', 'users: { 7: {} }\nunits: { user-7.slice: {} }', /whom users: names/],
    ['a template', 'units: { "a@.service": {} }', /write "a@\*\.service"/],
    ['a bracket', 'units: { "a[bc].service": {} }', /bracket/],
    ['a unit without type', 'units: { nginx: {} }', /must end in/],
    ['another schema', 'schema: tasksctl/policy/2', /twice|must be/],
    ['a list', 'units: [a.service]', /must be a map/],
  ])('are told in words: %s', (_, line, message) => {
    const problems = problemsOf(HEAD + line);
    expect(problems.map((problem) => problem.message).join('\n')).toMatch(message);
    expect(problems.every(({ line: at, column }) => at !== undefined && column !== undefined)).toBe(true);
  });

  it('name what is missing', () => {
    expect(problemsOf('schema: tasksctl/policy/1\n')).toMatchObject([
      { code: 'policy-missing-key', message: 'name is missing' },
    ]);
  });

  it.each([
    '',
    '- a list',
    'just text',
    'a: [',
    'a: *nowhere',
    '&a [*a]',
    '\0',
    '---\na: 1\n---\nb: 2\n',
    '!!binary x',
    '__proto__: { polluted: 1 }',
    `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(20)}]\nc: &c [${'*b,'.repeat(20)}]\nd: [${'*c,'.repeat(20)}]`,
  ])('are the answer to text that is no policy: %j', (text) => {
    expect(problemsOf(text).length).toBeGreaterThan(0);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('are the answer to any text, never an exception', () => {
    const piece = fc.constantFrom(
      ...[
        'users',
        'units',
        ': ',
        '\n',
        '  ',
        '{',
        '}',
        '[',
        ']',
        '&a ',
        '*a',
        '- ',
        '? ',
        '"',
        '|',
        '%',
        '5',
        '<<',
      ],
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 40 }), (pieces) => {
        const parsed = parsePolicy(HEAD + pieces.join(''), 'p.yaml');
        expect(parsed.ok || parsed.problems.length > 0).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

const root = join(import.meta.dirname, '../../..');

describe('templates', () => {
  const names = readdirSync(join(root, 'templates/policies'));

  it('are there for the workloads that need them', () => {
    expect(names.sort()).toEqual([
      'bastion.yaml',
      'ci-worker.yaml',
      'container-host.yaml',
      'database.yaml',
      'default.yaml',
      'jvm.yaml',
      'no-recorder.yaml',
      'recorder.yaml',
      'user-tasks-max.yaml',
    ]);
  });

  it.each(names)('%s is valid, called as its file, and valid by the published schema', async (name) => {
    const text = readFileSync(join(root, 'templates/policies', name), 'utf8');
    const parsed = parsePolicy(text, name);
    expect(parsed).toMatchObject({ ok: true, policy: { name: name.replace('.yaml', '') } });
    const schema = JSON.parse(readFileSync(join(root, 'docs/schema/policy.schema.json'), 'utf8'));
    const validate = new Ajv2020({ allowUnionTypes: true }).compile(schema);
    expect(validate(parse(text)), JSON.stringify(validate.errors)).toBe(true);
  });
});
