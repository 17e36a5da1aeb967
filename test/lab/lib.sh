# shellcheck shell=sh
# What the supervisors of container and VM hosts share. A host has a directory $lab/run/ID; its supervisor holds a lock
# in it, so a directory whose lock is free belongs to a dead supervisor and is swept by the next one to start.

lab=${TASKSCTL_LAB_DIR:-/var/tmp/tasksctl-lab}
cgroups=/sys/fs/cgroup

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# Ends every process in the cgroups of the host $1 and removes the cgroups.
remove_cgroups() {
  tries=0
  while [ -d "$cgroups/pids/$1" ] || [ -d "$cgroups/systemd/$1" ]; do
    for top in "$cgroups/pids/$1" "$cgroups/systemd/$1"; do
      [ -d "$top" ] || continue
      procs=$(find "$top" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | grep -vx 0) || :
      # shellcheck disable=SC2086 # a list of numbers
      [ -z "$procs" ] || kill -KILL $procs 2>/dev/null || :
      find "$top" -depth -type d -exec rmdir {} + 2>/dev/null || :
    done
    tries=$((tries + 1))
    [ $tries -lt 200 ] || return 1
    [ $tries -lt 2 ] || sleep 0.05
  done
}

# Makes $lab/run/ID for the host $1, locked on descriptor 7, after sweeping what dead supervisors left. Sets id, run.
claim_run() {
  mkdir -p "$lab/run" "$lab/mnt"
  exec 6>"$lab/run.lock"
  flock 6
  for stale in "$lab/run"/lab-*; do
    [ -d "$stale" ] || continue
    if flock --nonblock "$stale" true; then
      remove_cgroups "${stale##*/}" && rm -rf "$stale"
    fi
  done
  id=lab-$$-$1
  run=$lab/run/$id
  mkdir "$run"
  exec 7<"$run"
  flock 7
  exec 6>&-
}
