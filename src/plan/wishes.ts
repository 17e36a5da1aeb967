import type { HostUse } from '../needs/use.ts';
import { type UnitLimit, unnamedUserSlice } from '../snapshot/limits.ts';
import type { Provenance } from '../snapshot/provenance.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { type ResolvedUnit, resolveUnit, tasksMaxSection, unitTasksMax } from '../systemd/resolve.ts';
import { formatTasksMax } from '../systemd/tasks-max.ts';
import { parseUnitName, userSlice } from '../systemd/unit-name.ts';
import {
  type HostView,
  isOfOneUser,
  isUserSlice,
  resolvePersistent,
  uidOf,
  userExceptions,
} from './host-view.ts';
import { largerNeed, needOf, needOfProfile, rejectionsBelow } from './need.ts';
import { ownPath } from './own-file.ts';
import type { Plan } from './plan.ts';
import type { Policy, Rule } from './policy.ts';
import { RECORDER_SERVICE } from './recorder.ts';
import { staleUserTasksMax } from './stale-user-tasks-max.ts';
import { matchesPattern } from './unit-pattern.ts';
import { directoryOf, type Have, type Where, type Wish } from './wish.ts';

/** What a policy has rules for on a host, and what of it cannot even be looked at. */
export interface Wishes {
  readonly userDefault: Wish | null;
  readonly serviceDefault: Wish | null;
  /** Single units and users, by name. */
  readonly units: readonly Wish[];
  readonly unchanged: Plan['unchanged'];
  readonly refused: Plan['refused'];
  readonly diagnostics: readonly Diagnostic[];
}

export function wishesOf(view: HostView, policy: Policy, use: HostUse | null): Wishes {
  const gathering = new Gathering(view, policy, use);
  gathering.units();
  return {
    userDefault: gathering.userDefault(),
    serviceDefault: gathering.serviceDefault(),
    units: gathering.wishes,
    unchanged: gathering.unchanged,
    refused: gathering.refused,
    diagnostics: gathering.diagnostics,
  };
}

const EVERY_USER = {
  logind: 'UserTasksMax (every user)',
  'user-slice-drop-in': 'user-.slice (every user)',
  'suse-generator': 'user-.slice (every user)',
} as const;

class Gathering {
  readonly wishes: Wish[] = [];
  readonly unchanged: Plan['unchanged'] = [];
  readonly refused: Plan['refused'] = [];
  readonly diagnostics: Diagnostic[] = [];
  readonly #view: HostView;
  readonly #policy: Policy;
  readonly #use: HostUse | null;
  /** Units with a rule of their own. */
  readonly #named = new Set<string>();

  constructor(view: HostView, policy: Policy, use: HostUse | null) {
    this.#view = view;
    this.#policy = policy;
    this.#use = use;
  }

  units(): void {
    const { rows, snapshot, ctx } = this.#view;
    const aliases = new Map(snapshot.units.flatMap(({ id, names = [] }) => names.map((name) => [name, id])));
    const rules = new Map<string, { rule: Rule; exact: boolean }>();
    for (const [user, rule] of this.#policy.users) {
      const uid = uidOf(snapshot, user);
      if (uid === null) this.#unknownUser(user);
      else rules.set(userSlice(uid), { rule, exact: true });
    }
    for (const [name, rule] of this.#policy.exactUnits) {
      const id = rows.has(name) ? name : (aliases.get(name) ?? resolveUnit(ctx, name).id);
      if (!rules.has(id)) rules.set(id, { rule, exact: true });
    }
    for (const name of rows.keys()) {
      if (rules.has(name)) continue;
      const pattern = this.#policy.unitPatterns.find((entry) => matchesPattern(entry.pattern, name));
      if (pattern !== undefined) rules.set(name, { rule: pattern.rule, exact: false });
    }
    for (const name of [...rules.keys()].sort()) {
      const found = rules.get(name);
      if (found !== undefined) this.#unit(name, found.rule, found.exact);
    }
  }

  #unknownUser(user: string): void {
    this.diagnostics.push({
      code: 'user-unknown',
      severity: 'warning',
      message: `The policy names the user ${user}, of whom the snapshot knows no uid: nothing is planned for them`,
      help: 'Name the uid, or take the snapshot while they are logged in.',
    });
  }

  #unit(name: string, rule: Rule, exact: boolean): void {
    const limit = { kind: 'unit', unit: name } as const;
    const row = this.#view.rows.get(name);
    const type = parseUnitName(name)?.type;
    const section = type === undefined ? null : tasksMaxSection(type);
    const obstacle = section === null ? 'no name systemd takes for a unit' : this.#obstacle(name, exact);
    if (typeof obstacle === 'string') {
      this.unchanged.push({ limit, title: name, reason: obstacle });
    } else if (obstacle !== null) {
      this.#refuse(limit, name, rule, { severity: 'error', unit: name, ...obstacle });
    } else if (section !== null) {
      this.#named.add(name);
      const where: Where = { kind: 'unit', unit: name, section };
      this.wishes.push(this.#wish(where, { limit, title: name, rule, rows: row === undefined ? [] : [row] }));
    }
  }

  /** Why nothing is written for a unit: a reason to leave it (text), one to refuse what was asked, or null: none. */
  #obstacle(name: string, exact: boolean): string | Pick<Diagnostic, 'code' | 'message' | 'help'> | null {
    const { rows, ctx, snapshot } = this.#view;
    const { capabilities } = ctx;
    if (name === RECORDER_SERVICE && !exact) return "tasksctl's own";
    if (name === '-.slice') {
      const message = 'TasksMax= of -.slice makes systemd write kernel.pid_max and kernel.threads-max';
      const help = 'Use the kernel section of the policy.';
      return exact ? { code: 'root-slice', message, help } : message;
    }
    const resolved = resolveUnit(ctx, name);
    if (resolved.load === 'masked') return 'masked: it never runs';
    if (resolved.load === 'not-found' && !rows.has(name)) return 'not on this host';
    const transient = snapshot.units.find(({ id }) => id === name)?.transient === true;
    if (transient && name !== 'init.scope' && !isUserSlice(name)) {
      const message =
        'made by a program for a while: its limit comes from there, and a file would outlast it';
      return exact ? { code: 'transient-unit', message } : message;
    }
    if (resolved.load === 'error') {
      const broken = resolved.diagnostics.find(({ severity }) => severity === 'error');
      const message = `systemd cannot load ${name}: ${broken?.message ?? 'its file is no file'}`;
      return { ...broken, code: 'unit-broken', message };
    }
    if (capabilities.syntax.TasksMax !== null) return null;
    return unsupported(`systemd ${capabilities.version} has no TasksMax=`);
  }

  #refuse(limit: Wish['limit'], title: string, rule: Rule, diagnostic: Diagnostic): void {
    const wanted = rule.value ?? rule.floor;
    const text = wanted === null ? 'what it needs' : formatTasksMax(wanted);
    this.refused.push({ limit, title, wanted: text, diagnostic });
  }

  userDefault(): Wish | null {
    const rule = this.#policy.userDefault;
    if (rule === null) return null;
    const { ctx, limits } = this.#view;
    const limit = { kind: 'user-default' } as const;
    const { perUserLimit, version } = ctx.capabilities;
    if (perUserLimit === 'none') {
      this.#refuse(
        limit,
        'every user',
        rule,
        unsupported(`systemd ${version} knows no limit for every user`),
      );
      return null;
    }
    const stale = this.#policy.movesUserTasksMax ? staleUserTasksMax(ctx) : null;
    if (this.#policy.movesUserTasksMax && stale === null) {
      const reason =
        perUserLimit === 'user-slice-drop-in'
          ? 'logind.conf and its drop-ins set no UserTasksMax= that could be moved'
          : `UserTasksMax= counts on this host (systemd ${version})`;
      this.unchanged.push({ limit, title: EVERY_USER[perUserLimit], reason });
      return null;
    }
    const exceptions = userExceptions(this.#view).filter(({ slice }) => !this.#named.has(slice));
    for (const { slice, file, line, raw } of exceptions) {
      this.diagnostics.push({
        code: 'user-exception',
        severity: 'note',
        message: `${slice} has a limit of its own, TasksMax=${raw}, which is left alone`,
        file,
        line,
        unit: slice,
        help: 'Name the user in the policy to plan for them too.',
      });
    }
    const own = new Set([...this.#named, ...exceptions.map(({ slice }) => slice)]);
    const rows = limits.units.filter(
      ({ name, type }) => type === 'slice' && isUserSlice(name) && !own.has(name),
    );
    const where: Where =
      perUserLimit === 'logind'
        ? { kind: 'logind.conf' }
        : { kind: 'user-slice', exceptions, named: this.#named };
    const wished =
      stale === null
        ? rule
        : { ...rule, value: stale.value, label: `UserTasksMax= at ${stale.file}:${stale.line}` };
    const about = { limit, title: EVERY_USER[perUserLimit], rule: wished, rows, login: true };
    const wish = this.#wish(where, about, ['user-.slice'], own);
    return stale === null ? wish : { ...wish, moved: stale.edits };
  }

  serviceDefault(): Wish | null {
    const rule = this.#policy.serviceDefault;
    if (rule === null) return null;
    const { ctx, limits } = this.#view;
    const limit = { kind: 'manager-default', manager: 'system' } as const;
    const title = 'DefaultTasksMax (units without a limit of their own)';
    if (ctx.capabilities.defaultTasksMax === null) {
      this.#refuse(
        limit,
        title,
        rule,
        unsupported(`systemd ${ctx.capabilities.version} has no DefaultTasksMax=`),
      );
      return null;
    }
    const rows = limits.units.filter((row) => followsDefault(row) && !this.#named.has(row.name));
    return this.#wish({ kind: 'system.conf' }, { limit, title, rule, rows, login: true });
  }

  #wish(
    where: Where,
    about: Pick<Wish, 'limit' | 'title' | 'rule' | 'rows'> & { readonly login?: boolean },
    measured: readonly string[] = where.kind === 'unit' ? [where.unit] : about.rows.map(({ name }) => name),
    except?: ReadonlySet<string>,
  ): Wish {
    const { isLoginUnit } = this.#view;
    const { rows } = about;
    const fresh = this.#hasNewRejections(where, rows);
    const now = needOf(rows, this.#policy.growth, (row) => (fresh ? this.#view.rejectionsOf(row) : 0));
    const before = this.#use === null ? null : needOfProfile(this.#use, measured, this.#policy, except);
    return {
      ...about,
      where,
      need: largerNeed(now, before),
      login: about.login ?? (where.kind === 'unit' && isLoginUnit(where.unit)),
    };
  }

  /** Forks were rejected that no limit of ours was an answer to yet. */
  #hasNewRejections(where: Where, rows: readonly UnitLimit[]): boolean {
    const { ctx, snapshot, rejections } = this.#view;
    if (rejections.total <= rejections.answered) return false;
    const directory = directoryOf(where);
    for (const name of ctx.tree.list(directory)) {
      if (!name.endsWith('tasksctl.conf')) continue;
      const there = ownPath(ctx.tree, `${directory}/${name}`);
      if (there.kind !== 'ours' || there.rejections?.bootId !== snapshot.host.bootId) continue;
      return rejectionsBelow(snapshot, rows) > there.rejections.here;
    }
    return true;
  }
}

/** Files say nothing of the unit's own limit, so the manager's default is what it has. */
export function followsDefault({ configured, type }: UnitLimit): boolean {
  if (configured === null || configured.provenance.kind === 'live' || configured.limit.value !== null)
    return false;
  return type !== 'slice' || configured.limit.winner !== null;
}

/** What holds where files say nothing. */
export interface Defaults {
  manager: Have;
  user: Have;
}

/** What a wish's limit is by the files where the defaults are `defaults`: those of now, or those planned. */
export function haveOf(view: HostView, { where }: Wish, defaults: Readonly<Defaults>): Have {
  switch (where.kind) {
    case 'system.conf':
      return defaults.manager;
    case 'logind.conf':
    case 'user-slice':
      return defaults.user;
    case 'unit': {
      const running = ofUnit(resolveUnit(view.ctx, where.unit), where, view, defaults);
      const persistent = ofUnit(resolvePersistent(view, where.unit), where, view, defaults);
      return { ...running, persistent: persistent.persistent };
    }
  }
}

function ofUnit(
  resolved: ResolvedUnit,
  { unit, section }: Extract<Where, { kind: 'unit' }>,
  { ctx }: HostView,
  defaults: Readonly<Defaults>,
): Have {
  const { value, winner } = resolved.tasksMax;
  if (isUserSlice(unit) && (winner === null || !isOfOneUser(winner.file, unit, ctx))) return defaults.user;
  if (value !== null && winner !== null) {
    return { of: 'unit', value, persistent: value, provenance: fileProvenance(resolved) };
  }
  if (section !== 'Slice' || winner !== null) return defaults.manager;
  const text = 'slices have no limit unless a file sets one';
  return { of: 'unit', value: INFINITY, persistent: INFINITY, provenance: { kind: 'default', text } };
}

const INFINITY = { kind: 'infinity' } as const;

/** The defaults as they are now. */
export function defaultsNow(view: HostView): Defaults {
  const { managerDefault, userDefault } = view.limits;
  const { perUserLimit } = view.ctx.capabilities;
  const bySlices = perUserLimit === 'user-slice-drop-in' || perUserLimit === 'suse-generator';
  const unnamed = bySlices ? resolvePersistent(view, unnamedUserSlice(view.ctx)) : null;
  const persistent = unnamed === null ? null : unitTasksMax(unnamed, managerDefault.value);
  return {
    manager: { of: 'manager-default', ...managerDefault, persistent: managerDefault.value },
    user: { of: 'user-default', ...userDefault, persistent: persistent ?? userDefault.value },
  };
}

function fileProvenance({ tasksMax: { winner } }: ResolvedUnit): Provenance {
  if (winner === null) throw new Error('no assignment to name');
  const { file, line, section, key, raw } = winner;
  return { kind: 'file', file, line, section, key, raw };
}

function unsupported(message: string): Diagnostic {
  return { code: 'not-supported', severity: 'error', message, help: 'A newer systemd has it.' };
}
