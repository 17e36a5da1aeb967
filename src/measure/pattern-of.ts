import { parseUnitName, templateOf } from '../systemd/unit-name.ts';

/**
 * The name under which units that come and go are kept together: `user-.slice` for every user's slice, `session-.scope`
 * for every session, `foo@.service` for a template's instances, and the same for what container engines and
 * systemd-run name by an id (`docker-.scope`, `run-.service`). Null for a unit that has a name of its own.
 *
 * Cut off at a dash, the names are those whose drop-in directories systemd reads (systemd.unit(5)).
 */
export function patternOf(unit: string): string | null {
  const template = templateOf(unit);
  if (template !== null) return template;
  const name = parseUnitName(unit);
  if (name === null || name.instance !== null) return null;
  const prefix =
    (name.type === 'slice' && /^(user-)[0-9]{1,10}$/.exec(name.prefix)?.[1]) ||
    // logind: an audit session's number, or its own with a c before it.
    (name.type === 'scope' && /^(session-)c?[0-9]{1,10}$/.exec(name.prefix)?.[1]) ||
    // systemd-run(1): run-r and 128 bits, run-u and a bus name's number, run- and a pid; since 256 run-p and -i.
    /^(run-)(?:r[0-9a-f]{32}|u?[0-9]+|p[0-9]+-i[0-9]+)$/.exec(name.prefix)?.[1] ||
    // Docker, podman, containerd, CRI-O: an id of 256 bits. Kubernetes: a pod's UUID, dashes made underscores.
    /^(.+-)(?:[0-9a-f]{64}|pod[0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}|pod[0-9a-f]{32})$/.exec(
      name.prefix,
    )?.[1];
  return prefix ? `${prefix}.${name.type}` : null;
}
