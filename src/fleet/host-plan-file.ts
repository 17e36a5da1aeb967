import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { type HostPlan, hostPlanSchema } from './host-plan.ts';
import { stageSchema } from './waves.ts';

/** The first line of a file of plans: what its hosts have in common. */
export const fleetOrderSchema = z.strictObject({
  schema: z.literal('tasksctl/fleet-order/1'),
  /** All hosts that were to be planned, in the order of their inventory. */
  stages: z.array(stageSchema),
  maxUnavailable: z.array(z.tuple([z.string(), z.number().int().positive()])),
});
export type FleetOrder = z.infer<typeof fleetOrderSchema>;

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
  readonly order: FleetOrder;
  #end: number;

  private constructor(file: FileHandle, extents: Map<string, Extent>, order: FleetOrder, end: number) {
    this.#file = file;
    this.#extents = extents;
    this.order = order;
    this.#end = end;
  }

  /** A new file; there must not be one. */
  static async create(path: string, order: FleetOrder): Promise<HostPlanFile> {
    const file = await open(path, 'wx+', 0o600);
    const { bytesWritten } = await file.write(planLine(order));
    return new HostPlanFile(file, new Map(), order, bytesWritten);
  }

  static async open(path: string): Promise<HostPlanFile> {
    const extents = new Map<string, Extent>();
    let order: FleetOrder | null = null;
    let offset = 0;
    let number = 0;
    for await (const line of createInterface({
      input: createReadStream(path),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      number++;
      const bytes = Buffer.byteLength(line) + 1;
      const json = parsed(line);
      if (order === null) {
        const head = fleetOrderSchema.safeParse(json);
        if (!head.success) throw new Error(`${path}:1: this is no saved plan of a fleet`);
        order = head.data;
      } else {
        const host = headSchema.safeParse(json);
        if (!host.success) throw new Error(`${path}:${number}: this is no plan of a host`);
        extents.set(host.data.name, { groups: host.data.groups, offset, bytes });
      }
      offset += bytes;
    }
    if (order === null) throw new Error(`${path}: this is no saved plan of a fleet`);
    return new HostPlanFile(await open(path, 'r'), extents, order, offset);
  }

  /** In the order of their inventory, whichever was planned first. */
  hosts(): readonly { readonly name: string; readonly groups: readonly string[] }[] {
    const ordered = this.order.stages.flatMap(({ hosts }) => hosts);
    return [...new Set([...ordered, ...this.#extents.keys()])].flatMap((name) => {
      const extent = this.#extents.get(name);
      return extent === undefined ? [] : [{ name, groups: extent.groups }];
    });
  }

  async add(plan: HostPlan): Promise<void> {
    await this.#append(plan.name, plan.groups, Buffer.from(planLine(plan)));
  }

  /** Writes all of it into another file, as it is but in the order of the inventory: whichever host answers first. */
  async copyTo(other: HostPlanFile): Promise<void> {
    for (const { name, groups } of this.hosts()) await other.#append(name, groups, await this.#line(name));
  }

  async #append(name: string, groups: readonly string[], line: Buffer): Promise<void> {
    const offset = this.#end;
    this.#end += line.length;
    this.#extents.set(name, { groups, offset, bytes: line.length });
    await this.#file.write(line, 0, line.length, offset);
  }

  async get(name: string): Promise<HostPlan> {
    return hostPlanSchema.parse(JSON.parse((await this.#line(name)).toString()));
  }

  async #line(name: string): Promise<Buffer> {
    const extent = this.#extents.get(name);
    if (extent === undefined) throw new Error(`there is no plan of ${name}`);
    const line = Buffer.alloc(extent.bytes);
    await this.#file.read(line, 0, extent.bytes, extent.offset);
    return line;
  }

  /** Returns when all that was added is on the disk. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** A line as such a file has it. */
export function planLine(line: FleetOrder | HostPlan): string {
  return `${JSON.stringify(line)}\n`;
}

/** What is kept of each line in memory. */
const headSchema = hostPlanSchema.pick({ schema: true, name: true, groups: true }).loose();

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Which is no plan.
    return null;
  }
}
