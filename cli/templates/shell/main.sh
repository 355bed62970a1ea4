#!/bin/sh
# my-app: an example to replace. Needs nothing but a POSIX shell.
#
# It keeps its state in the folder STATE_DIR. The sidecar saves that folder when this program
# has ended, and with --snapshot-every also while it runs, and restores it before this program
# starts, also in another pod.
set -eu

state=${STATE_DIR:-state}
stopping=
trap 'stopping=yes' TERM INT

mkdir -p "$state"
count=0
[ ! -f "$state/count" ] || count=$(cat "$state/count")

while [ -z "$stopping" ]; do
    count=$((count + 1))
    echo "count $count"
    # Replaced by a rename: nobody ever reads half of it.
    echo "$count" >"$state/count.new"
    mv "$state/count.new" "$state/count"
    # In the background, so that a signal is handled at once.
    sleep 1 &
    wait $! || true
done
