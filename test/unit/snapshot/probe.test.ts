import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readTemplate } from '../../../src/host/template.ts';
import { parseProbe } from '../../../src/snapshot/parse-probe.ts';
import { type Snapshot, snapshotSchema } from '../../../src/snapshot/snapshot.ts';
import { SHELLCHECK, toolMissing } from '../../tools.ts';

const probe = readTemplate('probe.sh');
const scratch = mkdtempSync(join(tmpdir(), 'tasksctl-probe-test-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Where a program is on this machine. */
function find(name: string): string | undefined {
  return ['/usr/bin', '/bin', '/usr/sbin', '/sbin']
    .map((dir) => join(dir, name))
    .find((path) => existsSync(path));
}

const shells = [
  ['dash', []],
  ['bash', []],
  ['busybox', ['sh']],
] as const;

interface Run {
  readonly snapshot: Snapshot;
  readonly stderr: string;
  readonly ms: number;
}

function run(shell: string, args: readonly string[], environment: Record<string, string> = {}): Run {
  const program = find(shell);
  if (program === undefined) throw new Error(`no ${shell}`);
  const began = performance.now();
  const { stdout, stderr, status } = spawnSync(program, [...args, '-s'], {
    input: probe,
    env: { PATH: '/usr/bin:/bin', HOME: '/', ...environment },
    maxBuffer: 64 * 1024 * 1024,
  });
  const ms = performance.now() - began;
  expect(status, stderr.toString()).toBe(0);
  const result = parseProbe(stdout, 'local');
  if (result.kind !== 'ok') throw new Error(`not a probe: ${stderr}`);
  expect(snapshotSchema.safeParse(result.snapshot).error).toBeUndefined();
  return { snapshot: result.snapshot, stderr: stderr.toString(), ms };
}

/** A directory with some programs of this machine, by their names, and others made up for the test. */
function directory(name: string, programs: readonly string[], stubs: Record<string, string> = {}): string {
  const path = join(scratch, name);
  mkdirSync(path);
  for (const program of programs) {
    const target = find(program);
    if (target !== undefined) symlinkSync(target, join(path, program));
  }
  for (const [stub, text] of Object.entries(stubs)) writeFileSync(join(path, stub), text, { mode: 0o755 });
  return path;
}

const needed = [
  'cat',
  'date',
  'find',
  'grep',
  'head',
  'id',
  'od',
  'readlink',
  'sleep',
  'stat',
  'tail',
  'true',
  'uname',
];

/** What cannot change between two runs. */
function constant({ host, files, systemd, kernel, cgroups, problems }: Snapshot): unknown {
  return {
    host,
    files,
    systemd,
    pidMax: kernel.pidMax,
    threadsMax: kernel.threadsMax,
    memory: kernel.memTotalKiB,
    cpus: kernel.cpus,
    mode: cgroups.mode,
    pidsRoot: cgroups.pidsRoot,
    problems,
  };
}

describe('templates/probe.sh', () => {
  it.each(
    shells.filter(([shell]) => find(shell) !== undefined),
  )('reads this machine under %s', (shell, args) => {
    const { snapshot, stderr } = run(shell, args);
    expect(stderr).toBe('');
    expect(snapshot.host.hostname).toBe(hostname());
    expect(snapshot.kernel.pidMax).toBe(Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8')));
    expect(snapshot.kernel.threadsMax).toBe(Number(readFileSync('/proc/sys/kernel/threads-max', 'utf8')));
    expect(snapshot.host.bootId).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    expect(snapshot.probe.uid).toBe(process.getuid?.());
    expect(Math.abs(Date.parse(snapshot.takenAt) - Date.now())).toBeLessThan(60_000);
    for (const file of snapshot.files) {
      if (file.type === 'file' && file.text !== undefined && !file.path.startsWith('/run/')) {
        expect(file.text, file.path).toBe(readFileSync(file.path, 'utf8'));
      }
    }
    if (snapshot.cgroups.pidsRoot !== null) {
      expect(existsSync(`${snapshot.cgroups.pidsRoot}/cgroup.procs`)).toBe(true);
    }
  });

  it('reads the same under every shell', { timeout: 60_000 }, () => {
    const runs = shells
      .filter(([shell]) => find(shell) !== undefined)
      .map(([shell, args]) => run(shell, args));
    for (const { snapshot } of runs)
      expect(constant(snapshot)).toEqual(constant(runs[0]?.snapshot ?? snapshot));
  });

  it.skipIf(find('busybox') === undefined)(
    'reads the same with the tools of busybox alone',
    { timeout: 60_000 },
    () => {
      const path = join(scratch, 'busybox');
      mkdirSync(path);
      for (const applet of [...needed, 'timeout', 'dmesg', 'systemctl']) {
        symlinkSync(find(applet === 'systemctl' ? 'systemctl' : 'busybox') ?? '/nowhere', join(path, applet));
      }
      const normal = run('busybox', ['sh'], { PATH: `${path}:/usr/bin:/bin` });
      const gnu = run('dash', []);
      expect(constant(normal.snapshot)).toEqual(constant(gnu.snapshot));
    },
  );

  it('does without systemctl', () => {
    const { snapshot } = run('dash', [], {
      PATH: directory('no-systemctl', [...needed, 'timeout', 'dmesg']),
    });
    expect(snapshot.problems).toContainEqual({
      part: 'systemd',
      reason: 'command-missing',
      detail: 'there is no systemctl in PATH',
    });
    expect(snapshot.files.length).toBeGreaterThan(0);
  });

  it('does without anything but the shell', () => {
    const { snapshot } = run('dash', [], { PATH: directory('nothing', []) });
    expect(snapshot.files).toEqual([]);
    for (const tool of ['grep', 'stat', 'find']) {
      expect(snapshot.problems).toContainEqual({
        part: 'probe',
        reason: 'command-missing',
        detail: `there is no ${tool} in PATH`,
      });
    }
  });

  const hanging = '#!/bin/sh\nexec sleep 1000\n';
  it.skipIf(process.getuid?.() !== 0)(
    'says so where listing files takes too long',
    { timeout: 60_000 },
    () => {
      const programs = [...needed.filter((name) => name !== 'stat'), 'timeout'];
      const path = directory('slow-stat', programs, { stat: hanging });
      const { snapshot } = run('dash', [], { PATH: path, TASKSCTL_PROBE_SECONDS: '2' });
      expect(snapshot.problems).toContainEqual({
        part: 'files',
        reason: 'timeout',
        detail: 'reading directories was ended at its time limit',
      });
    },
  );

  it.each([
    ['with timeout', ['timeout']],
    ['without timeout', []],
  ])('ends a command that hangs, %s', (_, more) => {
    const stubs = { id: hanging, systemctl: hanging, dmesg: hanging, journalctl: hanging };
    const programs = [...needed.filter((name) => name !== 'id'), ...more];
    const path = directory(`hanging${more.length}`, programs, stubs);
    const { snapshot, ms } = run('dash', [], { PATH: path, TASKSCTL_PROBE_SECONDS: '3' });
    expect(ms).toBeLessThan(15_000);
    expect(snapshot.host.hostname).toBe(hostname());
    expect(snapshot.problems.length).toBeGreaterThan(0);
    expect(snapshot.problems.map(({ reason }) => reason)).not.toContain('malformed');
  });

  it('writes nothing: no here-document, no redirection to a file but /dev/null', () => {
    const code = probe.replace(/^\s*#.*$/gm, '').replace(/'[^']*'|\$\{[^}]*\}/g, '');
    expect(code).not.toMatch(/<<|\btee\b|\bmktemp\b/);
    const targets = [...code.matchAll(/>+\s*([^\s;)"]+)/g)].map(([, target]) => target);
    expect(new Set(targets)).toEqual(new Set(['/dev/null', '&1', '&3']));
  });

  it.skipIf(toolMissing(SHELLCHECK) !== null)('is clean for shellcheck', () => {
    const { stdout, status } = spawnSync(SHELLCHECK, ['-'], { input: probe });
    expect(stdout.toString()).toBe('');
    expect(status).toBe(0);
  });
});
