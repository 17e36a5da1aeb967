import { createHash } from 'node:crypto';
import type { RecorderFile } from '../measure/recorder-files.ts';
import type { HostUse } from '../needs/use.ts';
import { hostLimits, type LimitRef, type UnitLimit } from '../snapshot/limits.ts';
import { describeProvenance, type Provenance, provenancePlace } from '../snapshot/provenance.ts';
import { resolveContextOf } from '../snapshot/resolve-context.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import { compareBytes, type FileEdit, type FileTree } from '../systemd/file-tree.ts';
import { compareTaskCount, formatTasksMax, resolveTasksMax, type TaskCount } from '../systemd/tasks-max.ts';
import { type LimitActivation, limitActivation, sysctlActivation } from './activation.ts';
import { type Decided, type Draft, draftPlan, harmedByDefault, type PlannedTarget } from './draft.ts';
import { type HostView, viewHost } from './host-view.ts';
import { place } from './placement.ts';
import type { Change, Plan, PlannedFile } from './plan.ts';
import type { SysctlPlan } from './plan-kernel.ts';
import type { Policy } from './policy.ts';
import { planRecorder } from './recorder.ts';
import type { TaskSysctl } from './sysctl-conf.ts';
import { changeWarnings, hostDiagnostics, sysctlWarnings } from './warnings.ts';
import type { Decision, Wish } from './wish.ts';
import { type Wishes, wishesOf } from './wishes.ts';

/**
 * What to change on a host so that it is as the policy wants it. Pure: the same plan from the same input, byte for
 * byte. Whatever it says of files was tried out in memory first. Where systemd is not installed there is nothing to
 * plan, which a diagnostic says (`no-systemd`; the plan's systemdVersion is 0 then). `use` is what was measured on the host
 * over time: it counts beside what the snapshot shows. `recorder` are the files of the recorder, which a policy may want.
 */
export function planHost(
  snapshot: Snapshot,
  policy: Policy,
  use: HostUse | null = null,
  recorder: readonly RecorderFile[] = [],
): Plan {
  const ctx = resolveContextOf(snapshot);
  if (ctx === null) return emptyPlan(snapshot, policy);
  const view = viewHost(snapshot, ctx, hostLimits(snapshot, ctx));
  const wishes = wishesOf(view, policy, use);
  const failed = new Map<Wish | TaskSysctl, Diagnostic>();
  // A default that cannot or must not be written leaves units with less than was counted on, so all is decided again without it.
  for (;;) {
    const draft = draftPlan(view, policy, wishes, failed);
    const harmed = harmedByDefault(view, draft);
    if (harmed !== null) {
      failed.set(harmed.wish, harmed.diagnostic);
      continue;
    }
    const { placed, failed: lost } = place(ctx, draft.targets);
    if (lost.size === 0) return finishPlan(view, policy, wishes, draft, withMoved(placed), recorder);
    for (const [target, obstacle] of lost) failed.set(target.of, obstacle);
  }
}

type Placed = ReadonlyMap<PlannedTarget, { readonly path: string; readonly edits: readonly FileEdit[] }>;

/** What is moved goes from where it was. */
function withMoved(placed: Placed): Placed {
  return new Map(
    [...placed].map(([target, made]) => {
      const moved = typeof target.of === 'string' ? [] : (target.of.moved ?? []);
      return [target, { ...made, edits: [...made.edits, ...moved] }];
    }),
  );
}

function finishPlan(
  view: HostView,
  policy: Policy,
  wishes: Wishes,
  draft: Draft,
  placed: Placed,
  recorder: readonly RecorderFile[],
): Plan {
  const { snapshot, ctx, limits } = view;
  const files = new Map([...placed].map(([target, made]) => [target.of, made]));
  const changes: Change[] = [];
  const unchanged = [...wishes.unchanged];
  const refused = [...wishes.refused];
  for (const plan of draft.sysctls) {
    const limit: LimitRef = { kind: 'sysctl', name: plan.name };
    const { outcome } = plan;
    if (outcome.kind === 'enough') unchanged.push({ limit, title: plan.name, reason: outcome.reason });
    else if (outcome.kind === 'refused')
      refused.push({
        limit,
        title: plan.name,
        wanted: outcome.wanted,
        diagnostic: { ...outcome.diagnostic },
      });
    else changes.push(sysctlChange(view, draft, plan, outcome, files.get(plan.name)));
  }
  for (const one of inPlanOrder(draft.decided)) {
    const { limit, title } = one.wish;
    const { decision } = one;
    if (decision.kind === 'enough') unchanged.push({ limit, title, reason: decision.reason });
    else if (decision.kind === 'refused')
      refused.push({ limit, title, wanted: decision.wanted, diagnostic: { ...decision.diagnostic } });
    else changes.push(limitChange(view, draft, one, decision, files.get(one.wish)));
  }
  const edits = [...placed.values()].flatMap((made) => made.edits);
  const limitEdits = edits.length;
  if (policy.recorder !== null) {
    if (recorder.length === 0)
      throw new Error('the policy is about the recorder, whose files were not given');
    const made = planRecorder(ctx, policy.recorder, recorder);
    if (made.kind === 'unchanged') unchanged.push(made.entry);
    else if (made.kind === 'refused') refused.push(made.entry);
    else {
      changes.push(made.change);
      edits.push(...made.edits);
    }
  }
  const moves = (file: string | undefined) => edits.some(({ path }) => path === file);
  return {
    ...planHead(snapshot, policy),
    files: edits.map((edit) => plannedFile(ctx.tree, edit)).sort((a, b) => compareBytes(a.path, b.path)),
    changes,
    unchanged,
    refused,
    diagnostics: [
      ...wishes.diagnostics,
      // What the plan itself moves needs no advice.
      ...limits.diagnostics.filter(({ code, file }) => code !== 'user-tasks-max-removed' || !moves(file)),
      ...hostDiagnostics(view, draft, limitEdits > 0),
    ],
  };
}

/** Defaults first, then single users and units by name. */
function inPlanOrder(decided: readonly Decided[]): Decided[] {
  const rank = ({ wish }: Decided): number =>
    wish.limit.kind === 'user-default' ? 0 : wish.limit.kind === 'manager-default' ? 1 : 2;
  return [...decided].sort((a, b) => rank(a) - rank(b) || compareBytes(a.wish.title, b.wish.title));
}

type MadeEdits = { readonly path: string; readonly edits: readonly FileEdit[] };

function limitChange(
  view: HostView,
  draft: Draft,
  decided: Decided,
  decision: Extract<Decision, { kind: 'write' | 'activate' }>,
  made: MadeEdits | undefined,
): Change {
  const { snapshot, ctx } = view;
  const { wish, from, have } = decided;
  const rows = [...wish.rows, ...decided.alsoFor];
  const running = rows.some(({ active, live }) => active && live !== null);
  const filesChange = decision.kind === 'write';
  return {
    limit: wish.limit,
    title: wish.title,
    from:
      decision.kind === 'write'
        ? {
            text: formatTasksMax(from.value),
            count: String(resolveTasksMax(from.value, view.base)),
            provenance: provenanceText(from.provenance),
          }
        : enforced(decision.lagging),
    to: { text: formatTasksMax(decision.value), count: String(decision.count) },
    reason: filesChange
      ? [...decision.lines]
      : [
          ...decision.lines,
          `the files say ${formatTasksMax(decision.value)} already (${describeProvenance(have.provenance)})`,
        ],
    files: (made?.edits ?? []).map(({ path }) => path),
    activation: limitActivation({
      snapshot,
      capabilities: ctx.capabilities,
      where: takesEffectBy(view, decided),
      filesChange,
      count: decision.count,
      rows,
      exact: wish.rule.value !== null,
      later: laterOf(wish, running),
    }),
    warnings: changeWarnings(view, draft, decided, decision.count),
  };
}

/** Which of systemd's programs has to take notice. */
function takesEffectBy({ ctx }: HostView, { wish, have, decision }: Decided): LimitActivation['where'] {
  const { kind } = wish.where;
  if (kind === 'logind.conf' || kind === 'system.conf') return kind;
  // A user's slice without a file of its own has what logind gave it when it was made.
  const byLogind = have.of === 'user-default' && ctx.capabilities.perUserLimit === 'logind';
  return byLogind && decision.kind === 'activate' ? 'logind.conf' : 'unit';
}

/** The least that is enforced where it should be more. */
function enforced(lagging: readonly UnitLimit[]): Change['from'] {
  const [first, ...more] = lagging;
  if (first === undefined) throw new Error('nothing to activate');
  const live = ({ live }: UnitLimit): TaskCount => live ?? 'infinity';
  const least = more.reduce((a, b) => (compareTaskCount(live(b), live(a)) < 0 ? b : a), first);
  const text = String(live(least));
  return { text, count: text, provenance: { text: `enforced by the kernel at ${least.name}` } };
}

function laterOf({ where }: Wish, running: boolean): string {
  switch (where.kind) {
    case 'unit':
      return running ? '' : where.unit;
    case 'system.conf':
      return 'units that start later';
    case 'user-slice':
    case 'logind.conf':
      return 'users who log in later';
  }
}

function sysctlChange(
  view: HostView,
  draft: Draft,
  { name, live, file }: SysctlPlan,
  { to, lines }: Extract<SysctlPlan['outcome'], { kind: 'write' }>,
  made: MadeEdits | undefined,
): Change {
  if (made === undefined) throw new Error(`no place was found for ${name}`);
  const provenance =
    file === null
      ? { text: 'set by the kernel at boot, no file sets it' }
      : { text: `${file.file}:${file.line}`, file: file.file, line: file.line };
  return {
    limit: { kind: 'sysctl', name },
    title: name,
    from: { text: String(live), count: String(live), provenance },
    to: { text: String(to), count: String(to) },
    reason: [...lines],
    files: made.edits.map(({ path }) => path),
    activation: sysctlActivation(made.path, live !== to, movingFractions(view, draft)),
    warnings: sysctlWarnings(view.snapshot, name, to),
  };
}

/** Defaults in percent, which move with the kernel's ceilings; null where there are none or they stay. */
function movingFractions({ limits, base }: HostView, { bounds }: Draft): string | null {
  if (bounds.base === base) return null;
  const moving = [
    { name: 'DefaultTasksMax', value: limits.managerDefault.value },
    { name: "every user's", value: limits.userDefault.value },
  ].filter(({ value }) => value.kind === 'fraction');
  const texts = moving.map(
    ({ name, value }) =>
      `${name} ${formatTasksMax(value)} is ${resolveTasksMax(value, base)} now and will be ${resolveTasksMax(value, bounds.base)}`,
  );
  return texts.length === 0 ? null : texts.join(', ');
}

function provenanceText(provenance: Provenance): Change['from']['provenance'] {
  return { text: describeProvenance(provenance), ...provenancePlace(provenance) };
}

function plannedFile(tree: FileTree, { path, content }: FileEdit): PlannedFile {
  const before = tree.get(path);
  return {
    path,
    before:
      before?.content === undefined
        ? null
        : { ...contentOf(before.content), mode: before.mode, uid: before.uid, gid: before.gid },
    after: content === null ? null : { ...contentOf(content), mode: before?.mode ?? 0o644 },
  };
}

function contentOf(bytes: Uint8Array): Pick<NonNullable<PlannedFile['after']>, 'content' | 'sha256'> {
  const buffer = Buffer.from(bytes);
  const text = buffer.toString('utf8');
  const sha256 = createHash('sha256').update(buffer).digest('hex');
  const plain = Buffer.from(text, 'utf8').equals(buffer);
  return { content: plain ? { text } : { base64: buffer.toString('base64') }, sha256 };
}

function planHead(
  { target, host, systemd, cgroups }: Snapshot,
  policy: Policy,
): Pick<Plan, 'schema' | 'target' | 'host' | 'policy' | 'preconditions'> {
  const systemdVersion = systemd?.version ?? 0;
  return {
    schema: 'tasksctl/plan/1',
    target,
    host: {
      hostname: host.hostname,
      machineId: host.machineId,
      os: host.osRelease['PRETTY_NAME'] ?? host.osRelease['ID'] ?? 'unknown OS',
      kernel: host.kernel,
      systemdVersion,
      cgroupMode: cgroups.mode,
    },
    policy: { name: policy.name, sha256: policy.sha256 },
    preconditions: { bootId: host.bootId, systemdVersion },
  };
}

function emptyPlan(snapshot: Snapshot, policy: Policy): Plan {
  const diagnostic: Diagnostic = {
    code: 'no-systemd',
    severity: 'error',
    message: `${snapshot.host.hostname} has no systemd, so there are no task limits to plan`,
  };
  return {
    ...planHead(snapshot, policy),
    files: [],
    changes: [],
    unchanged: [],
    refused: [],
    diagnostics: [diagnostic],
  };
}
