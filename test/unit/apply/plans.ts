import { createHash } from 'node:crypto';
import type { Change, Plan, PlannedFile, PlanStep } from '../../../src/plan/plan.ts';

export const RELOAD: PlanStep = {
  why: 'systemd reads its files again',
  command: { kind: 'argv', argv: ['systemctl', 'daemon-reload'] },
};

export function writeStep(path: string, value: string): PlanStep {
  return { why: 'bridge', command: { kind: 'write', path, value } };
}

function side(content: string | Uint8Array, mode: number) {
  const bytes = Buffer.from(content);
  const text = bytes.toString('utf8');
  const same = Buffer.from(text).equals(bytes);
  return {
    content: same ? { text } : { base64: bytes.toString('base64') },
    sha256: createHash('sha256').update(bytes).digest('hex'),
    mode,
  };
}

/** A file of a plan; `before` and `after` null where there is nothing. */
export function plannedFile(
  path: string,
  before: string | Uint8Array | null,
  after: string | Uint8Array | null,
  mode = 0o644,
): PlannedFile {
  return {
    path,
    before: before === null ? null : { ...side(before, mode), uid: 0, gid: 0 },
    after: after === null ? null : side(after, mode),
  };
}

export function makeChange(
  limit: Change['limit'],
  to: string,
  more: { from?: string; files?: string[]; steps?: PlanStep[]; when?: Change['activation']['when'] } = {},
): Change {
  const from = more.from ?? '10813';
  return {
    limit,
    title: limit.kind === 'unit' ? limit.unit : limit.kind,
    from: { text: from, count: from, provenance: { text: 'built-in default' } },
    to: { text: to, count: to },
    reason: ['a test'],
    files: more.files ?? [],
    activation: {
      when: more.when ?? 'daemon-reload',
      summary: '',
      steps: more.steps ?? [RELOAD],
      affected: [],
      reboot: { needed: false, note: '' },
      source: 'test',
    },
    warnings: [],
  };
}

export function makePlan(files: PlannedFile[], changes: Change[], more: Partial<Plan> = {}): Plan {
  return {
    schema: 'tasksctl/plan/1',
    target: 'local',
    host: {
      hostname: 'host',
      machineId: null,
      os: 'Debian GNU/Linux 12 (bookworm)',
      kernel: '6.1.0',
      systemdVersion: 252,
      cgroupMode: 'v1',
    },
    policy: { name: 'default', sha256: '0'.repeat(64) },
    preconditions: { bootId: '11111111-1111-4111-8111-111111111111', systemdVersion: 252 },
    files,
    changes,
    unchanged: [],
    refused: [],
    diagnostics: [],
    ...more,
  };
}
