import { readTemplate } from '../host/template.ts';

/** A file of the recorder, as it is on a host. */
export interface RecorderFile {
  readonly path: string;
  readonly text: string;
}

const TEMPLATES: Readonly<Record<string, string>> = {
  '/etc/systemd/system/tasksctl-recorder.service': 'recorder/tasksctl-recorder.service',
  '/etc/systemd/system/tasksctl-recorder.timer': 'recorder/tasksctl-recorder.timer',
  '/etc/systemd/system/timers.target.d/tasksctl-recorder.conf': 'recorder/timers.conf',
  '/etc/tasksctl/record.sh': 'recorder/record.sh',
  '/etc/tasksctl/sampler.sh': 'sampler.sh',
};

let files: readonly RecorderFile[] | undefined;

/** All that makes a host record by itself how many tasks its units have. */
export function recorderFiles(): readonly RecorderFile[] {
  files ??= Object.entries(TEMPLATES).map(([path, name]) => ({ path, text: readTemplate(name) }));
  return files;
}
