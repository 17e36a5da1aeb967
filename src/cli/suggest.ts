/** The names closest to one that does not exist, nearest first: those that contain it, then those a few typos away. */
export function suggest(wrong: string, names: Iterable<string>, most = 3): string[] {
  const scored: { name: string; distance: number }[] = [];
  // Half of the letters wrong is another word.
  const worst = Math.max(1, Math.floor(wrong.length / 3));
  for (const name of names) {
    const distance = wrong !== '' && name.includes(wrong) ? 0 : editDistance(wrong, name, worst);
    if (distance <= worst) scored.push({ name, distance });
  }
  // By name where equally near, shorter first: `ssh` means ssh.service before user-ssh-agent.service.
  scored.sort(
    (a, b) => a.distance - b.distance || a.name.length - b.name.length || (a.name < b.name ? -1 : 1),
  );
  return scored.slice(0, most).map(({ name }) => name);
}

/** Levenshtein's distance; anything over `worst` comes back as more than `worst`. */
function editDistance(a: string, b: string, worst: number): number {
  if (Math.abs(a.length - b.length) > worst) return worst + 1;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
