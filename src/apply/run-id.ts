/**
 * A run's name on a host: `20261122T201530Z-3f9a`. Names sort by time, to the millisecond, since the newest run is the one that
 * is undone first: of the last four digits the upper ten bits are milliseconds.
 */
export type RunId = string;

const RUN_ID = /^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$/;

/** `random` is an integer; its last six bits tell two runs of one millisecond apart. */
export function makeRunId(now: Date, random: number): RunId {
  const time = now.toISOString().replaceAll(/[-:]|\.[0-9]+/g, '');
  const rest = (now.getUTCMilliseconds() << 6) | (random & 0x3f);
  return `${time}-${rest.toString(16).padStart(4, '0')}`;
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
