import type { ChangeStanding, RunStanding } from '../apply/verify.ts';
import { plural } from './diagnostic-text.ts';
import { labelled } from './layout.ts';
import type { Style } from './style.ts';
import { escapeText, join, type SafeText, safe } from './terminal-escape.ts';

/** Names listed for one change that is pending. */
const NAMES_SHOWN = 12;

/** Whether what a run wanted is in force, for people. */
export function verifyText(target: string, run: string, standing: RunStanding, style: Style): SafeText {
  const when = standing.rebooted ? safe`after a reboot` : safe`since the run, without a reboot`;
  const pending = standing.changes.filter((change) => change.standing.kind === 'pending').length;
  const lost = standing.changes.filter((change) => change.standing.kind === 'lost').length;
  const verdict = standing.holds
    ? style.green(style.bold(safe`Verified`))
    : lost > 0
      ? style.red(style.bold(safe`Not verified`))
      : style.yellow(style.bold(safe`Not yet verified`));
  const counts = [
    ...(lost > 0 ? [safe`${plural(lost, 'change')} did not hold`] : []),
    ...(pending > 0 ? [safe`${plural(pending, 'change')} pending`] : []),
  ];
  const summary = standing.holds ? safe`everything holds` : join(counts, safe`, `);
  const lines = [
    ...standing.changes.flatMap((change) => changeLines(change, style)),
    safe`${verdict}: run ${escapeText(run)} on ${escapeText(target)}, ${when}: ${summary}.`,
  ];
  return safe`${join(lines, safe`\n`)}\n`;
}

function changeLines({ title, wanted, standing }: ChangeStanding, style: Style): SafeText[] {
  const head = safe`${style.bold(escapeText(title))}: ${escapeText(wanted)}`;
  switch (standing.kind) {
    case 'holds':
      return [
        safe`${style.green(safe`*`)} ${head}, ${standing.enforced === 0 ? safe`nothing it holds for runs now` : safe`enforced on ${plural(standing.enforced, 'unit')}`}`,
      ];
    case 'pending': {
      const shown = standing.waiting.slice(0, NAMES_SHOWN).map(escapeText);
      const more = standing.waiting.length - shown.length;
      const rest = more > 0 ? safe` and ${more} more` : safe``;
      return [
        safe`${style.yellow(safe`~`)} ${head}, pending until the ${escapeText(standing.until.replace('-', ' '))} of ${join(shown, safe`, `)}${rest}`,
      ];
    }
    case 'lost':
      return [
        safe`${style.red(safe`!`)} ${head}, did not hold:`,
        ...standing.found.flatMap((found) => labelled(safe`   `, 4, escapeText(found), style)),
      ];
  }
}
