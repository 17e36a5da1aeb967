/** Hundredths of a percent in one. */
const ONE = 10_000n;

/** `tasks` x (1 + `share`), rounded up. `share` is in hundredths of a percent. */
export function growBy(tasks: bigint, share: bigint): bigint {
  return (tasks * (ONE + share) + ONE - 1n) / ONE;
}

/** `x 1.5 (headroom 50%)` */
export function growthText(share: bigint, name: string): string {
  const factor = Number(ONE + share) / Number(ONE);
  return `x ${factor} (${name} ${percentText(share)})`;
}

/** `99.5%` */
export function percentText(share: bigint): string {
  return `${Number(share) / 100}%`;
}

/** Steps that limits are rounded up to, so that they look chosen and small changes of use change nothing. */
export function roundUp(tasks: bigint): bigint {
  const step = tasks < 1024n ? 64n : tasks < 16_384n ? 256n : 1024n;
  return ((tasks + step - 1n) / step) * step;
}

/** `headroom 50%` of `tasks`, rounded up to a step: the number and the line that says how it came about. */
export function withHeadroom(
  tasks: bigint,
  headroom: bigint,
): { readonly to: bigint; readonly line: string } {
  const grown = growBy(tasks, headroom);
  const to = roundUp(grown);
  const rounded = to === grown ? '' : `, rounded up to ${to}`;
  return { to, line: `${tasks} ${growthText(headroom, 'headroom')} = ${grown}${rounded}` };
}
