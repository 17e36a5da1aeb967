import { type TraceMessage, TraceParser } from '../diagnose/parse-trace.ts';
import { readTemplate } from '../host/template.ts';
import type { HostError } from '../host/transport.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { TraceSummary, traceJson } from '../report/trace-json.ts';
import { absentText, failedForkLine, traceSummaryText } from '../report/trace-text.ts';
import { connector } from './connector.ts';
import type { Console } from './console.ts';
import { EXIT } from './exit-code.ts';
import { failed, type Outcome } from './failure.ts';
import type { HostOptions, OutputOptions } from './options.ts';
import { write } from './terminal.ts';

export interface TraceOptions extends HostOptions, OutputOptions {
  /** Milliseconds. */
  readonly duration: number;
}

/** Failed forks of one process that are shown; the rest is counted. */
const SHOWN_OF_PROCESS = 5;

/** A failed fork is 250 bytes: this is a quarter of a million of them. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** `tasksctl trace` */
export async function trace(console: Console, options: TraceOptions): Promise<Outcome> {
  const { signal } = console.io;
  const seconds = Math.ceil(options.duration / 1000);
  const progress = console.progress(safe`Connecting to ${escapeText(options.target)}`);
  const watch = new Watch(console, options.target, seconds);
  let error: HostError | null = null;
  try {
    const connected = await connector(console, options, progress, signal)();
    if (!connected.ok) return failed(connected.error);
    try {
      progress.pause();
      const run = await connected.transport.run({
        script: `TASKSCTL_TRACE_SECONDS=${seconds}\n${readTemplate('trace.sh')}`,
        asRoot: true,
        // To set the probes and to remove them takes a while where a machine is out of everything.
        timeoutMs: (seconds + options.timeout) * 1000,
        maxOutputBytes: MAX_OUTPUT_BYTES,
        signal,
        onStdout: (chunk) => watch.push(chunk),
      });
      if (run.kind === 'failed') error = run.error;
    } finally {
      await connected.transport.close();
    }
  } finally {
    progress.pause();
  }
  const { problem, summary, ended } = watch;
  if (problem !== null) {
    return failed({ kind: 'unsupported', message: `${options.target}: ${problem.detail}.` });
  }
  // What was seen until then is worth something.
  const interrupted = error?.kind === 'aborted';
  if (error !== null && !interrupted && summary.total === 0) return failed(error);
  if (error === null && !ended && !watch.ready) {
    return failed({ kind: 'unsupported', message: `${options.target}: sh there did not run the tracer.` });
  }
  const complete = ended && error === null;
  if (!complete && !interrupted) {
    await console.notice('warning', escapeText(error?.message ?? 'The tracer ended before its time.'));
  }
  const code = interrupted ? EXIT.interrupted : complete ? EXIT.done : EXIT.error;
  return console.json
    ? console.document(traceJson(options.target, summary, complete), code)
    : console.result(traceSummaryText(summary, watch.seconds(), console.style), code);
}

/** Shows what happens as it happens. */
class Watch {
  readonly summary = new TraceSummary();
  problem: (TraceMessage & { kind: 'problem' }) | null = null;
  ready = false;
  ended = false;
  readonly #console: Console;
  readonly #target: string;
  readonly #duration: number;
  readonly #parser = new TraceParser();
  readonly #decoder = new TextDecoder();
  readonly #shown = new Map<number, number>();
  #since = performance.now();

  constructor(console: Console, target: string, duration: number) {
    this.#console = console;
    this.#target = target;
    this.#duration = duration;
  }

  push(chunk: Uint8Array): void {
    for (const message of this.#parser.push(this.#decoder.decode(chunk, { stream: true })))
      this.#take(message);
  }

  /** How long it watched. */
  seconds(): number {
    if (this.ended) return this.#duration;
    return Math.min(this.#duration, Math.round((performance.now() - this.#since) / 1000));
  }

  #take(message: TraceMessage): void {
    switch (message.kind) {
      case 'ready': {
        this.ready = true;
        this.#since = performance.now();
        this.summary.absent = message.absent;
        const absent = absentText(message.absent);
        if (absent !== null) void this.#console.notice('warning', absent);
        const what = safe`Watching ${escapeText(this.#target)} for forks that fail, for ${this.#duration} s. Ctrl-C ends it.`;
        void this.#console.notice('note', what);
        return;
      }
      case 'fork': {
        const { fork } = message;
        this.summary.add(fork);
        const shown = this.#shown.get(fork.pid) ?? 0;
        this.#shown.set(fork.pid, shown + 1);
        if (this.#console.json || shown > SHOWN_OF_PROCESS) return;
        const text =
          shown < SHOWN_OF_PROCESS
            ? failedForkLine(fork, this.#console.style)
            : safe`(more of pid ${fork.pid} are only counted)\n`;
        void write(this.#console.io.stdout, text);
        return;
      }
      case 'lost':
        this.summary.lost += message.count;
        return;
      case 'problem':
        this.problem = message;
        return;
      case 'end':
        this.ended = true;
    }
  }
}
