import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type HostPlan, hostPlanSchema } from './host-plan.ts';

interface Extent {
  readonly groups: readonly string[];
  readonly offset: number;
  readonly bytes: number;
}

/**
 * The plans of a fleet in a file, a line of JSON each: thousands of them need not be in memory at once. Damaged lines
 * throw.
 */
export class HostPlanFile {
  readonly #file: FileHandle;
  readonly #extents: Map<string, Extent>;
  #end: number;

  private constructor(file: FileHandle, extents: Map<string, Extent>, end: number) {
    this.#file = file;
    this.#extents = extents;
    this.#end = end;
  }

  /** A new file; there must not be one. */
  static async create(path: string): Promise<HostPlanFile> {
    return new HostPlanFile(await open(path, 'wx+', 0o600), new Map(), 0);
  }

  static async open(path: string): Promise<HostPlanFile> {
    const extents = new Map<string, Extent>();
    let offset = 0;
    let number = 0;
    for await (const line of createInterface({
      input: createReadStream(path),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      number++;
      const bytes = Buffer.byteLength(line);
      const host = headOf(line);
      if (!host.success) throw new Error(`${path}:${number}: this is no plan of a host`);
      extents.set(host.data.name, { groups: host.data.groups, offset, bytes });
      offset += bytes + 1;
    }
    return new HostPlanFile(await open(path, 'r'), extents, offset);
  }

  /** In the order they were added. */
  hosts(): readonly { readonly name: string; readonly groups: readonly string[] }[] {
    return [...this.#extents].map(([name, { groups }]) => ({ name, groups }));
  }

  async add(plan: HostPlan): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(plan)}\n`);
    const offset = this.#end;
    this.#end += line.length;
    this.#extents.set(plan.name, { groups: plan.groups, offset, bytes: line.length - 1 });
    await this.#file.write(line, 0, line.length, offset);
  }

  async get(name: string): Promise<HostPlan> {
    const extent = this.#extents.get(name);
    if (extent === undefined) throw new Error(`there is no plan of ${name}`);
    const line = Buffer.alloc(extent.bytes);
    await this.#file.read(line, 0, extent.bytes, extent.offset);
    return hostPlanSchema.parse(JSON.parse(line.toString()));
  }

  /** Returns when all that was added is on the disk. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** What is kept of each line in memory. */
const headSchema = hostPlanSchema.pick({ schema: true, name: true, groups: true }).loose();

function headOf(line: string) {
  let json: unknown = null;
  try {
    json = JSON.parse(line);
  } catch {
    // null is no plan.
  }
  return headSchema.safeParse(json);
}
