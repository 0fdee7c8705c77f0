#!/bin/sh
# keep-log.sh FILE PROGRAM ARGUMENT…: becomes PROGRAM, whose log goes on to the engine and is kept in FILE, too, where the
# health service reads it: a thousand lines or more, at most 4 MiB, and as much before that in FILE.1. Nothing that goes
# wrong with FILE stops PROGRAM.
set -eu
file=$1
said=${TMPDIR:-/tmp}/said
kept=${TMPDIR:-/tmp}/kept
shift
rm -f "$said" "$kept"
mkfifo -m 600 "$said" "$kept"
{
  [ ! -s "$file" ] || mv -f "$file" "$file.1" || :
  # dd writes what comes when it comes, and says at the end how many blocks came: "1000+24 records in".
  while read=$(LC_ALL=C dd bs=4096 count=1024 of="$file" 2>&1) && [ "$((${read%% records*}))" = 1024 ]; do
    mv -f "$file" "$file.1"
  done
  # Nothing can be written, or nothing will come.
  cat >/dev/null
} <"$kept" &
tee "$kept" <"$said" &
exec "$@" >"$said" 2>&1
