import type { Prompter } from './question.ts';
import type { Setting, Work } from './setting.ts';
import { START, type State } from './state.ts';
import { viewOf } from './steps.ts';

/** How it ended: by Ctrl-C, or with the command that does the same (null: there is nothing to do again). */
export type End =
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'done'; readonly command: readonly string[] | null; readonly code: number };

const MENUS: ReadonlySet<State['at']> = new Set(['status', 'values', 'fleet', 'fleet-values', 'rollout']);

/** Goes from step to step until the operator is through. After a failure the question that led to it is asked again. */
export async function runWizard(setting: Setting, prompter: Prompter, work: Work): Promise<End> {
  /** Questions that were answered, the last one at the end. */
  const answered: State[] = [];
  let state: State = START;
  for (;;) {
    const view = viewOf(state, setting);
    if (view.kind === 'end') return { ...view, kind: 'done' };
    if (view.kind === 'work') {
      const done = await view.run(work);
      if (!done.ok && done.interrupted) return { kind: 'cancelled' };
      state = done.ok ? done.value : (answered.pop() ?? START);
    } else {
      if (view.show !== null && !(await prompter.show(view.show))) return { kind: 'cancelled' };
      const answer = await prompter.ask(view.question);
      if (answer.kind === 'cancelled') return { kind: 'cancelled' };
      if (answer.kind === 'back') {
        state = answered.pop() ?? START;
        continue;
      }
      answered.push(state);
      state = view.next(answer.value);
    }
    // Who comes to a menu again from what it offered goes back from there to what was before the menu.
    const { at } = state;
    const known = MENUS.has(at) ? answered.findIndex((earlier) => earlier.at === at) : -1;
    if (known >= 0) answered.length = known;
  }
}
