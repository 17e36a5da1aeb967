import { z } from 'zod';

/**
 * A Plan: the ordered changes for one host plus what must hold before they are applied. A file that can be reviewed,
 * saved, and applied later. Same plan from the same input, byte for byte: no clock, no randomness in it.
 */

const limitRef = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('unit'), unit: z.string() }),
  z.strictObject({ kind: z.literal('cgroup'), path: z.string() }),
  z.strictObject({ kind: z.literal('user-default') }),
  z.strictObject({ kind: z.literal('manager-default'), manager: z.enum(['system', 'user']) }),
  z.strictObject({ kind: z.literal('sysctl'), name: z.enum(['kernel.pid_max', 'kernel.threads-max']) }),
  /** No limit: whether the host records by itself how many tasks its units have; `on` or `off`. */
  z.strictObject({ kind: z.literal('recorder') }),
]);

/** A value as it is written (`12288`, `33%`, `infinity`) and the tasks it comes to on this host. */
const wantedValue = z.strictObject({ text: z.string(), count: z.string() });

const provenanceText = z.strictObject({
  /** `file:line` or whose default it is. */
  text: z.string(),
  file: z.string().optional(),
  line: z.number().int().optional(),
});

/** One command an operator could type, and the step apply runs. */
const step = z.strictObject({
  /** What it is for, one sentence. */
  why: z.string(),
  command: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('argv'), argv: z.array(z.string()).min(1) }),
    /** A direct write to a cgroup file of a running unit. */
    z.strictObject({ kind: z.literal('write'), path: z.string(), value: z.string() }),
  ]),
});

const activation = z.strictObject({
  /** When the kernel enforces it once the steps have run. */
  when: z.enum([
    'live',
    'daemon-reload',
    'daemon-reexec',
    'logind-restart',
    'next-login',
    'unit-restart',
    'reboot',
  ]),
  /** Plain words: "Enforced at once for the 2 running user slices; new logins get it from the start." */
  summary: z.string(),
  steps: z.array(step),
  /** Sessions, users or services the change touches, or that stay under the old limit until the steps have run. */
  affected: z.array(z.strictObject({ what: z.string(), note: z.string() })),
  reboot: z.strictObject({ needed: z.boolean(), note: z.string() }),
  /** Where this rule comes from: what was measured on which systemd version. */
  source: z.string(),
});

const diagnostic = z.strictObject({
  code: z.string(),
  severity: z.enum(['error', 'warning', 'note']),
  message: z.string(),
  file: z.string().optional(),
  line: z.number().int().optional(),
  unit: z.string().optional(),
  help: z.string().optional(),
});

const change = z.strictObject({
  limit: limitRef,
  /** Human name: `user-.slice (every user)`, `nginx.service`, `kernel.pid_max`. */
  title: z.string(),
  from: wantedValue.extend({ provenance: provenanceText }),
  to: wantedValue,
  /** The reason with its arithmetic, one step per line. */
  reason: z.array(z.string()).min(1),
  /** Paths of the entries of `files` that carry it out. */
  files: z.array(z.string()),
  activation,
  warnings: z.array(diagnostic),
});

/** A file as the plan found it and as it will be. Content is text where it is UTF-8, else base64. */
const fileContent = z.union([z.strictObject({ text: z.string() }), z.strictObject({ base64: z.string() })]);
const plannedFile = z.strictObject({
  path: z.string(),
  /** What must be there when the plan is applied; null: nothing. */
  before: z
    .strictObject({
      content: fileContent,
      sha256: z.string(),
      mode: z.number().int(),
      uid: z.number().int(),
      gid: z.number().int(),
    })
    .nullable(),
  /** null: the file is removed. */
  after: z.strictObject({ content: fileContent, sha256: z.string(), mode: z.number().int() }).nullable(),
});

export const planSchema = z.strictObject({
  schema: z.literal('tasksctl/plan/1'),
  target: z.string(),
  host: z.strictObject({
    hostname: z.string(),
    machineId: z.string().nullable(),
    os: z.string(),
    kernel: z.string(),
    /** 0: systemd is not installed, and the plan is empty. */
    systemdVersion: z.number().int(),
    cgroupMode: z.enum(['v1', 'hybrid', 'v2', 'none']),
  }),
  policy: z.strictObject({ name: z.string(), sha256: z.string() }),
  preconditions: z.strictObject({
    bootId: z.string().nullable(),
    systemdVersion: z.number().int(),
  }),
  files: z.array(plannedFile),
  changes: z.array(change),
  /** Limits the policy names that need no change, with why. */
  unchanged: z.array(z.strictObject({ limit: limitRef, title: z.string(), reason: z.string() })),
  /** Limits the policy wants changed but that cannot be done safely, with the file and line in the way. */
  refused: z.array(z.strictObject({ limit: limitRef, title: z.string(), wanted: z.string(), diagnostic })),
  diagnostics: z.array(diagnostic),
});

export type Plan = z.infer<typeof planSchema>;
export type PlanLimit = z.infer<typeof limitRef>;
export type Change = z.infer<typeof change>;
export type Activation = z.infer<typeof activation>;
export type PlanStep = z.infer<typeof step>;
export type PlannedFile = z.infer<typeof plannedFile>;
