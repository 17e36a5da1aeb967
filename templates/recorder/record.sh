#!/bin/sh
# Part of tasksctl's recorder: samples this host into a file of its own for this run, and tidies up after former runs:
# all but the last are compressed where gzip is there, and 14 files are kept. What is in them anybody may read in
# /sys/fs/cgroup.
umask 022
directory=${STATE_DIRECTORY:-/var/lib/tasksctl-recorder}
mkdir -p "$directory" && cd "$directory" || exit
for file in *.samples; do
  [ ! -f "$file" ] || gzip -f -- "$file" 2>/dev/null
done
# The names sort by time.
set -- *.samples*
while [ $# -gt 13 ]; do
  rm -f -- "$1"
  shift
done
exec /bin/sh /etc/tasksctl/sampler.sh >"$(date -u +%Y%m%dT%H%M%SZ).samples"
