import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type HostPlan, hostPlanSchema } from './host-plan.ts';

interface Extent {
  readonly groups: readonly string[];
  readonly offset: number;
  /** With the end of the line. */
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
      const bytes = Buffer.byteLength(line) + 1;
      const host = headOf(line);
      if (!host.success) throw new Error(`${path}:${number}: this is no plan of a host`);
      extents.set(host.data.name, { groups: host.data.groups, offset, bytes });
      offset += bytes;
    }
    return new HostPlanFile(await open(path, 'r'), extents, offset);
  }

  /** In the order they were added. */
  hosts(): readonly { readonly name: string; readonly groups: readonly string[] }[] {
    return [...this.#extents].map(([name, { groups }]) => ({ name, groups }));
  }

  async add(plan: HostPlan): Promise<void> {
    await this.#append(plan.name, plan.groups, Buffer.from(hostPlanLine(plan)));
  }

  async #append(name: string, groups: readonly string[], line: Buffer): Promise<void> {
    const offset = this.#end;
    this.#end += line.length;
    this.#extents.set(name, { groups, offset, bytes: line.length });
    await this.#file.write(line, 0, line.length, offset);
  }

  async get(name: string): Promise<HostPlan> {
    const extent = this.#extents.get(name);
    if (extent === undefined) throw new Error(`there is no plan of ${name}`);
    return hostPlanSchema.parse(JSON.parse((await this.#line(extent)).toString()));
  }

  async #line({ offset, bytes }: Extent): Promise<Buffer> {
    const line = Buffer.alloc(bytes);
    await this.#file.read(line, 0, bytes, offset);
    return line;
  }

  /** Writes the plans of these hosts, as far as there are any, into another file, as they are and in this order. */
  async copyTo(other: HostPlanFile, names: readonly string[]): Promise<void> {
    for (const name of names) {
      const extent = this.#extents.get(name);
      if (extent !== undefined) await other.#append(name, extent.groups, await this.#line(extent));
    }
  }

  /** Returns when all that was added is on the disk. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** The plan of a host as such a file has it. */
export function hostPlanLine(plan: HostPlan): string {
  return `${JSON.stringify(plan)}\n`;
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
