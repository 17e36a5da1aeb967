import { statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { diagnose } from '../diagnose/diagnose.ts';
import { EVERYTHING } from '../diagnose/focus.ts';
import { packageRoot } from '../host/package-root.ts';
import { parseProfile } from '../measure/load-profile.ts';
import type { Plan } from '../plan/plan.ts';
import { parsePolicy } from '../plan/policy.ts';
import { diagnoseText } from '../report/diagnose-text.ts';
import { shellWord } from '../report/shell-quote.ts';
import { join as joinText, safe } from '../report/terminal-escape.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Prompter } from '../wizard/question.ts';
import { runWizard } from '../wizard/run-wizard.ts';
import type { Done, Measured, SavedFile, Setting, Template, Work } from '../wizard/setting.ts';
import { applyShown } from './apply.ts';
import { canAsk } from './ask-yes.ts';
import { Console } from './console.ts';
import { sysctlOrigins } from './diagnose.ts';
import { type Failure, failed, type Outcome } from './failure.ts';
import { measureHosts } from './measure.ts';
import { DEFAULT_TIMEOUT_SECONDS, type OutputOptions, type SourceOptions } from './options.ts';
import { PlainPrompter } from './plain-prompter.ts';
import { readMeasured, useOfHost } from './read-profiles.ts';
import { notePartialData, readSource } from './read-source.ts';
import { write } from './terminal.ts';
import { writeResult } from './write-file.ts';

export interface WizardOptions extends SourceOptions, OutputOptions {
  /** `-t` was given, so there is nothing to ask. */
  readonly targetGiven: boolean;
  readonly plain?: true;
}

/** `tasksctl wizard` */
export async function wizard(given: Console, options: WizardOptions): Promise<Outcome> {
  if (!canAsk(given.io) || given.json) {
    const source = sourceWords(options, options.target)
      .map((word) => ` ${shellWord(word)}`)
      .join('');
    return failed({
      kind: 'usage',
      message: 'The wizard asks questions, and there is no terminal to ask them on.',
      help: `tasksctl status${source} shows the limits, tasksctl plan${source} what to change.`,
    });
  }
  if (options.snapshot === '-') {
    return failed({ kind: 'usage', message: 'The wizard needs standard input for its questions.' });
  }
  const plain = options.plain === true || given.io.env['TERM'] === 'dumb';
  // What a dumb terminal gets has neither colour nor cursor movement in it, from all that writes to it.
  const io = plain ? { ...given.io, env: { ...given.io.env, TERM: 'dumb' } } : given.io;
  const console = new Console(io, plain ? { color: 'never' } : options);
  const style = () => new Console(io, options).errorStyle;
  const rows = () => (io.stderr as { readonly rows?: number }).rows || 24;
  const setting: Setting = {
    style,
    rows,
    here: hostname(),
    target: options.snapshot ?? (options.targetGiven ? options.target : null),
    saved: options.snapshot !== undefined,
    templates: await readTemplates(),
    source: (target) => sourceWords(options, target),
    fileAt,
    diagnosis: (snapshot, words, style) =>
      diagnoseText(snapshot, null, diagnose(snapshot, sysctlOrigins(snapshot), EVERYTHING), words, style),
  };
  let prompter: Prompter = new PlainPrompter(io);
  if (!plain) {
    const { InquirerPrompter } = await import('./inquirer-prompter.ts');
    prompter = new InquirerPrompter(io, style, rows);
  }
  const end = await runWizard(setting, prompter, new HostWork(console, options));
  if (end.kind === 'cancelled' || io.signal.aborted)
    return failed({ kind: 'aborted', message: 'Interrupted.' });
  if (end.command === null) return { kind: 'exit', code: end.code };
  await write(io.stderr, safe`\nThe same without questions:\n`);
  return console.result(safe`${joinText(end.command.map(shellWord), safe` `)}\n`, end.code);
}

async function readTemplates(): Promise<Template[]> {
  const directory = join(packageRoot(), 'templates/policies');
  const files = (await readdir(directory)).filter((file) => file.endsWith('.yaml')).sort();
  const templates = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(directory, file), 'utf8');
      const name = file.replace(/\.yaml$/, '');
      const parsed = parsePolicy(text, file);
      // Those about the recorder set no limits.
      if (parsed.ok && parsed.policy.recorder !== null) return [];
      return [{ name, text, description: parsed.ok ? parsed.policy.description : '' }];
    }),
  );
  return templates.flat();
}

function fileAt(path: string): 'file' | 'directory' | 'none' {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'none';
  return found.isDirectory() ? 'directory' : 'file';
}

/** The options that name the host, for a command to copy. */
function sourceWords(options: WizardOptions, target: string): string[] {
  const { snapshot, transport, sshConfig, acceptNew, timeout } = options;
  if (snapshot !== undefined) return ['--snapshot', snapshot];
  return [
    ...(target === 'local' ? [] : ['--target', target]),
    ...(transport === 'ssh2' ? [] : ['--transport', transport]),
    ...(sshConfig === undefined ? [] : ['--ssh-config', sshConfig]),
    ...(acceptNew === true ? ['--accept-new'] : []),
    ...(timeout === DEFAULT_TIMEOUT_SECONDS ? [] : ['--timeout', String(timeout)]),
  ];
}

/** What the wizard has done, by the same functions as the commands. */
class HostWork implements Work {
  readonly #console: Console;
  readonly #options: WizardOptions;

  constructor(console: Console, options: WizardOptions) {
    this.#console = console;
    this.#options = options;
  }

  async read(target: string): Promise<Done<Snapshot>> {
    const source = await readSource(this.#console, { ...this.#options, ...this.#host(target) });
    if (source.kind === 'failed') return this.#failed(source.failure);
    await notePartialData(this.#console, source.snapshot);
    return { ok: true, value: source.snapshot };
  }

  async measure(target: string, ms: number, snapshot: Snapshot): Promise<Done<Measured>> {
    const options = { ...this.#options, target: [target], duration: ms, interval: 1000 };
    await write(this.#console.io.stderr, safe`Measuring for ${ms / 1000} s.\n`);
    const { measurements, profile } = await measureHosts(this.#console, options, 'drops');
    if (this.#console.io.signal.aborted) return { ok: false, interrupted: true };
    const error = measurements.find(({ error }) => error !== null)?.error;
    if (error != null) return this.#failed(error);
    const text = `${JSON.stringify(profile)}\n`;
    // Read back, so that the plan is the one the saved profile gives.
    const loaded = parseProfile(text);
    if (!loaded.ok) throw new Error(`a profile that was just made ${loaded.message}`);
    return this.#measured([{ ...loaded, file: '' }], snapshot, text, null);
  }

  async load(file: string, snapshot: Snapshot): Promise<Done<Measured>> {
    const read = await readMeasured([file], this.#console.io);
    if (read.kind === 'failed') return this.#failed(read.failure);
    return this.#measured(read.measured, snapshot, '', file);
  }

  async apply(plan: Plan): Promise<Done<number>> {
    const outcome = await applyShown(this.#console, plan, this.#options);
    if (outcome.kind === 'failed') return this.#failed(outcome.failure);
    return { ok: true, value: outcome.code };
  }

  async save(files: readonly SavedFile[]): Promise<Done<null>> {
    for (const { path, text } of files) {
      const failure = await writeResult(path, text);
      if (failure !== null) return this.#failed(failure);
      await this.#console.notice('note', safe`saved ${shellWord(path)}`);
    }
    return { ok: true, value: null };
  }

  #host(target: string): { target: string } | undefined {
    return this.#options.snapshot === undefined ? { target } : undefined;
  }

  #measured(
    measured: Parameters<typeof useOfHost>[0],
    snapshot: Snapshot,
    text: string,
    file: string | null,
  ): Done<Measured> | Promise<Done<Measured>> {
    const [first] = measured;
    const use = useOfHost(measured, snapshot);
    if (use.kind === 'failed') return this.#failed(use.failure);
    if (use.host === null || first === undefined) throw new Error('nothing was measured');
    return { ok: true, value: { profile: first.profile, host: use.host, text, file } };
  }

  async #failed(failure: Failure): Promise<{ readonly ok: false; readonly interrupted: boolean }> {
    if (this.#console.io.signal.aborted) return { ok: false, interrupted: true };
    await this.#console.failure(failure);
    return { ok: false, interrupted: false };
  }
}
