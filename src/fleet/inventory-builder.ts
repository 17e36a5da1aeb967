import { isIPv6 } from 'node:net';
import { parseTarget } from '../host/target.ts';
import { nearestName } from '../plan/nearest-name.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { compareBytes } from '../systemd/file-tree.ts';
import { expandHostRange } from './host-range.ts';
import type { InventoryHost, InventoryResult } from './inventory.ts';

/** Where something stands in an inventory. */
export interface Place {
  readonly file: string;
  readonly line?: number;
}

interface Group {
  readonly hosts: Set<string>;
  readonly children: Map<string, Place>;
  readonly vars: Map<string, string>;
  /** It has a section, a key or an entry of its own, rather than being only named as a child. */
  defined: boolean;
}

interface Host {
  readonly vars: Map<string, string>;
  readonly place: Place;
}

/** Names of hosts and groups; what a terminal, a path or a pattern could take for something else is none. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:%+@-]{0,252}$/;

/** Variables that say how to reach a host, by their old names too. */
const VARIABLES: Readonly<Record<string, 'host' | 'port' | 'user' | 'connection'>> = {
  ansible_host: 'host',
  ansible_ssh_host: 'host',
  ansible_port: 'port',
  ansible_ssh_port: 'port',
  ansible_user: 'user',
  ansible_ssh_user: 'user',
  ansible_connection: 'connection',
};

/** Variables that would change how a host is reached, and are not looked at, with what to do instead. */
const NOT_USED: Readonly<Record<string, string>> = {
  ansible_ssh_private_key_file: 'Put IdentityFile into ~/.ssh/config, or use an agent.',
  ansible_ssh_common_args: 'Put the options into ~/.ssh/config.',
  ansible_ssh_extra_args: 'Put the options into ~/.ssh/config.',
  ansible_password: 'Use keys or an agent; a password is asked for on the terminal.',
  ansible_ssh_pass: 'Use keys or an agent; a password is asked for on the terminal.',
  ansible_become_password: 'It is asked for on the terminal.',
};

/** Puts together the hosts and groups that the readers of the formats find. Never throws. */
export class InventoryBuilder {
  readonly #groups = new Map<string, Group>();
  readonly #hosts = new Map<string, Host>();
  readonly #problems: Diagnostic[] = [];
  readonly #warnings = new Map<string, Diagnostic>();

  problem(message: string, place: Place, help?: string): void {
    this.#problems.push({ ...diagnostic('error', message, place), ...(help === undefined ? {} : { help }) });
  }

  warning(message: string, place: Place): void {
    this.#warnings.set(message, diagnostic('warning', message, place));
  }

  /** A group with an entry of its own. */
  group(name: string, place: Place): void {
    if (!NAME.test(name)) this.problem(`${JSON.stringify(name)} is no name of a group`, place);
    else this.#group(name).defined = true;
  }

  child(parent: string, name: string, place: Place): void {
    if (!NAME.test(name)) this.problem(`${JSON.stringify(name)} is no name of a group`, place);
    else this.#group(parent).children.set(name, place);
  }

  groupVariable(group: string, key: string, value: string, place: Place): void {
    this.#variable(this.#group(group).vars, key, value, place);
  }

  /** The hosts that a name or a range stands for; in a group unless that is null. */
  hosts(
    group: string | null,
    pattern: string,
    vars: Iterable<readonly [string, string]>,
    place: Place,
  ): void {
    const names = expandHostRange(pattern);
    if ('error' in names) {
      this.problem(names.error, place);
      return;
    }
    for (const name of names) {
      if (!NAME.test(name)) {
        this.problem(`${JSON.stringify(name)} is no name of a host`, place);
        return;
      }
      let host = this.#hosts.get(name);
      if (host === undefined) {
        host = { vars: new Map(), place };
        this.#hosts.set(name, host);
      }
      for (const [key, value] of vars) this.#variable(host.vars, key, value, place);
      if (group !== null && group !== 'all' && group !== 'ungrouped') this.#group(group).hosts.add(name);
    }
  }

  /** Variables of a host that is named elsewhere. */
  hostVariable(name: string, key: string, value: string, place: Place): void {
    const host = this.#hosts.get(name);
    if (host !== undefined) this.#variable(host.vars, key, value, place);
  }

  build(): InventoryResult {
    const names = [...this.#groups].filter(([, { defined }]) => defined).map(([name]) => name);
    for (const [, { children }] of this.#groups) {
      for (const [child, place] of children) {
        if (this.#groups.get(child)?.defined === true) continue;
        const near = nearestName(child, names);
        this.problem(
          `there is no group ${child}`,
          place,
          near === null ? undefined : `Did you mean ${near}?`,
        );
      }
    }
    const depths = this.#depths();
    const above = this.#above();
    const hosts = [...this.#hosts].flatMap(([name, host]): InventoryHost[] => {
      const groups = new Set<string>();
      for (const [group, { hosts }] of this.#groups) {
        if (hosts.has(name)) for (const one of [group, ...(above.get(group) ?? [])]) groups.add(one);
      }
      groups.delete('all');
      const sorted = [...groups].sort(compareBytes);
      // Of a group and its children the children's variables win, of equals the last by name.
      const order = [...sorted].sort(
        (a, b) => (depths.get(a) ?? 0) - (depths.get(b) ?? 0) || compareBytes(a, b),
      );
      const vars = new Map<string, string>();
      for (const group of ['all', ...order])
        for (const [k, v] of this.#groups.get(group)?.vars ?? []) vars.set(k, v);
      for (const [key, value] of host.vars) vars.set(key, value);
      const target = targetOf(name, vars);
      const parsed = parseTarget(target);
      if (!parsed.ok) {
        this.problem(`${name}: ${parsed.message}`, host.place);
        return [];
      }
      return [{ name, target, groups: sorted }];
    });
    if (this.#problems.length > 0) return { ok: false, problems: this.#problems };
    const groups = [...this.#groups.keys()].filter((name) => name !== 'all' && name !== 'ungrouped');
    return { ok: true, inventory: { hosts, groups }, warnings: [...this.#warnings.values()] };
  }

  #group(name: string): Group {
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { hosts: new Set(), children: new Map(), vars: new Map(), defined: false };
      this.#groups.set(name, group);
    }
    return group;
  }

  #variable(vars: Map<string, string>, key: string, value: string, place: Place): void {
    const help = NOT_USED[key];
    if (help !== undefined && !this.#warnings.has(key)) {
      this.#warnings.set(key, { ...diagnostic('warning', `${key} is not used`, place), help });
    }
    if (key === 'ansible_become' && /^(?:false|no|0)$/i.test(value) && !this.#warnings.has(key)) {
      const message = 'ansible_become=false is not used: task limits are read and written as root';
      this.#warnings.set(key, diagnostic('warning', message, place));
    }
    const known = VARIABLES[key];
    if (known !== undefined) vars.set(known, value);
  }

  /** Of each group all groups it is below of. */
  #above(): Map<string, Set<string>> {
    const above = new Map<string, Set<string>>();
    const visit = (group: string, path: readonly string[]): void => {
      for (const [child, place] of this.#groups.get(group)?.children ?? []) {
        if (child === group || path.includes(child)) {
          this.problem(`group ${child} is below itself`, place);
          continue;
        }
        const known = above.get(child) ?? new Set();
        const size = known.size;
        for (const one of [...path, group]) known.add(one);
        above.set(child, known);
        if (known.size > size || path.length === 0) visit(child, [...path, group]);
      }
    };
    for (const group of this.#groups.keys()) visit(group, []);
    return above;
  }

  /** How far below `all` a group is, at most. */
  #depths(): Map<string, number> {
    const depths = new Map<string, number>();
    let changed = true;
    for (let round = 0; changed && round <= this.#groups.size; round++) {
      changed = false;
      for (const [name, { children }] of this.#groups) {
        for (const child of children.keys()) {
          const depth = (depths.get(name) ?? 0) + 1;
          if (depth <= (depths.get(child) ?? 0) || depth > this.#groups.size) continue;
          depths.set(child, depth);
          changed = true;
        }
      }
    }
    return depths;
  }
}

function diagnostic(severity: Diagnostic['severity'], message: string, place: Place): Diagnostic {
  return { code: 'inventory', severity, message, ...place };
}

function targetOf(name: string, vars: ReadonlyMap<string, string>): string {
  if (vars.get('connection') === 'local') return 'local';
  // A name may have its port in it, as `web1:2222`; an address of IPv6 has colons of its own.
  const [, plain = name, ownPort] = isIPv6(name) ? [] : (/^(.*):([0-9]+)$/.exec(name) ?? []);
  const host = vars.get('host') ?? plain;
  const user = vars.get('user');
  const port = vars.get('port') ?? ownPort;
  const address = isIPv6(host) ? `[${host}]` : host;
  return `${user === undefined ? '' : `${user}@`}${address}${port === undefined ? '' : `:${port}`}`;
}
