import fc from 'fast-check';
import { type Policy, parsePolicy } from '../../../src/plan/policy.ts';
import type { Snapshot } from '../../../src/snapshot/snapshot.ts';
import { type AUnit, aHost } from '../snapshot/a-host.ts';

/** Systemd versions and the distributions whose ways differ. */
const systems = fc.constantFrom(
  { version: 219, osRelease: { ID: 'rhel', VERSION_ID: '7.9' } },
  { version: 227 },
  { version: 228 },
  { version: 229, osRelease: { ID: 'ubuntu', VERSION_ID: '16.04' } },
  { version: 231 },
  { version: 232 },
  { version: 234, osRelease: { ID: 'sles' }, generators: ['logind-compat-tasks-max-generator'] },
  { version: 237 },
  { version: 239, osRelease: { ID: 'rhel', VERSION_ID: '8.9' } },
  { version: 241 },
  { version: 247 },
  { version: 252 },
  { version: 254 },
  { version: 255 },
  { version: 257 },
  { version: 262 },
);

const SERVICES = ['x.service', 'pg@1.service', 'ssh.service'];
const USER_SLICES = ['user-0.slice', 'user-1000.slice', 'user-1001.slice'];
const UNITS = [...SERVICES, ...USER_SLICES, 'user.slice', 'system.slice', 'user@1000.service'];

const values = fc.oneof(
  fc.integer({ min: 1, max: 40_000 }).map(String),
  fc.constantFrom('infinity', '33%', '12.5%', '', '4K', '0', '5000000', '0x100', 'max', '99%'),
);
const baseNames = fc.constantFrom(
  ...[
    '10-a.conf',
    '50-TasksMax.conf',
    '50-limits.conf',
    '90-tasksctl.conf',
    '95-b.conf',
    '99-zzz.conf',
    'zzz.conf',
  ],
);

/** A drop-in of a unit, or of one of the configuration files, right or wrong; or a mask of one. */
const confFile: fc.Arbitrary<[string, string]> = fc.oneof(
  fc
    .record({
      root: fc.constantFrom(
        ...[
          '/etc/systemd/system',
          '/run/systemd/system',
          '/usr/lib/systemd/system',
          '/etc/systemd/system.control',
        ],
      ),
      unit: fc.constantFrom(...UNITS, 'user-.slice', 'user-.slice', 'user-.slice', 'pg@.service'),
      name: baseNames,
      section: fc.constantFrom('', '', '', 'Unit'),
      value: values,
      masked: fc.integer({ min: 0, max: 9 }),
    })
    .map(({ root, unit, name, section, value, masked }): [string, string] => {
      const right = unit.endsWith('.slice') ? 'Slice' : 'Service';
      const text = `[${section === '' ? right : section}]\nTasksMax=${value}\n`;
      return [`${root}/${unit}.d/${name}`, masked === 0 ? '-> /dev/null' : text];
    }),
  fc
    .tuple(baseNames, values)
    .map(([name, value]): [string, string] => [
      `/etc/systemd/system.conf.d/${name}`,
      `[Manager]\nDefaultTasksMax=${value}\n`,
    ]),
  fc
    .tuple(baseNames, values)
    .map(([name, value]): [string, string] => [
      `/etc/systemd/logind.conf.d/${name}`,
      `[Login]\nUserTasksMax=${value}\n`,
    ]),
  fc
    .tuple(
      fc.constantFrom(
        '/etc/sysctl.d/10-a.conf',
        '/usr/lib/sysctl.d/50-pid-max.conf',
        '/etc/sysctl.d/zzz.conf',
        '/etc/sysctl.conf',
      ),
      fc.constantFrom('kernel.pid_max', 'kernel.threads-max'),
      fc.constantFrom(32_768, 65_536, 4_194_304),
    )
    .map(([path, name, value]): [string, string] => [path, `${name} = ${value}\n`]),
);

const use = fc.option(
  fc.record(
    {
      current: fc.nat(600),
      peak: fc.nat(900),
      events: fc.constantFrom(0, 0, 3),
    },
    { requiredKeys: ['current'] },
  ),
);
const live = fc.option(fc.constantFrom(64, 512, 4915, 20_000, 'max' as const), { nil: undefined, freq: 4 });

const units: fc.Arbitrary<AUnit[]> = fc
  .tuple(
    ...[...SERVICES, ...USER_SLICES, 'user@1000.service'].map((id) => fc.tuple(fc.constant(id), use, live)),
  )
  .map((all) =>
    all.map(([id, numbers, max]) => ({
      id,
      use: numbers,
      ...(numbers === null || max === undefined ? {} : { live: max }),
    })),
  );

/** Hosts of all versions with configuration good and bad, use low and high, limits applied and not. */
export const anyHost: fc.Arbitrary<Snapshot> = fc
  .record({
    system: systems,
    files: fc.array(confFile, { maxLength: 7 }),
    units,
    kernel: fc.record({
      pidMax: fc.constantFrom(32_768, 131_072, 4_194_304),
      threadsMax: fc.constantFrom(7690, 60_000, 190_000),
      tasks: fc.integer({ min: 100, max: 3000 }),
    }),
    container: fc.boolean(),
    // The kernel keeps peaks for all cgroups or for none (6.1), and counts at the limit only since 6.11.
    ways: fc.constantFrom('old' as const, 'peaks' as const, 'limiting' as const),
  })
  .map(({ system, files, units: all, kernel, container, ways }) => {
    const some = all.map((unit) => {
      if (unit.use === null || unit.use === undefined) return unit;
      const { peak = unit.use.current, ...counts } = unit.use;
      return { ...unit, use: ways === 'old' ? counts : { ...counts, peak: Math.max(peak, counts.current) } };
    });
    const eventsScope = ways === 'limiting' ? 'limiting' : 'forking';
    return aHost({
      ...system,
      kernel,
      eventsScope,
      host: { container },
      files: Object.fromEntries(files),
      units: some,
      sessions: [{ id: '4', uid: 1000, user: 'alice', service: 'sshd', tty: 'pts/0' }],
      users: [{ uid: 1000, name: 'alice', linger: false }],
    });
  });

const amount = fc.oneof(fc.integer({ min: 1, max: 50_000 }), fc.constantFrom('10%', '33%', '80%', '99%'));
const rule = fc.oneof(
  fc.record({ value: fc.oneof(amount, fc.constant('infinity')) }),
  fc.record({ floor: amount }, { requiredKeys: [] }),
  fc.record({ ceiling: amount, headroom: fc.constantFrom('0%', '50%', '300%') }, { requiredKeys: [] }),
);
const named = fc
  .tuple(rule, fc.option(fc.constant(true)))
  .map(([some, force]) => (force ? { ...some, force } : some));
const kernelRule = fc.oneof(
  fc.constant({}),
  fc.record({ floor: fc.constantFrom(1000, 100_000, 4_194_304) }),
  fc.record({ ceiling: fc.constantFrom(100_000, 4_194_304) }),
  fc.record({ value: fc.constantFrom(40_000, 4_194_304) }),
);

/** A policy, with the parts of its text for tests that need to know what it asked for. */
export const anyPolicy: fc.Arbitrary<{ policy: Policy; forced: ReadonlySet<string> }> = fc
  .record(
    {
      headroom: fc.constantFrom('0%', '50%', '100%'),
      growth: fc.constantFrom('10%', '50%'),
      'user-default': rule,
      'service-default': rule,
      users: fc.dictionary(fc.constantFrom('root', 'alice', '1001'), named, { maxKeys: 2 }),
      units: fc.dictionary(
        fc.constantFrom('x.service', 'ssh.service', 'user.slice', 'system.slice', 'user@1000.service'),
        named,
        { maxKeys: 3 },
      ),
      patterns: fc.dictionary(fc.constantFrom('pg@*.service', '*.service', 'user*.slice'), rule, {
        maxKeys: 2,
      }),
      kernel: fc.record({ pid_max: kernelRule, 'threads-max': kernelRule }, { requiredKeys: [] }),
    },
    { requiredKeys: ['headroom'] },
  )
  .map(({ patterns, ...rest }) => {
    // Any JSON is YAML.
    const text = { schema: 'tasksctl/policy/1', name: 'any', ...rest, units: { ...rest.units, ...patterns } };
    const parsed = parsePolicy(JSON.stringify(text), 'any.yaml');
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const uids: Record<string, string> = { root: '0', alice: '1000' };
    const forced = [
      ...Object.entries(rest.users ?? {}).map(
        ([name, some]) => [`user-${uids[name] ?? name}.slice`, some] as const,
      ),
      ...Object.entries(rest.units ?? {}),
    ].flatMap(([name, some]) => ('force' in some ? [name] : []));
    return { policy: parsed.policy, forced: new Set(forced) };
  });
