import { isRunId, type RunId } from './run-id.ts';

/** What the program that a run left on its host can be asked to do. */
export type SavedMode = 'confirm' | 'status' | 'rollback' | 'recover now';

/**
 * A script that runs the saved program of a run. Where the host has no such run, it says so by a `status` frame: `absent`,
 * or `running` while the run has not come as far as making its directory.
 */
export function savedRunScript(run: RunId, mode: SavedMode): string {
  if (!isRunId(run)) throw new Error(`not a run id: ${JSON.stringify(run)}`);
  return `run=${run}
program=/var/lib/tasksctl/runs/$run/transaction.sh
if [ -f "$program" ]; then
  sh "$program" ${mode} </dev/null
  exit
fi
by=absent
for entry in /run/tasksctl/lock/*; do
  owner=
  [ ! -f "$entry" ] || read -r owner <"$entry"
  pid=\${entry##*/}
  if [ "$owner" = "$run" ] && [ -d "/proc/\${pid%%-*}" ]; then by=running; fi
done
printf '%%tasksctl %s status %s 0 0\\n\\n' "$run" "$by"`;
}
