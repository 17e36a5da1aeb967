/** A run's name on a host, sortable by time: `20261122T201530Z-3f9a`. */
export type RunId = string;

const RUN_ID = /^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$/;

/** `random` is an integer from 0 to 65535; it tells two runs of one second apart. */
export function makeRunId(now: Date, random: number): RunId {
  const time = now.toISOString().replaceAll(/[-:]|\.[0-9]+/g, '');
  return `${time}-${(random & 0xffff).toString(16).padStart(4, '0')}`;
}

export function isRunId(text: string): boolean {
  return RUN_ID.test(text);
}

/** When the run was started, by the controller's clock. */
export function runIdTime(id: RunId): Date {
  const [, y, mo, d, h, mi, s] =
    /^([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z/.exec(id) ?? [];
  return new Date(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
}
