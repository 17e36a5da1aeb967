import { z } from 'zod';

/** How many hosts are done after a wave, or are in a batch. */
export const amountSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('count'), count: z.number().int().nonnegative() }),
  z.strictObject({ kind: z.literal('percent'), percent: z.number().min(0).max(100) }),
]);
export type Amount = z.infer<typeof amountSchema>;

/** How hosts are split into waves: in batches of one size, or by how many are done after each wave. */
export const splitSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('serial'), size: amountSchema }),
  z.strictObject({ kind: z.literal('until'), amounts: z.array(amountSchema).min(1) }),
]);
export type Split = z.infer<typeof splitSchema>;

/** Some hosts of a rollout that come before or after others. */
export const stageSchema = z.strictObject({
  /** The pattern it has in the fleet file; null: all hosts, where nobody said an order. */
  name: z.string().nullable(),
  hosts: z.array(z.string()),
  /** How it is split into waves where the command line does not say; null: not at all. */
  split: splitSchema.nullable(),
});
export type Stage = z.infer<typeof stageSchema>;

/** One host to see whether it works at all, a tenth, half, all. */
export const DEFAULT_WAVES = '1,10%,50%,100%';

const DEFAULT_SPLIT: Split = {
  kind: 'until',
  amounts: DEFAULT_WAVES.split(',').flatMap((text) => parseAmount(text) ?? []),
};

/** `5` or `10%`; null for anything else. */
export function parseAmount(text: string): Amount | null {
  const [, number, percent] = /^([0-9]{1,6}(?:\.[0-9]+)?)(%?)$/.exec(text.trim()) ?? [];
  const value = Number(number);
  if (percent === '%') return value <= 100 ? { kind: 'percent', percent: value } : null;
  return Number.isInteger(value) ? { kind: 'count', count: value } : null;
}

/** `1,10%,50%,100%`; null for anything else. */
export function parseAmounts(text: string): readonly Amount[] | null {
  const amounts = text.split(',').map(parseAmount);
  return amounts.every((amount) => amount !== null) ? amounts : null;
}

/** Of so many hosts; a percentage is rounded up, so that it is never none of some. */
export function amountOf(amount: Amount, hosts: number): number {
  return amount.kind === 'count' ? amount.count : Math.ceil((hosts * amount.percent) / 100);
}

/**
 * The hosts in waves, in their order. `until`: how many are done after each wave; what is left after the last is one more
 * wave. Waves that have nobody left are left out.
 */
export function wavesUntil<T>(hosts: readonly T[], until: readonly Amount[]): readonly (readonly T[])[] {
  const waves: T[][] = [];
  let done = 0;
  for (const end of [...until.map((amount) => amountOf(amount, hosts.length)), hosts.length]) {
    const wave = hosts.slice(done, end);
    if (wave.length === 0) continue;
    waves.push(wave);
    done += wave.length;
  }
  return waves;
}

/** The hosts in batches of one size (`serial` of Ansible). */
export function wavesOf<T>(hosts: readonly T[], size: Amount): readonly (readonly T[])[] {
  const most = Math.max(1, amountOf(size, hosts.length));
  const waves: T[][] = [];
  for (let at = 0; at < hosts.length; at += most) waves.push(hosts.slice(at, at + most));
  return waves;
}

/** A host with the number of its wave, from 0, and the stage that is in. */
export interface InWave<H> {
  readonly host: H;
  readonly wave: number;
  readonly stage: string | null;
}

/** The hosts in waves, stage by stage; `split` is how the command line wants each stage split, if it says so. */
export function stagesInWaves<H extends { readonly name: string }>(
  hosts: readonly H[],
  stages: readonly Stage[],
  split: Split | null,
): readonly InWave<H>[] {
  const byName = new Map(hosts.map((host) => [host.name, host]));
  const placed: InWave<H>[] = [];
  let wave = 0;
  for (const stage of stages) {
    const some = stage.hosts.flatMap((name) => byName.get(name) ?? []);
    const how = split ?? stage.split ?? (stage.name === null ? DEFAULT_SPLIT : null);
    const waves =
      how === null ? [some] : how.kind === 'serial' ? wavesOf(some, how.size) : wavesUntil(some, how.amounts);
    for (const hosts of waves) {
      if (hosts.length === 0) continue;
      for (const host of hosts) placed.push({ host, wave, stage: stage.name });
      wave++;
    }
  }
  return placed;
}
