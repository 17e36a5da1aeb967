import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabHost } from '../lab/lab.ts';

const root = join(import.meta.dirname, '../..');

export interface Run {
  /** Exit status; -1 where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The bundled program as an operator runs it, and a directory for the files of the test. */
export class Program {
  readonly dir: string;
  /** The executable. */
  readonly file: string;
  #configs = 0;

  private constructor(dir: string) {
    this.dir = dir;
    this.file = join(dir, 'dist/tasksctl.js');
  }

  /** Bundles what is in src/ now. Below the checkout, where the program finds templates/. */
  static build(): Program {
    const cache = join(root, 'node_modules/.cache');
    mkdirSync(cache, { recursive: true });
    const program = new Program(mkdtempSync(join(cache, 'tasksctl-test-')));
    bundle(join(program.dir, 'dist'));
    return program;
  }

  /** Starts it without a terminal, so that nobody can be asked. */
  start(...argv: readonly string[]): Running {
    return new Running(this.file, argv);
  }

  run(...argv: readonly string[]): Promise<Run> {
    return this.start(...argv).ended;
  }

  /** An ssh_config that knows lab hosts by these names, and their keys; gives its path. */
  sshConfig(hosts: Readonly<Record<string, LabHost>>): string {
    const path = join(this.dir, `ssh_config-${this.#configs++}`);
    const sections = Object.entries(hosts).map(([name, { ssh }]) =>
      [
        `Host ${name}`,
        `HostName ${ssh.host}`,
        `Port ${ssh.port}`,
        `IdentityFile ${ssh.identityFile}`,
        'IdentitiesOnly yes',
        `UserKnownHostsFile ${ssh.knownHostsFile}`,
        'StrictHostKeyChecking yes',
        '',
      ].join('\n'),
    );
    writeFileSync(path, sections.join('\n'));
    return path;
  }

  /** Writes a file of the test; gives its path. */
  write(name: string, text: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A tasksctl that is running. */
export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Run>;
  stdout = '';
  stderr = '';

  constructor(file: string, argv: readonly string[]) {
    // Detached is a session of its own, which has no terminal.
    this.child = spawn(file, argv, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code) =>
        resolve({ code: code ?? -1, stdout: this.stdout, stderr: this.stderr }),
      );
    });
  }
}

/** Bundles the program into a directory. */
export function bundle(outdir: string): void {
  execFileSync(process.execPath, [join(root, 'build.mjs')], {
    env: { ...process.env, TASKSCTL_OUTDIR: outdir },
  });
}

/** pids.max of a running unit as the kernel has it. */
export async function pidsMax(host: LabHost, unit: string): Promise<string> {
  const { stdout } = await host.exec(
    `root=/sys/fs/cgroup; [ ! -d $root/pids ] || root=$root/pids
cat $root$(systemctl show -p ControlGroup ${unit} | cut -d= -f2)/pids.max`,
  );
  return stdout.toString().trim();
}

/** Waits a minute at most until a condition holds. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const patience = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > patience) throw new Error(`waited in vain until ${what}`);
    await sleep(200);
  }
}
