import type { ApplyResult } from '../apply/apply-plan.ts';

type Reason = (ApplyResult & { kind: 'refused' })['reason'];

/** What a refusal means and what to do about it. `detail` is the host's own word on it. */
interface Explanation {
  readonly means: (detail: string) => string;
  readonly help: string;
}

const EXPLANATIONS: Readonly<Record<Reason, Explanation>> = {
  'plan-unsafe': {
    means: (detail) => `This plan asks for what no plan of tasksctl does: ${detail}`,
    help: 'Make the plan anew with tasksctl plan.',
  },
  'plan-damaged': {
    means: (detail) => `The plan is damaged: ${detail}`,
    help: 'Make the plan anew with tasksctl plan.',
  },
  'not-root': {
    means: () => 'The script did not run as root',
    help: 'Log in as root, or as a user who may use sudo.',
  },
  'tool-missing': {
    means: (detail) => `The host has no ${detail}`,
    help: 'Install coreutils (or busybox) and grep there.',
  },
  busy: {
    means: (detail) => `Another run is at work there${detail === '' ? '' : `: ${detail}`}`,
    help: 'Wait until it is through; tasksctl runs tells.',
  },
  awaiting: {
    means: (detail) => {
      const [run = '', seconds = ''] = detail.split(' ');
      return `Run ${run} waits for its confirmation there, for another ${seconds} s`;
    },
    help: 'Wait, or undo it now with tasksctl rollback.',
  },
  unfinished: {
    means: (detail) => `An earlier run that was cut off could not be brought to an end: ${detail}`,
    help: 'See its report in /var/lib/tasksctl/runs there, mend what is in the way, and try again.',
  },
  'systemd-not-running': {
    means: () => 'systemd is not the init system there',
    help: 'Only hosts that run systemd can be changed.',
  },
  'systemd-not-answering': {
    means: (detail) => `systemd does not answer: ${detail}`,
    help: 'See systemctl status and the journal there.',
  },
  'systemd-version': {
    means: (detail) => `The host has another systemd than the plan was made for: ${detail}`,
    help: 'Make the plan anew.',
  },
  'image-based': {
    means: (detail) => IMAGES[detail]?.means ?? `The system is an image (${detail})`,
    help: 'What is written into an image-based system by hand is lost, or in the way of its tools.',
  },
  'read-only': {
    means: (detail) => (detail.startsWith('/') ? `${detail} is on a read-only file system` : detail),
    help: 'Remount it, or change the image the system is made of.',
  },
  symlink: {
    means: (detail) =>
      `${detail} is a link that leads somewhere else, and files are not written through such`,
    help: 'Make it a directory, or plan for the place it leads to.',
  },
  immutable: {
    means: (detail) => `A file may not be replaced: ${detail}`,
    help: 'See lsattr; chattr -i takes the attribute away.',
  },
  drift: {
    means: (detail) => `The files are not as the plan found them: ${detail}`,
    help: 'Make the plan anew; what was changed is shown above.',
  },
  rebooted: {
    means: () => 'The host has booted since the plan was made',
    help: 'Make the plan anew: what runs there has changed.',
  },
  'no-space': {
    means: (detail) => `There is no room: ${detail}`,
    help: 'Free some space there.',
  },
  'no-timer': {
    means: (detail) => `The timer that would restore the host could not be started: ${detail}`,
    help: 'See systemctl status there; without a way back nothing is written.',
  },
  'no-boot-unit': {
    means: (detail) => `What would restore the host at its next boot could not be written: ${detail}`,
    help: 'Without a way back nothing is written.',
  },
  'parse-warning': {
    means: (detail) => `systemd-analyze complains about a file of the plan: ${detail}`,
    help: 'Correct the policy; tasksctl lint explains what systemd takes.',
  },
  'too-late': {
    means: () => 'The time to confirm was over',
    help: 'Apply again; --dead-man SECONDS gives more time.',
  },
  signal: {
    means: () => 'The script was ended by a signal',
    help: 'Apply again.',
  },
  failed: {
    means: (detail) => (detail === '' ? 'The script failed' : detail),
    help: 'See the message above.',
  },
};

/** Systems that are made of images, and where limits belong there. */
const IMAGES: Readonly<Record<string, { readonly means: string; readonly help: string }>> = {
  ostree: {
    means: 'The host is an ostree system',
    help: 'Put the files of the plan into the image (a layer, Butane or a MachineConfig); plan --json has them.',
  },
  nixos: {
    means: 'The host is a NixOS system, whose /etc is generated',
    help: 'Set systemd.slices, systemd.services.NAME.serviceConfig.TasksMax or systemd.extraConfig in configuration.nix.',
  },
  flatcar: {
    means: 'The host is a Flatcar system',
    help: 'Put the files of the plan into its Butane or Ignition configuration; plan --json has them.',
  },
};

/** Two sentences about a refusal; raw text of the host is in them. */
export function explainRefusal(reason: Reason, detail: string): { message: string; help: string } {
  const explanation = EXPLANATIONS[reason];
  const help = reason === 'image-based' ? (IMAGES[detail]?.help ?? explanation.help) : explanation.help;
  return { message: `${explanation.means(detail).replace(/\.$/, '')}.`, help };
}
