import { listDropIns } from './drop-ins.ts';
import type { FileTree } from './file-tree.ts';
import type { ResolveContext } from './resolve.ts';
import {
  dropInNames,
  isUnitType,
  parseUnitName,
  type UnitName,
  type UnitType,
  withInstance,
} from './unit-name.ts';

/** The files a unit is made of. */
export interface UnitFiles {
  readonly id: string;
  /** All names of the unit, its id included. */
  readonly names: readonly string[];
  /** FragmentPath; null where no directory has the unit. */
  readonly fragment: string | null;
  /** The names cannot all be one unit's, which systemd finds out once it has read the fragment. */
  readonly conflict: boolean;
}

/** Types whose units may have other names: aliases by symbolic link. */
const MAY_ALIAS: ReadonlySet<UnitType> = new Set<UnitType>([
  'service',
  'socket',
  'target',
  'device',
  'timer',
  'path',
]);

/** Types whose units may be templates. */
export const MAY_TEMPLATE: ReadonlySet<UnitType> = new Set<UnitType>([
  'service',
  'socket',
  'target',
  'timer',
  'path',
]);

/** Aliases of aliases systemd follows. */
const MAX_ALIASES = 8;

/** A drop-in directory found in the unit path: its place there, and the path with its links resolved; null: a loop. */
interface DropInDir {
  readonly rank: number;
  readonly path: string | null;
}

/**
 * What is in the directories of a unit path, read once: every unit's file, every alias, every drop-in directory
 * (`unit_file_build_name_map()` of systemd's unit-file.c).
 */
export class UnitIndex {
  readonly #ctx: ResolveContext;
  readonly #tree: FileTree;
  /** Name in a unit directory to the file's path, or for an alias to the name it is a link to. */
  readonly #targets = new Map<string, string>();
  /** Names of regular files that are not empty: most of all names, and each leads to itself. */
  readonly #plain = new Set<string>();
  /** File name of a fragment (with the instance for an instance's alias) to the other names that lead to it. */
  readonly #namesOf = new Map<string, string[]>();
  /** `NAME` of each `NAME.d` to where it is found. */
  readonly #dropInDirs = new Map<string, DropInDir[]>();
  /** Links named like drop-in directories that systemd takes no notice of. */
  readonly ignoredDropInLinks = new Map<string, string[]>();

  constructor(ctx: ResolveContext) {
    this.#ctx = ctx;
    this.#tree = ctx.tree;
    const searchPath = withRealPaths(ctx.tree, ctx.unitPath);
    for (const [rank, dir] of ctx.unitPath.entries()) {
      const realDir = this.#tree.realPath(dir) ?? dir;
      for (const name of this.#tree.list(dir)) {
        if (name.endsWith('.d')) this.#addDropInDir(realDir, name, rank);
        else if (!this.#targets.has(name)) this.#addEntry(dir, realDir, name, searchPath);
      }
    }
    for (const name of this.#targets.keys()) if (!this.#plain.has(name)) this.#addToNames(name);
  }

  /** The unit a name stands for; null where systemd fails to follow its links. The name must be valid. */
  find(unit: UnitName): UnitFiles | null {
    return this.#ctx.capabilities.loading.instanceAliases
      ? this.#findSince251(unit)
      : this.#findBefore251(unit);
  }

  /** The drop-ins of a unit with these names, in the order they are applied (`unit_file_find_dropin_paths()`). */
  dropIns(files: UnitFiles, type: UnitType): string[] {
    const { capabilities } = this.#ctx;
    const dirs: string[] = [];
    // Among aliases systemd's order is that of a hash table with a random key; nothing can be made of it.
    for (const name of [files.id, ...files.names.filter((other) => other !== files.id)]) {
      const unit = parseUnitName(name);
      if (unit === null) continue;
      // Directory by directory of the unit path, in each from the specific name to the general.
      const found = dropInNames(unit, capabilities).flatMap((dirName) => this.#dropInDirs.get(dirName) ?? []);
      dirs.push(...inOrder(found));
    }
    if (capabilities.typeDropIns) dirs.push(...inOrder(this.#dropInDirs.get(type) ?? []));
    return listDropIns(this.#tree, dirs, capabilities.loading);
  }

  #addEntry(dir: string, realDir: string, name: string, searchPath: readonly string[]): void {
    const unit = parseUnitName(name);
    if (unit === null) return;
    const path = `${dir}/${name}`;
    const entry = this.#tree.child(realDir, name);
    const type = entry?.type ?? 'directory';
    if (type === 'symlink') {
      const target = this.#linkTarget(path, dir, entry?.target ?? '', unit, searchPath);
      if (target !== null) this.#targets.set(name, target);
    } else if (type === 'file' || !this.#ctx.capabilities.loading.typedEntries) {
      this.#targets.set(name, path);
      if (entry?.type === 'file' && entry.size > 0) this.#plain.add(name);
    }
  }

  #addDropInDir(realDir: string, dirName: string, rank: number): void {
    const name = dirName.slice(0, -2);
    if (parseUnitName(name) === null && !isUnitType(name)) return;
    const path = `${realDir}/${dirName}`;
    const entry = this.#tree.child(realDir, dirName);
    if (entry?.type !== 'symlink') {
      if (entry === undefined || entry.type === 'directory') push(this.#dropInDirs, name, { rank, path });
      return;
    }
    // systemd stats the link's text as it stands, which for a relative one means from its working directory, /.
    const { typedEntries } = this.#ctx.capabilities.loading;
    if (typedEntries && !this.#tree.isDirectory(`/${entry.target ?? ''}`)) {
      if (this.#tree.isDirectory(path)) push(this.ignoredDropInLinks, name, path);
      return;
    }
    const real = this.#tree.realPath(path);
    if (real === undefined) push(this.#dropInDirs, name, { rank, path: null });
    else if (this.#tree.isDirectory(real)) push(this.#dropInDirs, name, { rank, path: real });
  }

  /** Name or path a link in a unit directory stands for; null where systemd refuses it, as if it were not there. */
  #linkTarget(
    path: string,
    dir: string,
    target: string,
    unit: UnitName,
    searchPath: readonly string[],
  ): string | null {
    const real = this.#tree.realParent(target.startsWith('/') ? target : `${dir}/${target}`);
    if (real === undefined) return null;
    const isAlias = searchPath.some((parent) => real === parent || real.startsWith(`${parent}/`));
    if (!isAlias) return this.#ctx.capabilities.loading.linkedFragment === 'link' ? path : real;
    const alias = parseUnitName(baseName(real));
    return alias !== null && mayBeAlias(unit, alias) ? alias.name : null;
  }

  /** The file a name leads to over its aliases; `none`, or `loop` for too many (`unit_ids_map_get()`). */
  #follow(name: string): { path: string } | 'none' | 'loop' {
    let at = name;
    for (let n = 0; n < MAX_ALIASES; n++) {
      let target = this.#targets.get(at);
      if (target === undefined && n > 0) target = this.#targets.get(templateName(at) ?? '');
      if (target === undefined) return 'none';
      if (target.startsWith('/')) return { path: target };
      at = target;
    }
    return 'loop';
  }

  #addToNames(name: string): void {
    const file = this.#follow(name);
    if (typeof file === 'string') return;
    const target = baseName(file.path);
    const isPlain = this.#plain.has(target) && this.#targets.get(target) === file.path;
    if (!isPlain && isNullOrMissing(this.#tree, file.path)) return;
    if (target === name) {
      push(this.#namesOf, target, name);
      return;
    }
    const unit = parseUnitName(target);
    const instance = parseUnitName(name)?.instance ?? null;
    if (unit?.instance !== '' || instance === null || instance === '') {
      push(this.#namesOf, target, name);
      return;
    }
    // A link from an instance to a template is another name of that one instance.
    if (!this.#ctx.capabilities.loading.instanceAliases) return;
    const aliased = withInstance(unit, instance);
    if (aliased !== null) push(this.#namesOf, aliased, name);
  }

  /** Names that lead to a file of this name. */
  #leadingTo(name: string): readonly string[] {
    const others = this.#namesOf.get(name) ?? [];
    return this.#plain.has(name) ? [name, ...others] : others;
  }

  #findSince251(unit: UnitName): UnitFiles | null {
    const names = new Set<string>();
    this.#addNames(names, unit, unit.name, null);
    const file = this.#followOrTemplate(unit);
    if (file === 'loop') return null;
    if (file === 'none') return unitFiles(unit, names, null);
    const fragmentName = baseName(file.path);
    if (fragmentName !== unit.name) this.#addNames(names, unit, fragmentName, fragmentName);
    return unitFiles(unit, names, file.path);
  }

  /** `add_names()`: the name itself, and its aliases with the unit's instance. */
  #addNames(names: Set<string>, unit: UnitName, name: string, fragmentName: string | null): void {
    names.add(name);
    for (const alias of this.#leadingTo(name)) {
      const full = instantiate(alias, unit.instance) ?? alias;
      if (full !== alias && fragmentName !== null && this.#leadsElsewhere(full, fragmentName)) continue;
      names.add(full);
    }
  }

  #findBefore251(unit: UnitName): UnitFiles | null {
    const names = new Set([unit.name]);
    const direct = this.#follow(unit.name);
    if (direct === 'loop') return null;
    const file = direct === 'none' ? this.#followOrTemplate(unit) : direct;
    if (file === 'loop') return null;
    if (file === 'none') return unitFiles(unit, names, null);
    const fragmentName = baseName(file.path);
    for (const alias of this.#leadingTo(fragmentName)) {
      if (direct === 'none') {
        // Other names of the template's file get the instance, whatever they had in its place: a plain one has none.
        const other = parseUnitName(alias);
        const full = other?.instance == null ? null : withInstance(other, unit.instance ?? '');
        if (full === null) return null;
        if (!this.#leadsElsewhere(full, fragmentName)) names.add(full);
      } else names.add(instantiate(alias, unit.instance) ?? alias);
    }
    return unitFiles(unit, names, file.path);
  }

  #followOrTemplate(unit: UnitName): { path: string } | 'none' | 'loop' {
    const file = this.#follow(unit.name);
    const template = templateName(unit.name);
    return file === 'none' && template !== null ? this.#follow(template) : file;
  }

  /** An instance's alias that has a file of its own is no alias. */
  #leadsElsewhere(name: string, fragmentName: string): boolean {
    const file = this.#follow(name);
    return typeof file !== 'string' && baseName(file.path) !== fragmentName;
  }
}

/**
 * The directories in the order of the unit path. A loop among those of one unit directory ends the search of that
 * directory, not of the others (`unit_file_find_dirs()` fails).
 */
function inOrder(found: DropInDir[]): string[] {
  const paths: string[] = [];
  let failed = -1;
  for (const { rank, path } of found.sort((a, b) => a.rank - b.rank)) {
    if (path === null) failed = rank;
    else if (rank !== failed) paths.push(path);
  }
  return paths;
}

/** Empty, /dev/null or another device: what masks a unit; or nothing there at all. */
export function isNullOrMissing(tree: FileTree, path: string): boolean {
  const entry = tree.resolve(path);
  return entry === undefined || entry.type === 'other' || (entry.type === 'file' && entry.size === 0);
}

/** `unit_validate_alias_symlink_or_warn()`. */
function mayBeAlias(unit: UnitName, target: UnitName): boolean {
  if (unit.name === target.name || unit.type !== target.type || !MAY_ALIAS.has(unit.type)) return false;
  if (unit.instance !== null && !MAY_TEMPLATE.has(unit.type)) return false;
  if (target.instance === null) return unit.instance === null;
  if (target.instance === '') return unit.instance !== null;
  return unit.instance === target.instance;
}

/**
 * The unit is known by its file's name, with the instance put in, where that is literally one of its names
 * (`merge_by_names()` of systemd's load-fragment.c). A template among the names then stands for its instance.
 */
function unitFiles(unit: UnitName, names: ReadonlySet<string>, fragment: string | null): UnitFiles {
  const fileName = fragment === null ? null : instantiate(baseName(fragment), unit.instance);
  const all = new Set([...names].map((name) => instantiate(name, unit.instance) ?? name));
  return {
    id: fileName !== null && names.has(fileName) ? fileName : unit.name,
    names: [...all],
    fragment,
    conflict: all.size > 1 && (!MAY_ALIAS.has(unit.type) || [...all].some((name) => !mayShare(name, unit))),
  };
}

/** Whether a unit can have that name, too (`unit_add_name()` of systemd's unit.c). */
function mayShare(name: string, unit: UnitName): boolean {
  const other = parseUnitName(name);
  return other?.type === unit.type && other.instance === unit.instance;
}

/** A template's name with an instance put in, any other name as it is; null for a template without an instance. */
function instantiate(name: string, instance: string | null): string | null {
  const unit = parseUnitName(name);
  if (unit?.instance !== '') return name;
  return instance === null || instance === '' ? null : withInstance(unit, instance);
}

/** The template of an instance, or a template itself. */
function templateName(name: string): string | null {
  const unit = parseUnitName(name);
  return unit === null || unit.instance === null ? null : `${unit.prefix}@.${unit.type}`;
}

/** The directories and, right after each, what it leads to where it is a link. */
function withRealPaths(tree: FileTree, dirs: readonly string[]): string[] {
  const all: string[] = [];
  for (const dir of dirs) {
    all.push(dir);
    const real = tree.realPath(dir);
    if (real !== undefined && !all.includes(real)) all.push(real);
  }
  return all;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}
