import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { planSchema } from '../../src/plan/plan.ts';
import { applySchema, rollbackSchema, verifySchema } from '../../src/report/apply-json.ts';
import { statusSchema } from '../../src/report/status-json.ts';
import { containersUnavailable, type LabHost, type Suite, startContainer } from '../lab/lab.ts';
import { bundle, pidsMax } from './program.ts';

/** The program as it is installed, run by root on the very host it is about. */

const root = join(import.meta.dirname, '../..');
const suites: Suite[] = ['bullseye', 'bookworm', 'trixie'];

/** Everything below a directory, by the path it is to have on a host. */
function filesBelow(from: string, to: string): [string, Buffer][] {
  return readdirSync(from, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [join(to, path.slice(from.length)), readFileSync(path)]);
}

describe.skipIf(containersUnavailable() !== null).each(suites)('on %s itself', (suite) => {
  let host: LabHost;

  beforeAll(async () => {
    host = await startContainer({ suite });
    const dist = mkdtempSync(join(tmpdir(), 'tasksctl-dist-'));
    bundle(dist);
    await host.writeFiles({
      '/opt/tasksctl/package.json': readFileSync(join(root, 'package.json')),
      ...Object.fromEntries(filesBelow(dist, '/opt/tasksctl/dist')),
      ...Object.fromEntries(filesBelow(join(root, 'templates'), '/opt/tasksctl/templates')),
      '/opt/node': readFileSync(process.execPath),
      '/etc/systemd/system/crowd.service':
        '[Service]\nTasksMax=20\nExecStart=/bin/bash -c "for i in {1..30}; do sleep 1d & done; wait"\n',
    });
    rmSync(dist, { recursive: true });
    await host.exec(`chmod +x /opt/node
systemctl daemon-reload; systemctl start crowd.service
while [ "$(cat /sys/fs/cgroup/pids/system.slice/crowd.service/pids.current)" -lt 20 ]; do sleep 0.1; done`);
  });
  afterAll(() => host?.stop());

  async function tasksctl<T extends z.ZodType>(schema: T, code: number, args: string): Promise<z.infer<T>> {
    const run = await host.exec(`cd /; /opt/node /opt/tasksctl/dist/tasksctl.js ${args} --json`, {
      check: false,
    });
    // What the lab's own shell says before it goes to a directory of the host.
    const stderr = run.stderr.toString().replace(/^sh: 0: getcwd\(\) failed: .*\n/, '');
    expect({ code: run.code, stderr }).toEqual({ code, stderr: '' });
    return schema.parse(JSON.parse(run.stdout.toString()));
  }

  it('reads, plans, applies, verifies and undoes', async () => {
    const status = await tasksctl(statusSchema, 0, 'status --unit crowd.service');
    expect(status.units).toMatchObject([
      {
        name: 'crowd.service',
        live: '20',
        current: 20,
        configured: { provenance: { file: '/etc/systemd/system/crowd.service', line: 2 } },
      },
    ]);

    const plan = await tasksctl(planSchema, 2, 'plan --detailed-exitcode');
    const change = plan.changes.find(({ title }) => title === 'crowd.service');
    const wanted = change?.to.count ?? '';
    expect(Number(wanted)).toBeGreaterThan(20);

    const applied = await tasksctl(applySchema, 0, 'apply --yes');
    expect(applied.result).toMatchObject({ kind: 'applied' });
    expect(await pidsMax(host, 'crowd.service')).toBe(wanted);
    expect((await tasksctl(planSchema, 0, 'plan --detailed-exitcode')).changes).toEqual([]);
    expect(await tasksctl(applySchema, 0, 'apply --yes')).toMatchObject({ result: { kind: 'nothing' } });
    expect(await tasksctl(verifySchema, 0, 'verify')).toMatchObject({ holds: true });

    expect(await tasksctl(rollbackSchema, 0, 'rollback --yes')).toMatchObject({ kind: 'rolled-back' });
    expect(await pidsMax(host, 'crowd.service')).toBe('20');
    const { stdout } = await host.exec('find /etc -name "*tasksctl*"');
    expect(stdout.toString()).toBe('');
  });
});
