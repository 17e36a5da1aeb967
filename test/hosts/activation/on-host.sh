# What a trial runs on the host, as root: the clean state it starts from, and readings. Its output is lines
# "step NAME", "fact TEXT" and blocks of "Property=value", which experiment.ts takes apart.
cd /
export SYSTEMD_PAGER='' SYSTEMD_COLORS=0
if [ -d /sys/fs/cgroup/pids ]; then pids=/sys/fs/cgroup/pids; else pids=/sys/fs/cgroup; fi
etc=/etc/systemd/system
own=trial-own.service
user_reading_of=

# Logs in as a user of this host and stays: over ssh, or by su where there is no ssh client.
login() { # user
  user=$1
  wanted=$(($(sessions "$1") + 1))
  if command -v ssh >/dev/null; then
    ssh_as "$1" -f 'exec sleep 3600' >/dev/null 2>&1
  else
    (setsid su -l "$1" -c 'exec sleep 3600' </dev/null >/dev/null 2>&1 &)
  fi
  until_true '[ "$(sessions "$user")" -ge "$wanted" ]' || fact login-failed "$1"
}
ssh_as() { # user, more of ssh's arguments
  user=$1
  shift
  ssh -n -F none -i /run/lab-activation/key -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
    -o UserKnownHostsFile=/dev/null "$user@127.0.0.1" "$@"
}
# A login that does something, by the same way in.
further_login() { # user
  if command -v ssh >/dev/null; then ssh_as "$1" true; else su -l "$1" -c true; fi
}
sessions() { # user
  find "$pids/user.slice/user-$(id -u "$1").slice" -maxdepth 1 -name 'session-*.scope' 2>/dev/null | wc -l
}
until_true() { # command
  tries=0
  until eval "$1"; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || return 1
    sleep 0.1
  done
}
# Ends all of a user's sessions, and waits until the user's slice is gone.
logout() { # user
  loginctl terminate-user "$1" 2>/dev/null || :
  pkill -KILL -u "$1" || :
  slice=user-$(id -u "$1").slice
  until_true '[ -z "$(systemctl list-units --plain --no-legend --state=active -- $slice)" ]' || fact logout-failed "$1"
}

# Back to the clean state: no sessions, no test units, no files of ours; and the units whose limits the row reads.
start() { # unit...
  logout alice
  logout bob
  systemctl stop 'trial*.service' 'trial*.scope' 'trial*.slice' 2>/dev/null || :
  systemctl reset-failed
  # The slices that are always there keep what a row left in the kernel.
  for slice in user.slice system.slice; do
    [ "$(cat $pids/$slice/pids.max)" = max ] || write $slice max
  done
  rm -rf /var/lib/systemd/linger/alice /etc/systemd/system.control /run/systemd/system.control \
    /etc/systemd/system.conf.d /etc/systemd/logind.conf.d /etc/systemd/user.conf.d /home/alice/.config/systemd \
    $etc/user-.slice.d $etc/user-1000.slice.d $etc/user.slice.d $etc/system.slice.d $etc/user@1000.service.d $etc/trial*
  for key in kernel.pid_max kernel.threads-max; do
    [ ! -w "/proc/sys/$(echo $key | tr . /)" ] || sysctl -q -w "$key=$(cat /run/lab-activation/$key)"
  done
  service='[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n'
  printf "${service}TasksMax=500\n" >$etc/trial-own.service
  printf "$service" >$etc/trial-default.service
  printf "$service" >$etc/trial-sibling.service
  printf "${service}Slice=trial-elsewhere.slice\n" >$etc/trial-elsewhere.service
  printf "${service}TasksMax=500\n" >$etc/trial-tmpl@.service
  printf "${service}TasksMax=500\nSlice=trial-parent.slice\n" >$etc/trial-child.service
  printf '[Slice]\nTasksMax=600\n' >$etc/trial-bare.slice
  printf '[Slice]\nTasksMax=700\n' >$etc/trial-parent.slice
  systemctl daemon-reload

  reading_of=$*
  [ ! -f /run/lab-activation/logind ] || systemctl restart systemd-logind
  rm -f /run/lab-activation/logind
  for unit in $reading_of; do
    case $unit in
      user-1000.slice) login alice ;;
      trial.scope)
        # An orphan: on cgroup v1 systemd only learns of the end of processes that are its children.
        (systemd-run --quiet --scope --unit=trial.scope -p TasksMax=400 sleep 3600 </dev/null >/dev/null 2>&1 &)
        until_true 'systemctl -q is-active trial.scope'
        ;;
      trial-own.service) systemctl start trial-own.service trial-default.service ;;
      trial-sibling.service) ;;
      trial*) systemctl start $unit ;;
    esac
  done
  until_true '[ -z "$(systemctl list-jobs --no-legend)" ]'
  sleep 0.2
}

start_user_unit() {
  until_true 'as_alice systemctl --user is-system-running 2>/dev/null | grep -qE "running|degraded"'
  dir=/home/alice/.config/systemd/user
  runuser -u alice -- mkdir -p $dir
  printf '[Service]\nExecStart=/bin/sleep infinity\n' >$dir/trial-user.service
  as_alice systemctl --user daemon-reload
  as_alice systemctl --user start trial-user.service
}

# What systemd takes percentages of.
base() {
  {
    echo $(($(sysctl -n kernel.pid_max) - 1))
    sysctl -n kernel.threads-max
    cat "$pids/pids.max" 2>/dev/null | grep -v max
  } | sort -n | head -n 1
}

dropin() { # unit, value, file name
  section=Slice
  case $1 in *.service) section=Service ;; *.scope) section=Scope ;; esac
  mkdir -p "$etc/$1.d"
  printf '[%s]\nTasksMax=%s\n' $section "$2" >"$etc/$1.d/${3:-60-trial.conf}"
}
cgroup_of() { systemctl show -p ControlGroup --value -- "$1"; }
live() { cat "$pids$(cgroup_of "$1")/pids.max"; }
# A write past systemd, into the kernel.
write() { echo "$2" >"$pids$(cgroup_of "$1")/pids.max"; }

fact() { printf 'fact %s %s\n' "$1" "$(printf %s "$2" | tr '\r\n' '  ')"; }
exits() { # name, command...
  name=$1
  shift
  code=0
  message=$("$@" 2>&1 </dev/null) || code=$?
  fact "$name" "exit $code${message:+: $message}"
}
# What set-property has written, and where.
written() { # unit
  for file in /etc/systemd/system.control/$1.d/* /run/systemd/system.control/$1.d/* /run/systemd/transient/$1.d/*; do
    [ -f "$file" ] && fact "file" "$file: $(grep -v '^#' "$file" | grep .)"
  done
  return 0
}
mark() { since=$(journalctl -n 0 --show-cursor -q 2>/dev/null | sed -n 's/^-- cursor: //p'); }
# Complaints about task limits in the log since the mark.
logged() {
  journalctl --sync 2>/dev/null || :
  journalctl -q -o cat --after-cursor="$since" 2>/dev/null | grep -iE 'tasks|pids' | grep -E 'Failed|ignoring|removed|rejected' | sort -u |
    while read -r line; do fact log "$line"; done
}

as_alice() { runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 "$@"; }

reading() { # step
  echo "step $1"
  show_units systemctl | from_systemctl ''
  [ -z "$user_reading_of" ] || reading_of=$user_reading_of show_units as_alice systemctl --user | from_systemctl user:
}
# Only units that are active: to ask for one that is not loaded loads it, and that alone makes some versions of systemd
# apply what is pending for the units around it. Unit names are without spaces: split on purpose.
show_units() { # systemctl...
  active=$("$@" list-units --plain --no-legend --state=active -- $reading_of | cut -d ' ' -f 1)
  [ -z "$active" ] || "$@" show -p Id,NeedDaemonReload,ControlGroup,TasksMax,EffectiveTasksMax -- $active
}
from_systemctl() { # prefix
  while IFS='=' read -r key value; do
    case $key in
      Id) echo "Id=$1$value" ;;
      ControlGroup) echo "live=$([ -z "$value" ] || cat "$pids$value/pids.max" 2>/dev/null)" ;;
      *) echo "$key=$value" ;;
    esac
  done
  echo =
}
