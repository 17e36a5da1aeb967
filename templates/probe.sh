#!/bin/sh
# Reads everything about a host that concerns task limits and writes it to standard output as frames:
#   tasksctl-probe 1
#   @NAME LENGTH
#   LENGTH bytes
#   @end 0
# It only reads: no temporary files, hence no here-documents (bash keeps them in /tmp). What cannot be read becomes a
# `problem` frame. POSIX sh with coreutils, grep and find, or busybox. src/snapshot/parse-probe.ts reads the frames.
# Usage: sh -s <probe.sh; TASKSCTL_PROBE_SECONDS limits the whole run, TASKSCTL_PROBE_PID and TASKSCTL_PROBE_USER
# ask for a process and a user in particular.
#
# Lists of file names are lines: IFS is a newline and globbing is off, but where it says otherwise.
# shellcheck disable=SC2086

nl='
'
# Files above this many bytes are listed but not read; all files together may have 16 times as many.
max_file=1048576
pids_bytes=33554432

# Prints a frame, or keeps it in `held` where another part of the probe prints at the time.
hold=no
frame() { # NAME PAYLOAD
  if [ "$hold" = yes ]; then
    held="${held}@$1 ${#2}$nl$2$nl"
  else
    printf '@%s %d\n%s\n' "$1" "${#2}" "$2"
  fi
}

problem() { # PART REASON DETAIL
  frame problem "$1 $2 $3"
}

# Most of what the probe costs a host is the start of processes: what the shell itself can do it does.

# Sets `seconds` to what is left of the whole run; ends this subshell where nothing is.
look_at_clock() {
  read -r now _ </proc/uptime
  seconds=$((stop - ${now%%.*}))
  [ "$seconds" -gt 0 ] || exit 137
}

# Runs a command in the place of this subshell, for at most SECONDS and no longer than the rest of the whole run; the
# status is 137 if it had to be killed.
bounded() { # SECONDS COMMAND...
  look_at_clock
  [ "$seconds" -lt "$1" ] || seconds=$1
  shift
  [ "$timeout" = no ] || exec timeout -s KILL "$seconds" "$@"
  "$@" &
  child=$!
  # The sleep must not keep the pipe of a command substitution open.
  (
    sleep "$seconds" &
    trap 'kill $!' TERM
    wait $! && kill -s KILL "$child"
  ) >/dev/null 2>&1 &
  watch=$!
  wait "$child"
  ended=$?
  kill "$watch" 2>/dev/null
  exit "$ended"
}

# Tells of a command that failed.
failed() { # STATUS PART COMMAND
  case $1 in
    0) ;;
    124 | 137) problem "$2" timeout "$3 was ended at its time limit" ;;
    *) problem "$2" failed "$3 ended with status $1" ;;
  esac
}

have() { # COMMAND
  command -v "$1" >/dev/null 2>&1
}

# Sets `output` to what FUNCTION prints of the files, with `@timeout` where it was ended and `@newline` for names that are
# no lines.
collect() { # FUNCTION FILE...
  collector=$1
  shift
  output=
  if fit_together "$@"; then
    [ $# -eq 0 ] || output=$($collector "$@")
    case $? in 124 | 137) output=$output${nl}@timeout ;; esac
  else
    output=$(in_batches collect_batch "$@" | head -c "$pids_bytes")
  fi
}

collect_batch() { # FILE...
  ($collector "$@")
  case $? in 124 | 137) echo @timeout ;; esac
}

# Whether one command line holds the files and each name is a line. So little is no more than `pids_bytes` of output.
fit_together() { # FILE...
  IFS=/
  together=$*
  IFS=$nl
  case $together in *"$nl"*) return 1 ;; esac
  [ $# -le 3000 ] && [ "${#together}" -le 65536 ]
}

# Calls FUNCTION with the files, so many at a time as one command line holds. Says `@newline` for names that are no lines.
in_batches() { # FUNCTION FILE...
  callee=$1
  shift
  batch=
  size=0
  for file do
    case $file in
      *"$nl"*) echo @newline && continue ;;
    esac
    batch=$batch$nl$file
    size=$((size + 1))
    if [ "$size" -eq 500 ]; then
      $callee $batch
      batch=
      size=0
    fi
  done
  [ -z "$batch" ] || $callee $batch
}

# Tells of an output with `@timeout` or `@newline` in it.
cut_off() { # PART WHAT OUTPUT
  case $nl$3$nl in
    *"$nl@timeout$nl"*) problem "$1" timeout "reading $2 was ended at its time limit" ;;
  esac
  case $nl$3$nl in
    *"$nl@newline$nl"*) problem "$1" malformed 'a file was left out whose name has a newline in it' ;;
  esac
}

# Adds every link on the way to PATH, and what is at its end, to `extra`; `at` is the end.
follow() { # PATH
  rest=$1/
  at=
  hops=0
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    rest=${rest#*/}
    case $part in
      '' | .) continue ;;
      ..) at=${at%/*} && continue ;;
    esac
    at=$at/$part
    [ -L "$at" ] || continue
    hops=$((hops + 1))
    [ "$hops" -le 40 ] || return 1
    add_extra "$at"
    target=$(readlink -- "$at") || return 1
    rest=$target/$rest
    case $target in
      /*) at= ;;
      *) at=${at%/*} ;;
    esac
  done
  add_extra "$at"
}

add_extra() { # PATH
  case $nl$extra$nl in
    *"$nl$1$nl"*) ;;
    *) extra=$extra$nl$1 ;;
  esac
}

stat_rows() { # FILE...
  # Newer GNU stat quotes the names of %N unless told not to. No name has two slashes side by side.
  QUOTING_STYLE=literal bounded 10 stat -c '%f %u %g %s %n//%N' -- "$@" 2>/dev/null
}

matching() { # FILE...
  bounded 10 grep -slEi -e 'tasks.*max|pid_max|threads-max|nproc' -e '[^[:print:][:space:]]' -- "$@"
}

# The files one after the other in hexadecimal, which survives a shell variable, with their sizes in front.
contents() { # FILE...
  sizes=$(bounded 10 stat -c '%s %n' -- "$@" 2>/dev/null)
  for line in $sizes; do
    read_bytes=$((read_bytes + ${line%% *}))
  done
  if [ "$read_bytes" -gt $((16 * max_file)) ]; then
    problem files too-large "the files to read have more than $((16 * max_file)) bytes; $# were left out"
    return
  fi
  frame contents "$sizes$nl$nl$(bounded 10 od -An -v -tx1 -- "$@" 2>/dev/null)"
}

read_host() {
  # /proc and /sys answer at once, and none of these files has more than a few lines.
  facts=$(grep -sH '' /proc/sys/kernel/hostname /proc/sys/kernel/osrelease /proc/sys/kernel/random/boot_id \
    /proc/sys/kernel/arch /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max /proc/sys/vm/overcommit_memory \
    /proc/loadavg /proc/uptime /proc/meminfo /proc/1/comm /proc/self/status /sys/devices/system/cpu/online \
    /sys/fs/selinux/enforce /run/systemd/container /etc/machine-id /etc/os-release /usr/lib/os-release)
  frame facts "$facts"
  frame clock "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  # Since Linux 6.1.
  case $facts in
    *"$nl/proc/sys/kernel/arch:"*)
      machine=${facts#*"$nl/proc/sys/kernel/arch:"}
      machine=${machine%%"$nl"*}
      ;;
    *) machine=$(uname -m) ;;
  esac
  frame machine "$machine"
  # The name may come from a directory server. `timeout` is absent from small systems, and without options like these in
  # old ones.
  timeout=yes
  user=$(bounded 5 id -un 2>/dev/null) || {
    timeout -s KILL 5 true 2>/dev/null || timeout=no
    [ "$timeout" = yes ] || user=$(bounded 5 id -un)
  }
  frame user "$user$nl${SUDO_USER-}"
  flags=
  [ ! -w /etc ] || flags="$flags etc-writable"
  [ ! -e /run/ostree-booted ] || flags="$flags ostree"
  [ ! -e /etc/NIXOS ] || flags="$flags nixos"
  [ ! -e /.dockerenv ] || flags="$flags docker"
  [ ! -e /run/.containerenv ] || flags="$flags podman"
  [ ! -d /run/systemd/system ] || flags="$flags systemd"
  frame flags "$flags"
}

read_manager() {
  unit_path=
  manager_cgroup=
  if ! have systemctl; then
    problem systemd command-missing 'there is no systemctl in PATH'
    for program in /usr/lib/systemd/systemd /lib/systemd/systemd; do
      [ -x "$program" ] || continue
      frame systemd-version "$(bounded 5 "$program" --version 2>/dev/null)"
      break
    done
    return
  fi
  case $flags in
    *systemd*) ;;
    *)
      frame systemd-version "$(bounded 5 systemctl --version 2>/dev/null)"
      ! have systemd-detect-virt || frame virtualization "$(bounded 5 systemd-detect-virt 2>/dev/null)"
      return
      ;;
  esac
  manager=$(bounded 20 systemctl --no-pager show \
    -p Version,Features,UnitPath,DefaultTasksMax,ControlGroup,SystemState,Virtualization 2>/dev/null)
  failed $? systemd 'systemctl show'
  frame manager "$manager"
  case $manager in
    *Version=*) ;;
    *) frame systemd-version "$(bounded 5 systemctl --version 2>/dev/null)" ;;
  esac
  for line in $manager; do
    case $line in
      UnitPath=*) unit_path=${line#UnitPath=} ;;
      ControlGroup=*) manager_cgroup=${line#ControlGroup=} ;;
    esac
  done
}

# Sets pids_root: where systemd's own root cgroup is in the hierarchy with the pids controller.
find_pids_root() {
  pids_root=
  for line in $mounts; do
    IFS=' '
    # Fields: id, parent, device, root, mount point.
    set -- $line
    IFS=$nl
    case $line in
      *' - cgroup '*)
        case ,${line##* }, in
          *,pids,*) ;;
          *) continue ;;
        esac
        ;;
      *' - cgroup2 '*)
        controllers=
        [ ! -r "$5/cgroup.controllers" ] || read -r controllers <"$5/cgroup.controllers"
        case " $controllers " in
          *' pids '*) ;;
          *) continue ;;
        esac
        ;;
      *) continue ;;
    esac
    pids_root=$5
    # Without a cgroup namespace a container sees its place in the host's tree in both.
    case $4 in
      /) below=$manager_cgroup ;;
      *) below=${manager_cgroup#"$4"} ;;
    esac
    [ "$below" = / ] || [ ! -d "$pids_root$below" ] || pids_root=$pids_root$below
    break
  done
}

read_cgroups() {
  pids=
  find_pids_root
  frame pids-root "$pids_root"
  if [ -z "$pids_root" ]; then
    problem cgroups not-available 'no pids controller: not in the kernel, disabled, or not mounted'
    return
  fi
  pids=$(
    cd "$pids_root" || exit
    {
      (bounded 20 find . -name 'pids.*' -exec grep -sH '' {} + 2>/dev/null)
      case $? in 124 | 137) echo @timeout ;; esac
    } | head -c "$pids_bytes"
  )
  cut_off cgroups 'the counters of cgroups' "$pids"
  [ "${#pids}" -lt "$pids_bytes" ] || problem cgroups too-large "more than $pids_bytes bytes of counters"
}

# Sessions, the processes that lead them, and the mounts that matter.
read_sessions() {
  set +f
  set --
  for file in /run/systemd/sessions/* /run/systemd/users/*; do
    # Beside each session of older versions there is a FIFO.
    [ ! -f "$file" ] || set -- "$@" "$file"
  done
  sessions=
  [ $# -eq 0 ] || sessions=$(grep -sH '' "$@")
  frame sessions "$sessions"
  slices='user-0.slice'
  lingering=
  for file in /run/systemd/users/*; do
    [ ! -f "$file" ] || slices=$slices${nl}user-${file##*/}.slice
  done
  for file in /var/lib/systemd/linger/*; do
    [ -f "$file" ] || continue
    uid=$(bounded 5 id -u -- "${file##*/}" 2>/dev/null) || continue
    lingering=$lingering$uid\ ${file##*/}$nl
    slices=$slices${nl}user-$uid.slice
  done
  set -f
  frame linger "$lingering"
  set -- /proc/self/mountinfo /proc/1/status /proc/1/limits
  for line in $sessions; do
    case $line in *:LEADER=*) set -- "$@" "/proc/${line##*=}/status" "/proc/${line##*=}/limits" ;; esac
  done
  mounts=
  processes=
  # shellcheck disable=SC2013 # lines they are
  for line in $(grep -sHE '^(Name:|Uid:|Max processes)| - cgroup2? |^([^ ]+ ){4}/(etc)? ' "$@"); do
    case $line in
      /proc/self/mountinfo:*) mounts=$mounts${line#*:}$nl ;;
      *) processes=$processes$line$nl ;;
    esac
  done
  frame mounts "$mounts"
  frame processes "$processes"
}

# What hangs in /proc could not be killed either; only the number of files takes time, which is looked at for each batch.
grep_processes() { # FILE...
  look_at_clock
  exec grep -sHE -e '^(Name|Uid|Threads|CapEff):' -e '^Max processes' -e '^[0-9]+:([^:]*,)?pids(,[^:]*)?:|^0::' -- "$@"
}

stat_namespaces() { # FILE...
  bounded 10 stat -L -c '%i %n' -- "$@" 2>/dev/null
}

# Who has how many tasks under which RLIMIT_NPROC, and in which pid namespaces.
read_processes() {
  asked=
  [ -z "${TASKSCTL_PROBE_PID-}" ] || asked=pid\ $TASKSCTL_PROBE_PID
  [ -z "${TASKSCTL_PROBE_USER-}" ] ||
    asked="user $(bounded 5 id -u -- "$TASKSCTL_PROBE_USER" 2>/dev/null) $TASKSCTL_PROBE_USER"
  frame asked "$asked"
  set +f
  set -- /proc/[0-9]*/status /proc/[0-9]*/limits /proc/[0-9]*/cgroup
  set -f
  collect grep_processes "$@"
  processes=$output
  cut_off processes 'the processes' "$processes"
  [ "${#processes}" -lt "$pids_bytes" ] || problem processes too-large "more than $pids_bytes bytes about processes"
  set +f
  set -- /proc/[0-9]*/ns/pid
  set -f
  collect stat_namespaces /proc/self/ns/pid "$@"
  namespaces=$output
  own=${namespaces%%"$nl"*}
  seen=" ${own%% *} "
  maxima=
  entered=0
  have nsenter || return 0
  for line in $namespaces; do
    inode=${line%% *}
    case $seen in *" $inode "*) continue ;; esac
    seen="$seen$inode "
    entered=$((entered + 1))
    [ "$entered" -le 20 ] || break
    pid=${line#* /proc/}
    # Since Linux 6.14 each has a pid_max of its own, which only a process in it can read.
    maximum=$(bounded 2 nsenter -t "${pid%%/*}" -p cat /proc/sys/kernel/pid_max 2>&1)
    case $maximum in
      *'fork failed: Resource temporarily unavailable'*) maxima="$maxima$inode full$nl" ;;
      *[!0-9]* | '') ;;
      *) maxima="$maxima$inode $maximum$nl" ;;
    esac
  done
}

tell_unreadable() { # DIRECTORY
  if [ ! -r "$1" ] || [ ! -x "$1" ]; then
    problem files no-permission "$1 cannot be listed"
  fi
}

# Sets `patterns`: everything in and one level below the directories in which systemd, sysctl and PAM look, and some
# in which people put such files by mistake.
find_directories() {
  roots="/etc$nl/run$nl/usr/local/lib$nl/usr/lib"
  # Whether /lib is a link to /usr/lib tells which directories systemd reads.
  extra=/lib
  [ -L /lib ] || roots=$roots$nl/lib
  directories=
  IFS=" $nl"
  for directory in $unit_path; do
    directories=$directories$nl$directory
  done
  IFS=$nl
  for root in $roots; do
    directories=$directories$nl$root/systemd/system$nl$root/systemd/user
  done
  for name in /etc/systemd/system.control /run/systemd/system.control /run/systemd/transient \
    /run/systemd/generator.early /run/systemd/generator /run/systemd/generator.late \
    /etc/systemd/system.attached /run/systemd/system.attached; do
    directories=$directories$nl$name
  done
  # As named and as they are: a link to one of them leads nowhere new.
  listed=$directories
  patterns=/etc/tasksctl/record.sh$nl/etc/tasksctl/sampler.sh
  for directory in /etc/security /usr/etc/security; do
    patterns="$patterns$nl$directory/limits.conf$nl$directory/limits.d/*"
  done
  for root in $roots; do
    directories=$directories$nl$root/systemd
    patterns="$patterns$nl$root/sysctl.d/*"
  done
  seen=
  for directory in $directories; do
    case $directory in /lib/*) [ ! -L /lib ] || continue ;; esac
    [ -d "$directory" ] || continue
    follow "$directory" || continue
    case $nl$seen$nl in *"$nl$at$nl"*) continue ;; esac
    seen=$seen$nl$at
    tell_unreadable "$at"
    case $directory in
      /etc/systemd | /run/systemd) patterns="$patterns$nl$at/*.conf$nl$at/*.d/*" ;;
      */systemd) patterns="$patterns$nl$at/*.conf$nl$at/*.conf.d/*" ;;
      *) patterns="$patterns$nl$at/*$nl$at/*.d/*$nl$at/*.slice/*$nl$at/*.service/*" ;;
    esac
  done
  listed=$listed$nl$seen
}

# Adds where the links among `rows` lead to `extra`, and what is in the directories there to `patterns`.
follow_links() {
  patterns=
  for row in $rows; do
    case $row in a*) ;; *) continue ;; esac
    name=${row#* * * * }
    name=${name%%//*}
    # On the way to a directory that is listed: followed already.
    case $nl$ways$nl in *"$nl$name$nl"*) continue ;; esac
    target=${row##* -> }
    target=${target#\'}
    target=${target%\'}
    case $target in
      /dev/null) continue ;;
      /*) ;;
      */*) target=${name%/*}/$target ;;
      *) continue ;;
    esac
    case $nl$listed$nl in *"$nl${target%/*}$nl"*) continue ;; esac
    follow "$target" || continue
    [ ! -d "$at" ] || patterns="$patterns$nl$at/*"
  done
}

# Sorts the regular files of `rows` into `candidates`, `always` (read whatever is in them) and `unreadable`.
sort_rows() {
  for row in $rows; do
    name=${row#* * * * }
    size=${row%" $name"}
    size=${size##* }
    name=${name%%//*}
    case $row in
      8*) ;;
      4*)
        case $name in *.d) tell_unreadable "$name" ;; esac
        continue
        ;;
      *) continue ;;
    esac
    [ "$size" -le "$max_file" ] || continue
    if [ ! -r "$name" ]; then
      unreadable=$unreadable$nl$name
      continue
    fi
    candidates=$candidates$nl$name
    case $name in
      # Made by programs, and by the thousand where there are containers.
      /run/systemd/transient/*) ;;
      # Of the recorder that tasksctl installs.
      /etc/tasksctl/* | */tasksctl-recorder.*) always=$always$nl$name ;;
      */systemd/logind.conf | */systemd/system.conf | */systemd/user.conf | */systemd/*.conf.d/* | \
        /etc/systemd/*.d/* | /run/systemd/*.d/*) always=$always$nl$name ;;
    esac
  done
}

list_files() { # FILE...
  collect stat_rows "$@"
  rows=$output
  cut_off files directories "$rows"
  frame files "$rows"
  sort_rows
}

read_files() {
  find_directories
  candidates=
  always=
  unreadable=
  read_bytes=0
  set +f
  set -- $patterns
  set -f
  ways=$extra
  extra=$extra$nl/etc/sysctl.conf
  list_files $extra "$@"
  listed_extra=$extra
  follow_links
  if [ "$extra" != "$listed_extra" ]; then
    set +f
    set -- $patterns
    set -f
    list_files ${extra#"$listed_extra"} "$@"
  fi
  frame unreadable "$unreadable"
  collect matching $candidates
  matched=$output
  cut_off files 'unit files' "$matched"
  # Each file once.
  wanted=$always
  for name in $matched; do
    case $nl$always$nl in *"$nl$name$nl"*) ;; *) wanted=$wanted$nl$name ;; esac
  done
  in_batches contents $wanted
}

# Sets `shown` and `status`. A unit that may have been cut off is left out.
show_units() { # UNIT|PATTERN...
  shown=$(bounded 60 systemctl --no-pager show \
    -p Id,Names,LoadState,ActiveState,SubState,FragmentPath,DropInPaths,ControlGroup,Slice,NeedDaemonReload \
    -p Transient,TasksMax,EffectiveTasksMax,TasksCurrent,MainPID,LimitNPROC \
    -- "$@" 2>/dev/null </dev/null)
  status=$?
  [ "$status" -eq 0 ] || shown=${shown%"$nl$nl"*}
}

# Whether there are units to ask for.
knows_units() {
  case $flags in *systemd*) have systemctl ;; *) return 1 ;; esac
}

# Prints the units that may have a limit: users' slices, and those with a file that `matching` found.
name_units() {
  knows_units || return 0
  printf '%s\n' $slices
  for name in $matched; do
    case $name in
      */systemd/user/* | */systemd/transient/*) continue ;;
      *.d/*.conf) name=${name%.d/*} ;;
    esac
    name=${name##*/}
    case $name in
      *@.* | *-.*) ;;
      *.service | *.slice | *.scope | *.socket | *.mount | *.swap) printf '%s\n' "$name" ;;
    esac
  done
}

# The units in memory, by pattern, and those on standard input that are only configured, or of another type, by name.
read_units() {
  knows_units || return 0
  show_units '*.slice' '*.service' '*.scope'
  loaded=$shown
  loaded_status=$status
  # Asking takes systemd as long as all the rest: each unit once.
  names=
  set --
  while read -r name; do
    case $nl$names in *"$nl$name$nl"*) continue ;; esac
    names=$names$name$nl
    set -- "$@" -e "Id=$name"
  done
  known=$(printf '%s\n' "$loaded" | grep -Fx "$@")
  set --
  for name in $names; do
    case $nl$known$nl in *"${nl}Id=$name$nl"*) ;; *) set -- "$@" "$name" ;; esac
  done
  failed "$loaded_status" units 'systemctl show'
  shown=
  if [ $# -gt 0 ]; then
    show_units "$@"
    failed "$status" units 'systemctl show'
  fi
  frame units "$loaded$nl$nl$shown"
  generators=
  set +f
  for name in /run/systemd/system-generators/* /etc/systemd/system-generators/* \
    /usr/local/lib/systemd/system-generators/* /usr/lib/systemd/system-generators/* \
    /lib/systemd/system-generators/*; do
    [ ! -x "$name" ] || generators=$generators${name##*/}$nl
  done
  set -f
  frame generators "$generators"
}

read_kernel_log() {
  for reader in dmesg 'journalctl -kbq --no-pager -o short-monotonic -n 20000'; do
    have "${reader%% *}" || continue
    IFS=' '
    log=$({ (bounded 5 $reader 2>/dev/null) || echo @failed; } |
      grep -F -e 'fork rejected by pids controller' -e @failed)
    IFS=$nl
    case $log in *@failed) continue ;; esac
    [ -z "$log" ] || log=$(printf '%s\n' "$log" | tail -n 200)
    return
  done
  log=
  problem kernel-log no-permission 'neither dmesg nor journalctl -k could be read'
}

main() {
  LC_ALL=C
  PATH=$PATH:/usr/sbin:/sbin:/run/current-system/sw/bin
  export LC_ALL PATH
  IFS=$nl
  now=0
  read -r now _ </proc/uptime
  stop=$((${now%%.*} + ${TASKSCTL_PROBE_SECONDS:-60}))
  echo 'tasksctl-probe 1'
  for tool in date find grep head id od readlink stat tail uname; do
    have "$tool" || problem probe command-missing "there is no $tool in PATH"
  done
  set -f
  read_host
  read_manager
  read_sessions
  # systemd answers slowly where there are many units, the kernel where there are many cgroups, and files take their
  # time, too: all three at a time, and each prints its frames once the one before it is through. The first tells the
  # second names of units; a line tells the third that the second is through.
  {
    {
      read_files </dev/null >&3
      name_units
    } | {
      read_units >&3
      echo
    } | {
      hold=yes
      held=
      {
        read_cgroups
        read_processes
        read_kernel_log
      } </dev/null
      read -r _
      printf '%s' "$held"
      hold=no
      frame pids "$pids"
      frame tasks "$processes"
      frame pid-namespaces "$namespaces"
      frame pid-maxima "$maxima"
      frame kernel-log "$log"
    }
  } 3>&1
  frame end ''
}

main </dev/null
