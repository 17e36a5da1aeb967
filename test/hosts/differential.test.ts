import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FileEntry, FileTree } from '../../src/systemd/file-tree.ts';
import { type ResolveContext, resolveUnit, unitTasksMax } from '../../src/systemd/resolve.ts';
import { resolveManagerConf } from '../../src/systemd/resolve-manager-conf.ts';
import { type KernelTaskLimits, resolveTasksMax, systemTasksMax } from '../../src/systemd/tasks-max.ts';
import { containersUnavailable, type LabHost, type Suite, startContainer, startVm } from '../lab/lab.ts';
import { askSystemd, type UnitProperties } from './differential/ask-systemd.ts';
import type { GeneratedFile } from './differential/file-set.ts';
import { generateManagerConf } from './differential/generate-manager-conf.ts';
import { generateUnits } from './differential/generate-units.ts';
import { Random } from './differential/random.ts';
import { readContext, readKernelLimits } from './differential/read-host.ts';

/**
 * The resolver against systemd itself. Hundreds of trees of units are made by chance, written into a real host, loaded
 * by one daemon-reload, and what systemd then says of them is compared with what the resolver makes of the same files.
 * TASKSCTL_SEED repeats a run.
 */
const seed = Number(process.env['TASKSCTL_SEED'] ?? Date.now() % 2 ** 31);

const HOSTS: readonly (readonly [Suite, number])[] = [
  ['bullseye', 247],
  ['bookworm', 252],
  ['trixie', 257],
  ['forky', 262],
];

/** A virtual machine takes ten times as long as a container. */
const ROUNDS = { container: 40, vm: 10 };
const TIMEOUT_MS = 1_500_000;

const wanted = process.env['TASKSCTL_SUITES']?.split(',');

const unavailable = containersUnavailable() !== null;
const suites = HOSTS.filter(([suite]) => wanted?.includes(suite) ?? true);
const hosts = new Map<Suite, LabHost>();

beforeAll(async () => {
  if (unavailable) return;
  await Promise.all(
    suites.map(async ([suite]) => {
      hosts.set(suite, suite === 'forky' ? await startVm({ suite }) : await startContainer({ suite }));
    }),
  );
}, 600_000);

afterAll(async () => {
  await Promise.all([...hosts.values()].map((host) => host.stop()));
});

describe.skipIf(unavailable).each(suites)(`%s, systemd %i, TASKSCTL_SEED=${seed}`, (suite, version) => {
  let host: LabHost;
  beforeAll(() => {
    const started = hosts.get(suite);
    if (started === undefined) throw new Error(`${suite} did not start`);
    host = started;
    expect(host.systemdVersion).toBe(version);
  });

  it(
    'makes of 2,000 units what systemd makes of them',
    async () => {
      const started = Date.now();
      const lap = (what: string) => laps.push(`${what} ${((Date.now() - started) / 1000).toFixed(1)} s`);
      const laps: string[] = [];
      const { files, names } = generateUnits(new Random(seed), 300);
      const pinned = host.kind === 'vm';
      if (pinned) {
        await host.writeFiles({ [PIN]: '[Unit]\n' });
        await host.exec('systemctl daemon-reload; systemctl start pin.target', { timeoutMs: 180_000 });
        files[PIN] = `[Unit]\n${names.map((name) => `Wants=${name.replaceAll('%', '%%')}\n`).join('')}`;
      }
      await host.writeFiles(files);
      lap('written');
      // Thousands of warnings about the files would cost more than all the rest.
      await host.exec('systemctl log-level crit; systemctl daemon-reload', { timeoutMs: 180_000 });
      lap('reloaded');
      const ctx = await readContext(host);
      lap('read');
      const limits = await readKernelLimits(host);
      let differences = await differing(host, ctx, limits, names);
      lap(`compared, ${differences.length} differ`);
      if (pinned) {
        await host.writeFiles({ [PIN]: '[Unit]\n' });
        await host.exec('systemctl daemon-reload', { timeoutMs: 180_000 });
        const again = differences.map(({ name }) => name);
        differences = await differing(host, ctx, limits, again);
        lap(`compared alone, ${differences.length} differ`);
      }
      console.log(`${suite}: ${names.length} units, ${Object.keys(files).length} files; ${laps.join(', ')}`);
      expect(names.length).toBeGreaterThanOrEqual(2000);
      expect(differences.slice(0, 20)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'reads system.conf and its drop-ins as systemd does',
    async () => {
      const random = new Random(seed);
      const ctx = await readContext(host);
      const limits = await readKernelLimits(host);
      const base = systemTasksMax(limits, ctx.capabilities);
      const differences: object[] = [];
      for (let round = 0; round < ROUNDS[host.kind]; round++) {
        const files = {
          ...generateManagerConf(random, 'system.conf', 'Manager', random.chance(0.7)),
          ...generateManagerConf(random, 'logind.conf', 'Login', false),
        };
        await host.exec(REMOVE_MANAGER_CONF);
        await host.writeFiles(files);
        const generated: ResolveContext = { ...ctx, tree: withManagerConf(ctx.tree, files) };
        const { stdout } = await host.exec(
          'systemctl daemon-reload; systemctl show -p DefaultTasksMax --value; systemd-analyze cat-config systemd/logind.conf',
          { timeoutMs: 120_000 },
        );
        const [defaultTasksMax, ...logind] = stdout.toString().split('\n');
        const system = resolveManagerConf(generated, SYSTEM_CONF);
        const value = system.value ?? (system.winner === null ? ctx.capabilities.defaultTasksMax : null);
        const expected = String(resolveTasksMax(value ?? { kind: 'infinity' }, base));
        const { files: expectedFiles } = resolveManagerConf(generated, LOGIND_CONF);
        const dropIns = logind.flatMap((line) => /^# (\/.*logind\.conf\.d\/.*)$/.exec(line)?.[1] ?? []);
        if (expected !== defaultTasksMax) {
          differences.push({ round, expected, defaultTasksMax, read: system.files, files });
        }
        // cat-config knows main files that this systemd may not, but the same drop-ins. An empty one takes the place of
        // those it overrides; whether it is then listed (systemd 262 does not) changes nothing.
        const says = (path: string) => files[path] !== '';
        const whole = expectedFiles.filter((path) => path.includes('.conf.d/')).filter(says);
        const listed = dropIns.filter(says);
        if (`${whole}` !== `${listed}`) differences.push({ round, whole, listed, files });
      }
      await host.exec(`${REMOVE_MANAGER_CONF}; systemctl daemon-reload`, { timeoutMs: 120_000 });
      expect(differences.slice(0, 5)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

const SYSTEM_CONF = { file: 'system.conf', section: 'Manager', key: 'DefaultTasksMax' } as const;
const LOGIND_CONF = { file: 'logind.conf', section: 'Login', key: 'UserTasksMax' } as const;

const REMOVE_MANAGER_CONF = `for dir in /etc /run /usr/local/lib /usr/lib; do
  rm -rf $dir/systemd/system.conf $dir/systemd/system.conf.d $dir/systemd/logind.conf $dir/systemd/logind.conf.d
done`;

/**
 * A unit nothing refers to is forgotten, and loaded again for each property that is asked for. A virtual machine takes
 * minutes for that, so there this unit, which is active, wants all of them. With all in memory at once, though, the name
 * of an aliased unit that was loaded first decides by which it goes and which drop-ins it has: what differs then is asked
 * for once more, alone.
 */
const PIN = '/etc/systemd/system/pin.target';

/** The host's files with these in place of its own configuration of managers. */
function withManagerConf(tree: FileTree, files: Record<string, GeneratedFile>): FileTree {
  const kept = [...tree.entries()].filter(
    ({ path }) => !/\/(?:system|logind)\.conf(?:\.d)?(?:\/|$)/.test(path),
  );
  const added = Object.entries(files).map(([path, content]): FileEntry => {
    const common = { path, mode: 0o644, uid: 0, gid: 0 };
    if (typeof content === 'object' && 'symlink' in content) {
      return { ...common, type: 'symlink', size: content.symlink.length, target: content.symlink };
    }
    const bytes = Buffer.from(content);
    return { ...common, type: 'file', size: bytes.length, content: bytes };
  });
  return new FileTree([...kept, ...added]);
}

/** The units that resolver and systemd differ in, with all that is needed to see why. */
async function differing(
  host: LabHost,
  ctx: ResolveContext,
  limits: KernelTaskLimits,
  names: readonly string[],
) {
  const shown = await askSystemd(host, names);
  return names.flatMap((name, i) => {
    const unit = shown[i];
    return unit === undefined ? [] : compare(ctx, limits, name, unit);
  });
}

function compare(ctx: ResolveContext, limits: KernelTaskLimits, name: string, shown: UnitProperties) {
  const unit = resolveUnit(ctx, name);
  const base = systemTasksMax(limits, ctx.capabilities);
  const manager = resolveManagerConf(ctx, {
    file: 'system.conf',
    section: 'Manager',
    key: 'DefaultTasksMax',
  });
  const tasksMax = unitTasksMax(
    unit,
    manager.value ?? ctx.capabilities.defaultTasksMax ?? { kind: 'infinity' },
  );
  const expected: { -readonly [K in keyof UnitProperties]: UnitProperties[K] } = {
    id: unit.id,
    load: unit.load,
    fragment: unit.fragmentPath ?? '',
    dropIns: unit.dropInPaths,
    tasksMax: tasksMax === null ? null : String(resolveTasksMax(tasksMax, base)),
  };
  // A type's own checks of its settings are not the resolver's business: here, a NUL in a command. Where they fail in the
  // main file systemd stops right there, without drop-ins or other names.
  const broken = shown.load === 'bad-setting' && unit.load === 'loaded';
  if (broken && shown.fragment === expected.fragment && shown.dropIns.length === 0) return [];
  if (broken) expected.load = shown.load;
  // Swaps need no file if the kernel has them, and it has none of these.
  if (name.endsWith('.swap') && unit.fragmentPath === null && shown.load === 'not-found') return [];
  // Nor is the device that a swap without a readable What= takes from its name, where that is no path.
  const noPath = name.endsWith('.swap') && /^-|--|-\.swap$/.test(name);
  if (noPath && unit.load === 'loaded' && shown.load === 'error') expected.load = shown.load;
  const differing = (Object.keys(expected) as (keyof UnitProperties)[]).filter(
    (key) => JSON.stringify(expected[key]) !== JSON.stringify(shown[key]),
  );
  if (differing.length === 0) return [];
  const assignments = unit.tasksMax.assignments.map(
    ({ file, line, section, raw, outcome, reason }) =>
      `${file}:${line} [${section}] ${raw}: ${outcome} ${reason}`,
  );
  return [
    {
      name,
      differing: differing.map((key) => `${key}: resolver ${expected[key]}, systemd ${shown[key]}`),
      onlyResolver: expected.dropIns.filter((path) => !shown.dropIns.includes(path)),
      onlySystemd: shown.dropIns.filter((path) => !expected.dropIns.includes(path)),
      assignments: differing.includes('tasksMax') ? assignments : [],
    },
  ];
}
