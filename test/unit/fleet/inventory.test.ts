import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { selectHosts } from '../../../src/fleet/host-pattern.ts';
import { expandHostRange } from '../../../src/fleet/host-range.ts';
import type { InventoryHost } from '../../../src/fleet/inventory.ts';
import { readInventory } from '../../../src/fleet/read-inventory.ts';

function hostsOf(text: string, file = 'hosts'): readonly InventoryHost[] {
  const read = readInventory([{ file, text }]);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.inventory.hosts;
}

function problemsOf(text: string, file = 'hosts'): string[] {
  const read = readInventory([{ file, text }]);
  return read.ok ? [] : read.problems.map(({ line, message }) => `${line ?? '-'}: ${message}`);
}

const INI = `# a fleet
bastion ansible_host=192.0.2.1 ansible_port=2222

[web]
web[01:03] ansible_user=deploy
www # the old one

[db]
db-[a:b].example.org

[prod:children]
web
db

[prod:vars]
ansible_user=ops
`;

describe('an inventory in the INI form', () => {
  it('has hosts in their order, with groups, ranges and how to reach them', () => {
    expect(hostsOf(INI)).toEqual([
      { name: 'bastion', target: '192.0.2.1:2222', groups: [] },
      { name: 'web01', target: 'deploy@web01', groups: ['prod', 'web'] },
      { name: 'web02', target: 'deploy@web02', groups: ['prod', 'web'] },
      { name: 'web03', target: 'deploy@web03', groups: ['prod', 'web'] },
      { name: 'www', target: 'ops@www', groups: ['prod', 'web'] },
      { name: 'db-a.example.org', target: 'ops@db-a.example.org', groups: ['db', 'prod'] },
      { name: 'db-b.example.org', target: 'ops@db-b.example.org', groups: ['db', 'prod'] },
    ]);
  });

  it('may be a plain list of hosts', () => {
    expect(
      hostsOf('web1\n\n# not this one: web2\nroot@web3:2200\n'.replace('root@', '')).map(
        ({ target }) => target,
      ),
    ).toEqual(['web1', 'web3:2200']);
  });

  it.each([
    ['[web]\nweb1\n[all:children]\nwbe\n', 'there is no group wbe'],
    ['[web\nweb1\n', ''],
    ['[a:children]\nb\n[b:children]\na\n', 'is below itself'],
    ['web[3:1]\n', ''],
    ['$(reboot)\n', 'is no name of a host'],
    ['-oProxyCommand=x\n', 'is no name of a host'],
    ['../etc\n', 'is no name of a host'],
  ])('says what is wrong with %j, and where', (text, message) => {
    const problems = problemsOf(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join('\n')).toContain(message);
    expect(problems[0]).toMatch(/^[0-9]+: /);
  });

  it('never throws, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'[]:=\n #;,a1-{}"\'\\%$@/ '), maxLength: 80 }),
        (text) => {
          for (const file of ['hosts', 'hosts.yml', 'hosts.json']) readInventory([{ file, text }]);
          readInventory([{ file: 'hosts', text: `{${text}` }]);
        },
      ),
    );
  });
});

describe('inventories in YAML and JSON', () => {
  it('come to the same as the INI form', () => {
    const yaml = `all:
  hosts:
    bastion: {ansible_host: 192.0.2.1, ansible_port: 2222}
  children:
    prod:
      vars: {ansible_user: ops}
      children:
        web:
          hosts:
            web[01:03]: {ansible_user: deploy}
            www:
        db:
          hosts:
            db-[a:b].example.org:
`;
    expect(hostsOf(yaml, 'hosts.yaml')).toEqual(hostsOf(INI));
    const json = {
      _meta: {
        hostvars: {
          bastion: { ansible_host: '192.0.2.1', ansible_port: 2222 },
          ...Object.fromEntries(
            ['web01', 'web02', 'web03'].map((name) => [name, { ansible_user: 'deploy' }]),
          ),
          ...Object.fromEntries(
            ['www', 'db-a.example.org', 'db-b.example.org'].map((name) => [name, { ansible_user: 'ops' }]),
          ),
        },
      },
      all: { children: ['ungrouped', 'prod'] },
      ungrouped: { hosts: ['bastion'] },
      prod: { children: ['web', 'db'] },
      web: { hosts: ['web01', 'web02', 'web03', 'www'] },
      db: { hosts: ['db-a.example.org', 'db-b.example.org'] },
    };
    const sorted = (hosts: readonly InventoryHost[]) => [...hosts].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(sorted(hostsOf(JSON.stringify(json)))).toEqual(sorted(hostsOf(INI)));
  });

  it('say where they are wrong', () => {
    expect(problemsOf('all:\n  hosts:\n    - web1\n', 'hosts.yml').join()).toMatch(/^[0-9]+: /);
    expect(problemsOf('{"web": {"hosts": ["web1"]')).not.toEqual([]);
  });
});

describe('an ssh_config', () => {
  it('is an inventory of the hosts it names; patterns are none', () => {
    const text = `# of mine
Host bastion jump.example.org
  HostName 192.0.2.1
  User ops
Host=web1
Host "web2" !web3 *.example.org # the rest
Host *
  ServerAliveInterval 15
`;
    const target = (name: string) => ({ name, target: name, groups: [] });
    expect(hostsOf(text, 'config')).toEqual(['bastion', 'jump.example.org', 'web1', 'web2'].map(target));
    expect(problemsOf('Host -x\n')).toEqual([expect.stringMatching(/^1: .*is no name of a host/)]);
  });

  it('is not what only looks like one', () => {
    expect(hostsOf('host ansible_host=192.0.2.1\n').map(({ target }) => target)).toEqual(['192.0.2.1']);
    expect(hostsOf('[web]\nweb1\n[web:vars]\nhost = db1\n').map(({ name }) => name)).toEqual(['web1']);
  });

  it('is not followed to other files, and says so', () => {
    const read = readInventory([{ file: 'config', text: 'Include config.d/*\nHost web1\n' }]);
    expect(read).toMatchObject({ ok: true, warnings: [{ line: 1, severity: 'warning' }] });
  });
});

describe('a range of hosts', () => {
  it.each([
    ['web[1:3]', ['web1', 'web2', 'web3']],
    ['web[08:10]', ['web08', 'web09', 'web10']],
    ['web[1:10:4]', ['web1', 'web5', 'web9']],
    ['[a:c]x', ['ax', 'bx', 'cx']],
    ['r[1:2]n[1:2]', ['r1n1', 'r1n2', 'r2n1', 'r2n2']],
    ['plain', ['plain']],
  ])('%s', (pattern, names) => {
    expect(expandHostRange(pattern)).toEqual(names);
  });

  it('of millions is refused, not made', () => {
    expect(expandHostRange('h[0:9999][0:9999]')).toHaveProperty('error');
  });
});

describe('--limit', () => {
  const hosts = ['web1', 'web2', 'db1', 'db2'].map((name) => ({
    name,
    groups: [name.replace(/[0-9]/, ''), ...(name.endsWith('1') ? ['prod'] : [])],
  }));
  const select = (pattern: string) => {
    const selected = selectHosts(hosts, pattern);
    return 'error' in selected ? selected.error : selected.map(({ name }) => name);
  };

  it.each([
    ['all', ['web1', 'web2', 'db1', 'db2']],
    ['web', ['web1', 'web2']],
    ['db:web1', ['web1', 'db1', 'db2']],
    ['web:&prod', ['web1']],
    ['all:!web', ['db1', 'db2']],
    ['!web', ['db1', 'db2']],
    ['web:db:&prod:!db1', ['web1']],
    ['web*,!web2', ['web1']],
    ['w?b2', ['web2']],
  ])('%s', (pattern, names) => {
    expect(select(pattern)).toEqual(names);
  });

  it('names what there is none of', () => {
    expect(select('prd')).toBe('prd is no host and no group of the inventory; did you mean prod?');
    expect(select('~web.*')).toContain('regular expressions');
    expect(select(':')).toBe('the pattern is empty');
  });

  it('obeys the laws of sets', () => {
    const name = fc.constantFrom('web', 'db', 'prod', 'web1', 'db*', 'all');
    const set = (pattern: string): string[] => {
      const names = select(pattern);
      if (typeof names === 'string') throw new Error(names);
      return names;
    };
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(set(`${a}:${b}`)).toEqual(set(`${b}:${a}`));
        expect(set(`${a}:&${b}`)).toEqual(set(`${b}:&${a}`));
        expect(set(`${a}:!${b}`)).toEqual(set(a).filter((one) => !set(b).includes(one)));
        expect(set(`${a}:${a}`)).toEqual(set(a));
      }),
    );
  });
});
