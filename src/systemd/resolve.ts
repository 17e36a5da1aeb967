import type { SystemdCapabilities } from './capabilities.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { ConfFile } from './dialect.ts';
import type { FileEdit, FileTree } from './file-tree.ts';
import { MAY_TEMPLATE, UnitIndex } from './load-path.ts';
import { fileNotAvailable, type ReadConf, readConf } from './read-conf.ts';
import { type FoundAssignment, settleLimit } from './settle-limit.ts';
import { type ParsedTasksMax, parseTasksMax, type TasksMax } from './tasks-max.ts';
import { parseUnitName, sliceParents, type UnitName, type UnitType } from './unit-name.ts';

/** One assignment of the key in question, as found in a file. Everything systemd did with it is in `outcome`. */
export interface Assignment {
  readonly file: string;
  /** Line the assignment starts on, from 1. */
  readonly line: number;
  readonly section: string;
  readonly key: string;
  /** The value's text as systemd sees it: continuation lines joined, outer white space gone. */
  readonly raw: string;
  /** What this systemd version reads it as; `unset` for an empty value that resets to the default; null if rejected. */
  readonly value: TasksMax | 'unset' | null;
  readonly outcome: 'wins' | 'overridden' | 'ignored';
  /** For `ignored`: why systemd took no notice, in a few words ("size suffix", "wrong section [Slice]"). */
  readonly reason?: string;
}

/** A limit as the files set it. */
export interface ResolvedLimit {
  /** null: no file sets it (or the last word was an empty value), so the default holds. */
  readonly value: TasksMax | null;
  /** The assignment that counts; with `value` null an empty one, or null where there is none. */
  readonly winner: Assignment | null;
  /** Every assignment found, in the order systemd applies them; ignored ones included. */
  readonly assignments: readonly Assignment[];
}

export interface ResolvedUnit {
  /** The name asked for. */
  readonly name: string;
  /** The unit's own name after aliases. */
  readonly id: string;
  /**
   * What the files make of the unit. `error`: its own file cannot be read to the end, so no drop-in is read either.
   * Checks a type makes of its settings (a service without ExecStart= is `bad-setting`) are not repeated here, and
   * what a manager knows from elsewhere (a mount that is up has no file) neither.
   */
  readonly load: 'loaded' | 'masked' | 'not-found' | 'bad-setting' | 'error';
  readonly fragmentPath: string | null;
  /** As `systemctl show -p DropInPaths`, in the order they are applied. */
  readonly dropInPaths: readonly string[];
  readonly tasksMax: ResolvedLimit;
  readonly diagnostics: readonly Diagnostic[];
}

/** What a resolution needs to know of a host. */
export interface ResolveContext {
  readonly tree: FileTree;
  readonly capabilities: SystemdCapabilities;
  /** Unit directories, highest precedence first (UnitPath of the manager, or `defaultUnitPath()`). */
  readonly unitPath: readonly string[];
}

/** Section that holds TasksMax=, by the types of unit that have a cgroup. */
const CGROUP_SECTIONS: Readonly<Partial<Record<UnitType, string>>> = {
  service: 'Service',
  slice: 'Slice',
  scope: 'Scope',
  socket: 'Socket',
  mount: 'Mount',
  swap: 'Swap',
};

/** Types of which a unit exists only if it has a file; the others come from the kernel, a program or by their name. */
const NEEDS_FRAGMENT: ReadonlySet<UnitType> = new Set<UnitType>([
  'service',
  'socket',
  'target',
  'timer',
  'path',
  'automount',
]);

/** Units that are always there, and which an empty file therefore does not mask. */
const PERPETUAL: ReadonlySet<string> = new Set(['-.slice', 'system.slice', 'init.scope', '-.mount']);

/** Section that `TasksMax=` belongs in for a unit of this type; null where such units have no cgroup. */
export function tasksMaxSection(type: UnitType): string | null {
  return CGROUP_SECTIONS[type] ?? null;
}

const indexes = new WeakMap<ResolveContext, UnitIndex>();
const resolved = new WeakMap<ResolveContext, Map<string, ResolvedUnit>>();

/** How many units of a context are kept in mind. */
const MOST_RESOLVED = 4096;

/** The index of a context's unit directories, made once. */
export function unitIndex(ctx: ResolveContext): UnitIndex {
  let index = indexes.get(ctx);
  if (index === undefined) {
    index = new UnitIndex(ctx);
    indexes.set(ctx, index);
  }
  return index;
}

/** Contexts after edits, by what they were before and which files were edited. */
const edited = new WeakMap<ResolveContext, Map<string, ResolveContext>>();

/** How many sets of edited files of a context are kept in mind. */
const MOST_EDITED = 64;

/**
 * The context after edits. Hosts of one image mostly have the same files written, with other numbers in them: what
 * depends on which files there are, and not on their bytes, is made once.
 */
export function editContext(ctx: ResolveContext, edits: readonly FileEdit[]): ResolveContext {
  if (edits.length === 0) return ctx;
  let known = edited.get(ctx);
  if (known === undefined) {
    known = new Map();
    edited.set(ctx, known);
  }
  const kindOf = ({ content }: FileEdit): string =>
    content === null ? 'removed' : content.length === 0 ? 'empty' : 'written';
  const files = edits.map((edit) => `${kindOf(edit)} ${edit.path}`).join('\0');
  const like = known.get(files);
  const after = { ...ctx, tree: ctx.tree.withEdits(edits) };
  if (like === undefined) {
    if (known.size >= MOST_EDITED) known.clear();
    known.set(files, after);
  } else indexes.set(after, unitIndex(like));
  return after;
}

/**
 * What systemd makes of a unit's files, as `systemctl show` of this version would say after a daemon-reload. Never
 * throws; an invalid name, or that of a template, is `not-found`. Asked again for the same unit it gives the same object.
 */
export function resolveUnit(ctx: ResolveContext, name: string): ResolvedUnit {
  let units = resolved.get(ctx);
  if (units === undefined) {
    units = new Map();
    resolved.set(ctx, units);
  }
  let unit = units.get(name);
  if (unit === undefined) {
    // Over many hosts of one image the names of sessions and containers never end.
    if (units.size >= MOST_RESOLVED) units.clear();
    unit = resolveAnew(ctx, name);
    units.set(name, unit);
  }
  return unit;
}

function resolveAnew(ctx: ResolveContext, name: string): ResolvedUnit {
  const unit = parseUnitName(name);
  if (unit === null || unit.instance === '') return nothing(name, 'not-found');
  if (unit.instance !== null && !MAY_TEMPLATE.has(unit.type)) return nothing(name, 'not-found');
  const index = unitIndex(ctx);
  const files = index.find(unit);
  if (files === null) return nothing(name, 'not-found');
  const reader = new UnitReader(ctx, unit);
  let load: ResolvedUnit['load'] = 'loaded';
  if (files.fragment !== null) load = reader.fragment(files.fragment, PERPETUAL.has(files.id));
  else if (NEEDS_FRAGMENT.has(unit.type)) load = 'not-found';
  if (files.conflict && load !== 'not-found') load = 'error';
  const readsDropIns =
    load === 'loaded' || (load === 'masked' && ctx.capabilities.loading.maskedUnitsHaveDropIns);
  const dropInPaths = readsDropIns ? index.dropIns(files, unit.type) : [];
  for (const path of dropInPaths) reader.dropIn(path);
  // A slice's name says where it hangs; one that makes no sense is found out after its files were read.
  if (load === 'loaded' && unit.type === 'slice' && sliceParents(files.id) === null) load = 'error';
  return {
    name,
    // Only a unit that has been loaded takes on the name of its file.
    id: load === 'loaded' || load === 'masked' ? files.id : name,
    load,
    fragmentPath: load === 'not-found' ? null : files.fragment,
    dropInPaths,
    tasksMax: settleLimit(reader.found),
    diagnostics: reader.diagnostics,
  };
}

function nothing(name: string, load: ResolvedUnit['load']): ResolvedUnit {
  return {
    name,
    id: name,
    load,
    fragmentPath: null,
    dropInPaths: [],
    tasksMax: settleLimit([]),
    diagnostics: [],
  };
}

/**
 * The TasksMax= in force for a unit where its manager's DefaultTasksMax= is `defaultTasksMax`: what its files say, or
 * the default of its type (none for slices). null: units of this type have no such limit.
 */
export function unitTasksMax(resolved: ResolvedUnit, defaultTasksMax: TasksMax): TasksMax | null {
  const type = parseUnitName(resolved.id)?.type;
  if (type === undefined || tasksMaxSection(type) === null) return null;
  if (resolved.tasksMax.value !== null) return resolved.tasksMax.value;
  // An empty value brings in the manager's default even where a slice has none (`config_parse_tasks_max()`).
  return type === 'slice' && resolved.tasksMax.winner === null ? { kind: 'infinity' } : defaultTasksMax;
}

/** Reads the files of one unit in their order and gathers what they say of TasksMax=. */
class UnitReader {
  readonly found: FoundAssignment[] = [];
  readonly diagnostics: Diagnostic[] = [];
  readonly #ctx: ResolveContext;
  readonly #unit: UnitName;

  constructor(ctx: ResolveContext, unit: UnitName) {
    this.#ctx = ctx;
    this.#unit = unit;
  }

  fragment(path: string, perpetual: boolean): ResolvedUnit['load'] {
    const file = readConf(this.#ctx.tree, path, this.#ctx.capabilities);
    switch (file.kind) {
      case 'read':
        this.#gather(path, file.conf);
        return file.conf.failure === null ? 'loaded' : 'error';
      case 'masked':
        return perpetual ? 'loaded' : 'masked';
      case 'missing':
        return 'not-found';
      case 'not-a-file':
        return 'error';
      case 'not-kept':
        this.#notKept(path);
        return 'loaded';
    }
  }

  dropIn(path: string): void {
    const file: ReadConf = readConf(this.#ctx.tree, path, this.#ctx.capabilities);
    if (file.kind === 'read') this.#gather(path, file.conf);
    else if (file.kind === 'not-kept') this.#notKept(path);
  }

  #gather(path: string, conf: ConfFile): void {
    for (const { section, key, value, span } of conf.assignments) {
      if (key !== 'TasksMax') continue;
      const parsed = this.#parse(section, value);
      this.found.push({ file: path, line: span.line, section: section ?? '', key, raw: value, parsed });
      if (!parsed.ok) {
        this.diagnostics.push({
          code: 'assignment-ignored',
          severity: 'warning',
          message: `systemd ignores TasksMax=${value}: ${parsed.reason}`,
          file: path,
          line: span.line,
          unit: this.#unit.name,
        });
      }
    }
    if (conf.failure !== null) {
      this.diagnostics.push({
        code: 'file-not-read-to-end',
        severity: 'error',
        message: `systemd stops reading here: ${conf.failure.reason}`,
        file: path,
        line: conf.failure.line,
        unit: this.#unit.name,
        help: 'Mend or remove the line, then run systemctl daemon-reload.',
      });
    }
  }

  #parse(section: string | null, value: string): ParsedTasksMax {
    const wanted = tasksMaxSection(this.#unit.type);
    if (wanted === null) return { ok: false, reason: `${this.#unit.type} units have no task limit` };
    if (section === null) return { ok: false, reason: 'before any section' };
    if (section !== wanted) return { ok: false, reason: `wrong section [${section}], not [${wanted}]` };
    return parseTasksMax(value, 'TasksMax', this.#ctx.capabilities);
  }

  #notKept(path: string): void {
    const problem = this.#ctx.tree.resolve(path)?.problem;
    if (problem !== undefined)
      this.diagnostics.push({ ...fileNotAvailable(path, problem), unit: this.#unit.name });
  }
}
