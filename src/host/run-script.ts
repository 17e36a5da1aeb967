import type { Readable, Writable } from 'node:stream';
import { printable } from './printable.ts';
import type { Secret } from './secret.ts';
import {
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
  /** Ends it and what it started, as far as that is possible. Called at most once. */
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
const killGraceMs = 2_000;
/** Noise kept in front of `readyLine`, bytes; start-up files that print more than this end the run. */
const maxNoiseBytes = 64 * 1024;

/**
 * Runs one script by `start`, through sudo where root is asked for: the one conversation both transports have with a
 * shell. Keeps the limits of the request (time, output, abort) and never throws for what a host does.
 */
export async function runScript(run: ScriptRun): Promise<RunResult> {
  if (!run.request.asRoot) return converse(run, plainProgram, null);
  if (!run.sudo.proven) {
    const result = await converse(run, sudoProgram, null);
    if (result.kind !== 'failed' || result.error.kind !== 'sudo-password-needed') return result;
    return withPassword(run, result);
  }
  return withPassword(run, null);
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
    case 'password': {
      let outcome: 'accepted' | 'refused' | 'unused' = 'unused';
      const result = await converse(run, sudoPasswordProgram, {
        password: answer.password,
        accepted: () => {
          outcome = 'accepted';
          answer.settle(outcome);
        },
      });
      if (outcome === 'unused') {
        if (result.kind === 'failed' && result.error.kind === 'sudo-password-wrong') outcome = 'refused';
        answer.settle(outcome);
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
 * `sh -s` runs what it reads as it reads it. In braces it must have read all of it first, so a script cut short by a
 * lost connection is a syntax error and not the first half of a change.
 */
function wholeScript(script: string): string {
  return `{ :; ${script}\n}\n`;
}

interface SudoTalk {
  readonly password: Secret;
  /** The password was sent and the root shell is there. */
  accepted(): void;
}

async function converse(run: ScriptRun, program: string, talk: SudoTalk | null): Promise<RunResult> {
  const { request, target } = run;
  if (request.signal?.aborted)
    return failed({ kind: 'aborted', target, message: `${target}: stopped by the operator.` });
  const started = await run.start(program);
  if ('error' in started) return failed(started.error);
  const child = started;

  const stdout = new AfterReadyLine();
  const stderr = new AfterReadyLine();
  let prompts = 0;
  let stopped: HostError | undefined;
  let bug: { readonly error: unknown } | undefined;
  let killed: (() => void) | undefined;
  const givenUp = new Promise<'given-up'>((resolve) => {
    killed = () => setTimeout(() => resolve('given-up'), killGraceMs).unref();
  });

  const stop = (kind: HostError['kind'], message: string): void => {
    if (stopped !== undefined) return;
    stopped = { kind, target, message: `${target}: ${message}` };
    child.kill();
    killed?.();
  };
  const sendScript = (): void => {
    child.stdin.end(wholeScript(request.script));
  };
  const takeOutput = (stream: AfterReadyLine, chunk: Buffer): Buffer => {
    if (stopped !== undefined) return Buffer.alloc(0);
    const room = request.maxOutputBytes - stdout.size - stderr.size;
    const fresh = stream.push(chunk, room);
    if (stream.overflowed || stream.noise.length > maxNoiseBytes) {
      stop(
        'output-limit',
        `the output passed the limit of ${request.maxOutputBytes} bytes and the run was ended.`,
      );
    }
    return fresh;
  };

  // A process that ends without reading its input breaks the pipe; how it ended says more than EPIPE does.
  child.stdin.on('error', () => {});
  child.stdout.on('data', (chunk: Buffer) => {
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
      stop('aborted', 'the reader of the output failed.');
    }
  });
  child.stderr.on('data', (chunk: Buffer) => {
    takeOutput(stderr, chunk);
    if (talk === null || stderr.ready) return;
    const seen = stderr.noise.toString('latin1').split(passwordPrompt).length - 1;
    if (seen > 0 && prompts === 0) child.stdin.write(`${talk.password.reveal()}\n`);
    if (seen > 1 && prompts < 2) stop('sudo-password-wrong', '');
    prompts = seen;
  });
  if (talk === null) sendScript();

  const timer = setTimeout(() => {
    stop(
      'timeout',
      `no end after ${request.timeoutMs / 1000} s; the run was ended, what it started may still be running there.`,
    );
  }, request.timeoutMs);
  const onAbort = (): void => stop('aborted', 'stopped by the operator.');
  request.signal?.addEventListener('abort', onAbort, { once: true });

  const end = await Promise.race([child.ended, givenUp]);
  clearTimeout(timer);
  request.signal?.removeEventListener('abort', onAbort);
  if (bug !== undefined) throw bug.error;

  const out = stdout.bytes();
  const err = stderr.bytes();
  if (stopped !== undefined) {
    const error =
      stopped.kind === 'sudo-password-wrong'
        ? sudoFailure({ target, code: null, stderr: '', prompts })
        : stopped;
    return failed(error, out, err);
  }
  if (end === 'given-up') throw new Error('a run was given up that was never stopped');
  if ('error' in end) return failed(end.error, out, err);
  if (!stdout.ready) {
    const noise = stderr.noise.toString('utf8');
    if (program !== plainProgram)
      return failed(sudoFailure({ target, code: end.code, stderr: noise, prompts }));
    const words = printable(`${stdout.noise.toString('utf8')}\n${noise}`)
      .trim()
      .split('\n')
      .at(-1)
      ?.slice(0, 300);
    return failed({
      kind: 'unsupported',
      target,
      message: `${target}: the login shell did not start sh (exit status ${end.code}${words ? `, it said: ${words}` : ''}); give the user a POSIX login shell and no forced command.`,
    });
  }
  return { kind: 'exit', code: end.code, signal: end.signal, stdout: out, stderr: err };
}

/** Splits a stream at `readyLine`: noise before it, the script's output after it. */
class AfterReadyLine {
  ready = false;
  overflowed = false;
  noise: Buffer = Buffer.alloc(0);
  size = 0;
  readonly #chunks: Buffer[] = [];

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
