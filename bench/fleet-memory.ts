/**
 * Memory of `status` and `plan` over an inventory, by the number of hosts: npx tsx bench/fleet-memory.ts [TARGET [NUMBERS]]
 *
 * What the probe says of one real host (this machine unless TARGET names another) is recorded once and given back by a
 * stand-in for `sh`, for each of thousands of hosts with ansible_connection=local. So all but the login is real, and
 * hosts cost nothing. If snapshots were kept, the peak would grow by more than the recorded bytes for each host.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../src/host/connect.ts';
import { readyLine } from '../src/host/sudo.ts';
import type { Transport } from '../src/host/transport.ts';
import { readSnapshot } from '../src/snapshot/read-snapshot.ts';

const HOSTS = (process.argv[3] ?? '100,1000,5000').split(',').map(Number);
const program = join(import.meta.dirname, '../dist/tasksctl.js');

async function record(target: string): Promise<Buffer> {
  const connected = await connect(target);
  if (!connected.ok) throw new Error(connected.error.message);
  const { transport } = connected;
  let said: Buffer = Buffer.alloc(0);
  const recording: Transport = {
    target,
    close: () => transport.close(),
    run: async (request) => {
      const result = await transport.run(request);
      if (result.kind === 'exit') said = result.stdout;
      return result;
    },
  };
  const read = await readSnapshot(recording);
  await transport.close();
  if (read.kind !== 'ok') throw new Error(read.error.message);
  return said;
}

/** Peak resident memory of the process in MB, its seconds and its exit status. */
async function measure(args: readonly string[], path: string) {
  const env = { ...process.env, PATH: `${path}:${process.env['PATH']}` };
  const started = performance.now();
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  let code: number | null | undefined;
  child.once('exit', (status) => {
    code = status;
  });
  let peak = 0;
  while (code === undefined) {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, Number(/^VmHWM:\s+([0-9]+) kB/m.exec(status)?.[1] ?? 0));
    } catch {
      // It has just ended.
    }
    await sleep(20);
  }
  return { mb: peak / 1024, seconds: (performance.now() - started) / 1000, code };
}

const dir = mkdtempSync('/tmp/tasksctl-fleet-memory-');
try {
  const probe = await record(process.argv[2] ?? 'local');
  writeFileSync(join(dir, 'probe'), probe);
  writeFileSync(
    join(dir, 'sh'),
    `#!/bin/sh\necho '${readyLine}'; echo '${readyLine}' >&2; exec cat ${dir}/probe\n`,
  );
  chmodSync(join(dir, 'sh'), 0o755);
  console.log(`The probe says ${Math.round(probe.length / 1024)} kB of a host.`);
  const inventory = join(dir, 'hosts.ini');
  for (const [command, ...more] of [['status'], ['plan', '--out', join(dir, 'plans')]] as const) {
    for (const hosts of HOSTS) {
      writeFileSync(inventory, `host[1:${hosts}] ansible_connection=local\n`);
      const { mb, seconds, code } = await measure([command, '-i', inventory, ...more], dir);
      const all = Math.round((probe.length * hosts) / 1024 / 1024);
      console.log(
        `${command} of ${hosts} hosts: peak ${Math.round(mb)} MB, ${seconds.toFixed(1)} s, exit ${code} (all that was read: ${all} MB)`,
      );
    }
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}
