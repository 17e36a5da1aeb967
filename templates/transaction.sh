# shellcheck shell=sh
# shellcheck disable=SC2015 # "a && b || off ...": off is meant for the failure of either
# shellcheck disable=SC2154 # what the controller appends: run_id, each_file() and so on
# One transaction on one host: bring a few configuration files from the state the plan saw to the state it wants, make
# systemd and the kernel take notice, read back what the kernel enforces, and put everything back if anything is off.
#
# Needs a POSIX sh, coreutils or busybox, and systemd. What differs from run to run is appended by the controller, in
# single quotes only (src/apply/transaction.ts): each_file, each_change and the like run the command they are given once
# for every file or change, with what is known of it as further arguments. A copy of the whole is kept in the directory
# of the run, so that a timer, the next boot or a later rollback can finish the job without a controller.
#
# State of a run, one word a line, fsynced, in $run/state; the last whole line counts:
#   prepared      backups are complete, files not touched yet
#   replacing     files may be old or new                                  -> recover puts the old ones back
#   awaiting      new, read back, waits for the proof of a new login       -> recover puts the old ones back
#   applied       new for good (the commit point), tidying up              -> recover tidies up
#   closed        new for good
#   restoring     going back after a failure                               -> recover goes on
#   restored      old again
#   rolling-back  going back on request                                    -> recover goes on
#   rolled-back   old again
#
# Reports are frames "%tasksctl RUN KIND ARGS LENGTH", a newline, LENGTH bytes, a newline.

set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077

home=/var/lib/tasksctl
runs=$home/runs
samples=/var/lib/tasksctl-recorder
volatile=/run/tasksctl
locks=$volatile/lock
units=/etc/systemd/system
generators=/etc/systemd/system-generators
generator=$generators/tasksctl-recover

# Seconds a command may take before it is killed: those that ask, and those that make systemd work.
ask_seconds=15
act_seconds=45

nl='
'
step=start
run=
# What there is to undo: nothing, prepared (our own files only), armed (timer and boot unit only), changed (all).
phase=nothing
# No: a value that is not enforced is told and is no failure.
strict=yes
report=
lock=
problems=
boot_id=unknown
[ ! -r /proc/sys/kernel/random/boot_id ] || read -r boot_id </proc/sys/kernel/random/boot_id

# --- reporting -------------------------------------------------------------------------------------------------------

# The controller may be gone: what it cannot be told stays in the run's report.
frame() { # payload kind [arg...]
  payload=$1
  shift
  printf '%%tasksctl %s %s %s\n%s\n' "$run_id" "$*" "${#payload}" "$payload" 2>/dev/null || :
  [ -z "$report" ] ||
    { printf '%%tasksctl %s %s %s\n%s\n' "$run_id" "$*" "${#payload}" "$payload" >>"$report"; } 2>/dev/null || :
}

step() { # name
  step=$1
  frame '' step "$1"
}

problem() { # text
  problems=yes
  frame "$1" problem "$step"
}

finish() { # exit-status outcome [arg...]
  finish_status=$1
  shift
  frame "${end_detail:-}" end "$@"
  unlock
  exit "$finish_status"
}

# Something is off. What it leaves is the old state: by doing nothing, by discarding our own files, or by restoring.
off() { # reason detail
  trap '' TERM INT
  end_detail=$2
  off_step=$step
  case $phase in
    changed)
      frame "$2" failure "$1"
      restore restoring restored
      if [ -n "$problems" ]; then finish 6 restore-failed "$off_step" "$1"; fi
      finish 5 restored "$off_step" "$1"
      ;;
    prepared)
      discard
      if [ -n "$problems" ]; then finish 6 restore-failed "$off_step" "$1"; fi
      ;;
    armed)
      disarm_boot
      disarm_timer
      rm -rf -- "${volatile:?}/$run_id"
      ;;
  esac
  finish 4 refused "$off_step" "$1"
}

# The same for a file that could not be made, by what the command said of it.
off_write() { # words of a command
  case $1 in
    # dash says no more than "I/O error" where its printf meets a full disk.
    *'No space left'* | *'quota exceeded'* | *'printf: I/O error'*) off no-space "$1" ;;
    *'Read-only file system'*) off read-only "$1" ;;
    *'not permitted'*) off immutable "$1" ;;
    *) off failed "$1" ;;
  esac
}

# --- small tools -----------------------------------------------------------------------------------------------------

limited() { # seconds command...
  if [ "$has_timeout" = yes ]; then
    timeout -s KILL "$@"
  else
    shift
    "$@"
  fi
}

# fsync. Where sync takes no files it syncs everything, which is slower and as good.
flush() { # path...
  sync "$@" 2>/dev/null || sync
}

# Functions that set a variable: a command substitution is a process, and there would be hundreds of them.

# Sets `hash`, to nothing where the file cannot be read.
hash_of() { # file
  hash=$(sha256sum <"$1") || hash=
  hash=${hash%% *}
}

# Sets `print` to what is at a path: absent, HASH:MODE:UID:GID of a regular file, or the kind of anything else.
print_of() { # path
  if [ -L "$1" ]; then
    print='a symbolic link'
  elif [ -f "$1" ]; then
    hash_of "$1"
    print=$hash:$(stat -c %a:%u:%g -- "$1")
  elif [ -e "$1" ]; then
    print='not a regular file'
  else
    print=absent
  fi
}

# Bytes in hexadecimal, at most 64 KiB of them.
hex_of() { # file
  head -c 65536 -- "$1" 2>/dev/null | od -An -v -tx1 | tr -d ' \n'
}

# Sets `new` and `old`, the names of our files next to file number N: its replacement, and a hard link to what it was.
names_of() { # N path
  new=${2%/*}/.tasksctl-$run_id-$1.new
  old=${2%/*}/.tasksctl-$run_id-$1.old
}

make_volatile() {
  [ -d "$volatile/$run_id" ] || mkdir -p -- "$volatile/$run_id"
}

valid_id() { # run id
  case $1 in
    [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]) return 0 ;;
  esac
  return 1
}

# Sets `state` to the last whole line of a run's state file; to nothing where it has none.
state_of() { # run directory
  state=
  [ -f "$1/state" ] || return 0
  while read -r state_line; do state=$state_line; done <"$1/state"
}

# The record comes first, the act after it. A state that cannot be recorded is not entered. More may be flushed with it.
enter() { # state [path...]
  { printf '%s\n' "$1" >>"$run/state"; } 2>/dev/null || return 1
  shift
  flush "$run/state" "$@"
}

# Sets `uptime` to the seconds since boot: no change of the clock moves it.
read_uptime() {
  read -r uptime _ </proc/uptime
  uptime=${uptime%%.*}
}

# A host at its limit cannot fork, and this script has to. As root one may leave the limits of the login session;
# moving a process is never refused by the pids controller.
leave_session_limits() {
  pids_root=/sys/fs/cgroup
  [ ! -d /sys/fs/cgroup/pids ] || pids_root=/sys/fs/cgroup/pids
  for leave_to in "$pids_root/init.scope/cgroup.procs" "$pids_root/cgroup.procs"; do
    { echo $$ >"$leave_to"; } 2>/dev/null && return
  done
  return 0
}

begin() {
  run=$runs/$run_id
  exec </dev/null
  cd /
  # A lost connection must not end a transaction half-way: the timer decides about what is not confirmed.
  trap '' HUP PIPE
  has_timeout=yes
  uid=$(timeout -s KILL 5 id -u 2>/dev/null) || {
    has_timeout=no
    uid=$(id -u)
  }
  [ "$uid" = 0 ] || off not-root "uid $uid"
  for tool in sha256sum stat cp mv ln rm mkdir rmdir chmod sync sort head od tr df grep; do
    command -v "$tool" >/dev/null 2>&1 || off tool-missing "$tool"
  done
}

# --- lock ------------------------------------------------------------------------------------------------------------
# Each contender first makes an entry named after itself (pid, start time, boot), then looks for others that are alive.
# Of two contenders the later one to look sees the other, so both can never pass; an entry of a dead process means
# nothing, whoever finds it may remove it, and no process ever has its name again.

# Sets `identity`, to nothing for what does not run.
identity_of() { # pid
  identity=
  identity_line=
  { read -r identity_line <"/proc/$1/stat"; } 2>/dev/null || return 1
  identity_line=${identity_line##*) }
  # shellcheck disable=SC2086 # the fields of /proc/PID/stat from the third on
  set -- "$1" $identity_line
  # Zombies run nothing any more.
  [ "$2" != Z ] || return 1
  identity=$1-${21}-$boot_id
}

# Sets `holder` to another live entry, or to nothing.
find_holder() {
  holder=
  for entry in "$locks"/*; do
    [ -f "$entry" ] || continue
    entry_name=${entry##*/}
    [ "$entry" != "$lock" ] || continue
    identity_of "${entry_name%%-*}"
    if [ "$identity" = "$entry_name" ]; then
      holder=$entry
    else
      rm -f -- "$entry"
    fi
  done
}

try_lock() {
  [ -d "$locks" ] || mkdir -p -- "$locks" || off failed "cannot make $locks"
  identity_of $$
  lock=$locks/$identity
  printf '%s\n' "$run_id" >"$lock" || off failed "cannot write $lock"
  find_holder
  [ -n "$holder" ] || return 0
  rm -f -- "$lock"
  lock=
  return 1
}

take_lock() { # tries
  lock_tries=$1
  until try_lock; do
    lock_tries=$((lock_tries - 1))
    [ "$lock_tries" -gt 0 ] || return 1
    sleep 1
  done
}

unlock() {
  [ -z "$lock" ] || rm -f -- "$lock"
  lock=
}

# For the timer: a run that is not through by its deadline hangs or waits for nobody. Killing it is what the deadline
# is for; its state says what to do then.
take_lock_by_force() {
  take_lock 5 && return
  read -r holder_run <"$holder" 2>/dev/null || holder_run=
  holder_name=${holder##*/}
  identity_of "${holder_name%%-*}"
  if [ "$holder_run" = "$run_id" ] && [ "$identity" = "$holder_name" ]; then
    kill -KILL "${holder_name%%-*}"
  fi
  take_lock 60
}

# --- preconditions ---------------------------------------------------------------------------------------------------

check_system() {
  [ -d /run/systemd/system ] || off systemd-not-running 'there is no /run/systemd/system'
  if [ -e /run/ostree-booted ]; then off image-based ostree; fi
  if [ -e /etc/NIXOS ]; then off image-based nixos; fi
  [ ! -r /etc/os-release ] ||
    while read -r release_line; do
      case $release_line in 'ID=flatcar'* | 'ID="flatcar'*) off image-based flatcar ;; esac
    done </etc/os-release
  found_systemd=$(limited "$ask_seconds" systemctl --version 2>&1) || off systemd-not-answering "$found_systemd"
  found_systemd=${found_systemd#systemd }
  found_systemd=${found_systemd%%[!0-9]*}
  frame "$found_systemd" host "$boot_id"
}

check_plan_is_for_this_boot() {
  [ "$found_systemd" = "$wanted_systemd" ] ||
    off systemd-version "planned for systemd $wanted_systemd, found $found_systemd"
  if [ -n "$wanted_boot" ] && [ "$wanted_boot" != "$boot_id" ]; then off rebooted "$wanted_boot"; fi
}

# A link on the way may only lead to its own directory: what else it leads to is nobody's plan.
check_links() { # path
  walked=
  walk_rest=${1#/}
  while [ "${walk_rest#*/}" != "$walk_rest" ]; do
    walk_parent=$walked
    walked=$walked/${walk_rest%%/*}
    walk_rest=${walk_rest#*/}
    [ -L "$walked" ] || continue
    walk_real=$(cd -P -- "$walked" 2>/dev/null && pwd -P) || off symlink "$walked"
    walk_parent_real=$(cd -P -- "$walk_parent/" && pwd -P)
    case $walk_real in
      "${walk_parent_real%/}"/*) ;;
      *) off symlink "$walked" ;;
    esac
  done
}

# Counts files as the plan found them (old) and as it wants them (new).
count_file() { # N path before after mode
  check_links "$2"
  check_writable "$2"
  print_of "$2"
  files_seen=$((files_seen + 1))
  if [ "$print" = "$3" ]; then files_old=$((files_old + 1)); fi
  if [ "$print" = "$4" ]; then files_new=$((files_new + 1)); fi
}

check_writable() { # path
  writable=${1%/*}
  until [ -e "$writable" ]; do writable=${writable%/*}; done
  [ -d "$writable" ] || off symlink "$writable"
  [ -w "$writable" ] || off read-only "$writable"
}

report_drift() { # N path before after mode
  print_of "$2"
  [ "$print" != "$3" ] || return 0
  frame "$print" drift "$1"
  case $print in *:*) frame "$(hex_of "$2")" content "$1" ;; esac
}

check_files() {
  check_writable "$runs/$run_id"
  files_seen=0 files_old=0 files_new=0
  each_file count_file
  already=no
  if [ "$files_seen" -gt 0 ] && [ "$files_new" = "$files_seen" ]; then already=yes; fi
  if [ "$already" = no ] && [ "$files_old" != "$files_seen" ]; then
    each_file report_drift
    off drift "$((files_seen - files_old)) of $files_seen files"
  fi
}

recheck_file() { # N path before after mode
  print_of "$2"
  [ "$print" = "$3" ] || off drift "$2 was changed while the run was being prepared"
}

# Directories that were looked at.
spaces=
check_space() { # directory
  space_dir=$1
  until [ -d "$space_dir" ]; do space_dir=${space_dir%/*}; done
  case $spaces in *" $space_dir "*) return 0 ;; esac
  spaces="$spaces $space_dir "
  space_line=$(df -P -k -- "${space_dir:-/}" 2>/dev/null)
  space_line=${space_line##*"$nl"}
  # shellcheck disable=SC2086 # the columns of df; a device name may hold spaces, so count from the end
  set -- $space_line
  while [ $# -gt 3 ]; do shift; done
  case ${1-} in
    '' | *[!0-9]*) return 0 ;;
  esac
  [ "$1" -ge "$need_kib" ] || off no-space "$space_dir: $1 KiB free, $need_kib KiB needed"
}

check_space_for_file() { # N path before after mode
  check_space "${2%/*}"
}

# Finds runs that were cut off and brings them to an end.
finish_unfinished() { # look|mend
  for other in "$runs"/*; do
    [ -d "$other" ] || continue
    other_id=${other##*/}
    valid_id "$other_id" || continue
    [ "$other_id" != "$run_id" ] || continue
    state_of "$other"
    other_state=$state
    case $other_state in
      closed | restored | rolled-back) continue ;;
      awaiting)
        seconds_left "$other"
        [ "$left" = 0 ] || off awaiting "$other_id $left"
        ;;
    esac
    frame "${other_state:-empty}" unfinished "$other_id"
    [ "$1" = mend ] || continue
    if [ -z "$other_state" ]; then
      remove_run "$other_id"
      continue
    fi
    hash_of "$other/transaction.sh"
    if [ "$hash" != "$(read_word "$other/transaction.sha256")" ]; then
      off unfinished "$other_id: its transaction.sh is damaged"
    fi
    sh "$other/transaction.sh" recover held >/dev/null 2>&1 || off unfinished "$other_id"
  done
}

# Numbers below /proc/sys are given whole or not at all, and the read of dash takes one byte at a time.
read_word() { # file
  case $1 in
    /proc/sys/*) read_text=$(cat -- "$1" 2>/dev/null) ;;
    *)
      read_text=
      [ ! -r "$1" ] || read -r read_text <"$1" || :
      ;;
  esac
  printf '%s' "$read_text"
}

# Sets `left` to the seconds until a run restores itself; 0 when they are over or were another boot's.
seconds_left() { # run directory
  left_boot=''
  left_until=0
  [ ! -r "$1/deadline" ] || read -r left_boot left_until <"$1/deadline"
  read_uptime
  left=$((left_until - uptime))
  if [ "$left_boot" != "$boot_id" ] || [ "$left" -lt 0 ]; then left=0; fi
}

# --- backup ----------------------------------------------------------------------------------------------------------

make_run() {
  for run_dir in "$home" "$runs"; do
    if [ -L "$run_dir" ]; then off symlink "$run_dir"; fi
  done
  [ -d "$runs" ] || make_said=$(mkdir -p -- "$runs" 2>&1) || off_write "$make_said"
  make_said=$(mkdir -- "$run" 2>&1) || off_write "$make_said"
  phase=prepared
  # Not ":", which ends the shell when its redirection fails.
  for run_file in created side kernel report; do
    printf '' >"$run/$run_file" || off no-space "$run"
  done
  make_said=$(mkdir -p -- "$run/backup" "$volatile/$run_id" 2>&1) || off_write "$make_said"
  program_text >"$run/transaction.sh" && content plan >"$run/plan.json" && content record >"$run/record.json" ||
    off no-space "$run"
  hash_of "$run/transaction.sh"
  [ "$hash" = "$program_hash" ] || off failed "$run/transaction.sh is not as sent"
  printf '%s\n' "$program_hash" >"$run/transaction.sha256" && printf '%s' "$boot_id" >"$run/boot" || off no-space "$run"
  report=$run/report
}

backup_file() { # N path before after mode
  [ "$3" != absent ] || return 0
  backup_said=$(cp -a -- "$2" "$run/backup/$1" 2>&1) || off_write "$backup_said"
  print_of "$run/backup/$1"
  [ "$print" = "$3" ] || off drift "$2 was changed while it was being copied"
  backups="$backups $run/backup/$1"
}

# systemctl set-property writes this file, in one of several directories depending on systemd and the unit.
note_side() { # unit
  for side_dir in "$units.control" /run/systemd/system.control /run/systemd/transient "$units" /run/systemd/system; do
    side_file=$side_dir/$1.d/50-TasksMax.conf
    side_n=$((side_n + 1))
    if [ -f "$side_file" ]; then
      cp -a -- "$side_file" "$run/backup/side-$side_n" || off no-space "cannot copy $side_file"
      printf 'side-%s %s\n' "$side_n" "$side_file" >>"$run/side" || off no-space "$run"
      backups="$backups $run/backup/side-$side_n"
    else
      printf 'absent %s\n' "$side_file" >>"$run/side" || off no-space "$run"
      for made in "$side_dir" "$side_dir/$1.d"; do
        if [ -e "$made" ]; then continue; fi
        printf '%s\n' "$made" >>"$run/created" || off no-space "$run"
      done
    fi
  done
}

# What systemd says of the units concerned and what the kernel enforces: "UNIT SYSTEMD KERNEL CGROUP" a line. "-" for
# the kernel: not running. "none": the pids controller is not enabled there.
read_units() { # file
  no_row
  { each_unit limited "$ask_seconds" systemctl show -p Id,TasksMax,ControlGroup -- || echo failed; echo; } >"$1.raw" 2>/dev/null
  while read -r row_line; do
    case $row_line in
      failed) return 1 ;;
      Id=*) row_id=${row_line#Id=} ;;
      TasksMax=*) row_max=${row_line#TasksMax=} ;;
      ControlGroup=*) row_cgroup=${row_line#ControlGroup=} ;;
      '')
        if [ "$row_max" = 18446744073709551615 ]; then row_max=infinity; fi
        if [ -n "$row_id" ]; then
          kernel_limit "$row_cgroup"
          printf '%s %s %s %s\n' "$row_id" "$row_max" "$kernel_word" "$row_cgroup" || return 1
        fi
        no_row
        ;;
    esac
  done <"$1.raw" >"$1"
}

no_row() {
  row_id=''
  row_max=-
  row_cgroup=''
}

# Sets `kernel_word`.
kernel_limit() { # cgroup
  if [ -z "$1" ] || [ ! -d "$pids_root$1" ]; then
    kernel_word=-
  elif [ ! -f "$pids_root$1/pids.max" ]; then
    kernel_word=none
  else
    kernel_word=
    # The cgroup may be gone by now.
    { read -r kernel_word <"$pids_root$1/pids.max"; } 2>/dev/null || :
    if [ "$kernel_word" = max ]; then kernel_word=infinity; fi
  fi
}

# Values of the kernel that the run may change, for the way back: "VALUE PATH" a line.
note_kernel() {
  while read -r note_id _ note_live note_cgroup; do
    case $note_live in - | none) continue ;; esac
    frame "$note_id" before "$note_live"
    if [ "$note_live" = infinity ]; then note_live=max; fi
    printf '%s %s\n' "$note_live" "$pids_root$note_cgroup/pids.max" >>"$run/kernel" || off no-space "$run"
  done <"$volatile/$run_id/before"
  each_kernel_file note_kernel_file
}

note_kernel_file() { # path
  [ -f "$1" ] || return 0
  printf '%s %s\n' "$(read_word "$1")" "$1" >>"$run/kernel" || off no-space "$run"
}

# Writes down the missing directories of a path, to be flushed with all that is for the way back.
noted=$nl
note_directories() { # directory
  [ ! -d "$1" ] || return 0
  note_directories "${1%/*}"
  case $noted in *"$nl$1$nl"*) return 0 ;; esac
  noted=$noted$1$nl
  printf '%s\n' "$1" >>"$run/created" || off no-space "$run"
}

note_directories_of() { # N path ...
  note_directories "${2%/*}"
}

back_up() {
  backups=''
  side_n=0
  each_file backup_file
  each_property note_side
  note_directories "$generators"
  each_file note_directories_of
  read_units "$volatile/$run_id/before" || off systemd-not-answering "systemctl show gave no answer within $ask_seconds s"
  note_kernel
  # shellcheck disable=SC2086 # paths below $run, which hold no spaces
  flush $backups "$run/created" "$run/side" "$run/kernel" "$run/boot" "$run/transaction.sh" "$run/transaction.sha256" \
    "$run/plan.json" "$run/record.json" "$run/backup"
  enter prepared "$run" "$runs" || off no-space "$run"
}

# --- recovery without a controller -----------------------------------------------------------------------------------

# The timer is systemd's, so it neither needs the login session nor a free task in its slice. Its clock is monotonic.
arm_timer() {
  read_uptime
  printf '%s %s\n' "$boot_id" "$((uptime + guard_seconds))" >"$run/deadline" || off no-space "$run"
  if ! command -v systemd-run >/dev/null 2>&1; then
    guard_launcher='nohup'
    ! command -v setsid >/dev/null 2>&1 || guard_launcher='setsid'
    "$guard_launcher" sh "$run/transaction.sh" guard "$guard_seconds" >/dev/null 2>&1 &
    return
  fi
  # The root slice has no limit that the run could have set. Systemd before 227 does not know TasksMax=.
  timer_said=$(start_timer --slice=-.slice --property=TasksMax=infinity) || timer_said=$(start_timer) ||
    off no-timer "$timer_said"
}

start_timer() { # [options]
  limited "$ask_seconds" systemd-run --quiet --unit="tasksctl-guard-$run_id" \
    --description="Restore the configuration unless run $run_id is confirmed" \
    --on-active="$guard_seconds" --timer-property=AccuracySec=1s "$@" \
    /bin/sh "$run/transaction.sh" recover timer 2>&1
}

disarm_timer() {
  ! command -v systemd-run >/dev/null 2>&1 ||
    limited "$ask_seconds" systemctl stop "tasksctl-guard-$run_id.timer" >/dev/null 2>&1 || :
}

# Renames of several files can be cut in two by a power failure. From before the first rename until the run is over this
# generator makes the next boot start the recovery. In this boot, which it knows by the run's directory in /run, it does
# nothing, so no reload takes note of it and none is needed to forget it.
arm_boot() {
  make_directories "$generators"
  boot_new=$generators/.tasksctl-$run_id.new
  generator_text >"$boot_new" && chmod 0755 -- "$boot_new" && flush "$boot_new" &&
    mv -f -- "$boot_new" "$generator" && flush "$generators" || off no-boot-unit "cannot write $generator"
  relabel "$generator"
}

generator_text() {
  printf '%s\n' "#!/bin/sh
# Written by tasksctl for the time of run $run_id and removed when it ends: see systemd.generator(7).
[ ! -d $volatile/$run_id ] || exit 0
mkdir -p \"\$1/sysinit.target.wants\"
ln -sf ../tasksctl-recover.service \"\$1/sysinit.target.wants/tasksctl-recover.service\"
cat >\"\$1/tasksctl-recover.service\" <<UNIT
[Unit]
Description=Restore the configuration of the unfinished tasksctl run $run_id
DefaultDependencies=no
RequiresMountsFor=$run /etc
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=/bin/sh $run/transaction.sh recover boot
Slice=-.slice
TasksMax=infinity
UNIT"
}

disarm_boot() {
  if has_line "*$run_id*" "$generator"; then
    rm -f -- "$generator" || problem "cannot remove $generator"
  fi
  boot_new=$generators/.tasksctl-$run_id.new
  [ ! -e "$boot_new" ] || rm -f -- "$boot_new"
  [ ! -d "$generators" ] || ! has_line "$generators" "$run/created" || rmdir -- "$generators" 2>/dev/null || :
}

# Whether a small file has a line like the pattern.
has_line() { # pattern file
  [ -r "$2" ] || return 1
  while read -r has_text || [ -n "$has_text" ]; do
    # shellcheck disable=SC2254 # a pattern it is
    case $has_text in $1) return 0 ;; esac
  done <"$2"
  return 1
}

# --- replacing files -------------------------------------------------------------------------------------------------

relabel() { # path...
  ! command -v restorecon >/dev/null 2>&1 || restorecon -- "$@" >/dev/null 2>&1 || :
}

# Makes the missing directories of a path, each written down before it is made.
make_directories() { # directory
  [ ! -d "$1" ] || return 0
  make_directories "${1%/*}"
  case $noted in
    *"$nl$1$nl"*) ;;
    *) printf '%s\n' "$1" >>"$run/created" && flush "$run/created" || off no-space "$run" ;;
  esac
  make_said=$(mkdir -m 0755 -- "$1" 2>&1) || off_write "$make_said"
  relabel "$1"
  flush "${1%/*}"
}

stage_file() { # N path before after mode
  make_directories "${2%/*}"
  names_of "$1" "$2"
  stage_new=$new
  if [ "$3" != absent ]; then
    stage_said=$(ln -- "$2" "$old" 2>&1) || off_write "$stage_said"
  fi
  if [ "$4" = absent ]; then
    flush "${2%/*}"
    return 0
  fi
  # The copy brings owner, mode, extended attributes and SELinux context; its bytes are then replaced.
  if [ "$3" != absent ]; then
    stage_said=$(cp -a -- "$2" "$stage_new" 2>&1) || off_write "$stage_said"
  fi
  stage_said=$({ content "$1" >"$stage_new"; } 2>&1) || off_write "${stage_said:-cannot write $stage_new}"
  chmod "$5" -- "$stage_new" || off failed "cannot set the mode of $stage_new"
  flush "$stage_new" "${2%/*}"
  print_of "$stage_new"
  [ "$print" = "$4" ] || off no-space "$stage_new has not the wanted content: $print"
}

flush_directory() { # N path ...
  flush "${2%/*}"
}

replace_file() { # N path before after mode
  if [ "$4" = absent ]; then
    replace_said=$(rm -f -- "$2" 2>&1) || off_write "$replace_said"
  else
    names_of "$1" "$2"
    replace_said=$(mv -f -- "$new" "$2" 2>&1) || off_write "$replace_said"
    relabel_new "$2" "$3"
  fi
}

relabel_new() { # path before
  [ "$2" != absent ] || relabel "$1"
}

check_replaced() { # N path before after mode
  print_of "$2"
  [ "$print" = "$4" ] || off failed "$2 is not as written: $print"
}

# --- activation ------------------------------------------------------------------------------------------------------

do_step() { # class N word...
  step_class=$1 step_n=$2
  shift 2
  if [ "$step_class" = write ]; then
    write_kernel "$1" "$2" || off activation "cannot write $2 to $1"
    return 0
  fi
  [ "$step_class" != recorder ] || note_recorder
  step_said=$(limited "$act_seconds" "$@" 2>&1)
  step_status=$?
  # What does not run may be unknown to systemd; whether it runs is read back.
  case $step_class:$2 in recorder:stop) step_status=0 ;; esac
  if [ "$step_status" = 137 ]; then step_said="no end within $act_seconds s${step_said:+; $step_said}"; fi
  [ "$step_status" = 0 ] || off activation "step $step_n, $*: exit status $step_status${step_said:+: $step_said}"
}

# Whether the recorder runs, for the way back.
note_recorder() {
  [ ! -f "$run/recorder" ] || return 0
  recorder_state >"$run/recorder" && flush "$run/recorder" || off no-space "$run"
}

recorder_state() {
  if limited "$ask_seconds" systemctl is-active --quiet tasksctl-recorder.timer 2>/dev/null; then
    printf 'on\n'
  else
    printf 'off\n'
  fi
}

# Nothing was done to it where nothing was noted.
undo_recorder() {
  recorder_was=$(read_word "$run/recorder")
  [ -n "$recorder_was" ] || return 0
  limited "$act_seconds" systemctl daemon-reload >/dev/null 2>&1 || :
  case $recorder_was in
    on) limited "$act_seconds" systemctl restart tasksctl-recorder.timer >/dev/null 2>&1 || : ;;
    off)
      limited "$act_seconds" systemctl stop tasksctl-recorder.timer tasksctl-recorder.service >/dev/null 2>&1 || :
      # A timer that was due while its service was going has failed, and would be listed as that.
      limited "$ask_seconds" systemctl reset-failed tasksctl-recorder.timer tasksctl-recorder.service >/dev/null 2>&1 || :
      ;;
  esac
  [ "$(recorder_state)" = "$recorder_was" ] || problem "tasksctl-recorder.timer is not $recorder_was as it was"
}

# Where the recorder is not, what it recorded is not either, nor the directories that were made for it.
sweep_recorder() {
  [ -f "$run/recorder" ] && [ ! -e "$units/tasksctl-recorder.service" ] || return 0
  rm -rf -- "$samples" || problem "cannot remove $samples"
  rmdir -- /etc/tasksctl "$units/timers.target.d" 2>/dev/null || :
}

# A cgroup that is gone has nothing to limit.
write_kernel() { # path value
  [ -f "$1" ] || return 0
  { printf '%s\n' "$2" >"$1"; } 2>/dev/null || [ ! -f "$1" ]
}

# What was activated is activated again with the old files.
undo_step() { # class N word...
  undo_class=$1
  shift 2
  case $undo_class in
    reload | restart)
      undo_said=$(limited "$act_seconds" "$@" 2>&1) || problem "$* failed: $undo_said"
      ;;
    recorder) undo_recorder ;;
  esac
}

mark_journal() {
  journal_cursor=
  command -v journalctl >/dev/null 2>&1 || return 0
  journal_cursor=$(limited "$ask_seconds" journalctl -q -n 1 --show-cursor -o cat 2>/dev/null)
  journal_cursor=${journal_cursor##*"$nl"}
  case $journal_cursor in
    '-- cursor: '*) journal_cursor=${journal_cursor#-- cursor: } ;;
    *) journal_cursor= ;;
  esac
}

# --- reading back ----------------------------------------------------------------------------------------------------

# Lines of systemd-analyze and of the journal that name a file of ours. A file that was there before may have had its
# faults before; one that is all ours may have none.
judge_lines() { # text
  [ -n "$1" ] || return 0
  judged=$1
  each_file judge_file
}

judge_file() { # N path before after mode
  judge_lines_found=$(printf '%s\n' "$judged" | grep -F -- "$2") || return 0
  if [ "$3" = absent ]; then
    off parse-warning "$judge_lines_found"
  else
    frame "$judge_lines_found" note parse-warning
  fi
}

# Before anything is written: systemd-analyze loads the units with the wanted files in front of those that are there.
check_syntax() {
  command -v systemd-analyze >/dev/null 2>&1 || return 0
  [ -n "$(each_verify_unit echo)" ] || return 0
  syntax_dir=$volatile-$run_id
  each_file copy_for_syntax
  # Looking for manual pages takes longer than all the rest.
  syntax_man=''
  [ "$found_systemd" -lt 235 ] || syntax_man=--man=no
  syntax_said=$(
    SYSTEMD_UNIT_PATH=$syntax_dir:
    export SYSTEMD_UNIT_PATH
    # shellcheck disable=SC2086 # one option or none
    each_verify_unit limited "$ask_seconds" systemd-analyze $syntax_man verify 2>&1
  )
  rm -rf -- "$syntax_dir"
  [ -z "$syntax_said" ] || syntax_said=$(printf '%s\n' "$syntax_said" | sed "s#$syntax_dir/#$units/#g")
  judge_lines "$syntax_said"
}

copy_for_syntax() { # N path before after mode
  case $2 in "$units"/*) ;; *) return 0 ;; esac
  [ "$4" != absent ] || return 0
  syntax_copy=$syntax_dir${2#"$units"}
  { [ -d "${syntax_copy%/*}" ] || mkdir -p -- "${syntax_copy%/*}"; } && content "$1" >"$syntax_copy" ||
    off no-space "$syntax_dir"
}

check_journal() {
  [ -n "$journal_cursor" ] || return 0
  limited "$ask_seconds" journalctl --sync >/dev/null 2>&1
  judge_lines "$(limited "$ask_seconds" journalctl -q -o cat --after-cursor="$journal_cursor" _PID=1 + \
    _SYSTEMD_UNIT=systemd-logind.service 2>/dev/null)"
}

# One verdict per change: enforced now, or pending for the units named. `must` says that the plan promises it at once.
judge_change() { # N kind name wanted from until must
  pending=''
  enforced=0
  case $2 in
    sysctl) judge_value "$3" "$@" ;;
    cgroup) judge_value "$pids_root$3/pids.max" "$@" ;;
    manager)
      judge_found=$(limited "$ask_seconds" systemctl show -p DefaultTasksMax 2>/dev/null)
      judge_found=${judge_found#DefaultTasksMax=}
      if [ "$judge_found" = 18446744073709551615 ]; then judge_found=infinity; fi
      [ "$judge_found" = "$4" ] || miss "$7" DefaultTasksMax "DefaultTasksMax: systemd says $judge_found, not $4"
      judge_units "$@"
      ;;
    unseen) pending=$3 ;;
    recorder)
      judge_found=$(recorder_state)
      frame "$3" reading "$1" - "$judge_found"
      if [ "$judge_found" = "$4" ]; then enforced=1; else miss "$7" "$3" "$3 is $judge_found, not $4"; fi
      ;;
    *) judge_units "$@" ;;
  esac
  if [ -n "$pending" ]; then
    frame "$pending" verdict "$1" pending "$6"
  else
    frame "$enforced" verdict "$1" enforced now
  fi
}

judge_value() { # path N kind name wanted from until must
  judge_found=$(read_word "$1")
  if [ "$judge_found" = max ]; then judge_found=infinity; fi
  frame "$4" reading "$2" - "${judge_found:--}"
  if [ "$judge_found" = "$5" ]; then
    enforced=1
  else
    miss "$8" "$4" "$1: the kernel has ${judge_found:-no such file}, not $5"
  fi
}

judge_units() { # N kind name wanted from until must
  judge_seen=no
  while read -r judge_id judge_max judge_live _; do
    if [ "$judge_id" = "$3" ]; then
      judge_seen=yes
    elif [ "$judge_live" = - ] || ! is_concerned "$2" "$4" "$5"; then
      continue
    fi
    frame "$judge_id" reading "$1" "$judge_max" "$judge_live"
    if [ "$judge_id" = "$3" ] && [ "$judge_max" != "$4" ]; then
      miss "$7" "$judge_id" "$judge_id: systemd says $judge_max, not $4"
    elif [ "$judge_live" = "$4" ]; then
      enforced=$((enforced + 1))
    elif [ "$judge_live" = - ]; then
      continue
    elif [ "$judge_id" = "$3" ]; then
      miss "$7" "$judge_id" "$judge_id: the kernel enforces $judge_live, not $4"
    else
      wait_for "$judge_id"
    fi
  done <"$volatile/$run_id/after"
  case $2:$judge_seen in
    unit:no | user-preview:no) miss "$7" "$3" "systemd said nothing of $3" ;;
  esac
}

# Whether the unit of the row gets its limit from the change, and not from a setting of its own.
is_concerned() { # kind wanted from
  case $1:$judge_id in
    user-preview:user-*.slice) [ "$judge_max" = "$2" ] ;;
    # What logind has in mind for a user's next slice cannot be asked; a running slice still has what it got.
    user-logind:user-*.slice) [ "$judge_max" = "$2" ] || [ "$judge_max" = "$3" ] || [ "$judge_live" = "$2" ] ;;
    manager:*.slice) return 1 ;;
    manager:*) [ "$judge_max" = "$2" ] ;;
    *) return 1 ;;
  esac
}

miss() { # must what text
  if [ "$1$strict" = yesyes ]; then off not-enforced "$3"; fi
  wait_for "$2"
}

wait_for() { # what, a line of its own
  pending="$pending${pending:+"$nl"}$1"
}

check_written() { # class N word...
  [ "$1" = write ] || return 0
  [ -f "$3" ] || return 0
  [ "$(read_word "$3")" = "$4" ] || off not-enforced "$3 is $(read_word "$3"), not $4"
}

read_back() {
  make_volatile || off failed "cannot make $volatile/$run_id"
  read_units "$volatile/$run_id/after" || off systemd-not-answering "systemctl show gave no answer within $ask_seconds s"
  each_change judge_change
}

# --- the way back ----------------------------------------------------------------------------------------------------

restore_file() { # N path before after mode
  names_of "$1" "$2"
  print_of "$2"
  if [ "$print" = "$3" ]; then
    :
  elif [ "$print" != "$4" ]; then
    # Somebody else's work since. It is not ours to undo.
    frame "$print" left "$1"
    return 0
  elif [ "$3" = absent ]; then
    rm -f -- "$2" || problem "cannot remove $2"
  elif [ -f "$old" ]; then
    mv -f -- "$old" "$2" || problem "cannot restore $2"
  else
    [ -d "${2%/*}" ] || (umask 022 && mkdir -p -- "${2%/*}")
    cp -a -- "$run/backup/$1" "$new" && flush "$new" &&
      mv -f -- "$new" "$2" || problem "cannot restore $2 from $run/backup/$1"
  fi
  print_of "$2"
  [ "$print" = "$3" ] || problem "$2 is not as it was: $print"
}

remove_temporary() { # N path ...
  [ -d "${2%/*}" ] || return 0
  names_of "$1" "$2"
  [ -e "$new" ] || [ -e "$old" ] || return 0
  rm -f -- "$new" "$old" || problem "cannot remove temporary files next to $2"
}

restore_sides() {
  [ -f "$run/side" ] || return 0
  while read -r side_backup side_path; do
    if [ "$side_backup" = absent ]; then
      rm -f -- "$side_path" || problem "cannot remove $side_path"
    elif [ -d "${side_path%/*}" ]; then
      cp -a -- "$run/backup/$side_backup" "$side_path" || problem "cannot restore $side_path"
    fi
  done <"$run/side"
}

# Deepest first, and only what is empty.
remove_created() {
  [ -f "$run/created" ] || return 0
  sort -r -u -- "$run/created" | while read -r created; do
    [ ! -d "$created" ] || rmdir -- "$created" 2>/dev/null || :
  done
}

# Values of the kernel go back where they are still ours.
restore_kernel() {
  same_boot=no
  if [ "$(read_word "$run/boot")" = "$boot_id" ]; then same_boot=yes; fi
  [ ! -f "$run/kernel" ] ||
    while read -r kernel_value kernel_path; do
      case $kernel_path in
        /proc/sys/*) ;;
        *) [ "$same_boot" = yes ] || continue ;;
      esac
      if [ "$(read_word "$kernel_path")" = "$kernel_value" ]; then continue; fi
      ours=no
      each_change check_ours "$(read_word "$kernel_path")"
      if [ "$ours" = no ]; then continue; fi
      write_kernel "$kernel_path" "$kernel_value" || problem "cannot write $kernel_value to $kernel_path"
    done <"$run/kernel"
  # Units that came up in the meantime have the new value from the start.
  make_volatile
  if read_units "$volatile/$run_id/restored"; then
    while read -r kernel_id kernel_max kernel_live kernel_cgroup; do
      case $kernel_live in - | none | "$kernel_max") continue ;; esac
      ours=no
      each_change check_ours "$kernel_live"
      if [ "$kernel_max" = infinity ]; then kernel_max=max; fi
      if [ "$ours" = yes ]; then
        write_kernel "$pids_root$kernel_cgroup/pids.max" "$kernel_max" || problem "cannot write the limit of $kernel_id"
      fi
    done <"$volatile/$run_id/restored"
    while read -r kernel_id kernel_max _ kernel_cgroup; do
      kernel_limit "$kernel_cgroup"
      frame "$kernel_id" reading - "$kernel_max" "$kernel_word"
    done <"$volatile/$run_id/restored"
  else
    problem "systemctl show gave no answer within $ask_seconds s"
  fi
}

check_ours() { # value N kind name wanted
  case $5:$1 in "$1:$1" | infinity:max) ours=yes ;; esac
}

# Brings back the old files, and then what systemd and the kernel made of them. Every part may be done again.
restore() { # state-on-the-way state-at-the-end
  trap '' TERM INT
  phase=changed
  # A full or read-only disk under the record must not keep the files from going back.
  enter "$1" || problem "cannot write $run/state"
  each_file restore_file
  restore_sides
  each_file remove_temporary
  # From here on a reboot finds the old files.
  each_file flush_directory_if_there
  remove_created
  if [ -z "$problems" ]; then disarm_boot; fi
  each_step undo_step
  sweep_recorder
  restore_kernel
  if [ -z "$problems" ]; then
    disarm_timer
    enter "$2" || problem "cannot write $run/state"
  fi
  rm -rf -- "${volatile:?}/$run_id"
}

flush_directory_if_there() { # N path ...
  [ ! -d "${2%/*}" ] || flush "${2%/*}"
}

# Nothing of the system was touched: only our own files go. What cannot go now is for the timer, the boot or the next run.
discard() {
  each_file remove_temporary
  disarm_boot
  remove_created
  [ -z "$problems" ] || return 0
  disarm_timer
  report=
  remove_run "$run_id"
  rmdir -- "$runs" "$home" 2>/dev/null
}

remove_run() { # run id
  valid_id "$1" || return 1
  rm -rf -- "${runs:?}/$1" "${volatile:?}/$1"
}

# After the commit point: what was only there for the way back goes.
tidy() {
  each_file remove_temporary
  sweep_recorder
  disarm_boot
  if [ -z "$problems" ]; then
    disarm_timer
    enter closed || problem "cannot write $run/state"
  fi
  rm -rf -- "${volatile:?}/$run_id"
}

# Runs are kept for rollback: the newest ones, and none past a certain age except the newest of all. An open one stays.
prune() {
  prune_left=$keep_runs
  prune_first=yes
  prune_ids=
  # Newest first: names come in order, and an id begins with its time.
  for prune_dir in "$runs"/*; do
    prune_id=${prune_dir##*/}
    if [ -d "$prune_dir" ] && valid_id "$prune_id"; then prune_ids="$prune_id $prune_ids"; fi
  done
  for prune_id in $prune_ids; do
    prune_left=$((prune_left - 1))
    if [ "$prune_first" = yes ]; then
      prune_first=no
      continue
    fi
    [ "$prune_left" -lt 0 ] || began_before "$prune_id" "$keep_since" || continue
    state_of "$runs/$prune_id"
    case $state in closed | restored | rolled-back) remove_run "$prune_id" ;; esac
  done
}

# By date, and by time on the same date.
began_before() { # run id, run id
  [ "${1%%T*}" -ge "${2%%T*}" ] || return 0
  began_one=${1#*T} began_other=${2#*T}
  [ "${1%%T*}" = "${2%%T*}" ] && [ "${began_one%%Z*}" -lt "${began_other%%Z*}" ]
}

# --- what the script is asked to do ----------------------------------------------------------------------------------

look() {
  begin
  leave_session_limits
  step lock
  find_holder
  [ -z "$holder" ] || off busy "$(read_word "$holder")"
  step unfinished
  finish_unfinished look
  step preconditions
  check_system
  check_files
  if [ "$already" = yes ]; then finish 0 unchanged; fi
  check_plan_is_for_this_boot
  each_file check_immutable
  step space
  check_space "$home"
  each_file check_space_for_file
  step syntax
  check_syntax
  finish 0 checked
}

# Where it can be told without writing.
check_immutable() { # N path before after mode
  command -v lsattr >/dev/null 2>&1 || return 0
  [ -f "$2" ] || return 0
  attributes=$(lsattr -d -- "$2" 2>/dev/null) || return 0
  case ${attributes%% *} in *i* | *a*) off immutable "$2 has the attributes ${attributes%% *}" ;; esac
}

apply() {
  begin
  leave_session_limits
  trap 'off signal "ended by a signal"' TERM INT
  step lock
  take_lock 3 || off busy "$(read_word "$holder")"
  step unfinished
  finish_unfinished mend
  step preconditions
  check_system
  check_files
  if [ "$already" = yes ]; then
    step read-back
    strict=no
    read_back
    rm -rf -- "${volatile:?}/$run_id"
    finish 0 unchanged
  fi
  check_plan_is_for_this_boot
  step space
  check_space "$home"
  each_file check_space_for_file
  step syntax
  check_syntax
  step backup
  make_run
  back_up
  step arm
  arm_timer
  arm_boot
  step stage
  each_file stage_file
  step recheck
  each_file recheck_file
  mark_journal
  step replace
  enter replacing || off no-space "$run"
  phase=changed
  each_file replace_file
  each_file flush_directory
  each_file check_replaced
  step activate
  each_step do_step
  step read-back
  read_back
  each_step check_written
  check_journal
  step commit
  if [ "$confirm" = yes ]; then
    enter awaiting || off no-space "$run"
    seconds_left "$run"
    finish 0 awaiting "$left"
  fi
  enter applied || off no-space "$run"
  phase=nothing
  step tidy
  tidy
  prune
  finish 0 applied
}

# The operator came in by a new login, so login works; this proves that it can still do something.
confirm() {
  [ "$(echo ok | cat | cat | cat | cat | cat | cat)" = ok ] || exit 1
  begin
  leave_session_limits
  step lock
  take_lock 10 || off busy "$(read_word "$holder")"
  report=$run/report
  state_of "$run"
  case $state in
    awaiting) ;;
    applied | closed) finish 0 applied ;;
    *) finish 5 restored confirm "$state" ;;
  esac
  seconds_left "$run"
  [ "$left" -gt 0 ] || off too-late 'the time to confirm is over'
  step commit
  enter applied || off no-space "$run"
  step tidy
  tidy
  prune
  finish 0 applied
}

# Brings a run that was cut off to its end: held by the next run that found it, by the timer, or by the next boot.
recover() { # held|timer|boot|now
  begin
  leave_session_limits
  case $1 in
    held) ;;
    timer) take_lock_by_force || exit 1 ;;
    *) take_lock 30 || exit 1 ;;
  esac
  # Nobody listens to the timer and the boot but the journal, which gets one line at the end.
  case $1 in timer | boot) exec >/dev/null ;; esac
  report=$run/report
  step recover
  state_of "$run"
  case $state in
    prepared)
      each_file remove_temporary
      disarm_boot
      remove_created
      if [ -z "$problems" ]; then
        disarm_timer
        enter restored || problem "cannot write $run/state"
      fi
      ;;
    replacing | awaiting | restoring) restore restoring restored ;;
    rolling-back) restore rolling-back rolled-back ;;
    applied) tidy ;;
    *)
      disarm_boot
      disarm_timer
      ;;
  esac
  rm -rf -- "${volatile:?}/$run_id"
  state_of "$run"
  echo "tasksctl run $run_id: $state${problems:+, not complete: see $run/report}" >&2
  [ -z "$problems" ] || finish 6 restore-failed recover "$1"
  case $state in
    closed) finish 0 applied ;;
    *) finish 0 restored recover "$1" ;;
  esac
}

rollback_drift() { # N path before after mode
  print_of "$2"
  if [ "$print" = "$3" ] || [ "$print" = "$4" ]; then return 0; fi
  frame "$print" drift "$1"
  case $print in *:*) frame "$(hex_of "$2")" content "$1" ;; esac
  drifted=yes
}

rollback() {
  begin
  leave_session_limits
  step lock
  take_lock 3 || off busy "$(read_word "$holder")"
  step unfinished
  finish_unfinished mend
  step preconditions
  check_system
  state_of "$run"
  case $state in
    restored | rolled-back) finish 0 unchanged ;;
    closed) ;;
    *)
      unlock
      sh "$run/transaction.sh" recover now >/dev/null
      state_of "$run"
      case $state in
        restored | rolled-back)
          finish 0 rolled-back
          ;;
        closed) take_lock 3 || off busy "$(read_word "$holder")" ;;
        *) finish 6 restore-failed rollback recover ;;
      esac
      ;;
  esac
  drifted=no
  each_file rollback_drift
  [ "$drifted" = no ] || off drift 'files were changed since the run'
  each_file check_links_of
  check_space "$home"
  each_file check_space_for_file
  report=$run/report
  step arm
  # Once "rolling-back" is recorded a cut leaves an unfinished run, which the timer or the boot brings to its end.
  phase=armed
  make_volatile || off failed "cannot make $volatile/$run_id"
  # A rollback that was killed here has left its timer, and there can be only one of that name.
  disarm_timer
  arm_timer
  arm_boot
  step restore
  restore rolling-back rolled-back
  [ -z "$problems" ] || finish 6 restore-failed rollback restore
  finish 0 rolled-back
}

check_links_of() { # N path ...
  check_links "$2"
}

# For a controller that lost its connection.
status() {
  status_run=$runs/$run_id
  step=status
  find_holder
  status_by=nobody
  if [ -n "$holder" ] && [ "$(read_word "$holder")" = "$run_id" ]; then status_by=running; fi
  state_of "$status_run"
  seconds_left "$status_run"
  frame "$state" status "$status_by" "$left"
  cat -- "$status_run/report" 2>/dev/null || :
}

guard() { # seconds
  trap '' HUP
  leave_session_limits
  sleep "$1"
  recover timer
}

main() { # mode [arg...]
  case ${1:-} in
    check) look ;;
    apply | confirm | rollback | status) "$1" ;;
    recover | guard) "$1" "${2:?}" ;;
    *) exit 64 ;;
  esac
}
