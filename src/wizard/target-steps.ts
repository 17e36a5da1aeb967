import { orderOf } from '../fleet/fleet-order.ts';
import { selectHosts } from '../fleet/host-pattern.ts';
import type { InventoryHost } from '../fleet/inventory.ts';
import { parseTarget } from '../host/target.ts';
import { plural } from '../report/diagnostic-text.ts';
import { escapeText, safe } from '../report/terminal-escape.ts';
import { hostLimits } from '../snapshot/limits.ts';
import type { Choice } from './question.ts';
import type { Done, Picked, Setting, Work } from './setting.ts';
import type { At, Fleet, Host, Opened, Reason, State, View } from './state.ts';
import { ask, choice, end, no, ok, QUIT, yes } from './views.ts';

/** Steps from nothing to hosts that were read. */

export function reasonView({ given }: Setting): View {
  return ask(
    choice(
      safe`What brings you here?`,
      [
        {
          value: 'fork',
          name: safe`Fork fails`,
          about: safe`"Resource temporarily unavailable", "unable to create native thread": which limit is it?`,
        },
        {
          value: 'workload',
          name: safe`A new workload`,
          about: safe`More users, a database, a JVM, builds: are the limits enough for it?`,
        },
        { value: 'look', name: safe`Look at the limits`, about: safe`Who is near which limit, and why.` },
        QUIT,
      ],
      { back: false },
    ),
    (value) => {
      if (value === 'quit') return end();
      const reason = value as Reason;
      if (given === null) return { at: 'where', reason };
      if (given.kind === 'host') return { at: 'reading', reason, target: given.target };
      const { inventory, limit, fleet } = given;
      return limit === null
        ? opened({ reason, inventory, fleet })
        : pick({ reason, inventory, fleet }, limit, fleet.hosts);
    },
    safe`Nothing is changed before you say so. Back is always there; Ctrl-C leaves.\n`,
  );
}

export function whereView({ reason }: At<'where'>, { here, likelyInventory }: Setting): View {
  return ask(
    choice(safe`Which host?`, [
      { value: 'local', name: safe`This one, ${escapeText(here)}` },
      {
        value: 'ssh',
        name: safe`Another one, over SSH`,
        about: safe`Your ~/.ssh/config, keys, agent and known_hosts are used; nothing is installed there.`,
      },
      {
        value: 'inventory',
        name: safe`Several, of an inventory`,
        about:
          likelyInventory === ''
            ? safe`An Ansible inventory, an ssh_config, a list of hosts, or names with commas between them.`
            : safe`${escapeText(likelyInventory)} is there. An ssh_config, a list of hosts or names will do as well.`,
      },
    ]),
    (value) =>
      value === 'local'
        ? { at: 'reading', reason, target: 'local' }
        : { at: value as 'ssh' | 'inventory', reason },
  );
}

export function sshView({ reason }: At<'ssh'>): View {
  return ask(
    {
      message: safe`Host, as for ssh:`,
      initial: '',
      check: (text) => {
        if (text === '') return no('Such as web1, admin@web1 or admin@web1:2222.');
        const parsed = parseTarget(text);
        if (!parsed.ok) return no(parsed.message);
        if (parsed.target.kind === 'local') return yes(safe`This machine.`);
        const { user, host, port } = parsed.target;
        const as = user === undefined ? '' : `, as ${user}`;
        const at = port === undefined ? '' : `, port ${port}`;
        return yes(escapeText(`Logs in to ${host}${at}${as}, and reads it.`));
      },
    },
    (target) => ({ at: 'reading', reason, target }),
  );
}

export function inventoryView({ reason }: At<'inventory'>, { likelyInventory, inventoryAt }: Setting): View {
  return ask(
    {
      message: safe`Inventory:`,
      initial: likelyInventory,
      check: (text) =>
        text === ''
          ? no('A file such as hosts.ini, or names such as web1,web2,admin@db1.')
          : inventoryAt(text),
    },
    // Else it would look like an option.
    (text) => ({ at: 'opening', reason, inventory: [text.startsWith('-') ? `./${text}` : text] }),
  );
}

export function openingView({ reason, inventory }: At<'opening'>): View {
  return {
    kind: 'work',
    run: async (work) => {
      const done = await work.openInventory(inventory);
      return done.ok ? ok(opened({ reason, inventory, fleet: done.value })) : done;
    },
  };
}

/** Of one host nobody has to choose. */
function opened(inventory: Opened): State {
  const { hosts } = inventory.fleet;
  return hosts.length === 1 ? pick(inventory, null, hosts) : { at: 'group', ...inventory };
}

/** These hosts are to be read. */
function pick({ reason, inventory, fleet }: Opened, limit: string | null, hosts: Picked['hosts']): State {
  const order = orderOf({ ...fleet, hosts });
  return { at: 'reading-fleet', reason, picked: { inventory, limit, hosts, order } };
}

export function groupView(state: At<'group'>): View {
  const { reason, inventory, fleet } = state;
  const { hosts: all } = fleet;
  const groups = [...new Set(all.flatMap(({ groups }) => groups))].sort();
  const choices = groups.flatMap((group): (Choice & { readonly hosts: readonly InventoryHost[] })[] => {
    // What the command at the end will find: a host may have the name of a group.
    const hosts = selectHosts(all, group, fleet.groups);
    return 'error' in hosts ? [] : [{ value: `of ${group}`, name: countOf(group, hosts), hosts }];
  });
  return ask(
    choice(safe`Which hosts?`, [
      { value: 'all', name: countOf('All', all), about: names(all) },
      ...choices.map(({ hosts, ...one }) => ({ ...one, about: names(hosts) })),
      {
        value: 'pattern',
        name: safe`Some, by a pattern`,
        about: safe`Such as web:!db, or web* for all that begin so.`,
      },
    ]),
    (value) => {
      if (value === 'pattern') return { ...state, at: 'pattern' };
      const hosts = choices.find((one) => one.value === value)?.hosts;
      return hosts === undefined
        ? pick({ reason, inventory, fleet }, null, all)
        : pick({ reason, inventory, fleet }, value.replace(/^of /, ''), hosts);
    },
  );
}

function countOf(what: string, hosts: readonly unknown[]) {
  return safe`${escapeText(what)}: ${plural(hosts.length, 'host')}`;
}

/** The first hosts by name. */
function names(hosts: readonly InventoryHost[]) {
  const shown = hosts.slice(0, 6).map(({ name }) => name);
  return escapeText(`${shown.join(', ')}${hosts.length > shown.length ? ', …' : ''}`.replace('…', '...'));
}

export function patternView({ reason, inventory, fleet }: At<'pattern'>): View {
  const { hosts: all } = fleet;
  const select = (text: string) => selectHosts(all, text, fleet.groups);
  return ask(
    {
      message: safe`Hosts, by names and groups:`,
      initial: '',
      check: (text) => {
        if (text === '') return no('Such as web, web:&prod for those of both, or all:!db for all but those.');
        const hosts = select(text);
        if ('error' in hosts) return no(hosts.error);
        if (hosts.length === 0) return no('No host is left by this pattern.');
        return yes(safe`${plural(hosts.length, 'host')}: ${names(hosts)}`);
      },
    },
    (limit) => {
      const hosts = select(limit);
      return pick({ reason, inventory, fleet }, limit, 'error' in hosts ? [] : hosts);
    },
  );
}

export function readingView({ reason, target }: At<'reading'>): View {
  return {
    kind: 'work',
    run: async (work) => {
      const read = await readHost(work, reason, target);
      return read.ok ? ok({ ...read.value, at: 'status', shown: 'tightest' }) : read;
    },
  };
}

export function readingFleetView({ reason, picked }: At<'reading-fleet'>): View {
  return {
    kind: 'work',
    run: async (work) => {
      const read = await readFleet(work, reason, picked);
      return read.ok ? ok({ ...read.value, at: 'fleet', shown: 'tightest' }) : read;
    },
  };
}

export async function readHost(work: Work, reason: Reason, target: string): Promise<Done<Host>> {
  const read = await work.read(target);
  if (!read.ok) return read;
  return ok({ kind: 'host', reason, target, snapshot: read.value, limits: hostLimits(read.value) });
}

export async function readFleet(work: Work, reason: Reason, picked: Picked): Promise<Done<Fleet>> {
  const read = await work.readFleet(picked);
  return read.ok ? ok({ kind: 'fleet', reason, picked, ...read.value }) : read;
}
