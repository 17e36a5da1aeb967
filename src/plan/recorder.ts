import type { RecorderFile } from '../measure/recorder-files.ts';
import type { Diagnostic } from '../systemd/diagnostic.ts';
import type { FileEdit, FileTree } from '../systemd/file-tree.ts';
import type { ResolveContext } from '../systemd/resolve.ts';
import type { Activation, Change, Plan, PlanStep } from './plan.ts';

/** What the host records with; its limit is the recorder's own business. */
export const RECORDER_SERVICE = 'tasksctl-recorder.service';
export const RECORDER_TIMER = 'tasksctl-recorder.timer';

const TITLE = 'recorder of task counts';
/** In each of its files, so that what else is at such a path is not taken for ours. */
const MARK = "tasksctl's recorder";
/** StateDirectory= (systemd NEWS 235). */
const FIRST_VERSION = 235;

/** What a policy's `recorder: true` or `false` means on a host. */
export type RecorderPlan =
  | { readonly kind: 'change'; readonly change: Change; readonly edits: readonly FileEdit[] }
  | { readonly kind: 'unchanged'; readonly entry: Plan['unchanged'][number] }
  | { readonly kind: 'refused'; readonly entry: Plan['refused'][number] };

/** Installs the recorder, brings its files up to date, or takes them away. */
export function planRecorder(
  { tree, capabilities }: ResolveContext,
  wanted: boolean,
  files: readonly RecorderFile[],
): RecorderPlan {
  const limit = { kind: 'recorder' } as const;
  const refuse = (diagnostic: Omit<Diagnostic, 'severity'>): RecorderPlan => ({
    kind: 'refused',
    entry: {
      limit,
      title: TITLE,
      wanted: wanted ? 'on' : 'off',
      diagnostic: { severity: 'error', ...diagnostic },
    },
  });
  if (wanted && capabilities.version < FIRST_VERSION) {
    const message = `The recorder needs systemd ${FIRST_VERSION}; this host has ${capabilities.version}`;
    return refuse({ code: 'recorder-unsupported', message });
  }
  for (const { path } of files) {
    if (isOursOrNothing(tree, path)) continue;
    const message = `${path} is none of the recorder's files`;
    return refuse({ code: 'recorder-foreign', message, file: path, help: 'Move it away, and plan again.' });
  }
  const edits = files.flatMap(({ path, text }): FileEdit[] => {
    const found = textAt(tree, path);
    if (!wanted) return found === null ? [] : [{ path, content: null }];
    return found === text ? [] : [{ path, content: Buffer.from(text) }];
  });
  if (edits.length === 0) {
    const reason = wanted ? 'it is installed already' : 'it is not installed';
    return { kind: 'unchanged', entry: { limit, title: TITLE, reason } };
  }
  const none = files.every(({ path }) => textAt(tree, path) === null);
  const from = none ? 'off' : 'on';
  const to = wanted ? 'on' : 'off';
  const change: Change = {
    limit,
    title: TITLE,
    from: { text: from, count: from, provenance: { text: provenanceOf(none, wanted) } },
    to: { text: to, count: to },
    reason: [`the policy says recorder: ${wanted}`],
    files: edits.map(({ path }) => path),
    activation: wanted ? START : STOP,
    warnings: [],
  };
  return { kind: 'change', change, edits };
}

function provenanceOf(none: boolean, wanted: boolean): string {
  if (none) return 'not installed';
  return wanted ? 'of another version, or not whole' : 'installed';
}

function textAt(tree: FileTree, path: string): string | null {
  const content = tree.get(path)?.content;
  return content === undefined ? null : Buffer.from(content).toString();
}

function isOursOrNothing(tree: FileTree, path: string): boolean {
  const entry = tree.get(path);
  if (entry === undefined) return !tree.isDirectory(path);
  return entry.type === 'file' && textAt(tree, path)?.includes(MARK) === true;
}

function systemctl(why: string, ...words: string[]): PlanStep {
  return { why, command: { kind: 'argv', argv: ['systemctl', ...words] } };
}

const RELOAD = systemctl('systemd reads its files again', 'daemon-reload');

const COMMON = {
  when: 'live',
  reboot: { needed: false, note: 'a timer starts it again after each boot' },
  source: 'measured on systemd 247, 252 and 257: docs/measure.md',
} as const;

const START: Activation = {
  ...COMMON,
  summary: 'It records from now on, every 10 s; a run that goes on already keeps to its end, a day at most.',
  steps: [RELOAD, systemctl('it begins to record', 'restart', RECORDER_TIMER)],
  affected: [
    { what: '/var/lib/tasksctl-recorder', note: 'holds what was recorded: 14 runs, none larger than 64 MB' },
  ],
};

const STOP: Activation = {
  ...COMMON,
  summary: 'It ends at once, and its files go.',
  steps: [systemctl('it stops recording', 'stop', RECORDER_TIMER, RECORDER_SERVICE), RELOAD],
  affected: [
    {
      what: '/var/lib/tasksctl-recorder',
      note: 'what was recorded is removed for good; tasksctl measure --collect fetches it before',
    },
  ],
  reboot: { needed: false, note: 'nothing is left that a boot would start' },
};
