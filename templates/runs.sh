# shellcheck shell=sh
# Prints the runs kept on a host, as frames (see transaction.sh) of the run "list": for every run its state, boot and
# record; for the one in $only also its plan, its report and what was verified since.
set -u
LC_ALL=C
export LC_ALL
runs=/var/lib/tasksctl/runs

frame_of() { # file kind [arg...]
  [ -f "$1" ] || return 0
  file=$1
  shift
  printf '%%tasksctl list %s %s\n' "$*" "$(($(wc -c <"$file")))"
  cat -- "$file"
  echo
}

for dir in "$runs"/*; do
  id=${dir##*/}
  [ -z "$only" ] || [ "$id" = "$only" ] || continue
  [ -f "$dir/state" ] || continue
  state=unknown
  while read -r word; do state=$word; done <"$dir/state"
  boot=unknown
  [ ! -f "$dir/boot" ] || read -r boot <"$dir/boot" || :
  verified=no
  [ ! -f "$dir/verified.json" ] || verified=yes
  pending=$(grep -c '^%tasksctl [^ ]* verdict [0-9]* pending ' "$dir/report" 2>/dev/null)
  frame_of "$dir/record.json" run "$id" "$state" "$boot" "$verified" "${pending:-0}"
  [ -n "$only" ] || continue
  frame_of "$dir/plan.json" plan
  frame_of "$dir/report" report
  frame_of "$dir/verified.json" verified
done
printf '%%tasksctl list end 0\n\n'
