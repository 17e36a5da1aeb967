#!/bin/sh
# tasksctl's sampler, and part of tasksctl's recorder.
# Writes how many tasks each unit has, again and again, to standard output as frames:
#   tasksctl-sampler 1
#   @NAME LENGTH
#   LENGTH bytes
#   @end 0
# It only reads, and needs no root. POSIX sh with find, grep and sleep, or busybox; in the loop itself nothing is forked
# but one sleep per sample, and every few minutes find and grep. It ends at its time limit, and when nobody reads it any more
# (SIGPIPE, or a failed write). src/measure/sampler-stream.ts reads the frames.
# Usage: sh sampler.sh; TASKSCTL_SAMPLE_SECONDS is how long, TASKSCTL_SAMPLE_CENTISECONDS the time between samples, and
# TASKSCTL_FULL_CENTISECONDS that between two times everything is read.
#
# A thousand cgroups cost 20 ms to read one by one, so what cannot have changed is not read:
# - a slice whose own count is what it was is not looked into;
# - where a slice's count did change, the units that changed of late ("hot") are read first, and if their counts and
#   the known ones of the others add up to the slice's count, nothing else is;
# - once a minute everything is read all the same.
# A "group" is a slice with the units right below it; its variables end in its number.
#
# Variables of a number are read and set by eval, which only ever sees such numbers, never a name.
# shellcheck disable=SC2034,SC2154

nl='
'

frame() { # NAME PAYLOAD
  printf '@%s %d\n%s\n' "$1" "${#2}" "$2" || exit 0
}

# Sets `now`, hundredths of a second since boot.
clock() {
  read -r now _ </proc/uptime
  now=${now%%.*}${now#*.}
}

# Sets pids_root: where systemd's own root cgroup is in the hierarchy with the pids controller.
find_pids_root() {
  pids_root=
  # Process 1 is in init.scope, right below that root; where /proc hides it the mount point has to do.
  first=
  while IFS= read -r line; do
    case $line in
      [0-9]*:pids:* | [0-9]*:pids,*:* | [0-9]*,pids:* | [0-9]*,pids,*:*) first=${line#*:*:} && break ;;
      0::*) first=${line#0::} ;;
    esac
  done 2>/dev/null </proc/1/cgroup
  first=${first%/init.scope}
  first=${first%/}
  while IFS= read -r line; do
    IFS=' '
    # Fields: id, parent, device, root, mount point.
    # shellcheck disable=SC2086
    set -- $line
    case $line in
      *' - cgroup '*)
        case ,${line##* }, in *,pids,*) ;; *) continue ;; esac
        ;;
      *' - cgroup2 '*)
        controllers=
        [ ! -r "$5/cgroup.controllers" ] || read -r controllers <"$5/cgroup.controllers"
        case " $controllers " in *' pids '*) ;; *) continue ;; esac
        ;;
      *) continue ;;
    esac
    pids_root=$5
    # Without a cgroup namespace a container sees its place in the host's tree in both.
    case $4 in
      /) below=$first ;;
      *) below=${first#"$4"} ;;
    esac
    [ -z "$below" ] || [ ! -d "$pids_root$below" ] || pids_root=$pids_root$below
    break
  done </proc/self/mountinfo
  IFS=' '
}

# Limits, peaks and rejected forks of everything below, also of cgroups that are no units.
counters() {
  frame counters "$now$nl$(find . -name 'pids.[mpe]*' -exec grep -sH '' {} + 2>/dev/null)"
  # They cost as much as twenty samples. Most of a measurement that is cut short is to have them, so the longer it
  # has lasted the less often they are read: first after ten seconds, in the end every five minutes.
  pause_counters=$(((now - began) / 2))
  [ "$pause_counters" -le 30000 ] || pause_counters=30000
  [ "$pause_counters" -ge "$full" ] || pause_counters=$full
  [ "$now" -gt "$began" ] || pause_counters=1000
  next_counters=$((now + pause_counters))
}

# Takes up a slice: its place, and the group it is in.
add_group() { # DIRECTORY GROUP
  read -r n <"$1/pids.current" || return
  groups=$((groups + 1))
  order="$order $groups"
  fresh="$fresh $groups"
  known=$known//$1//
  eval "dir_$groups=\$1 up_$groups=\$2 own_$groups=\$n subs_$groups=0 list_$groups= hot_$groups= stirred_$groups="
  eval "subs_$2=\$((subs_$2 + n))"
  frame group "$groups $1"
}

# Reads the slices themselves, where the one above changed. Sets `work`: the groups to look into.
read_slices() {
  work=
  left=
  for g in $order; do
    eval "up=\$up_$g was=\$own_$g dir=\$dir_$g"
    eval "moved=\$moved_$up"
    if [ "$moved" = 0 ] && [ "$all" = 0 ]; then
      left="$left $g"
      eval "moved_$g=0"
      continue
    fi
    if [ "$g" = 1 ]; then
      # The root may have no counter, and little is right below it.
      own=
    elif ! read -r own <"$dir/pids.current"; then
      eval "subs_$up=\$((subs_$up - was)) moved_$g=1"
      known=${known%%"//$dir//"*}${known#*"//$dir//"}
      frame gone "$g"
      eval "unset dir_$g up_$g own_$g subs_$g list_$g hot_$g stirred_$g cold_$g rest_$g"
      continue
    elif [ "$own" = "$was" ] && [ "$all" = 0 ]; then
      left="$left $g"
      eval "moved_$g=0"
      continue
    else
      eval "subs_$up=\$((subs_$up + own - was)) own_$g=\$own"
    fi
    left="$left $g"
    work="$work $g"
    eval "moved_$g=1"
  done
  order=$left
}

# Reads the units of a group, as few as needed, and adds a line to `sample`:
#   GROUP h OWN INDEX:COUNT ...   the slice and those of its units that may have changed, or
#   GROUP a OWN COUNT ...         all, in the order of the group's list; `-`: no count, `.`: a slice
read_units() { # GROUP
  g=$1
  eval "dir=\$dir_$g own=\$own_$g list=\$list_$g hot=\$hot_$g subs=\$subs_$g"
  eval "stirred=\$stirred_$g"
  if [ "$all" = 0 ] && [ "$g" != 1 ] && [ -n "$list" ]; then
    eval "rest=\$((cold_$g + rest_$g))"
    for try in 1 2 3; do
      line=
      sum=$((subs + rest))
      for i in $hot; do
        eval "f=\$file_${g}_$i"
        read -r n <"$f" || n=-1
        sum=$((sum + n))
        line="$line $i:$n"
      done
      if [ "$sum" = "$own" ]; then
        sample="$sample$nl$g h $own$line"
        for i in $line; do
          n=${i#*:}
          i=${i%%:*}
          eval "was=\$v_${g}_$i v_${g}_$i=\$n"
          [ "$was" != "$n" ] || continue
          case " $stirred " in *" $i "*) ;; *) stirred="$stirred $i" ;; esac
        done
        eval "stirred_$g=\$stirred"
        return
      fi
      # Perhaps only because something was forked or has ended between the two readings.
      [ -n "$hot" ] || break
      read -r n <"$dir/pids.current" || break
      eval "up=\$up_$g"
      eval "subs_$up=\$((subs_$up + n - own)) own_$g=\$n"
      own=$n
    done
  fi
  set +f
  set -- "$dir"/*.[ms]*/pids.current
  set -f
  [ -e "$1" ] || set --
  IFS=$nl
  names="$*"
  IFS=' '
  # Names have no slash in them, so what is between the slashes tells where each ends.
  relisted=0
  if [ "$names" != "$list" ]; then
    relisted=1
    hot=
    stirred=
    eval "list_$g=\$names"
    frame list "$g$nl$names"
  elif [ "$all" = 1 ]; then
    # What did not change for a minute is hot no more.
    hot=$stirred
    stirred=
  fi
  i=0
  sum=0
  values=
  part=
  parts=0
  for f do
    i=$((i + 1))
    case $f in
      *.slice/pids.current)
        if [ "$relisted" = 1 ]; then
          case $known in *"//${f%/*}//"*) ;; *) add_group "${f%/*}" "$g" ;; esac
        fi
        n=.
        ;;
      *)
        n=-
        if read -r n <"$f"; then sum=$((sum + n)); else n=-; fi
        eval "was=\$v_${g}_$i v_${g}_$i=\$n"
        if [ "$relisted" = 0 ] && [ "$was" != "$n" ]; then
          case " $hot " in *" $i "*) ;; *) hot="$hot $i" && eval "file_${g}_$i=\$f" ;; esac
          case " $stirred " in *" $i "*) ;; *) stirred="$stirred $i" ;; esac
        fi
        ;;
    esac
    # Two steps, for a long variable that grows by little is copied again and again.
    part="$part $n"
    parts=$((parts + 1))
    if [ "$parts" -eq 64 ]; then
      values=$values$part
      part=
      parts=0
    fi
  done
  [ "$g" != 1 ] || own=-
  sample="$sample$nl$g a $own$values$part"
  cold=$sum
  for i in $hot; do
    eval "n=\$v_${g}_$i"
    [ "$n" = - ] || cold=$((cold - n))
  done
  eval "hot_$g=\$hot stirred_$g=\$stirred cold_$g=\$cold rest_$g=\$((own_$g - subs_$g - sum))"
}

# Waits for the next sample.
pause() {
  clock
  due=$((due + interval))
  # Late: after a suspend, or on a machine that is too busy.
  [ "$due" -gt "$now" ] || due=$((now + 1))
  left=$((due - now))
  if [ "$fractions" = yes ]; then
    hundredths=0$((left % 100))
    sleep "$((left / 100)).${hundredths#"${hundredths%??}"}"
  else
    sleep "$(((left + 99) / 100))"
  fi
}

main() {
  LC_ALL=C
  export LC_ALL
  IFS=' '
  set -f
  interval=${TASKSCTL_SAMPLE_CENTISECONDS:-100}
  full=${TASKSCTL_FULL_CENTISECONDS:-6000}
  clock
  stop=$((now + ${TASKSCTL_SAMPLE_SECONDS:-600} * 100))
  fractions=no
  ! sleep 0.01 2>/dev/null || fractions=yes
  echo 'tasksctl-sampler 1' || exit 0
  frame facts "$(grep -sH '' /proc/sys/kernel/hostname /proc/sys/kernel/random/boot_id /etc/machine-id \
    /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max)"
  frame clock "$now $interval $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  frame mounts "$(grep -sE ' - cgroup2? ' /proc/self/mountinfo)"
  # Set by tests.
  pids_root=${TASKSCTL_SAMPLE_ROOT-}
  [ -n "$pids_root" ] || find_pids_root
  frame pids-root "$pids_root"
  if [ -z "$pids_root" ] || ! cd "$pids_root"; then
    frame end ''
    exit 0
  fi
  groups=1
  order=1
  fresh=
  known=
  dir_1=. up_1=0 own_1=0 subs_1=0 moved_0=1
  list_1='' hot_1='' stirred_1=''
  frame group '1 .'
  began=$now
  counters
  clock
  due=$now
  next_all=$now
  {
    while [ "$now" -lt "$stop" ]; do
      all=0
      if [ "$now" -ge "$next_all" ]; then
        all=1
        next_all=$((now + full))
      fi
      sample=$now
      read -r load </proc/loadavg
      load=${load#* * * }
      sample="$sample ${load%% *}"
      read_slices
      while [ -n "$work" ]; do
        fresh=
        for group in $work; do read_units "$group"; done
        work=$fresh
      done
      frame s "$sample"
      [ "$now" -lt "$next_counters" ] || counters
      pause
      clock
    done
  } 2>/dev/null
  counters
  frame end ''
}

main </dev/null
