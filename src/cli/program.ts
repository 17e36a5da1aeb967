import { Command, CommanderError, Help, Option, type OutputConfiguration } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import type { ApplyCommandOptions } from './apply.ts';
import type { BacktestOptions } from './backtest.ts';
import type { Console } from './console.ts';
import type { DiagnoseOptions } from './diagnose.ts';
import { EXIT, FAILURE_EXIT } from './exit-code.ts';
import type { Failure, Outcome } from './failure.ts';
import type { LintOptions } from './lint.ts';
import type { MeasureOptions } from './measure.ts';
import {
  addColorOptions,
  addConnectionOptions,
  addFleetOptions,
  addHostOptions,
  addHostsOptions,
  addOutputOptions,
  addShownOptions,
  addSourceOptions,
  amount,
  amounts,
  collect,
  duration,
  groupMaximum,
  HOST_OPTIONS,
  type OutputOptions,
  percentage,
  positiveSeconds,
  processId,
  unitLimit,
  userName,
} from './options.ts';
import type { PlanOptions } from './plan.ts';
import type { RecommendOptions } from './recommend.ts';
import type { ReportOptions } from './report.ts';
import type { RollbackOptions } from './rollback.ts';
import type { RolloutOptions } from './rollout.ts';
import type { RunsOptions } from './runs.ts';
import type { SnapshotOptions } from './snapshot.ts';
import type { StatusOptions } from './status.ts';
import { type Io, write } from './terminal.ts';
import type { TraceOptions } from './trace.ts';
import type { VerifyOptions } from './verify.ts';
import type { WizardOptions } from './wizard.ts';

/** Carries out one command and keeps what it comes to. */
type Run = <O extends OutputOptions>(
  options: O,
  command: (console: Console, options: O) => Promise<Outcome>,
) => Promise<void>;

/**
 * Runs a command line and gives the exit code. What the commands need is loaded when one is run, so that `--version`
 * and `--help` are quick.
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  let code: number = EXIT.done;
  const openConsole = async (options: OutputOptions): Promise<Console> => {
    const { Console } = await import('./console.ts');
    return new Console(io, options);
  };
  const fail = async (failure: Failure, options: OutputOptions) => {
    // Whatever an interrupted command stumbled over, the interruption is why.
    const told: Failure = io.signal.aborted ? { kind: 'aborted', message: 'Interrupted.' } : failure;
    await (await openConsole(options)).failure(told);
    code = FAILURE_EXIT[told.kind];
  };
  const run: Run = async (options, command) => {
    try {
      const outcome = await command(await openConsole(options), options);
      if (outcome.kind === 'exit') code = outcome.code;
      else await fail(outcome.failure, options);
    } catch (error) {
      await fail(fault(error), options);
    }
  };

  let help = '';
  const program = createProgram(run, {
    writeOut: (text) => {
      help += text;
    },
    writeErr: (text) => {
      help += text;
    },
    // Usage errors are told like all others, below.
    outputError: () => {},
    getOutHelpWidth: () => io.stdout.columns ?? 80,
    getErrHelpWidth: () => io.stderr.columns ?? 80,
  });
  try {
    // Left out where nobody can be asked.
    const words =
      argv.length === 0 && (await (await import('./ask-yes.ts')).offerWizard(io)) ? ['wizard'] : argv;
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) {
      await write(io.stdout, help);
    } else if (error.code === 'commander.help') {
      await write(io.stderr, help);
      code = FAILURE_EXIT.usage;
    } else {
      await fail(usageError(error), earlyOptions(argv));
    }
  }
  return code;
}

/** As commander has it, but that an option which may be repeated says nothing of the empty list it starts with. */
function optionDescription(option: Option): string {
  const { defaultValue } = option;
  const isList = Array.isArray(defaultValue);
  return new Help().optionDescription(
    isList ? Object.assign(Object.create(option), { defaultValue: undefined }) : option,
  );
}

function createProgram(run: Run, output: OutputConfiguration): Command {
  const program = new Command('tasksctl')
    // Before the commands are made: each takes these over when it is.
    .configureOutput(output)
    .configureHelp({ optionDescription })
    .exitOverride()
    .description(
      'Reads, explains, plans and changes the task limits of Linux hosts: TasksMax=, UserTasksMax=, DefaultTasksMax=, pids cgroups and the kernel ceilings above them. Only apply, rollout and rollback write to a host.',
    )
    .version(packageJson.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help on a command')
    .addHelpText(
      'after',
      `
Examples:
  tasksctl status                    who is near a limit on this machine
  tasksctl status --explain user-1000.slice
  tasksctl plan -t admin@web1        what to change there, and what it takes
  tasksctl apply -t admin@web1       change it, and prove that it is in force
  tasksctl COMMAND --help            options and examples of a command

Exit codes: 0 done, 1 error, 2 changes pending (plan --detailed-exitcode),
3 some hosts failed, 4 refused for safety, 130 interrupted.`,
    );
  defineWizard(program, run);
  defineStatus(program, run);
  defineDiagnose(program, run);
  defineTrace(program, run);
  definePlan(program, run);
  defineApply(program, run);
  defineRollout(program, run);
  defineRollback(program, run);
  defineRuns(program, run);
  defineVerify(program, run);
  defineMeasure(program, run);
  defineRecommend(program, run);
  defineBacktest(program, run);
  defineReport(program, run);
  defineLint(program, run);
  defineSnapshot(program, run);
  return program;
}

function defineWizard(program: Command, run: Run): void {
  const command = program
    .command('wizard')
    .summary('asks step by step, and ends with the command that does the same')
    .description(
      'Reads a host or those of an inventory, shows who is near a limit, measures or takes a template, recommends limits with their reasons, shows the plan, and applies it or rolls it out in waves if you say so. Back is always there, Ctrl-C leaves, and what was chosen is printed as a command at the end.',
    )
    .option('--plain', 'numbered questions on plain lines, for screen readers');
  addColorOptions(addFleetOptions(addSourceOptions(command)))
    .addHelpText(
      'after',
      `
Exit codes: 0 done, 130 left by Ctrl-C, 1 without a terminal; after applying
those of apply, after a rollout those of rollout.

Examples:
  tasksctl wizard                          asks for the host, too
  tasksctl wizard -t admin@web1
  tasksctl wizard -i hosts.ini --limit web
  tasksctl wizard --snapshot web1.json     what would be done there
  tasksctl wizard --plain`,
    )
    .action((options: Omit<WizardOptions, 'targetGiven'>) => {
      const targetGiven = command.getOptionValueSource('target') === 'cli';
      return run({ ...options, targetGiven }, async (...args) =>
        (await import('./wizard.ts')).wizard(...args),
      );
    });
}

function defineStatus(program: Command, run: Run): void {
  const command = program
    .command('status')
    .summary('show every task limit, what binds and how much is used')
    .description(
      'Shows slices, services and scopes with their tasks, peak, effective limit, rejected forks and what binds them; least headroom first.',
    )
    .option(
      '-u, --unit <glob>',
      "only units of this name, such as 'user-*.slice'; may be repeated",
      collect,
      [],
    )
    .option('--over <percent>', 'only units that use at least this much of their tightest limit', percentage)
    .option('-a, --all', 'inactive units and unlimited cgroups below units, too')
    .option('--tree', 'as the tree of slices')
    .addOption(
      new Option(
        '-e, --explain <unit>',
        'all about the limit of one unit: every assignment, and what wins',
      ).conflicts(['unit', 'over', 'all', 'tree']),
    );
  addShownOptions(addFleetOptions(addSourceOptions(command)))
    .addHelpText(
      'after',
      `
Examples:
  tasksctl status                               this machine
  tasksctl status -t admin@web1 --over 80%      what is nearly full on web1
  tasksctl status --tree --unit 'user*'         users, and the slices above them
  tasksctl status --explain user-1000.slice     why the limit is what it is
  tasksctl status --snapshot web1.json --json   a saved snapshot, for programs
  tasksctl status -i hosts.ini --forks 50       a line for each host`,
    )
    .action((options: StatusOptions) =>
      run(options, async (...args) => (await import('./status.ts')).status(...args)),
    );
}

function defineDiagnose(program: Command, run: Run): void {
  const command = program
    .command('diagnose')
    .summary('say which limit rejected a fork, and what to do about it')
    .description(
      'Looks for what made fork fail: the counters of the pids controller from the bottom to the top, the kernel log, RLIMIT_NPROC against the tasks of each user, threads-max, pid_max, pid namespaces and memory. Names the limit with its file and line, and the command that plans a higher one. Changes nothing.',
    )
    .addOption(
      new Option('-u, --unit <unit>', 'only what can stop this unit or cgroup').conflicts(['user', 'pid']),
    )
    .addOption(
      new Option('--user <name>', 'only what can stop this user, by name or uid')
        .argParser(userName)
        .conflicts(['unit', 'pid']),
    )
    .addOption(
      new Option('--pid <pid>', 'only what can stop this process')
        .argParser(processId)
        .conflicts(['unit', 'user']),
    )
    .addOption(
      new Option(
        '--directory <dir>',
        'what was collected on a host: an unpacked sosreport or supportconfig, or logs',
      ).conflicts([...HOST_OPTIONS, 'snapshot', 'pid']),
    );
  addShownOptions(addFleetOptions(addSourceOptions(command)))
    .addHelpText(
      'after',
      `
Exit codes: 0 whatever is found, 1 an error.

Examples:
  tasksctl diagnose                        why did fork fail on this machine?
  tasksctl diagnose -t admin@web1 --unit postgresql
  tasksctl diagnose -t web1 --user alice
  tasksctl diagnose --snapshot web1.json --json
  tasksctl diagnose --directory sosreport-web1-2026-11-22-abcdefg`,
    )
    .action((options: DiagnoseOptions) =>
      run(options, async (...args) => (await import('./diagnose.ts')).diagnose(...args)),
    );
}

function defineTrace(program: Command, run: Run): void {
  const command = program
    .command('trace')
    .summary('watch for forks that fail, and say which check refused each')
    .description(
      "Sets return probes on the kernel's fork path by tracefs, for a while, and shows each fork that fails: time, process, user, cgroup, error, and which check refused it. Needs root on the host. The probes are removed at the end, on Ctrl-C, and when the connection is lost; they have a tracing instance of their own, so nobody else's tracing is disturbed.",
    )
    .option('-d, --duration <time>', 'how long: 30s, 5m, 1h', duration, 30_000);
  addOutputOptions(addHostOptions(command))
    .addHelpText(
      'after',
      `
Examples:
  tasksctl trace                           this machine, for 30 s
  tasksctl trace -t admin@web1 -d 10m
  tasksctl trace -t web1 --json`,
    )
    .action((options: TraceOptions) =>
      run(options, async (...args) => (await import('./trace.ts')).trace(...args)),
    );
}

function definePlan(program: Command, run: Run): void {
  const command = program
    .command('plan')
    .summary('show what a policy would change, why, and what it takes')
    .description(
      'Compares a host with a policy and shows the changes to make: from what to what and why, the differences of the files, when the kernel enforces it and for whom. Nothing is written to the host.',
    )
    .option(
      '-p, --policy <policy>',
      "a policy file ('-': standard input), or the name of a template",
      'default',
    )
    .option('--profile <file>', 'plan by what was measured there, too; may be repeated', collect, [])
    .option('-o, --out <file>', 'save the plan, to review and apply it later')
    .option('--detailed-exitcode', 'exit 0: no change, 2: changes pending, 4: something was refused')
    .option('--no-diff', 'leave out the differences of the files')
    .option('-v, --verbose', 'every limit that stays as it is, and notes');
  addShownOptions(addFleetOptions(addSourceOptions(command)))
    .addHelpText(
      'after',
      `
Templates are the files in templates/policies/; a file of such a name is ./NAME

Examples:
  tasksctl plan                          this machine, by the default policy
  tasksctl plan -t web1 --policy web.yaml --out plan.json
  tasksctl plan --snapshot web1.json --detailed-exitcode
  tasksctl plan -i hosts.ini --limit 'web:!db'    hosts with the same plan once`,
    )
    .action((options: Omit<PlanOptions, 'policyGiven'>) =>
      run({ ...options, policyGiven: isGiven(command, 'policy') }, async (...args) =>
        (await import('./plan.ts')).plan(...args),
      ),
    );
}

function defineApply(program: Command, run: Run): void {
  const command = program
    .command('apply')
    .summary('carry out a plan, prove that it is in force, or restore the host')
    .description(
      'Carries out a saved plan, or makes one by a policy, shows it and asks. On the host it is one transaction: checked, backed up, written, activated, read back from the kernel; if anything is off, the old state comes back. Where a change could lock people out, the host restores itself unless a new login proves that it did not.',
    )
    .argument('[plan]', "a plan saved by tasksctl plan --out; '-': standard input")
    .option(
      '-p, --policy <policy>',
      "without a saved plan: a policy file ('-': standard input), or the name of a template",
      'default',
    )
    .option(
      '--profile <file>',
      'without a saved plan: plan by what was measured there, too; may be repeated',
      collect,
      [],
    )
    .option('-y, --yes', 'do not ask')
    .option('--check', 'run every check on the host and write nothing')
    .option('--dead-man <seconds>', 'how long a new login may take to confirm', positiveSeconds)
    .option('--no-dead-man', 'let nothing wait for a new login')
    .option('--reboot', 'then reboot the host, wait for it, and verify')
    .option('--no-diff', 'leave out the differences of the files')
    .option('-v, --verbose', 'every limit that stays as it is, and notes');
  addOutputOptions(addHostOptions(command))
    .addHelpText(
      'after',
      `
Exit codes: 0 applied or nothing to do, 3 the host was restored, 4 refused and
nothing changed, 1 an error, or with --reboot something did not hold.

Examples:
  tasksctl apply                               plan this machine, ask, apply
  tasksctl apply -t admin@web1 --check         would it go through?
  tasksctl apply plan.json --yes               a reviewed plan
  tasksctl apply -t web1 --yes --reboot        and prove that it lasts`,
    )
    .action(
      (planFile: string | undefined, options: Omit<ApplyCommandOptions, 'planFile' | 'targetGiven'>) => {
        const targetGiven = isGiven(command, 'target');
        const all = { ...options, targetGiven, ...(planFile === undefined ? {} : { planFile }) };
        return run(all, async (...args) => (await import('./apply.ts')).apply(...args));
      },
    );
}

function defineRollout(program: Command, run: Run): void {
  const command = program
    .command('rollout')
    .summary('carry out a policy on a fleet, wave by wave')
    .description(
      'Plans every host of an inventory, shows hosts with the same plan once, asks, and applies wave by wave: one host first, then more. After each wave every change is verified on the live kernel over a new login; a failed check stops the rollout, and takes back what it did if asked. What is done is written down first: a rollout that was cut off is gone on with by --resume.',
    )
    .argument('[plan]', 'a fleet plan saved by tasksctl plan --inventory --out')
    .option(
      '-p, --policy <policy>',
      "a policy file ('-': standard input), or the name of a template",
      'default',
    )
    .option('--profile <file>', 'plan by what was measured, too; may be repeated', collect, [])
    .addOption(
      new Option(
        '--waves <list>',
        'hosts done after each wave, as counts or shares (default: 1,10%,50%,100%)',
      )
        .argParser(amounts)
        .conflicts('serial'),
    )
    .addOption(new Option('--serial <amount>', 'waves of so many hosts, or such a share').argParser(amount))
    .addOption(
      new Option('--max-fail <amount>', 'go on with so many failed hosts, or such a share')
        .argParser(amount)
        .default(amount('0'), '0'),
    )
    .option(
      '--max-unavailable <group=n>',
      'of this group (all: of all) work on no more than n hosts at once; may be repeated',
      groupMaximum,
    )
    .option('--bake <time>', 'let each wave work for so long before its checks: 90s, 10m', duration)
    .option('--pause', 'ask before each further wave; without a terminal stop after each')
    .option(
      '--gate-command <command>',
      'a check of your own after each wave, run here by sh with TASKSCTL_HOSTS, TASKSCTL_WAVE and TASKSCTL_RUN; it fails by its exit status',
    )
    .addOption(
      new Option('--on-failure <what>', 'where the rollout stops: leave it, or take back the wave or all')
        .choices(['stop', 'rollback-wave', 'rollback-all'])
        .default('stop'),
    )
    .option('--reboot', 'reboot hosts where a change is pending, and verify')
    .option('--drain <command>', 'run here before a host is rebooted, with TASKSCTL_HOST and TASKSCTL_TARGET')
    .option('--undrain <command>', 'the same after it is back and verified')
    .option('--dead-man <seconds>', 'how long a new login may take to confirm', positiveSeconds)
    .option('-y, --yes', 'do not ask')
    .addOption(
      new Option('--check', 'plan, have every host check it, and write nothing').conflicts(['resume', 'yes']),
    )
    .addOption(
      new Option('--resume <run>', 'go on with a rollout that was stopped or cut off').conflicts([
        'inventory',
        'limit',
        'policy',
        'profile',
        'waves',
        'serial',
        'maxFail',
        'maxUnavailable',
        'bake',
        'pause',
        'gateCommand',
        'onFailure',
        'reboot',
        'drain',
        'undrain',
        'deadMan',
      ]),
    )
    .option('--junit <file>', 'write what became of each host as JUnit XML')
    .option('--no-diff', 'leave out the differences of the files')
    .option('-v, --verbose', 'every host by name, every limit that stays as it is, and notes');
  addOutputOptions(addConnectionOptions(addFleetOptions(command)))
    .addHelpText(
      'after',
      `
Ctrl-C finishes the hosts that were begun and begins no more; twice leaves at
once.

Exit codes: 0 done or nothing to do, 2 paused (--pause) or changes pending
(--check), 3 hosts failed or the rollout stopped, 4 something was refused,
130 interrupted.

Examples:
  tasksctl rollout -i hosts.ini --check              what would it change?
  tasksctl rollout -i hosts.ini --limit web --bake 5m --on-failure rollback-wave
  tasksctl rollout -i web1,web2,web3 --serial 1 --yes
  tasksctl plan -i hosts.ini --out fleet.ndjson && tasksctl rollout fleet.ndjson
  tasksctl rollout --resume 20261122T201530Z-3f9a`,
    )
    .action((planFile: string | undefined, given: Omit<RolloutOptions, 'planFile' | 'policyGiven'>) => {
      const options = { ...given, policyGiven: isGiven(command, 'policy') };
      return run(planFile === undefined ? options : { ...options, planFile }, async (...args) =>
        (await import('./rollout.ts')).rollout(...args),
      );
    });
}

function defineRollback(program: Command, run: Run): void {
  const command = program
    .command('rollback')
    .summary('undo a run')
    .description(
      'Brings back every file as it was before a run, and has systemd and the kernel go back too. Files that were changed since are not overwritten. May be repeated.',
    )
    .argument('[run]', 'its name, as tasksctl runs shows it; the newest that is in place if left out')
    .option('-y, --yes', 'do not ask')
    .option('--limit <pattern>', 'of a rollout only the hosts and groups named');
  addOutputOptions(addHostOptions(command))
    .addHelpText(
      'after',
      `
Examples:
  tasksctl rollback -t admin@web1
  tasksctl rollback -t web1 20261122T201530Z-3f9a --yes
  tasksctl rollback 20261122T201530Z-3f9a           a rollout of this machine's`,
    )
    .action((id: string | undefined, options: Omit<RollbackOptions, 'targetGiven'>) =>
      run(withRun({ ...options, targetGiven: isGiven(command, 'target') }, id), async (...args) =>
        (await import('./rollback.ts')).rollback(...args),
      ),
    );
}

function defineRuns(program: Command, run: Run): void {
  const command = program
    .command('runs')
    .summary('list what was applied to a host, or show one run')
    .argument('[run]', 'show this one in full');
  addShownOptions(addHostOptions(command))
    .addHelpText(
      'after',
      `
Examples:
  tasksctl runs -t admin@web1
  tasksctl runs -t web1 20261122T201530Z-3f9a`,
    )
    .action((id: string | undefined, options: RunsOptions) =>
      run(withRun(options, id), async (...args) => (await import('./runs.ts')).runs(...args)),
    );
}

function defineVerify(program: Command, run: Run): void {
  const command = program
    .command('verify')
    .summary('check that what a run changed is in force, also after a reboot')
    .description(
      'Reads the host and compares it with what a run wanted: files, systemd, and what the kernel enforces. What was pending is closed once it holds. Exits 0 if everything holds, 2 if something is still pending, 1 if something did not hold.',
    )
    .argument('[run]', 'its name; the newest that is in place if left out');
  addShownOptions(addHostOptions(command))
    .addHelpText(
      'after',
      `
Examples:
  tasksctl verify -t admin@web1`,
    )
    .action((id: string | undefined, options: VerifyOptions) =>
      run(withRun(options, id), async (...args) => (await import('./verify.ts')).verify(...args)),
    );
}

function isGiven(command: Command, option: string): boolean {
  return command.getOptionValueSource(option) === 'cli';
}

function withRun<O extends { readonly run?: string }>(options: O, id: string | undefined): O {
  return id === undefined ? options : { ...options, run: id };
}

function defineMeasure(program: Command, run: Run): void {
  const command = program
    .command('measure')
    .summary('count the tasks of every unit over time')
    .description(
      'Samples how many tasks each unit has, on several hosts at once, and makes a profile of it: for how long how many, the peak, the steepest rise, rejected forks. Reads only, without root; nothing is left on the hosts. Ctrl-C ends it early and keeps what was measured.',
    )
    .option('-d, --duration <time>', 'how long: 90s, 10m, 2h, 7d', duration, duration('10m'))
    .option('--interval <time>', 'the time between two samples', duration, duration('1s'))
    .option('-o, --out <file>', 'save the profile')
    .addOption(
      new Option(
        '--collect',
        'fetch what the recorder on the hosts has written, and measure nothing',
      ).conflicts(['duration', 'interval']),
    );
  addShownOptions(addFleetOptions(addHostsOptions(command)))
    .addHelpText(
      'after',
      `
Exit codes: 0 done, 3 some hosts failed or were cut off, 130 interrupted; what
was measured is printed and saved each time.

Examples:
  tasksctl measure -d 1m                               this machine for a minute
  tasksctl measure -t web1 -t web2 -d 2h -o web.json   two hosts at once
  tasksctl recommend web.json                          limits that are enough`,
    )
    .action((options: MeasureOptions) =>
      run(options, async (...args) => (await import('./measure.ts')).measure(...args)),
    );
}

function defineRecommend(program: Command, run: Run): void {
  const command = program
    .command('recommend')
    .summary('limits that are enough for what was measured')
    .description(
      'Tells from profiles what each unit needs and which limit is enough by a policy, how far to trust it, and whether the kernel could give all of it. Profiles of several hosts and times are merged; answers of Prometheus to range queries will do as well.',
    )
    .argument('<profile...>', "profiles, samples of the recorder, or JSON of Prometheus; '-': standard input")
    .option(
      '-p, --policy <policy>',
      "a policy file ('-': standard input), or the name of a template",
      'default',
    )
    .option('-u, --unit <glob>', 'only units of this name; may be repeated', collect, [])
    .option('-e, --explain', 'print the arithmetic of each (always, with --unit)');
  addShownOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  tasksctl recommend web.json
  tasksctl recommend monday.json tuesday.json -u 'postgres*' -p database
  tasksctl plan -t web1 --profile web.json             change the limits by it`,
    )
    .action((profiles: string[], options: Omit<RecommendOptions, 'profiles'>) =>
      run({ ...options, profiles }, async (...args) =>
        (await import('./recommend.ts')).recommendLimits(...args),
      ),
    );
}

function defineBacktest(program: Command, run: Run): void {
  const command = program
    .command('backtest')
    .summary('what limits would have done to what was measured')
    .description(
      'Replays what was measured against limits and compares them: forks that would have been rejected, the room left, and how far above the peaks the limits are. Samples and answers of Prometheus have the order of what happened; of profiles it is only known that at least so many forks would have been rejected.',
    )
    .argument('<file...>', "profiles, samples of the recorder, or JSON of Prometheus; '-': standard input")
    .option('-p, --policy <policy>', 'limits as by this policy; may be repeated', collect, [])
    .option(
      '--from <file>',
      'what the policies go by, if not the files themselves; may be repeated',
      collect,
      [],
    )
    .option('--snapshot <file>', 'limits as they are in a saved snapshot')
    .option('-l, --limit <unit=tasks>', 'a limit as given; may be repeated', unitLimit, [])
    .option('-u, --unit <glob>', 'only units of this name, each in a row; may be repeated', collect, []);
  addShownOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  tasksctl backtest tuesday.json --from monday.json -p default -p tight.yaml
  tasksctl backtest web.json --snapshot web1.json --unit '*.service'
  tasksctl backtest web.json --limit nginx.service=200`,
    )
    .action((files: string[], options: Omit<BacktestOptions, 'files'>) =>
      run({ ...options, files }, async (...args) => (await import('./backtest.ts')).backtestLimits(...args)),
    );
}

function defineReport(program: Command, run: Run): void {
  const command = program
    .command('report')
    .summary('write a page, a ticket, metrics or CI results about hosts, plans and runs')
    .description(
      'Makes reports of saved snapshots, profiles, plans and results of runs, whichever the files are, or of hosts read now; of this machine if nothing is named. A file is written whole or not at all.',
    )
    .argument(
      '[file...]',
      "snapshots, profiles, plans, and what apply, rollout, runs and verify print with --json; '-': standard input",
    )
    .option(
      '--html <file>',
      "one page that needs no network: headroom, provenance, use, plans, runs ('-': standard output)",
    )
    .option('--markdown <file>', 'for a change ticket')
    .option('--junit <file>', 'findings, for CI: errors are failures')
    .option('--sarif <file>', 'findings, for code scanning')
    .option('--prometheus <file>', "metrics of one host, for node_exporter's textfile collector");
  addShownOptions(addFleetOptions(addHostsOptions(command)))
    .addHelpText(
      'after',
      `
Exit codes: 0 written, 3 some hosts could not be read and are not in it,
            1 an error.

Examples:
  tasksctl report --html fleet.html -i hosts.ini
  tasksctl report --html report.html -t web1 -t web2
  tasksctl report snapshots/*.json week.json plan.json --html fleet.html
  tasksctl report plan.json --markdown -            for the change ticket
  tasksctl report --prometheus /var/lib/prometheus/node-exporter/tasksctl.prom`,
    )
    .action((files: string[], options: Omit<ReportOptions, 'files'>) =>
      run({ ...options, files }, async (...args) => (await import('./report.ts')).report(...args)),
    );
}

function defineLint(program: Command, run: Run): void {
  const command = program
    .command('lint')
    .summary('find settings of task limits that do nothing, or not what they seem to')
    .description(
      "Checks a host's files: values systemd ignores, wrong sections and directories, settings that a later file overrides. Exits 1 if there are errors; warnings and notes do not count.",
    );
  addShownOptions(addSourceOptions(command))
    .addHelpText(
      'after',
      `
Examples:
  tasksctl lint
  tasksctl lint -t web1 --json`,
    )
    .action((options: LintOptions) =>
      run(options, async (...args) => (await import('./lint.ts')).lintHost(...args)),
    );
}

function defineSnapshot(program: Command, run: Run): void {
  const command = program
    .command('snapshot')
    .summary('save all that the other commands need to know of a host')
    .description(
      'Reads a host in one round trip and writes what was read as JSON, from which every other command works exactly as from the host itself.',
    )
    .option('-o, --out <file>', 'write to this file instead of standard output');
  addOutputOptions(addHostOptions(command))
    .addHelpText(
      'after',
      `
Examples:
  tasksctl snapshot -t admin@web1 -o web1.json
  tasksctl snapshot -t web1 | tasksctl status --snapshot -`,
    )
    .action((options: SnapshotOptions) =>
      run(options, async (...args) => (await import('./snapshot.ts')).snapshot(...args)),
    );
}

function usageError(error: CommanderError): Failure {
  return {
    kind: 'usage',
    message: error.message.replace(/^error: /, ''),
    help: 'tasksctl --help and tasksctl COMMAND --help say what there is.',
  };
}

/** How to tell of an error in a command line that could not be taken apart. */
function earlyOptions(argv: readonly string[]): OutputOptions {
  const options = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  return { color: !options.includes('--no-color'), ...(options.includes('--json') ? { json: true } : {}) };
}

function fault(error: unknown): Failure {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    kind: 'internal',
    message: `This is a fault of tasksctl, not yours: ${stack}`,
    help: 'Please report it with the command line and, if you may share it, the snapshot.',
  };
}
