import { describe, expect, it } from 'vitest';
import { type CommandOptions, runCommand } from '../../../src/cli/run-command.ts';

/** Commands of the operator's, by the sh of this machine. */

const said: string[] = [];
const run = (command: string, more: Partial<CommandOptions> = {}) =>
  runCommand(command, process.env, {
    atInterrupt: 'end',
    signal: new AbortController().signal,
    say: (line) => said.push(line),
    ...more,
  });

describe("a command of the operator's", () => {
  it('says how it ended, and its last word', async () => {
    expect(await run('echo fine')).toBeNull();
    expect(await run('echo first; echo too slow >&2; exit 7')).toBe('it ended with status 7: too slow');
    expect(said).toEqual(['fine', 'first', 'too slow']);
  });

  it('is ended by Ctrl-C where that does no harm, else not', async () => {
    // What a terminal sends to all that run on it.
    const interrupted = 'kill -INT $$; sh -c "kill -INT \\$\\$"; echo on';
    expect(await run(interrupted)).toBe('it was ended by SIGINT');
    expect(await run(interrupted, { atInterrupt: 'finish' })).toBeNull();
    expect(said.at(-1)).toBe('on');
  });

  it('that tasksctl has to end does not hold it up by what it has started', async () => {
    const controller = new AbortController();
    const say = () => controller.abort();
    expect(await run('sleep 5 & echo begun; wait', { signal: controller.signal, say })).toBe(
      'it was interrupted: begun',
    );
    expect(await run('sleep 5 & wait', { timeoutMs: 300 })).toBe('it took longer than 0 s');
    const finishes = await run('sleep 0.1; echo on', { signal: controller.signal, atInterrupt: 'finish' });
    expect(finishes).toBeNull();
  });
});
