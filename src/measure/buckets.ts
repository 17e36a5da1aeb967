/** Counts up to this have a bucket each. */
const EXACT = 32;

/** Further buckets are this much wider each, as in the histograms of the Kubernetes vertical pod autoscaler. */
const RATIO = 1.05;

/** Linux has no more process ids (PID_MAX_LIMIT). */
const MOST_TASKS = 4_194_304;

const BOUNDS: readonly number[] = makeBounds();

function makeBounds(): number[] {
  const bounds: number[] = [];
  for (let bound = 0; bound < EXACT; bound++) bounds.push(bound);
  for (let bound = EXACT; bound < MOST_TASKS; bound = Math.max(bound + 1, Math.floor(bound * RATIO))) {
    bounds.push(bound);
  }
  return [...bounds, MOST_TASKS];
}

/** The upper end of the bucket that a number of tasks is in: at most 5 % above it, and itself up to 32. */
export function bucketOf(tasks: number): number {
  let low = 0;
  let high = BOUNDS.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((BOUNDS[middle] ?? MOST_TASKS) >= tasks) high = middle;
    else low = middle + 1;
  }
  return BOUNDS[low] ?? MOST_TASKS;
}
