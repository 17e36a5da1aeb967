import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { containersUnavailable, type LabHost, startContainer } from '../lab/lab.ts';
import { Terminal } from '../terminal.ts';
import { Program, pidsMax } from './program.ts';

/** The wizard as an operator meets it: the bundled program in a terminal (tmux), with a real host over a real sshd. */

let program: Program;
let host: LabHost;
let config: string;

let terminal: Terminal | null = null;
let runs = 0;
/** Where the wizard that runs was started, and what it has written there. */
let cwd = '';
const written = (): string[] => readdirSync(cwd).filter((name) => !/^(?:tmux\.conf|status)$/.test(name));

function start(argv: readonly string[], size = { columns: 80, rows: 24 }): Terminal {
  cwd = join(program.dir, `cwd-${runs++}`);
  mkdirSync(cwd);
  terminal = new Terminal([program.file, 'wizard', '--ssh-config', config, ...argv], cwd, size);
  return terminal;
}

describe.skipIf(containersUnavailable() !== null)('the wizard', () => {
  beforeAll(async () => {
    program = Program.build();
    host = await startContainer({ suite: 'bookworm' });
    config = program.sshConfig({ lab: host });
    await host.writeFiles({
      '/usr/local/bin/crowd':
        '#!/usr/bin/perl\nfor (1..30) { my $pid = fork; if (defined $pid && $pid == 0) { sleep; exit } }\nsleep;\n',
      '/etc/systemd/system/crowd.service': '[Service]\nTasksMax=20\nExecStart=/usr/local/bin/crowd\n',
    });
    await host.exec('systemctl daemon-reload && systemctl start crowd.service && loginctl enable-linger bob');
    // Peaks are in the plan; reading a host makes some of them. From here on no reading of it makes a new one.
    const read = () => program.run('plan', '--ssh-config', config, '-t', 'bob@lab');
    await Promise.all([read(), read(), read()]);
  });
  afterAll(async () => {
    await host?.stop();
    program?.remove();
  });
  afterEach(() => {
    terminal?.close();
    terminal = null;
  });

  it.each([
    { columns: 80, rows: 24 },
    { columns: 120, rows: 40 },
  ])('$columns x $rows: adjusts, saves, and prints a command that makes the same plan', async (size) => {
    const screen = start([], size);
    await screen.take(/What brings you here/, 'A new workload');
    await screen.take(/Which host/, 'Another one');
    await screen.sees(/Host, as for ssh/);
    screen.keys('-l', 'bob@lab:x');
    await screen.sees(/the port is not a number/);
    // It does not take what is wrong.
    screen.keys('Enter');
    await screen.type(/Host, as for ssh/, 'bob@lab');
    await screen.skip(/What next/);
    expect(screen.text()).toMatch(/crowd\.service +█+ 100% +20/);
    await screen.take(/What next/, 'What the limits should be');
    await screen.take(/go by/, 'A workload template');
    // Another size in mid-question, and on with it.
    await screen.sees(/Which template/);
    screen.resize(size.columns === 80 ? 120 : 80, size.columns === 80 ? 40 : 24);
    await screen.take(/Which template/, 'default');
    await screen.skip(/What next/);
    await screen.take(/What next/, 'Adjust crowd.service');
    await screen.sees(/Limit for crowd\.service/);
    screen.resize(size.columns, size.rows);
    screen.keys('C-u', '7');
    await screen.sees(/7 is too low, 20 tasks were in use/);
    await screen.type(/Limit for crowd\.service/, '77');
    await screen.skip(/What next/);
    expect(screen.text()).toContain('Headroom 57 (285%) above the 20 that crowd.service used');
    await screen.take(/What next/, 'Go on with these');
    await screen.skip(/What is to be done/);
    expect(screen.text()).toContain('+TasksMax=77');
    // Back to the limits, and on again.
    await screen.take(/What is to be done/, 'Back');
    await screen.skip(/What next/);
    await screen.take(/What next/, 'Go on with these');
    await screen.skip(/What is to be done/);
    await screen.take(/What is to be done/, 'Save the plan');
    await screen.type(/Save under which name/, 'w');
    expect(await screen.ended()).toBe('0');
    expect(written()).toEqual(['w.plan.json', 'w.policy.yaml']);

    const command = /^tasksctl .*$/m.exec(screen.text())?.[0] ?? '';
    expect(command).toBe(
      `tasksctl plan --target bob@lab --ssh-config ${config} --policy w.policy.yaml --out w.plan.json`,
    );
    const plan = readFileSync(join(cwd, 'w.plan.json'), 'utf8');
    expect(plan).toContain('"text": "77"');
    execFileSync('sh', ['-c', command.replace('tasksctl', program.file)], { cwd });
    expect(readFileSync(join(cwd, 'w.plan.json'), 'utf8')).toBe(plan);
  });

  it('can be left by Ctrl-C at each question, with nothing changed or written', async () => {
    const before = await pidsMax(host, 'crowd.service');
    const steps: readonly ((screen: Terminal) => Promise<void>)[] = [
      (screen) => screen.take(/What brings you here/, 'Fork fails'),
      (screen) => screen.take(/Which host/, 'Another one'),
      (screen) => screen.type(/Host, as for ssh/, 'bob@lab'),
      (screen) => screen.take(/Lines 1 to/, 'All the rest'),
      (screen) => screen.take(/What next/, 'What the limits should be'),
      (screen) => screen.take(/go by/, 'A workload template'),
      (screen) => screen.take(/Which template/, 'default'),
      async (screen) => {
        await screen.skip(/What next/);
        await screen.take(/What next/, 'Adjust crowd.service');
      },
      (screen) => screen.type(/Limit for crowd\.service/, '99'),
      async (screen) => {
        await screen.skip(/What next/);
        await screen.take(/What next/, 'Go on with these');
      },
      async (screen) => {
        await screen.skip(/What is to be done/);
        await screen.take(/What is to be done/, 'Apply it');
      },
      (screen) => screen.type(/Save under which name/, 'w'),
    ];
    const questions = [
      ...[
        /What brings/,
        /Which host/,
        /Host, as for ssh/,
        /Lines 1 to/,
        /What next/,
        /go by/,
        /Which template/,
      ],
      ...[
        /Lines 1 to|What next/,
        /Limit for/,
        /Lines 1 to|What next/,
        /Lines 1 to|What is to be/,
        /Save under/,
      ],
    ];
    for (const [at, question] of questions.entries()) {
      const screen = start([]);
      for (const step of steps.slice(0, at)) await step(screen);
      await screen.sees(question);
      screen.keys('C-c');
      expect([at, await screen.ended()]).toEqual([at, '130']);
      expect(written()).toEqual([]);
      screen.close();
    }
    // The question of apply itself, after which files would be written.
    const screen = start([]);
    for (const step of steps) await step(screen);
    await screen.shows(/Apply this to bob@lab\? \[y\/N\]/);
    screen.keys('C-c');
    expect(await screen.ended()).toBe('130');
    expect(written()).toEqual([]);
    expect(await pidsMax(host, 'crowd.service')).toBe(before);
  });

  it('can be left by Ctrl-C while it measures', async () => {
    const screen = start(['-t', 'bob@lab']);
    await screen.take(/What brings you here/, 'Look');
    await screen.skip(/What next/);
    await screen.take(/What next/, 'What the limits should be');
    await screen.take(/go by/, 'Measure now');
    await screen.take(/Measure for how long/, '1 hour');
    await screen.shows(/bob@lab: \d+ samples of \d+ units, .* left \(Ctrl-C leaves\)/);
    screen.keys('C-c');
    expect(await screen.ended()).toBe('130');
    expect(written()).toEqual([]);
  });

  it('measures, applies once it is told to, and prints the command for it', async () => {
    const screen = start(['-t', 'bob@lab']);
    await screen.take(/What brings you here/, 'Look');
    await screen.skip(/What next/);
    await screen.take(/What next/, 'What the limits should be');
    await screen.take(/go by/, 'Measure now');
    await screen.take(/Measure for how long/, '30 seconds');
    await screen.skip(/What next/);
    expect(screen.text()).toMatch(/By policy default, from \d+ s on 1 host/);
    expect(screen.text()).toMatch(/crowd\.service: 20 -> \d+/);
    await screen.take(/What next/, 'Go on with these');
    await screen.skip(/What is to be done/);
    await screen.take(/What is to be done/, 'Apply it to bob@lab');
    await screen.type(/Save under which name/, 'm');
    await screen.shows(/Apply this to bob@lab\? \[y\/N\]/);
    screen.keys('y', 'Enter');
    expect(await screen.ended()).toBe('0');
    expect(screen.text()).toContain('Applied');
    expect(Number(await pidsMax(host, 'crowd.service'))).toBeGreaterThan(20);
    expect(written()).toEqual(['m.profile.json']);
    expect(screen.text()).toContain(
      `tasksctl apply --target bob@lab --ssh-config ${config} --policy default --profile m.profile.json --yes`,
    );
    await program.run('rollback', '--yes', '--ssh-config', config, '-t', 'bob@lab');
  });

  it('--plain asks by numbers', async () => {
    const screen = start(['--plain', '-t', 'bob@lab']);
    await screen.shows(/1\. Fork fails/);
    screen.keys('3', 'Enter');
    await screen.shows(/\[###\.\]|100%/);
    await screen.shows(/4\. Leave/);
    screen.keys('4', 'Enter');
    expect(await screen.ended()).toBe('0');
    expect(screen.text()).toContain(`tasksctl status --target bob@lab --ssh-config ${config}`);
  });
});
