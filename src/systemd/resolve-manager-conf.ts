import { listDropIns } from './drop-ins.ts';
import { readConf } from './read-conf.ts';
import type { ResolveContext, ResolvedLimit } from './resolve.ts';
import { type FoundAssignment, settleLimit } from './settle-limit.ts';
import { parseTasksMax } from './tasks-max.ts';

/** One key of logind's or a manager's configuration. */
export interface ManagerConfKey {
  readonly file: 'logind.conf' | 'system.conf' | 'user.conf';
  readonly section: string;
  readonly key: 'UserTasksMax' | 'DefaultTasksMax';
}

/** A limit of a manager or logind, and the files it comes from. */
export interface ResolvedManagerConf extends ResolvedLimit {
  /** The files read, in the order they are applied; masks, and one that was not read to its end, are among them. */
  readonly files: readonly string[];
  /** A drop-in that keeps systemd from reading any of the files. */
  readonly obstacle: string | null;
}

const resolved = new WeakMap<ResolveContext, Map<string, ResolvedManagerConf>>();

/**
 * What main file and drop-ins say of a key (`config_parse_many()` of systemd's conf-parser.c). A user's own
 * ~/.config/systemd/user.conf, which 249 and later read after this, is not looked at.
 * Asked again for the same key it gives the same object.
 */
export function resolveManagerConf(ctx: ResolveContext, wanted: ManagerConfKey): ResolvedManagerConf {
  let confs = resolved.get(ctx);
  if (confs === undefined) {
    confs = new Map();
    resolved.set(ctx, confs);
  }
  const name = `${wanted.file} ${wanted.section} ${wanted.key}`;
  let conf = confs.get(name);
  if (conf === undefined) {
    conf = resolveAnew(ctx, wanted);
    confs.set(name, conf);
  }
  return conf;
}

function resolveAnew(ctx: ResolveContext, wanted: ManagerConfKey): ResolvedManagerConf {
  const found: FoundAssignment[] = [];
  const files: string[] = [];
  const { paths, obstacle } = managerConfFiles(ctx, wanted.file);
  for (const path of paths) {
    const file = readConf(ctx.tree, path, ctx.capabilities);
    if (file.kind === 'missing') continue;
    if (file.kind === 'not-a-file') break;
    files.push(path);
    if (file.kind !== 'read') continue;
    for (const { section, key, value, span } of file.conf.assignments) {
      if (key !== wanted.key) continue;
      const parsed =
        section === wanted.section
          ? parseTasksMax(value, wanted.key, ctx.capabilities)
          : ({ ok: false, reason: wrongSection(section, wanted.section) } as const);
      found.push({ file: path, line: span.line, section: section ?? '', key, raw: value, parsed });
    }
    // An error in one file ends the reading of all.
    if (file.conf.failure !== null) break;
  }
  return { ...settleLimit(found), files, obstacle };
}

function wrongSection(section: string | null, wanted: string): string {
  return section === null ? 'before any section' : `wrong section [${section}], not [${wanted}]`;
}

/** Main file and drop-ins that systemd tries to read, in order. */
function managerConfFiles(
  ctx: ResolveContext,
  name: ManagerConfKey['file'],
): { paths: string[]; obstacle: string | null } {
  const { tree, capabilities } = ctx;
  const dirs = ['/etc', '/run', '/usr/local/lib', ...confVendorDirs(ctx)].map((dir) => `${dir}/systemd`);
  const dropInDirs: string[] = [];
  for (const dir of dirs) {
    const real = tree.realPath(`${dir}/${name}.d`);
    if (real !== undefined && tree.isDirectory(real)) dropInDirs.push(real);
  }
  const dropIns = listDropIns(tree, dropInDirs, capabilities.loading);
  const obstacle = dropIns.find(
    (path) =>
      (capabilities.confOpenedFirst && tree.realPath(path) === undefined) ||
      (capabilities.nonRegularConfStops && isThereButNoFile(ctx, path)),
  );
  if (obstacle !== undefined) return { paths: [], obstacle };
  // A user manager knows no other main file than its user's own and this one.
  const mainDirs = capabilities.mainFileFallback && name !== 'user.conf' ? dirs : ['/etc/systemd'];
  const main = mainDirs.map((dir) => `${dir}/${name}`).find((path) => !isMissing(ctx, path));
  const real = main === undefined ? undefined : tree.realPath(main);
  const isDropIn = capabilities.confOpenedFirst && dropIns.some((path) => tree.realPath(path) === real);
  return { paths: main === undefined || isDropIn ? dropIns : [main, ...dropIns], obstacle: null };
}

/** Unlike units, these look in /usr/lib before /lib. */
function confVendorDirs({ capabilities }: ResolveContext): readonly string[] {
  return ['/usr/lib', ...capabilities.vendorDirs.filter((dir) => dir !== '/usr/lib')];
}

function isMissing({ tree }: ResolveContext, path: string): boolean {
  const real = tree.realPath(path);
  return real !== undefined && tree.resolve(real) === undefined && !tree.isDirectory(real);
}

function isThereButNoFile(ctx: ResolveContext, path: string): boolean {
  return !isMissing(ctx, path) && ctx.tree.resolve(path)?.type !== 'file';
}
