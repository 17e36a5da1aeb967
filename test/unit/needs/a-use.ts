import type { HostUse, UnitUse } from '../../../src/needs/use.ts';

const DAY = 86_400_000;

/** A unit with 10 tasks for most of a day and 40 for a while. */
export function aUse(fields: Partial<UnitUse> = {}): UnitUse {
  return {
    unit: 'a.service',
    histogram: [
      [10, DAY - 600_000],
      [40, 600_000],
    ],
    peak: 40,
    peakByKernel: true,
    rejections: 0,
    reached: null,
    burst: 30,
    instances: 1,
    ...fields,
  };
}

export function aHostUse(units: readonly UnitUse[], fields: Partial<HostUse> = {}): HostUse {
  return {
    hostname: 'web1',
    measuredMs: 7 * DAY,
    intervalMs: 1000,
    kernel: { pidMax: 32_768, threadsMax: 100_000, peak: 400 },
    units,
    ...fields,
  };
}
