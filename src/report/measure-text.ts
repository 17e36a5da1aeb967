import type { HostProfile, Profile } from '../measure/profile.ts';
import { formatDuration } from '../needs/need-of-use.ts';
import { percentile } from '../needs/use.ts';
import { type Cell, type Column, table } from './layout.ts';
import { formatCount } from './limit-names.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** Units shown of a host: those with the highest peaks. */
const SHOWN = 20;

/** What was measured, for people. */
export function measureText(profile: Profile, style: Style): SafeText {
  const lines = profile.hosts.flatMap((host, i) => [...(i > 0 ? [safe``] : []), ...hostLines(host, style)]);
  return join([...lines, safe``], safe`\n`);
}

function hostLines(host: HostProfile, style: Style): SafeText[] {
  const { kernel } = host;
  const units = [...host.units].sort((a, b) => b.peak - a.peak || (a.unit < b.unit ? -1 : 1));
  const shown = units.slice(0, SHOWN);
  const rows = shown.map((use): Cell[] => {
    const { unit, peak, burst, instances, rejections } = use;
    const paint = (rejections ?? 0) > 0 ? { paint: style.red } : {};
    return [
      { text: escapeText(unit) },
      { text: safe`${percentile(use, 5000n)}` },
      { text: safe`${percentile(use, 9900n)}` },
      { text: safe`${peak}` },
      { text: safe`${burst}` },
      { text: safe`${instances}` },
      { text: formatCount(rejections), ...paint },
    ];
  });
  const window = `${formatDuration(host.measuredMs)} from ${host.from}, ${host.samples} samples, ${formatDuration(host.intervalMs)} apart`;
  const ceiling = safe`Kernel: at most ${formatCount(kernel.peak)} tasks existed; threads-max ${formatCount(kernel.threadsMax)}, pid_max ${formatCount(kernel.pidMax)}`;
  const more = units.length - shown.length;
  return [
    style.bold(escapeText(host.hostname)),
    style.dim(escapeText(window)),
    ceiling,
    safe``,
    ...(rows.length === 0 ? [safe`No unit was there to measure.`] : table(COLUMNS, rows, style)),
    ...(more > 0 ? [style.dim(safe`${more} more with lower peaks`)] : []),
  ];
}

const COLUMNS: readonly Column[] = [
  { title: safe`UNIT`, align: 'left', min: 16 },
  { title: safe`HALF`, align: 'right' },
  { title: safe`99%`, align: 'right' },
  { title: safe`PEAK`, align: 'right' },
  { title: safe`RISE/S`, align: 'right' },
  { title: safe`AT ONCE`, align: 'right' },
  { title: safe`REJ`, align: 'right' },
];
