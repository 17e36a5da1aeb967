import type { Readable, Writable } from 'node:stream';
import { onAbort } from './abort.ts';
import { printable } from './printable.ts';
import type { Secret } from './secret.ts';
import {
  beforeSudoLine,
  passwordPrompt,
  plainProgram,
  readyLine,
  type SudoPassword,
  sudoFailure,
  sudoPasswordProgram,
  sudoProgram,
} from './sudo.ts';
import type { HostError, RunRequest, RunResult } from './transport.ts';

/** A started `sh -c PROGRAM`, on this machine or at the other end of a channel. */
export interface ScriptProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended, once both outputs are delivered. Never rejects. */
  readonly ended: Promise<
    { readonly code: number | null; readonly signal: string | null } | { readonly error: HostError }
  >;
  /** Ends it and what it started by SIGKILL, as far as that is possible. Called at most once. */
  kill(): void;
}

export interface ScriptRun {
  readonly target: string;
  readonly request: RunRequest;
  /** The host's sudo password; unused where the request does not need root. */
  readonly sudo: SudoPassword;
  /** Starts `sh -c program`; `program` is one of three constants of sudo.ts. */
  start(program: string): Promise<ScriptProcess | { readonly error: HostError }>;
}

/** Time a killed process gets to end before the run is given up without it, milliseconds. */
const killGraceMs = 1_000;
/** Noise kept in front of `readyLine`, bytes; start-up files that print more than this end the run. */
const maxNoiseBytes = 64 * 1024;

/**
 * Runs one script by `start`, through sudo where root is asked for: the one conversation both transports have with a
 * shell. Keeps the limits of the request (time, output, abort) and never throws for what a host does. The time limit
 * does not count while the operator is asked for a password.
 */
export async function runScript(run: ScriptRun): Promise<RunResult> {
  if (!run.request.asRoot) return converse(run, plainProgram, null);
  if (run.sudo.proven) return withPassword(run, null);
  const result = await converse(run, sudoProgram, null);
  if (result.kind !== 'failed' || result.error.kind !== 'sudo-password-needed') return result;
  return withPassword(run, result);
}

async function withPassword(run: ScriptRun, needed: RunResult | null): Promise<RunResult> {
  const answer = await run.sudo.take();
  switch (answer.kind) {
    case 'none':
      return (
        needed ??
        failed(sudoFailure({ target: run.target, code: 1, stderr: 'a password is required', prompts: 0 }))
      );
    case 'refused':
      return failed(sudoFailure({ target: run.target, code: 1, stderr: '', prompts: 2 }));
    case 'secret': {
      let accepted = false;
      const result = await converse(run, sudoPasswordProgram, {
        password: answer.secret,
        accepted: () => {
          accepted = true;
          answer.settle('accepted');
        },
      });
      if (!accepted) {
        const refused = result.kind === 'failed' && result.error.kind === 'sudo-password-wrong';
        answer.settle(refused ? 'refused' : 'unused');
      }
      return result;
    }
  }
}

function failed(
  error: HostError,
  stdout: Buffer = Buffer.alloc(0),
  stderr: Buffer = Buffer.alloc(0),
): RunResult {
  return { kind: 'failed', error, stdout, stderr };
}

/**
 * What is sent for a script. `sh -s` runs what it reads as it reads it; in braces it must have read all of it first,
 * so a script cut short by a lost connection is a syntax error and not the first half of a change. Its commands get
 * an empty standard input, and the shell leaves without waiting for the end of its own: that stays open, since an ssh
 * channel whose input has ended takes no signals any more.
 */
function wholeScript(script: string): string {
  return `{ :; ${script}\n} </dev/null; exit\n`;
}

interface SudoTalk {
  readonly password: Secret;
  /** The password was sent and the root shell is there. */
  accepted(): void;
}

/** One process from start to end. */
async function converse(run: ScriptRun, program: string, talk: SudoTalk | null): Promise<RunResult> {
  const { request, target } = run;
  const stdout = new AfterReadyLine(request.streamOnly !== true);
  const stderr = new AfterReadyLine();
  let prompts = 0;
  let child: ScriptProcess | undefined;
  let stopped: HostError | undefined;
  let bug: { readonly error: unknown } | undefined;
  let giveUp = (): void => {};
  let grace: NodeJS.Timeout | undefined;
  const givenUp = new Promise<'given-up'>((resolve) => {
    giveUp = () => resolve('given-up');
  });

  const stop = (error: HostError): void => {
    if (stopped !== undefined) return;
    stopped = error;
    child?.kill();
    if (child === undefined) giveUp();
    else grace = setTimeout(giveUp, killGraceMs);
  };
  const stopFor = (kind: HostError['kind'], message: string): void =>
    stop({ kind, target, message: `${target}: ${message}` });
  const sendScript = (): void => {
    child?.stdin.write(wholeScript(request.script));
  };
  const takeOutput = (stream: AfterReadyLine, chunk: Buffer): Buffer => {
    if (stopped !== undefined) return Buffer.alloc(0);
    const fresh = stream.push(chunk, request.maxOutputBytes - stdout.size - stderr.size);
    if (stream.overflowed) {
      stopFor('output-limit', `the output passed ${request.maxOutputBytes} bytes and the run was ended.`);
    }
    if (stream.noise.length > maxNoiseBytes) {
      stopFor(
        'output-limit',
        `the start-up files of the login shell print more than ${maxNoiseBytes} bytes; correct them.`,
      );
    }
    return fresh;
  };
  const onStdout = (chunk: Buffer): void => {
    const wasReady = stdout.ready;
    const fresh = takeOutput(stdout, chunk);
    if (!wasReady && stdout.ready && talk !== null) {
      if (prompts > 0) talk.accepted();
      sendScript();
    }
    if (fresh.length === 0 || request.onStdout === undefined) return;
    try {
      request.onStdout(fresh);
    } catch (error) {
      bug = { error };
      stopFor('aborted', 'the reader of the output failed.');
    }
  };
  const onStderr = (chunk: Buffer): void => {
    takeOutput(stderr, chunk);
    if (talk === null || stderr.ready) return;
    const seen = stderr.noise.toString('latin1').split(passwordPrompt).length - 1;
    if (seen > 0 && prompts === 0) child?.stdin.write(`${talk.password.reveal()}\n`);
    prompts = seen;
    if (seen > 1) stop(sudoFailure({ target, code: null, stderr: '', prompts }));
  };

  const timer = setTimeout(() => {
    stopFor(
      'timeout',
      `no end after ${request.timeoutMs / 1000} s; the run was ended, what it started may still be running there.`,
    );
  }, request.timeoutMs);
  const ignoreAbort = onAbort(request.signal, () => stopFor('aborted', 'stopped by the operator.'));

  const talking = async () => {
    if (stopped !== undefined) return 'given-up' as const;
    const started = await run.start(program);
    if ('error' in started) return started;
    child = started;
    // A process that ends without reading its input breaks the pipe; how it ended says more than EPIPE does.
    child.stdin.on('error', () => {});
    if (stopped !== undefined) child.kill();
    child.stdout.on('data', onStdout);
    child.stderr.on('data', onStderr);
    if (talk === null) sendScript();
    return child.ended;
  };
  const end = await Promise.race([talking(), givenUp]);
  clearTimeout(timer);
  clearTimeout(grace);
  ignoreAbort();
  if (bug !== undefined) throw bug.error;

  const out = stdout.bytes();
  const err = stderr.bytes();
  if (stopped !== undefined) return failed(stopped, out, err);
  if (end === 'given-up') throw new Error('a run was given up that was never stopped');
  if ('error' in end) return failed(end.error, out, err);
  if (stdout.ready) return { kind: 'exit', code: end.code, signal: end.signal, stdout: out, stderr: err };

  const noise = stderr.noise.toString('utf8');
  if (noise.includes(beforeSudoLine)) {
    return failed(sudoFailure({ target, code: end.code, stderr: noise, prompts }));
  }
  const said = printable(`${stdout.noise.toString('utf8')}\n${noise}`)
    .trim()
    .split('\n')
    .at(-1)
    ?.slice(0, 300);
  return failed({
    kind: 'unsupported',
    target,
    message: `${target}: the login shell did not start sh (exit status ${end.code}${said ? `, it said: ${said}` : ''}); give the user a POSIX login shell and no forced command.`,
  });
}

/** Splits a stream at `readyLine`: noise before it, the script's output after it. */
class AfterReadyLine {
  ready = false;
  overflowed = false;
  noise: Buffer = Buffer.alloc(0);
  size = 0;
  readonly #chunks: Buffer[] = [];
  readonly #keeps: boolean;

  /** What does not keep its output has no end either. */
  constructor(keeps = true) {
    this.#keeps = keeps;
  }

  /** Takes a chunk, keeps at most `room` bytes of output, and gives those it kept. */
  push(chunk: Buffer, room: number): Buffer {
    let fresh = chunk;
    if (!this.ready) {
      this.noise = Buffer.concat([this.noise, chunk]);
      const mark = Buffer.from(`${readyLine}\n`);
      const at = this.noise.indexOf(mark);
      if (at < 0) return Buffer.alloc(0);
      this.ready = true;
      fresh = this.noise.subarray(at + mark.length);
      this.noise = this.noise.subarray(0, at);
    }
    if (!this.#keeps) return fresh;
    if (fresh.length > room) {
      this.overflowed = true;
      fresh = fresh.subarray(0, Math.max(0, room));
    }
    if (fresh.length > 0) this.#chunks.push(fresh);
    this.size += fresh.length;
    return fresh;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
