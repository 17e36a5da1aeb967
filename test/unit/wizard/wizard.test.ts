import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { planLine } from '../../../src/fleet/host-plan-file.ts';
import { parsePolicy } from '../../../src/plan/policy.ts';
import type { Question } from '../../../src/wizard/question.ts';
import { runCli } from '../cli/run-cli.ts';
import { BACK, CTRL_C, example, type exampleSnapshot, type Move, play } from './play.ts';

/** The steps without a terminal: every path, every way back, every way out. */

const dir = mkdtempSync(join(tmpdir(), 'tasksctl-wizard-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** Ways through to the end, what they do to the world, and the command they end with. */
const PATHS: readonly (readonly [
  name: string,
  moves: readonly string[],
  done: readonly string[],
  command: string | null,
])[] = [
  ['leaving at once', ['quit'], [], null],
  ['looking', ['look', 'local', 'all', 'quit'], ['read local'], 'status'],
  [
    'asking why',
    [
      'look',
      'ssh',
      'bob@web1',
      'explain',
      'ci-runner',
      'explain',
      'user-1000.slice',
      'status',
      'explain',
      'batch.slice',
      'quit',
    ],
    ['read bob@web1'],
    'status --target bob@web1 --explain batch.slice',
  ],
  [
    'a dry run by a template',
    ['workload', 'local', 'needs', 'template', 'jvm', 'review', 'dry-run'],
    ['read local', 'save'],
    'plan --policy jvm',
  ],
  [
    'a saved plan',
    ['fork', 'ssh', 'web1', 'needs', 'template', 'default', 'review', 'save', 'w'],
    ['read web1', 'save w.policy.yaml w.plan.json'],
    'plan --target web1 --policy w.policy.yaml --out w.plan.json',
  ],
  [
    'applying what a template says',
    ['fork', 'local', 'needs', 'template', 'default', 'review', 'apply'],
    ['read local', 'apply', 'save'],
    'apply --policy default --yes',
  ],
  [
    'applying what was measured',
    ['workload', 'local', 'needs', 'duration', '60', 'review', 'apply', 'w'],
    ['read local', 'measure local 60000', 'read local', 'apply', 'save w.profile.json'],
    'apply --policy default --profile w.profile.json --yes',
  ],
  [
    'a dry run by a profile',
    ['look', 'local', 'needs', 'profile', 'web.json', 'review', 'dry-run'],
    ['read local', 'load web.json', 'save'],
    'plan --policy default --profile web.json',
  ],
  [
    'adjusting, undoing, and another template',
    [
      ...['fork', 'local', 'needs', 'template', 'default', 'adjust 0', '700', 'unit', 'api', '50%', 'reset'],
      ...['template', 'jvm', 'adjust 0', '800', 'review', 'apply', '-w'],
    ],
    ['read local', 'apply', 'save ./-w.policy.yaml'],
    'apply --policy ./-w.policy.yaml --yes',
  ],
  [
    'looking at a fleet, and at one host of it',
    ['fork', 'inventory', 'hosts.ini', 'all', 'one-host', 'db1', 'explain', 'batch.slice', 'quit'],
    ['openInventory hosts.ini', 'readFleet web1 web2 db1 db2'],
    'status --target db1:2222 --explain batch.slice',
  ],
  [
    'leaving a fleet as it is',
    ['look', 'inventory', 'hosts.ini', 'of db', 'quit'],
    ['openInventory hosts.ini', 'readFleet db1 db2'],
    'status -i hosts.ini --limit db',
  ],
  [
    'a saved plan of a fleet',
    [
      ...['workload', 'inventory', 'hosts.ini', 'pattern', 'all:!db2', 'needs', 'template', 'default'],
      ...[
        'adjust 0',
        '700',
        'unit',
        'api',
        '600',
        'reset',
        'template',
        'jvm',
        'adjust 0',
        '800',
        'review',
        'save',
        'w',
      ],
    ],
    [
      ...['openInventory hosts.ini', 'readFleet web1 web2 db1', 'planFleet 3', 'planFleet 3', 'planFleet 3'],
      ...['planFleet 3', 'planFleet 3', 'planFleet 3', 'save w.policy.yaml w.plan.ndjson'],
    ],
    'plan -i hosts.ini --limit all:!db2 --policy w.policy.yaml --out w.plan.ndjson',
  ],
  [
    'a rollout as it is proposed',
    ['fork', 'inventory', 'hosts.ini', 'of web', 'needs', 'template', 'default', 'review', 'rollout', 'go'],
    ['openInventory hosts.ini', 'readFleet web1 web2', 'planFleet 2', 'rollOut web1 web2', 'save'],
    'rollout -i hosts.ini --limit web --policy default --waves 1,10%,50%,100% --yes',
  ],
  [
    'a rollout of what was measured, with every choice of its own',
    [
      ...['look', 'inventory', 'hosts.ini', 'of web', 'needs', 'duration', '30', 'review', 'rollout'],
      ...[
        'waves',
        '1,100%',
        'max-fail',
        '5%',
        'pause',
        'bake',
        '5m',
        'on-failure',
        'rollback-wave',
        'go',
        'w',
      ],
    ],
    [
      ...['openInventory hosts.ini', 'readFleet web1 web2', 'measure admin@web1 admin@web2 30000'],
      ...['readFleet web1 web2', 'planFleet 2', 'rollOut web1 web2', 'save w.profile.json'],
    ],
    'rollout -i hosts.ini --limit web --policy default --profile w.profile.json --waves 1,100% --max-fail 5% --bake 5m --pause --on-failure rollback-wave --yes',
  ],
];

describe.each(PATHS)('%s', (_name, moves, done, command) => {
  it('ends with the command that does the same', async () => {
    const played = await play(moves);
    expect(played.asked).toHaveLength(moves.length);
    expect(played.done).toEqual(done);
    const words = command === null ? null : `tasksctl ${command}`;
    expect(played.end).toMatchObject({ kind: 'done', code: 0 });
    expect(played.end.kind === 'done' ? (played.end.command?.join(' ') ?? null) : '').toBe(words);
  });

  it('can be left at every question, and nothing is changed or written', async () => {
    for (let at = 0; at < moves.length; at++) {
      const played = await play([...moves.slice(0, at), CTRL_C]);
      expect(played.end).toEqual({ kind: 'cancelled' });
      expect(played.done.filter((what) => /^(?:apply|rollOut|save)/.test(what))).toEqual([]);
    }
  });

  it('can be taken back at every question, to the same end', async () => {
    const straight = await play(moves);
    for (let at = 1; at < moves.length; at++) {
      // After a menu that was come back to, the way back is the one from the menu.
      const before = straight.asked[at - 1];
      const back = await play([...moves.slice(0, at), BACK, CTRL_C]);
      const came = back.asked.at(-1);
      expect(straight.asked.slice(0, at).map(({ message }) => message)).toContain(came?.message);
      if (came?.message !== before?.message) continue;
      const again = await play([...moves.slice(0, at), BACK, ...moves.slice(at - 1)]);
      expect(again.end).toEqual(straight.end);
      expect(again.saved).toEqual(straight.saved);
    }
  });
});

const TEXTS: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^Hosts done/, ['1,50%', '2']],
  [/^Hosts, by/, ['web', 'all:!db', 'db*']],
  [/^Host/, ['web1', 'bob@[::1]:22']],
  [/^Inventory/, ['hosts.ini']],
  [/^Which host/, ['web1', 'db1']],
  [/failed hosts/, ['0', '10%']],
  [/unit/, ['api', 'user-1000.slice', 'batch.slice']],
  [/^Profile/, ['web.json']],
  [/^Limit/, ['512', '50%', 'infinity', '70000']],
  [/^Save/, ['w']],
];

describe('any way through', () => {
  const evil = (): ReturnType<typeof exampleSnapshot> => {
    const text = readFileSync(example, 'utf8')
      .replaceAll('ci-runner', 'ci\\u001b[2Jrun\\u202e')
      .replaceAll('alice', 'al\\u009bice');
    return JSON.parse(text) as ReturnType<typeof exampleSnapshot>;
  };

  // Seconds on an idle machine, a minute on a busy one.
  it('leads somewhere, shows no control character, and only applies and writes when told to', {
    timeout: 180_000,
  }, async () => {
    const snapshot = evil();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(99), { minLength: 40, maxLength: 40 }),
        fc.boolean(),
        async (dice, saved) => {
          let at = 0;
          const chosen: string[] = [];
          const roll = (question: Question): Move => {
            const die = dice[at++];
            if (die === undefined) return CTRL_C;
            if (die > 92) return BACK;
            const values =
              question.kind === 'choice'
                ? question.choices.map(({ value }) => value)
                : (TEXTS.find(([message]) => message.test(question.message))?.[1] ?? []).filter(
                    (text) => question.check(text).ok,
                  );
            const value = values[die % values.length] ?? BACK;
            if (typeof value === 'string') chosen.push(value);
            return value;
          };
          const { end, shown, asked, done } = await play(roll, {
            snapshot,
            saved,
            given: saved ? { kind: 'host', target: 'x' } : null,
          });
          const texts = asked.flatMap((question) => [
            question.message,
            ...(question.kind === 'choice'
              ? question.choices.flatMap(({ name, about }) => [name, about ?? ''])
              : []),
          ]);
          for (const text of [...shown, ...texts])
            expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
          if (end.kind === 'cancelled') expect(done.join()).not.toMatch(/apply|rollOut|save/);
          if (!chosen.includes('apply')) expect(done).not.toContain('apply');
          if (!chosen.includes('go')) expect(done.join()).not.toContain('rollOut');
          if (saved) expect(done.join()).not.toMatch(/apply|rollOut|measure/);
        },
      ),
      { numRuns: 80 },
    );
  });
});

describe('work that fails', () => {
  it.each([
    ['read', ['fork', 'ssh', 'web1'], 'Host, as for ssh:'],
    ['load', ['fork', 'local', 'needs', 'profile', 'web.json'], 'Profile file:'],
    ['measure', ['fork', 'local', 'needs', 'duration', '30'], 'Measure for how long?'],
    [
      'apply',
      ['fork', 'local', 'needs', 'template', 'jvm', 'review', 'apply'],
      'What is to be done with this plan?',
    ],
    ['openInventory', ['fork', 'inventory', 'hosts.ini'], 'Inventory:'],
    ['readFleet', ['fork', 'inventory', 'hosts.ini', 'all'], 'Which hosts?'],
    ['planFleet', ['fork', 'inventory', 'hosts.ini', 'all', 'needs', 'template', 'jvm'], 'Which template?'],
    [
      'rollOut',
      [...['fork', 'inventory', 'hosts.ini', 'all', 'needs', 'template', 'jvm', 'review', 'rollout'], 'go'],
      'How is it to go?',
    ],
    ['save', ['fork', 'local', 'needs', 'template', 'jvm', 'review', 'save', 'w'], 'Save under which name?'],
  ] as const)('%s: asks again what led to it', async (what, moves, message) => {
    const failed = await play(moves, { failing: { [what]: 'failed' } });
    expect(failed.asked).toHaveLength(moves.length + 1);
    expect(failed.asked.at(-1)?.message).toBe(message);
    const interrupted = await play(moves, { failing: { [what]: 'interrupted' } });
    expect(interrupted.asked).toHaveLength(moves.length);
    expect(interrupted.end).toEqual({ kind: 'cancelled' });
  });
});

describe('a fleet', () => {
  const fleet = ['fork', 'inventory', 'hosts.ini', 'all'];
  const values = [...fleet, 'needs', 'template', 'default'];

  it('shows each host by its tightest limit, what rejected forks, and who does not answer', async () => {
    const { shown } = await play(fleet);
    const screen = shown.at(-1) ?? '';
    expect(screen).toMatch(/^web1 +\[#+\.\] +96% .* user-1000\.slice$/m);
    expect(screen).toContain('1 host could not be read:\n  db2: It does not answer.');
    expect(screen).toContain('web2: ci-runner.service ');
  });

  it('shows what hosts have in common once, and judges a value on those that use most', async () => {
    const { shown, asked } = await play([...values, 'adjust 0']);
    expect(shown.at(-1)).toMatch(/ci-runner\.service\n {2}128 -> 320 on 3 hosts: web1, web2, db1\n/);
    const question = asked.at(-1);
    if (question?.kind !== 'text') throw new Error('nothing is typed here');
    const checked = question.check('700');
    expect(checked.ok && checked.note).toMatch(/^On web1: 256 -> 700\.\nHeadroom 444/);
    expect(checked.ok && checked.note).toContain('Capacity: ');
  });

  it('says what a rollout does before it asks', async () => {
    const { shown } = await play([...values, 'review', 'rollout', 'pause']);
    const screen = (shown.at(-1) ?? '').replaceAll('\n', ' ');
    expect(screen).toMatch(/^\d waves: 1 \(web1\), then 1/);
    expect(screen).toContain('Then you are asked whether to go on.');
    // It is more than what is put up with.
    expect(screen).toContain('1 host could not be planned');
  });

  it('is planned to the same lines by the command at the end', async () => {
    const { saved, planned } = await play([...values, 'review', 'save', 'w']);
    const text = saved.find(({ path }) => path === 'w.plan.ndjson')?.text ?? '';
    expect(text.split('\n')[0]).toContain('"hosts":["web1","web2","db1","db2"]');
    expect(text.replace(/^.*\n/, '')).toBe(planned.map(planLine).join(''));
    expect(planned.map(({ name, plan }) => [name, plan.target])).toEqual([
      ['web1', 'admin@web1'],
      ['web2', 'admin@web2'],
      ['db1', 'db1:2222'],
    ]);
  });
});

describe('what is typed', () => {
  const problem = async (moves: readonly string[], text: string): Promise<string | null> => {
    const { asked } = await play(moves);
    const question = asked.at(-1);
    if (question?.kind !== 'text') throw new Error('nothing is typed here');
    const checked = question.check(text);
    return checked.ok ? null : checked.problem;
  };
  const values = ['fork', 'local', 'needs', 'template', 'default'];
  const fleet = ['fork', 'inventory', 'hosts.ini'];
  const fleetValues = [...fleet, 'all', 'needs', 'template', 'default'];
  const rollout = [...fleetValues, 'review', 'rollout'];

  it.each([
    ['a host', ['fork', 'ssh'], 'web 1\x1b', /has a character no host name has/],
    ['a unit', ['fork', 'local', 'explain'], 'ci-runer', /did you mean ci-runner.service/],
    ['a file', ['fork', 'local', 'needs', 'profile'], 'none', /There is no file none/],
    ['a directory for a file', ['fork', 'local', 'needs', 'profile'], '.', /is a directory/],
    ['a limit', [...values, 'adjust 0'], 'many', /must be a number of tasks/],
    ['a limit below use', [...values, 'adjust 0'], '100', /256 tasks were in use/],
    ['an inventory', ['fork', 'inventory'], 'none', /No such inventory/],
    ['a pattern', [...fleet, 'pattern'], 'webb', /did you mean web\?$/],
    [
      'a host of a fleet',
      [...fleet, 'all', 'one-host'],
      'web3',
      /No host web3 was read; did you mean web1\?/,
    ],
    [
      'a limit below the use of any host',
      [...fleetValues, 'adjust 0'],
      '100',
      /^web1: .*256 tasks were in use/,
    ],
    ['a limit of a fleet', [...fleetValues, 'adjust 0'], 'many', /must be a number of tasks/],
    ['waves', [...rollout, 'waves'], '1,ten', /Counts or shares/],
    ['failed hosts', [...rollout, 'max-fail'], 'some', /A count such as/],
    ['a name of files', [...values, 'review', 'save'], 'no/where/x', /There is no directory no\/where/],
  ])('%s is judged before it is taken', async (_what, moves, text, message) => {
    const found = await problem(moves, text);
    expect(found).toMatch(message);
    expect(found).not.toContain('\x1b');
    expect(await problem(moves, '')).not.toBeNull();
  });

  it('does not overwrite a file', async () => {
    const fileAt = (path: string) => (path === 'w.plan.json' ? 'file' : path === '.' ? 'directory' : 'none');
    const { asked } = await play([...values, 'review', 'save'], { fileAt });
    const question = asked.at(-1);
    expect(question?.kind === 'text' && question.check('w')).toEqual({
      ok: false,
      problem: 'w.plan.json is there already',
    });
  });

  it('shows the room a limit leaves, and what it takes of the kernel', async () => {
    const { asked } = await play([...values, 'adjust 0']);
    const question = asked.at(-1);
    const note = question?.kind === 'text' ? question.check('1000') : null;
    expect(note).toMatchObject({ ok: true, note: expect.stringContaining('Headroom 744 (291%)') });
    expect(note).toMatchObject({ note: expect.stringContaining('2000 of the 192730 tasks') });
  });
});

describe('the policy of an adjusted plan', () => {
  it('keeps the rest of the template, and fixes what was adjusted', async () => {
    const { saved } = await play([
      ...['fork', 'local', 'needs', 'template', 'default', 'adjust 0', '700'],
      ...['unit', 'api', '50%', 'review', 'dry-run', 'w'],
    ]);
    const [{ text } = { text: '' }] = saved;
    expect(text).toMatch(/^schema: tasksctl\/policy\/1\nname: default-adjusted\n/);
    const parsed = parsePolicy(text, 'w.policy.yaml');
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    expect(parsed.policy.userDefault?.value).toEqual({ kind: 'count', count: 700n });
    expect(parsed.policy.exactUnits.get('api.service')?.value?.kind).toBe('fraction');
    expect(parsed.policy.unitPatterns.map(({ pattern }) => pattern)).toEqual(['*.service']);
  });
});

describe('the command', () => {
  it.each([
    ['a template', ['template', 'jvm', 'review', 'save']],
    ['adjustments', ['template', 'default', 'adjust 0', '700', 'unit', 'api', '50%', 'review', 'save']],
    ['a profile', ['profile', 'web.json', 'adjust 1', '1000', 'review', 'save']],
  ])('makes the same plan byte for byte: %s', async (name, moves) => {
    const stem = join(dir, name.replace(' ', '-'));
    const profile = join(dir, 'web.json');
    const source = ['--snapshot', example];
    const played = await play(
      ['fork', 'needs', ...moves.map((move) => (move === 'web.json' ? profile : move)), stem],
      {
        given: { kind: 'host', target: example },
        saved: true,
        source: () => source,
        fileAt: (path) => (path === dir ? 'directory' : path === profile ? 'file' : 'none'),
      },
    );
    for (const { path, text } of played.saved) writeFileSync(path, text);
    const plan = readFileSync(`${stem}.plan.json`);
    if (name === 'a profile') {
      const measured = await play(['fork', 'local', 'needs', 'duration', '60', 'review', 'dry-run', 'w']);
      writeFileSync(profile, measured.saved[0]?.text ?? '');
    }
    const command = played.end.kind === 'done' ? played.end.command : null;
    const run = await runCli(command?.slice(1) ?? []);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(`${stem}.plan.json`).equals(plan)).toBe(true);
  });
});
