#!/bin/sh
# Reports each fork that fails on this kernel, and which check refused it, by return probes of tracefs
# (Documentation/trace/kprobetrace.rst); needs root, no compiler and no debuginfo. Writes lines to standard output:
#   trace 1                      what follows is of this script
#   problem REASON DETAIL        it cannot work here, and ends
#   clock EPOCH UPTIME           seconds, to tell the time of events
#   probe EVENT SYMBOL           a probe that is set
#   absent EVENT                 one that cannot be: no such function in this kernel
#   ready
#   event UID CGROUP LINE        a line of trace_pipe after tabs; UID and CGROUP are - where the process was gone
#   full TASKS THREADS-MAX       after each fork that failed: how many tasks there were (threads-max as at the start)
#   tick                         once in two seconds, so that a connection that is gone is noticed
#   lost COUNT                   events that did not fit the kernel's buffer
#   end
# While it runs it forks nothing that it needs: it is there for systems that cannot fork.
#
# All it sets is in a tracing instance and a group of events of its own, both named tasksctl_PID_STARTTIME after the
# guard, a process that removes them when the others end, however they end. What a guard that was killed left, the next
# start removes.
# Usage: sh -s <trace.sh; TASKSCTL_TRACE_SECONDS says how long.
# src/diagnose/parse-trace.ts reads the lines.

problem() { # REASON DETAIL
  printf 'problem %s %s\n' "$1" "$2"
  exit 0
}

# Sets `started`: when a process was started, in clock ticks; empty if there is none. Names may have any character.
start_time() { # PID
  started=
  read -r stat <"/proc/$1/stat" || return
  # shellcheck disable=SC2086 # a list of words
  set -- ${stat##*) }
  [ $# -lt 20 ] || started=${20}
} 2>/dev/null

# Removes the events of a group.
remove_events() { # GROUP
  # Not while they are read: whoever follows one that goes away would be skipped.
  events=
  while read -r line; do
    case $line in
      *":$1/"*)
        line=${line#*:}
        events="$events -:${line%% *}"
        ;;
    esac
  done <"$tracing/kprobe_events"
  for event in $events; do
    echo "$event" >>"$tracing/kprobe_events"
  done
} 2>/dev/null

# Removes what tracers left that are gone.
sweep() {
  for place in "$tracing"/instances/tasksctl_* "$tracing"/events/tasksctl_*; do
    [ -d "$place" ] || continue
    name=${place##*/}
    pid=${name#tasksctl_}
    start_time "${pid%%_*}"
    [ "$started" != "${pid##*_}" ] || continue
    [ ! -e "$tracing/instances/$name/events/$name/enable" ] ||
      echo 0 >"$tracing/instances/$name/events/$name/enable"
    [ ! -d "$tracing/instances/$name" ] || rmdir "$tracing/instances/$name"
    remove_events "$name"
  done
} 2>/dev/null

# Waits for the end of standard input, which nobody but the tracer holds, and removes everything.
# shellcheck disable=SC2016 # a script
guard='
  trap "" HUP INT TERM PIPE
  tracing=$1
  reader=
  name=
  while read -r key value; do
    case $key in
      name) name=$value ;;
      reader) reader=$value ;;
    esac
  done
  [ -n "$name" ] || exit 0
  exec 2>/dev/null
  if [ -n "$reader" ]; then
    kill -s KILL "$reader"
    # Its descriptor keeps the instance busy; a process that ended has none.
    i=0
    while [ -e "/proc/$reader/fd/5" ] && [ "$i" -lt 1000000 ]; do i=$((i + 1)); done
  fi
  echo 0 >"$tracing/instances/$name/events/$name/enable"
  echo >"$tracing/instances/$name/set_event"
  events=
  while read -r line; do
    case $line in *":$name/"*) line=${line#*:}; events="$events -:${line%% *}" ;; esac
  done <"$tracing/kprobe_events"
  for event in $events; do
    echo "$event" >>"$tracing/kprobe_events"
  done
  [ ! -d "$tracing/instances/$name" ] || exec rmdir "$tracing/instances/$name"
'

# Sets a return probe on the first of the functions that this kernel has, be it under a name with a compiler's suffix.
# The result is fetched as TYPE; only what passes FILTER is reported.
set_probe() { # EVENT TYPE FILTER FUNCTION...
  event=$1
  type=$2
  filter=$3
  shift 3
  for function do
    for symbol in $symbols; do
      case $symbol in "$function" | "$function".*) ;; *) continue ;; esac
      # Room for more calls at a time than the default, from Linux 4.12 on; the name in the event, from 4.8 on.
      for kind in "r256:$name/$event $symbol ret=\$retval:$type comm=\$comm" \
        "r:$name/$event $symbol ret=\$retval:$type comm=\$comm" "r:$name/$event $symbol ret=\$retval:$type"; do
        echo "$kind" >>"$tracing/kprobe_events" || continue
        echo "$filter" >"$instance/events/$name/$event/filter" || continue
        echo 1 >"$instance/events/$name/$event/enable" || continue
        echo "probe $event $symbol"
        return
      done 2>/dev/null
    done
  done
  echo "absent $event"
  return 1
}

# Tells who a failing process is. Only built-in commands.
tell() { # LINE
  pid=${1%%"["*}
  # A tgid stands in parentheses where that option is on.
  pid=${pid%%"("*}
  pid=${pid##*-}
  pid=${pid%%[!0-9]*}
  uid=-
  cgroup=-
  [ -n "$pid" ] || return
  while read -r key value _; do
    [ "$key" = Uid: ] || continue
    uid=$value
    break
  done <"/proc/$pid/status"
  while IFS=: read -r _ controllers path; do
    case ,$controllers, in
      *,pids,*)
        cgroup=$path
        break
        ;;
      ,,) cgroup=$path ;;
    esac
  done <"/proc/$pid/cgroup"
} 2>/dev/null

read_events() {
  exec 5<"$instance/trace_pipe"
  while read -r line <&5; do
    case $line in
      *'[LOST '* | *'LOST '*' EVENTS'*)
        line=${line#*LOST }
        echo "lost ${line%% *}"
        continue
        ;;
    esac
    tell "$line"
    printf 'event\t%s\t%s\t%s\n' "$uid" "$cgroup" "$line"
    case $line in
      *' forkret: '* | *' cloneret: '*)
        read -r _ _ _ tasks _ </proc/loadavg
        echo "full ${tasks#*/} $threads_max"
        ;;
    esac
  done
}

trace() {
  # Standard output is the pipe to the guard, 3 where the lines go.
  exec 4>&1 1>&3
  mkdir "$instance" || problem failed "cannot make $instance"
  for clock in boot mono; do
    echo "$clock" >"$instance/trace_clock" && break
  done 2>/dev/null
  echo "name $name" >&4
  set_probe pids s32 'ret < 0' pids_can_fork cgroup_can_fork
  set_probe nproc u8 'ret != 0' is_rlimit_overlimit is_ucounts_overlimit
  set_probe ids s64 'ret < 0 && ret > -4096' alloc_pid
  set_probe security s32 'ret < 0' security_task_alloc
  set_probe sched s32 'ret < 0' sched_fork
  # The last one: what it sees has been seen by the others.
  set_probe forkret s64 'ret < 0 && ret > -4096' copy_process ||
    set_probe cloneret s32 'ret < 0' kernel_clone _do_fork ||
    problem not-available 'no probe can be set on the fork path of this kernel'
  read_events 4>&- &
  reader=$!
  echo "reader $reader" >&4
  # Ends the reader when the time is over.
  (
    exec 3>&- 4>&-
    sleep "$TASKSCTL_TRACE_SECONDS" &
    nap=$!
    trap 'kill "$nap"; exit' TERM
    wait "$nap" && kill "$reader"
  ) >/dev/null &
  timer=$!
  # Ends it when nobody reads what is written here. Where not even this can fork, there are events to write.
  (
    exec 3>&- 4>&-
    trap '' PIPE
    while sleep 2 >/dev/null; do
      echo tick || kill "$reader" || exit
    done
  ) &
  ticker=$!
  echo ready
  wait "$reader"
  kill "$timer" "$ticker"
  echo end
} 2>/dev/null

main() {
  LC_ALL=C
  PATH=$PATH:/usr/sbin:/sbin
  export LC_ALL PATH
  : "${TASKSCTL_TRACE_SECONDS:=30}"
  echo 'trace 1'
  [ "$(id -u)" = 0 ] || problem no-permission 'only root can trace'
  tracing=
  for place in /sys/kernel/tracing /sys/kernel/debug/tracing; do
    [ ! -e "$place/kprobe_events" ] || {
      tracing=$place
      break
    }
  done
  if [ -z "$tracing" ]; then
    [ ! -e /sys/kernel/tracing/trace ] ||
      problem not-available 'this kernel has no kprobe events (CONFIG_KPROBE_EVENTS)'
    problem not-available 'no tracefs: this kernel has none, or it is not mounted (mount -t tracefs nodev /sys/kernel/tracing)'
  fi
  { : >>"$tracing/kprobe_events"; } 2>/dev/null ||
    problem no-permission "cannot write to $tracing/kprobe_events: in a container, or locked down"
  sweep
  functions='copy_process|pids_can_fork|cgroup_can_fork|is_rlimit_overlimit|is_ucounts_overlimit|alloc_pid'
  functions="$functions|security_task_alloc|sched_fork|kernel_clone|_do_fork"
  symbols=
  # shellcheck disable=SC2013 # words
  for word in $(grep -oE " [tT] ($functions)(\.(isra|constprop)\.[0-9]+)*\$" /proc/kallsyms); do
    case $word in [tT]) ;; *) symbols="$symbols $word" ;; esac
  done
  # Not by the shell: it reads one byte at a time, and a sysctl has no second one.
  threads_max=$(cat /proc/sys/kernel/threads-max)
  read -r uptime _ </proc/uptime
  echo "clock $(date +%s) $uptime"
  start_time $$
  name=tasksctl_$$_$started
  instance=$tracing/instances/$name
  own_session=
  ! command -v setsid >/dev/null 2>&1 || own_session=setsid
  {
    trace | $own_session sh -c "$guard" guard "$tracing" >/dev/null 2>&1 3>&-
  } 3>&1
}

main </dev/null
