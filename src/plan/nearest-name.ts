/** The name a misspelt one most likely stands for; null where none is near. */
export function nearestName(wrong: string, names: readonly string[]): string | null {
  const plain = (name: string): string => name.toLowerCase().replaceAll('_', '-');
  let best: { name: string; distance: number } | null = null;
  for (const name of names) {
    const distance = editDistance(plain(wrong), plain(name));
    if (distance * 3 <= name.length + 1 && (best === null || distance < best.distance))
      best = { name, distance };
  }
  return best?.name ?? null;
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    above = row;
  }
  return above[b.length] ?? 0;
}
