import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory that looks like a hierarchy with the pids controller to whoever reads it. */
export class FakeCgroups {
  readonly root = mkdtempSync(join(tmpdir(), 'tasksctl-cgroups-'));

  /** Makes or changes a cgroup and counts its tasks. */
  set(path: string, tasks: number, more: { max?: number; events?: number; peak?: number } = {}): void {
    const directory = join(this.root, path);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'pids.current'), `${tasks}\n`);
    writeFileSync(join(directory, 'pids.max'), `${more.max ?? 'max'}\n`);
    writeFileSync(join(directory, 'pids.events'), `max ${more.events ?? 0}\n`);
    if (more.peak !== undefined) writeFileSync(join(directory, 'pids.peak'), `${more.peak}\n`);
  }

  /** Only the count, as the kernel changes it. */
  count(path: string, tasks: number): void {
    writeFileSync(join(this.root, path, 'pids.current'), `${tasks}\n`);
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true });
  }

  end(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
