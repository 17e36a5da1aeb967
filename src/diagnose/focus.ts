/**
 * Whose forks failed: a host's, those of some cgroups, or those of a user. Kernel-wide ceilings are of concern to
 * everybody.
 */
export interface Focus {
  /** What the operator asked about, for people: `ci-runner.service`, `alice (uid 1000)`, `pid 812 (java)`. */
  readonly name: string | null;
  /** Cgroups it runs in, below systemd's root; null: all. */
  readonly cgroups: readonly string[] | null;
  /** The user whose RLIMIT_NPROC matters; null: whoever runs in those cgroups. */
  readonly uid: number | null;
  /** One process and what it is held to. */
  readonly proc: {
    readonly pid: number;
    readonly soft: string | null;
    readonly exempt: boolean;
    readonly pidNamespace: number | null;
  } | null;
}

export const EVERYTHING: Focus = { name: null, cgroups: null, uid: null, proc: null };

/** The cgroup is, is above, or is below one of those in focus: a limit there is met by forks in focus. */
export function concerns(focus: Focus, path: string): boolean {
  return (
    focus.cgroups === null ||
    // Below the root is everybody, which is nobody in particular.
    focus.cgroups.some((cgroup) => isAtOrBelow(cgroup, path) || (cgroup !== '/' && isAtOrBelow(path, cgroup)))
  );
}

/** `path` is `above` or below it. */
export function isAtOrBelow(path: string, above: string): boolean {
  return above === '/' || path === above || path.startsWith(`${above}/`);
}
