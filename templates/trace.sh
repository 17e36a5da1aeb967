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
#
# Where tracefs has no kprobe events, or none that may be set, the same probes are set by bpftrace, if the host has it. They
# are gone when it is, and it is gone within a second of whoever reads what it writes.
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
# The result is fetched as TYPE; only what is WHAT is reported.
set_probe() { # EVENT TYPE WHAT FUNCTION...
  event=$1
  type=$2
  what=$3
  shift 3
  filter='ret < 0'
  case $what in
    error) filter='ret < 0 && ret > -4096' ;;
    true) filter='ret != 0' ;;
  esac
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

# Adds the same probe to `program`, in bpftrace's language; what it prints has the form of a line of trace_pipe.
add_probe() { # EVENT TYPE WHAT FUNCTION...
  event=$1
  case $2 in
    s32) type=int32 ;;
    s64) type=int64 ;;
    *) type=uint8 ;;
  esac
  # shellcheck disable=SC2016 # a variable of bpftrace
  case $3 in
    negative) filter='$ret < 0' ;;
    error) filter='$ret < 0 && $ret > -4096' ;;
    *) filter='$ret != 0' ;;
  esac
  shift 3
  for function do
    for symbol in $symbols; do
      case $symbol in "$function" | "$function".*) ;; *) continue ;; esac
      program="$program
kretprobe:$symbol { \$ret = ($type)retval; if ($filter) { \$now = nsecs;
  printf(\"x-%d [0] .... %llu.%06llu: $event: () ret=%d comm=\\\"%s\\\"\\n\",
    tid, \$now / 1000000000, \$now % 1000000000 / 1000, \$ret, comm); } }"
      echo "probe $event $symbol"
      return
    done
  done
  echo "absent $event"
  return 1
}

# The checks of the fork path, each with the function that makes it; false where not even a failed fork can be seen.
watch() { # set_probe|add_probe
  "$1" pids s32 negative pids_can_fork cgroup_can_fork
  "$1" nproc u8 true is_rlimit_overlimit is_ucounts_overlimit
  "$1" ids s64 error alloc_pid
  "$1" security s32 negative security_task_alloc
  "$1" sched s32 negative sched_fork
  # The last one: what it sees has been seen by the others.
  "$1" forkret s64 error copy_process || "$1" cloneret s32 negative kernel_clone _do_fork
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

report() { # LINE
  tell "$1"
  printf 'event\t%s\t%s\t%s\n' "$uid" "$cgroup" "$1"
  case $1 in
    *' forkret: '* | *' cloneret: '*)
      read -r _ _ _ tasks _ </proc/loadavg
      echo "full ${tasks#*/} $threads_max"
      ;;
  esac
}

read_events() {
  exec 5<"$instance/trace_pipe"
  while read -r line <&5; do
    case $line in
      *'[LOST '* | *'LOST '*' EVENTS'*)
        line=${line#*LOST }
        echo "lost ${line%% *}"
        ;;
      *) report "$line" ;;
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
  watch set_probe || problem not-available 'no probe can be set on the fork path of this kernel'
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

# The same by bpftrace, which counts the seconds itself: from the second one on all its probes are set.
trace_by_bpftrace() {
  program='BEGIN { @seconds = 0; }'
  watch add_probe || problem not-available 'this kernel names no function of its fork path'
  program="$program
interval:s:1 { @seconds++; if (@seconds == 2) { printf(\"ready\\n\"); } printf(\"tick\\n\");
  if (@seconds >= $((TASKSCTL_TRACE_SECONDS + 2))) { exit(); } }
END { clear(@seconds); }"
  ready=
  said=
  bpftrace -e "$program" 2>&1 | {
    while read -r line; do
      case $line in
        ready)
          ready=yes
          echo ready
          ;;
        tick) [ -z "$ready" ] || echo tick || exit ;;
        'x-'*' ret='*) report "$line" ;;
        'Lost '*' events')
          line=${line#Lost }
          echo "lost ${line%% *}"
          ;;
        ?*) said=$line ;;
      esac
    done
    [ -n "$ready" ] || problem not-available "bpftrace: ${said:-it says nothing}"
    echo end
  }
}

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
  by=tracefs
  { [ -n "$tracing" ] && : >>"$tracing/kprobe_events"; } 2>/dev/null || by=bpftrace
  if [ $by = bpftrace ] && ! command -v bpftrace >/dev/null 2>&1; then
    [ -z "$tracing" ] ||
      problem no-permission "cannot write to $tracing/kprobe_events: in a container, or locked down"
    [ ! -e /sys/kernel/tracing/trace ] ||
      problem not-available 'this kernel has no kprobe events (CONFIG_KPROBE_EVENTS)'
    problem not-available 'no tracefs: this kernel has none, or it is not mounted (mount -t tracefs nodev /sys/kernel/tracing); and no bpftrace'
  fi
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
  if [ $by = bpftrace ]; then
    trace_by_bpftrace
    return
  fi
  sweep
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
