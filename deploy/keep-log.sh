#!/bin/sh
# keep-log.sh FILE PROGRAM ARGUMENT…: runs PROGRAM, whose log goes on to the engine and is kept in FILE, too, where the
# health service reads it: a thousand lines or more, at most 4 MiB, and as much before that in FILE.1. Nothing that goes
# wrong with FILE stops PROGRAM. It ends as PROGRAM does, once its last words are on their way.
set -eu
file=$1
said=${TMPDIR:-/tmp}/said
kept=${TMPDIR:-/tmp}/kept
shift
rm -f "$said" "$kept"
mkfifo -m 600 "$said" "$kept"

# Reads 1024 blocks as they come, writes them to FILE, and succeeds unless they ended before or cannot be written.
fill() {
  told=$(LC_ALL=C dd bs=4096 count=1024 of="$file" 2>&1) || return 1
  # Perhaps warnings; then a line as "1000+24 records in": whole blocks and parts of blocks.
  blocks=$(printf '%s\n' "$told" | sed -n 's/^\([0-9]*\)+\([0-9]*\) records in$/\1 + \2/p')
  [ "$((${blocks:-0}))" -eq 1024 ]
}

{
  set +e
  [ ! -s "$file" ] || mv -f "$file" "$file.1"
  while fill; do mv -f "$file" "$file.1"; done
  cat >/dev/null # so that the program is not held up
} <"$kept" &
tee "$kept" <"$said" &
log=$!
exec 3<&0 # what runs in the background has no standard input of its own
"$@" <&3 >"$said" 2>&1 &
program=$!
# The first process of a container gets no signals but those that it asks for.
trap 'kill -TERM "$program"' TERM INT

set +e
while :; do
  wait "$program" # ends early when a signal comes
  status=$?
  kill -0 "$program" 2>/dev/null || break
done
{ sleep 2; kill "$log"; } 2>/dev/null & # in case something that PROGRAM has started keeps the log open
wait "$log" 2>/dev/null
exit "$status"
